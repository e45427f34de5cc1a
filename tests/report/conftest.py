"""Posteriors that several tests of the report show."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import Posterior, make_posterior
from oceaninv.scenario import load_scenario


@pytest.fixture(scope="package")
def pressure() -> Posterior:
    return _posterior("pekeris-teaching")


@pytest.fixture(scope="package")
def loss() -> Posterior:
    return _posterior("swellex96-tl")


def _posterior(name: str) -> Posterior:
    """Weighted draws about the truth of a synthetic measurement."""
    scenario = load_scenario(name)
    measurement, truth = synthetic_measurement(scenario, seed=1)
    rng = np.random.default_rng(0)
    n = 800
    centre = scenario.prior.to_normal(
        torch.tensor([list(truth.values())], dtype=torch.float64)
    ).numpy()
    v = centre + 0.3 * rng.standard_normal((n, scenario.prior.dim))
    return make_posterior(
        scenario,
        measurement,
        scenario.prior.from_normal(torch.from_numpy(v)),
        log_likelihood=rng.standard_normal(n),
        log_weight=0.5 * rng.standard_normal(n),
        method="test",
        seed=1,
        n_predictive=20,
        attributes={"model": name, "log_evidence": -3.0, "log_evidence_error": 0.1},
    )
