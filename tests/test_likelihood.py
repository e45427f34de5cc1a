"""The likelihood of a measurement, the Bartlett mismatch and the hint at a conjugate."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.likelihood import (
    bartlett_mismatch,
    conjugate_hint,
    fit_candidates,
    log_likelihood,
    log_posterior,
)
from oceaninv.measurement import Measurement, read_measurement, read_saga
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import Scenario, load_scenario
from oceaninv.scenario.predict import predict

ELBA = Path(os.environ.get("OCEANINV_FIELD_DATA", "../shared/field")) / "saga/original/snap/elba.in"
DATA = Path(__file__).parents[1] / "data"
needs_field_data = pytest.mark.skipif(
    not ELBA.is_file(), reason=f"FIELD DATA ABSENT: no {ELBA}; set OCEANINV_FIELD_DATA"
)

# "best-of-all" and "local fit" of SAGA's published run.
SAGA_BEST = [
    [5381.890, 74.567, 1516.929, 1563.780, 1595.669, 127.244, 112.055, 1.953, 2.145, 0.123, 0.198,
     9.764],
    [5382.870, 74.615, 1516.744, 1563.295, 1599.370, 127.233, 111.966, 1.934, 2.155, 0.119, 0.191,
     9.978],
]  # fmt: skip


def loud(scenario: Scenario) -> Scenario:
    """The scenario with an SNR of 20 dB at every tone."""
    return scenario.model_copy(update={"noise": scenario.noise.model_copy(update={"snr_db": 20.0})})


@pytest.fixture(scope="module")
def elba() -> Scenario:
    return load_scenario("north-elba-1993")


@pytest.fixture(scope="module")
def synthetic(elba: Scenario) -> tuple[Measurement, torch.Tensor]:
    theta = torch.tensor(SAGA_BEST[0], dtype=torch.float64)
    measurement, _ = synthetic_measurement(loud(elba), theta, seed=3)
    return measurement, theta


def test_pressure_and_its_csdm_have_one_likelihood(
    elba: Scenario, synthetic: tuple[Measurement, torch.Tensor]
) -> None:
    measurement, _ = synthetic
    csdm = replace(measurement, kind="csdm", data=measurement.csdm)
    theta = elba.prior.sample(5, 1)
    torch.testing.assert_close(
        log_likelihood(elba, csdm)(theta), log_likelihood(elba, measurement)(theta)
    )


def test_the_truth_is_likelier_than_the_prior(
    elba: Scenario, synthetic: tuple[Measurement, torch.Tensor]
) -> None:
    measurement, truth = synthetic
    likelihood = log_likelihood(elba, measurement)
    assert likelihood(truth[None]) > likelihood(elba.prior.sample(200, 1)).max()


def test_log_posterior_adds_the_prior_and_is_nothing_outside(
    elba: Scenario, synthetic: tuple[Measurement, torch.Tensor]
) -> None:
    measurement, truth = synthetic
    theta = truth.expand(3, -1).clone()
    theta[1, 0] = 7000.0
    theta[2, 1] = 80.0
    value = log_posterior(elba, measurement)(theta)
    inside = torch.tensor([True, False, True])
    assert torch.isneginf(value[1])
    expected = log_likelihood(elba, measurement)(theta) + elba.prior.log_prob(theta)
    torch.testing.assert_close(value[inside], expected[inside])


def test_levels_have_a_likelihood_that_prefers_the_truth() -> None:
    scenario = load_scenario("swellex96-tl")
    short = scenario.model_copy(update={"frequency": [49.0]})
    measurement, truth = synthetic_measurement(short, seed=1)
    theta = torch.cat([torch.tensor([list(truth.values())]), short.prior.sample(15, 2)])
    assert measurement.data.shape == (1, 50)
    value = log_likelihood(short, measurement)(theta)
    assert value.argmax() == 0
    assert conjugate_hint(short, measurement, theta) is None


def test_bartlett_mismatch_is_0_for_the_replica_and_1_for_its_orthogonal(elba: Scenario) -> None:
    theta = elba.prior.sample(1, 0)
    replica = predict(elba, theta)
    measurement, _ = synthetic_measurement(elba, theta[0], seed=0)
    exact = replace(measurement, data=(2 - 3j) * replica)
    other = torch.randn(1, 1, 48, dtype=torch.complex128, generator=torch.Generator())
    share = (replica.conj() * other).sum(-1) / replica.abs().square().sum(-1)
    orthogonal = other - share[..., None] * replica
    mismatch = bartlett_mismatch(elba, exact, torch.cat([replica, orthogonal]))
    expected = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    torch.testing.assert_close(mismatch, expected, atol=1e-12, rtol=0)


def test_a_tone_that_the_scenario_does_not_have_is_refused(
    elba: Scenario, synthetic: tuple[Measurement, torch.Tensor]
) -> None:
    other = replace(synthetic[0], frequency=torch.tensor([200.0], dtype=torch.float64))
    with pytest.raises(InputError, match="frequency: 200 Hz"):
        log_likelihood(elba, other)


def test_conjugated_data_are_noticed_and_sound_data_are_not() -> None:
    scenario = load_scenario("pekeris-teaching")
    truth = scenario.prior.sample(1, 2)
    measurement, _ = synthetic_measurement(loud(scenario), truth[0], seed=3)
    # Candidates of which one fits, as the draws of a posterior do.
    theta = torch.cat([truth, scenario.prior.sample(100, 1)])
    replica = predict(scenario, theta)
    assert conjugate_hint(scenario, measurement, theta, replica) is None
    hint = conjugate_hint(scenario, measurement.conjugate(), theta, replica)
    assert hint is not None
    assert "conjugate of the data fits far better" in hint
    # Of candidates that all fit badly, none tells anything.
    assert conjugate_hint(scenario, measurement, scenario.prior.sample(20, 1)) is None


@pytest.mark.parametrize("seed", [0, 7])
def test_candidates_do_not_hold_the_truth_that_synthesize_drew_with_their_seed(seed: int) -> None:
    scenario = load_scenario("swellex96-2p")
    measurement, truth = synthetic_measurement(scenario, seed=seed)
    candidates = fit_candidates(scenario, measurement, seed=seed, n_prior=50, generations=0)
    drawn = torch.tensor(list(truth.values()), dtype=torch.float64)
    assert not torch.isclose(candidates, drawn).all(-1).any()


def test_a_conjugate_is_noticed_where_one_tone_fits_neither_reading() -> None:
    scenario = load_scenario("swellex96-2p")
    measured = read_measurement(DATA / "swellex96-2p.nc")
    theta = torch.cartesian_prod(
        torch.linspace(200.5, 236.5, 73, dtype=torch.float64),
        torch.linspace(1532, 1592, 21, dtype=torch.float64),
    )
    replica = predict(scenario, theta)
    best = log_likelihood(scenario, measured).of_replica(replica, theta).argmax()
    assert bartlett_mismatch(scenario, measured, replica[best][None]).max() > 0.8
    assert conjugate_hint(scenario, measured, theta, replica) is None
    told = conjugate_hint(scenario, measured.conjugate(), theta, replica)
    assert "time_convention is probably the other one" in (told or "")


@needs_field_data
def test_north_elba_fits_as_well_as_published(elba: Scenario) -> None:
    replica = predict(elba, torch.tensor(SAGA_BEST, dtype=torch.float64))
    mismatch = bartlett_mismatch(elba, read_saga(ELBA), replica)
    published = torch.tensor([[0.03990], [0.03917]], dtype=torch.float64)
    torch.testing.assert_close(mismatch, published, atol=3e-4, rtol=0)
    assert (mismatch <= 0.041).all()


@needs_field_data
def test_north_elba_read_in_the_wrong_convention_is_noticed(elba: Scenario) -> None:
    right, wrong = read_saga(ELBA), read_saga(ELBA, time_convention="exp(-iwt)")
    theta = fit_candidates(elba, wrong, seed=2)
    replica = predict(elba, theta)
    assert conjugate_hint(elba, right, theta, replica) is None
    assert "time_convention" in (conjugate_hint(elba, wrong, theta, replica) or "")
