"""`infer` gives the exact posterior, from a trained network and from an untrained one."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from oceaninv.diagnostics import c2st
from oceaninv.errors import InputError
from oceaninv.inference import Model, infer
from oceaninv.inference.mixture import StudentMixture
from oceaninv.inference.reweighting import InferenceError
from oceaninv.likelihood import Likelihood, log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.posterior import equal_weight
from oceaninv.scenario import Scenario
from oceaninv.weighted import effective_size, psis


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
    assert "fallback" not in attributes
    assert attributes["reliable"] == 1


def test_weights_are_smoothed_and_the_raw_ones_kept(
    untrained: Model, measurement: Measurement
) -> None:
    # So many draws that the tail is heavy: of weights that are alike smoothing gains nothing.
    posterior = infer(measurement, model=untrained, seed=3, samples=10**6, effective_samples=2000)
    raw = posterior.sample_stats["log_weight_raw"]
    smoothed, k = psis(raw)
    changed = np.count_nonzero(posterior.log_weight != raw)
    assert 20 < changed <= np.ceil(3 * np.sqrt(float(posterior.attributes["n_draws"])))
    assert posterior.attributes["pareto_k"] == pytest.approx(k, abs=0.05)
    # The evidence is the mean of the raw weights; draws of likelihood zero are not kept.
    evidence = np.logaddexp.reduce(raw) - np.log(float(posterior.attributes["n_draws"]))
    assert posterior.attributes["log_evidence"] == pytest.approx(evidence, abs=1e-9)
    assert posterior.log_weight.max() <= raw.max()
    assert effective_size(smoothed) >= effective_size(raw)


class Shifted(Model):
    """A network that is sure of the wrong place: 3 prior sd away from where it should be."""

    def proposal(self, measurement: Measurement) -> StudentMixture:
        mean = torch.tensor([[2.5, -2.5]], dtype=torch.float64)
        return StudentMixture(
            torch.zeros(1, dtype=torch.float64), mean, 0.1 * torch.eye(2, dtype=torch.float64)[None]
        )


class Slow:
    """A likelihood that takes its time."""

    def __init__(self, of_theta: Likelihood, seconds: float) -> None:
        self.of_theta, self.seconds = of_theta, seconds

    def __call__(self, theta: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return self.of_theta(theta)


@pytest.fixture(scope="module")
def shifted(untrained: Model) -> Shifted:
    return Shifted(untrained.scenario, untrained.estimator, untrained.aid, {}, "shifted")


def test_where_re_weighting_fails_a_mixture_fitted_to_chains_is_re_weighted(
    shifted: Model, measurement: Measurement, on_grid
) -> None:
    posterior = infer(
        measurement, model=shifted, seed=1, effective_samples=700, max_draws=1024, max_seconds=900.0
    )
    attributes = posterior.attributes
    fallback = str(attributes["fallback"])
    assert fallback.startswith("Re-weighting left ")
    assert fallback.endswith(
        ": Markov chains went on from the draws, and a mixture fitted to theirs was re-weighted."
    )
    assert attributes["method"] == "cINN + importance re-weighting"
    assert attributes["reliable"] == 1
    assert "warning" not in attributes
    assert "rhat" not in attributes
    assert float(attributes["sample_efficiency"]) > 0.3
    assert float(attributes["network_efficiency"]) < 0.01
    assert attributes["n_draws"] == 1024 < float(attributes["n_likelihoods"]) - 1024
    mean, sd, evidence = on_grid
    found = posterior.weights @ posterior.samples
    spread = np.sqrt(posterior.weights @ (posterior.samples - found) ** 2)
    assert np.abs((found - mean) / sd).max() < 0.15
    assert np.abs(spread / sd - 1).max() < 0.15
    assert abs(float(attributes["log_evidence"]) - evidence) < 4 * float(
        attributes["log_evidence_error"]
    )


def test_where_that_fails_too_markov_chains_go_on_to_the_exact_posterior(
    shifted: Model, model: Model, measurement: Measurement, on_grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = infer(measurement, model=model, seed=2, effective_samples=3000)
    monkeypatch.setattr("oceaninv.inference.chain.HEAVY_TAIL", -10.0)
    posterior = infer(measurement, model=shifted, seed=1, max_draws=1024, max_seconds=900.0)
    attributes = posterior.attributes
    assert str(attributes["fallback"]).startswith("Re-weighting left ")
    assert str(attributes["fallback"]).endswith(": Markov chains went on from the draws.")
    assert attributes["method"] == "cINN + MCMC (emcee)"
    assert posterior.log_weight is None
    assert posterior.chains == 4
    assert attributes["reliable"] == 1
    assert "warning" not in attributes
    assert attributes["rhat"] <= 1.01
    assert attributes["effective_sample_size"] == attributes["ess"] >= 1000
    assert float(attributes["n_likelihoods"]) > 1024 + 4 * 32 * float(attributes["steps"])
    mean, sd, _ = on_grid
    assert np.abs((posterior.samples.mean(0) - mean) / sd).max() < 0.15
    assert np.abs(posterior.samples.std(0) / sd - 1).max() < 0.15
    rng = np.random.default_rng(0)
    n = 1000
    told_apart = c2st(equal_weight(posterior, n, rng), equal_weight(exact, n, rng), seed=0)
    assert told_apart.accuracy < 0.55


def test_a_heavy_tail_sends_infer_on_too(
    model: Model, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oceaninv.inference.chain.HEAVY_TAIL", -10.0)
    attributes = infer(measurement, model=model, max_seconds=0.0).attributes
    assert str(attributes["fallback"]).startswith("The largest weights have a heavy tail (Pareto k")
    assert "time was over with the starting points 0.0% of the way" in str(attributes["warning"])


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_without_time_infer_says_in_a_sentence_why_there_is_no_reliable_posterior(
    seconds: float, shifted: Model, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(log_likelihood(shifted.scenario, measurement), 0.1 if seconds else 0.0)
    monkeypatch.setattr("oceaninv.inference.reweighting.log_likelihood", lambda *_: slow)
    begun = time.monotonic()
    posterior = infer(measurement, model=shifted, seed=1, max_draws=1024, max_seconds=seconds)
    assert time.monotonic() - begun < 30  # whole chains would take minutes
    assert posterior.attributes["reliable"] == 0
    warning = str(posterior.attributes["warning"])
    assert warning.startswith("No reliable posterior: re-weighting left ")
    assert warning.endswith("give it more time by --max-seconds, or confirm it by mcmc.")
    assert np.isfinite(posterior.samples).all()


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
    with pytest.raises(InputError, match="max_draws: 0 is too few"):
        infer(measurement, model=model, max_draws=0)
    for seed in (-1, 2**64):
        with pytest.raises(InputError, match=f"seed: {seed} is no seed; give one from 0 to"):
            infer(measurement, model=model, seed=seed)


def test_few_effective_draws_are_said_plainly(model: Model, measurement: Measurement) -> None:
    posterior = infer(measurement, model=model, max_draws=100, max_seconds=0.0)
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
