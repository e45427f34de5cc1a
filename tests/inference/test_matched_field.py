"""The references' likelihoods are those of the noise models, and their guess is nearly right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import qmc

from oceaninv.errors import InputError
from oceaninv.inference.guesses import guess_size, whitening
from oceaninv.inference.matched_field import (
    TEMPERATURES,
    kronecker,
    matched_field,
    simulate_references,
)
from oceaninv.measurement import Measurement, scenario_noise
from oceaninv.scenario import Scenario, load_scenario
from oceaninv.scenario.predict import correlation_length, predict


def test_the_points_are_far_more_even_than_random_ones() -> None:
    for dim in (2, 3):
        points = kronecker(1024, dim).numpy()
        assert points.min() > 0
        assert points.max() < 1
        random = np.random.default_rng(0).random((1024, dim))
        assert qmc.discrepancy(points) < 0.2 * qmc.discrepancy(random)


@pytest.mark.parametrize("name", ["swellex96-2p", "swellex96-tl"])
def test_references_are_compared_by_the_noise_model(name: str) -> None:
    scenario = load_scenario(name)
    if name == "swellex96-tl":  # with sigma fixed, at the median of its prior, both are the same
        noise = scenario.noise.model_copy(update={"sd_db": 3.5})
        scenario = scenario.model_copy(update={"noise": noise})
    references = simulate_references(scenario, 60)
    theta = scenario.prior.sample(5, 1)
    length = correlation_length(scenario, theta)
    model = scenario_noise(scenario)
    data = model.simulate(predict(scenario, theta), length, torch.Generator().manual_seed(2))
    found = references.compare(data if data.is_complex() else data[:, 0]).double()

    replica = references.replica.to(torch.complex128 if data.is_complex() else torch.float64)
    for one, value in zip(data[:, 0], found, strict=True):
        factor = one[..., None] if data.is_complex() else one
        exact = model.log_likelihood(factor, replica, length[:1].expand(len(replica)))
        assert torch.allclose(value - value.mean(), exact - exact.mean(), rtol=1e-4, atol=2e-2)


def test_the_guess_is_the_posterior_where_references_are_dense(
    scenario: Scenario, measurement: Measurement
) -> None:
    """Against the same sum over a tenfold finer set of points, taken from the prior at random."""
    fixed = scenario.noise.model_copy(update={"snr_db": 8.0})
    scenario = scenario.model_copy(update={"noise": fixed})
    references = simulate_references(scenario, 1000)
    features = references.features(measurement.data[None])
    guess = features[0, -references.n_guesses * guess_size(2) :].view(-1, guess_size(2))
    assert len(guess) == len(TEMPERATURES) + 1
    assert torch.equal(guess[-1], torch.zeros(guess_size(2))), "the last one is the prior"

    v = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(1))
    replica = predict(scenario, scenario.prior.from_normal(v.double()))
    weight = matched_field(scenario, v, replica.to(torch.complex64)).compare(measurement.data[None])
    weight = weight[0].softmax(0)
    mean = weight @ v
    covariance = (weight[:, None] * (v - mean)).mT @ (v - mean)
    sd = covariance.diagonal().sqrt()
    assert ((guess[0, :2] - mean) / sd).abs().max() < 0.15
    matrix, offset = whitening(guess[0], 2)
    assert torch.allclose(matrix @ covariance @ matrix.mT, torch.eye(2), atol=0.3)
    assert torch.allclose(torch.linalg.solve(matrix, offset), guess[0, :2], atol=1e-4)

    # the same sums over the references themselves, written out
    weight = references.compare(measurement.data[None])[0].double().softmax(0)
    white = (references.points - guess[0, :2]) @ matrix.mT
    third = torch.einsum("k,ki,kj,kl->ijl", weight, *[white.double()] * 3)
    start = len(references.points)  # after the likelihoods of all references
    assert torch.allclose(features[0, start : start + 8].view(2, 2, 2), third.float(), atol=1e-3)
    assert torch.allclose(references.means(measurement.data[None])[0, 0].float(), guess[0, :2])


def test_a_prior_without_modes_is_refused(scenario: Scenario) -> None:
    low = scenario.model_copy(update={"frequency": [1.0, 2.0]})
    with pytest.raises(InputError, match="no propagating mode; narrow the priors"):
        simulate_references(low, 100)
