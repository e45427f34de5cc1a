"""Likelihood and simulator are the same model: exact posteriors of fresh simulations calibrate.

The posterior is a grid of equal prior mass, so that no sampler and no network is involved. The full
run, with the chains of `oceaninv mcmc` on swellex96-2p, is `benchmarks/sbc_of_mcmc.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from oceaninv.diagnostics.calibrate import Sample, calibrate_sampler
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

SIDE = 48
SIMULATIONS = 120


@pytest.fixture(scope="module")
def on_grid(scenario: Scenario) -> Callable[[float], Sample]:
    """A sampler of the posterior with the likelihood raised to a power."""
    side = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    u = torch.cartesian_prod(side, side)
    centre = scenario.prior.from_normal(torch.special.ndtri(u))
    replica = predict(scenario, centre)

    def with_power(power: float) -> Sample:
        def sample(measurement: Measurement, seed: int) -> tuple[np.ndarray, None]:
            value = log_likelihood(scenario, measurement).of_replica(replica, centre)
            rng = np.random.default_rng(seed)
            index = rng.choice(len(u), size=300, p=(power * value).softmax(0).numpy())
            drawn = u[index] + torch.from_numpy(rng.random((300, 2)) - 0.5) / SIDE
            return scenario.prior.from_normal(torch.special.ndtri(drawn)).numpy(), None

        return sample

    return with_power


def test_exact_posteriors_of_fresh_simulations_are_calibrated(
    scenario: Scenario, on_grid: Callable[[float], Sample]
) -> None:
    result = calibrate_sampler(scenario, on_grid(1.0), SIMULATIONS, seed=2)
    assert result.attrs["passes"] == 1
    # Not because the data said nothing: that would pass, too.
    assert float(result["sharpness"].min()) < 0.6


@pytest.mark.parametrize("power", [0.3, 4.0])
def test_a_likelihood_of_other_noise_than_the_simulator_s_is_found_out(
    power: float, scenario: Scenario, on_grid: Callable[[float], Sample]
) -> None:
    result = calibrate_sampler(scenario, on_grid(power), SIMULATIONS, seed=2)
    assert result.attrs["passes"] == 0
