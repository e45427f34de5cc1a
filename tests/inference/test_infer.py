"""`infer` gives the exact posterior, from a trained network and from an untrained one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.inference import Model, infer
from oceaninv.inference.reweighting import InferenceError
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.scenario import Scenario


@pytest.fixture(scope="module")
def on_grid(scenario: Scenario, measurement: Measurement) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, sd and log evidence on a grid of equal prior mass."""
    side = (torch.arange(70, dtype=torch.float64) + 0.5) / 70
    v = torch.special.ndtri(torch.cartesian_prod(side, side))
    theta = scenario.prior.from_normal(v)
    value = log_likelihood(scenario, measurement)(theta)
    weight = value.softmax(0)
    mean = weight @ theta
    sd = (weight @ (theta - mean).square()).sqrt()
    evidence = (value.logsumexp(0) - np.log(len(v))).item()
    return mean.numpy(), sd.numpy(), evidence


@pytest.mark.parametrize("trained", [True, False])
def test_reweighted_posterior_is_that_of_a_dense_grid(
    trained: bool, model: Model, untrained: Model, measurement: Measurement, on_grid
) -> None:
    proposal = model if trained else untrained
    posterior = infer(measurement, model=proposal, seed=3, samples=4000, effective_samples=3000)
    mean, sd, evidence = on_grid
    found = posterior.weights @ posterior.samples
    spread = np.sqrt(posterior.weights @ (posterior.samples - found) ** 2)
    assert np.abs((found - mean) / sd).max() < 0.1
    assert np.abs(spread / sd - 1).max() < 0.1
    attributes = posterior.attributes
    assert abs(float(attributes["log_evidence"]) - evidence) < max(
        4 * float(attributes["log_evidence_error"]), 0.05
    )
    assert float(attributes["effective_sample_size"]) >= 3000
    assert abs(len(posterior.samples) - 4000) < 300
    assert attributes["method"] == "cINN + importance re-weighting"
    assert "warning" not in attributes


def test_trained_network_is_the_better_proposal(
    model: Model, untrained: Model, measurement: Measurement
) -> None:
    efficiency = [
        infer(measurement, model=m, max_seconds=0.0).attributes["network_efficiency"]
        for m in (model, untrained)
    ]
    assert efficiency[0] > 0.2
    assert efficiency[0] > 1.5 * efficiency[1]


def test_equal_seeds_give_equal_draws(model: Model, measurement: Measurement) -> None:
    one, two, other = (
        infer(measurement, model=model, seed=s, samples=500, effective_samples=100).samples
        for s in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one[:100], other[:100])


def test_raw_draws_need_no_likelihood(
    model: Model, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oceaninv.inference.reweighting.log_likelihood", None)
    posterior = infer(measurement, model=model, raw=True, samples=700)
    assert posterior.samples.shape == (700, 2)
    assert posterior.log_weight is None
    assert np.isnan(posterior.log_likelihood).all()
    assert posterior.attributes["n_likelihoods"] == 0


def test_a_measurement_the_model_was_not_trained_for_is_refused(
    model: Model, measurement: Measurement
) -> None:
    other = replace(
        measurement, frequency=torch.tensor([40.0, 200.0], dtype=torch.float64), name="sea.nc"
    )
    with pytest.raises(InputError, match=r"sea\.nc: frequency: 200 Hz is not one of .* \(40, 60\)"):
        infer(other, model=model)
    unnamed = replace(measurement, attributes={}, name="sea.nc")
    with pytest.raises(InputError, match=r"sea\.nc: scenario: is not stated; choose a model by"):
        infer(unnamed)
    with pytest.raises(InputError, match="'pekeris-two' has no built-in model"):
        infer(measurement)
    with pytest.raises(InputError, match="samples: 0 is too few"):
        infer(measurement, model=model, samples=0)


def test_few_effective_draws_are_said_plainly(model: Model, measurement: Measurement) -> None:
    posterior = infer(measurement, model=model, max_draws=100)
    assert "effective draws out of 100" in str(posterior.attributes["warning"])


def test_data_that_nothing_explains_end_in_one_sentence(
    model: Model, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "oceaninv.inference.reweighting.log_likelihood",
        lambda *_: lambda theta: torch.full((len(theta),), -torch.inf),
    )
    with pytest.raises(InferenceError, match="none of 5000 draws has a likelihood above zero"):
        infer(measurement, model=model, max_draws=5000)
