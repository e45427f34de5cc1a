"""Normal fits against a dense grid of the exact posterior, and models that begin with them."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.inference.estimator import Estimator
from oceaninv.inference.features import pressure_features
from oceaninv.inference.fitted_pairs import picked
from oceaninv.inference.flow import standard_normal_log_prob
from oceaninv.inference.model import Model
from oceaninv.inference.networks import new_network
from oceaninv.inference.normal_fits import NormalFits, log_posterior_density, normal_fit
from oceaninv.inference.training import train
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import Scenario, load_scenario
from oceaninv.scenario.predict import predict_neighbours
from oceaninv.scenario.training import with_settings
from oceaninv.weighted import effective_size

FITTED = {"references": 0, "gauss_newton": 2, "n_fits": 1000, "first_epochs": 4, "epochs": 6}
WEIGHED = FITTED | {"weighed_draws": 4}


def on_a_grid(
    scenario: Scenario, measurement: Measurement, about: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of the exact posterior of two normal scores, by quadrature."""
    axis = torch.linspace(-0.4, 0.4, 121, dtype=torch.float64)
    v = about + torch.cartesian_prod(axis, axis)
    log = log_likelihood(scenario, measurement)(scenario.prior.from_normal(v))
    weight = (log - 0.5 * v.square().sum(-1)).softmax(0)
    mean = weight @ v
    return mean, (v - mean).mT @ (weight[:, None] * (v - mean))


def quiet(scenario: Scenario) -> Scenario:
    """The scenario with little noise and many phones, so that its posteriors are nearly normal."""
    array = scenario.array.model_copy(update={"depth": torch.linspace(10, 85, 41).tolist()})
    noise = scenario.noise.model_copy(
        update={"snr_db": {"uniform": [10.0, 30.0]}, "correlation_length": 0.0}
    )
    return scenario.model_copy(update={"array": array, "noise": noise})


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fit_is_the_posterior_where_that_is_normal(scenario: Scenario, seed: int) -> None:
    scenario = quiet(scenario)
    theta = scenario.prior.from_normal(
        torch.randn(2, generator=torch.Generator().manual_seed(seed))
    )
    measurement, _ = synthetic_measurement(scenario, theta, seed=seed)
    mean, covariance = on_a_grid(scenario, measurement, scenario.prior.to_normal(theta[None]))
    sd = covariance.diagonal().sqrt()
    begin = scenario.prior.to_normal(theta[None]) + torch.tensor([[0.05, -0.05]])
    fit = normal_fit(scenario, measurement.data[None], begin, 6)
    assert (fit.gain > 0).all()
    assert ((fit.mean[0] - mean) / sd).abs().max() < 0.4
    assert (fit.covariance[0].diagonal().sqrt() / sd - 1).abs().max() < 0.25
    assert (fit.left > 0).all()
    assert (fit.left < 0.1).all()


def test_steps_only_ever_gain(scenario: Scenario, measurement: Measurement) -> None:
    begin = torch.tensor([[1.5, -1.5], [-1.5, 1.5]], dtype=torch.float64)
    data = measurement.data[None].expand(2, *measurement.data.shape)
    density = [normal_fit(scenario, data, begin, steps).density for steps in range(5)]
    for before, after in pairwise(density):
        assert (after >= before - 1e-9).all()
    assert (density[4] > density[0]).all()


def test_what_is_picked_is_the_posterior_whatever_else_is_drawn() -> None:
    """y = v + e, both N(0, 1): v given y is N(y/2, 1/2); the other draws are from N(1, 4)."""
    n, k = 200_000, 5
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(n, 1, generator=generator)
    y = truth + torch.randn(n, 1, generator=generator)
    others = 1 + 2 * torch.randn(n, k, generator=generator)
    draws = torch.cat([truth, others], 1)
    posterior, proposal = (
        torch.distributions.Normal(y / 2, 0.5**0.5),
        torch.distributions.Normal(1, 2),
    )
    log_weight = posterior.log_prob(draws) - proposal.log_prob(draws)
    draw = picked(draws[..., None], log_weight, y)
    v, features = draw(torch.arange(n), torch.Generator().manual_seed(2))
    assert torch.equal(features, y)
    assert 0.2 < float((v == truth).float().mean()) < 0.6  # most are not the truth
    rest = (v - y / 2) / 0.5**0.5
    error = n**-0.5
    assert abs(float(rest.mean())) < 4 * error
    assert abs(float(rest.square().mean()) - 1) < 4 * 2**0.5 * error
    assert abs(float((rest * y).mean())) < 4 * 2**0.5 * error


def test_draws_are_weighed_by_the_exact_likelihood(
    scenario: Scenario, measurement: Measurement
) -> None:
    v = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    data = measurement.data[None].repeat(2, *[1] * measurement.data.ndim)
    data[1] *= torch.exp(torch.tensor(0.3j)) * torch.arange(1, data.shape[-1] + 1)
    found = log_posterior_density(scenario, data, v)
    for row in range(2):
        of_row = replace(measurement, data=data[row])
        exact = log_likelihood(scenario, of_row)(scenario.prior.from_normal(v[row]))
        torch.testing.assert_close(found[row], exact - 0.5 * v[row].square().sum(-1))


@pytest.mark.parametrize(("settings", "until"), [(FITTED, "training"), (WEIGHED, "weighed draws")])
def test_a_model_with_fits_is_trained_kept_and_resumed(
    scenario: Scenario,
    measurement: Measurement,
    tmp_path: Path,
    settings: dict[str, int],
    until: str,
) -> None:
    model = train(scenario, out=tmp_path / "m", seed=1, settings=settings, resume=True)
    assert isinstance(model.aid, NormalFits)
    assert model.record["preparation_seconds"] > 0  # there was nothing to go on from
    again = Model.load(tmp_path / "m")
    torch.testing.assert_close(again.features(measurement), model.features(measurement))
    assert not (tmp_path / "m" / "train.partial").exists()
    read = train(scenario, out=tmp_path / "m", seed=1, settings=settings, resume=True)
    assert read.record == model.record
    # nothing learned from the guess would be the prior: 0 nats
    assert model.record["validation"] < -2

    class Killed(Exception):
        pass

    def kill(done: int, total: int, text: str) -> None:
        if text == until and (tmp_path / "k" / "train.partial" / "fits").exists():
            raise Killed

    with pytest.raises(Killed):
        train(scenario, out=tmp_path / "k", seed=1, settings=settings, progress=kill)
    told: list[str] = []
    resumed = train(
        scenario, out=tmp_path / "k", seed=1, settings=settings, resume=True,
        progress=lambda done, total, text: told.append(text),
    )  # fmt: skip
    assert "simulating" not in told
    assert resumed.record["preparation_seconds"] is None
    for name, tensor in model.estimator.state_dict().items():
        torch.testing.assert_close(resumed.estimator.state_dict()[name], tensor)


def test_fits_of_levels_and_with_references_are_refused(tmp_path: Path) -> None:
    levels = load_scenario("swellex96-tl")
    with pytest.raises(InputError, match="gauss_newton: 2 fits pressure alone"):
        train(levels, out=tmp_path / "t", settings=FITTED | {"references": 0}, n_simulations=1000)
    pressure = load_scenario("swellex96-2p")
    with pytest.raises(InputError, match="two ways to one guess"):
        train(pressure, out=tmp_path / "p", settings={"gauss_newton": 2})


def test_other_fits_find_what_the_first_misses(scenario: Scenario) -> None:
    """A first network that knows nothing: its draws begin nearer to the truth than its middle."""
    scenario = quiet(scenario)
    truth = 1.5 * torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    made = [
        synthetic_measurement(scenario, theta, seed=i)[0]
        for i, theta in enumerate(scenario.prior.from_normal(truth))
    ]
    data = torch.stack([measurement.data for measurement in made])
    own = pressure_features(data)
    settings = with_settings(scenario.training, {"blocks": 0})
    first = new_network("cinn", 2, own.shape[1], settings, 0, 1).eval()
    assert isinstance(first, Estimator)
    first.requires_grad_(False)  # untrained, it is the prior
    alone = NormalFits(scenario, first, 10)
    once, best = (fits.seen(own, data) for fits in (alone, replace(alone, others=3)))
    density, gain = 2, 3  # after where the fit began
    more = best[:, density] - once[:, density]
    assert (more >= 0).all()
    assert (more > 10).any()
    assert (more == 0).any()
    # the gain is told from the first fit's start, as in training
    torch.testing.assert_close(best[:, gain] - once[:, gain], more, rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", ["pressure", "csdm"])
def test_several_snapshots_are_proposed_for_by_their_own_fit(kind: str) -> None:
    """The network knows single snapshots; posteriors of twenty are far narrower."""
    model = Model.load("swellex96-vla")
    scenario, count = model.scenario, 20
    single, _ = synthetic_measurement(scenario, seed=31)
    assert model.fitted_proposal(single) is None
    measurement, _ = synthetic_measurement(scenario, seed=31, n_snapshots=count)
    if kind == "csdm":
        d = measurement.data
        csdm = torch.einsum("kfr,kfs->frs", d, d.conj()) / count
        measurement = replace(measurement, kind="csdm", data=csdm)
    proposal = model.fitted_proposal(measurement)
    assert proposal is not None
    v = proposal.sample(200, torch.Generator().manual_seed(0))
    of_theta = log_likelihood(scenario, measurement)
    log_weight = of_theta(scenario.prior.from_normal(v)) + standard_normal_log_prob(v)
    size = effective_size((log_weight - proposal.log_prob(v)).numpy())
    assert size > 0.1 * len(v)


def test_a_rounded_matrix_of_one_snapshot_is_fitted_as_one() -> None:
    """Rounding gives a matrix of one snapshot full rank: its columns are no more snapshots."""
    model = Model.load("swellex96-vla")
    single, _ = synthetic_measurement(model.scenario, seed=31)
    rounded = torch.einsum("kfr,kfs->frs", single.data, single.data.conj()).to(torch.complex64)
    matrix = replace(single, kind="csdm", data=rounded.to(torch.complex128))
    assert torch.linalg.matrix_rank(matrix.data).min() > 2
    torch.testing.assert_close(model.features(matrix), model.features(single), rtol=1e-3, atol=1e-3)


def test_a_point_whose_slopes_overflow_is_no_fit_and_spoils_no_other(
    scenario: Scenario, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = torch.tensor([[0.5, -0.5], [-0.5, 0.5]], dtype=torch.float64)
    data = measurement.data[None].expand(2, *measurement.data.shape)
    alone = normal_fit(scenario, data[1:], begin[1:], 0)

    def overflowing(scenario: Scenario, theta: torch.Tensor) -> torch.Tensor:
        replica = predict_neighbours(scenario, theta).clone()
        replica[0, 1] *= 1e200
        return replica

    monkeypatch.setattr("oceaninv.inference.normal_fits.predict_neighbours", overflowing)
    fit = normal_fit(scenario, data, begin, 0)
    assert fit.density[0] == -torch.inf
    assert torch.isfinite(fit.covariance).all()
    # But for rounding, which hangs on the size of a batch.
    torch.testing.assert_close(fit.covariance[1:], alone.covariance, rtol=1e-9, atol=0)
    torch.testing.assert_close(fit.density[1:], alone.density, rtol=1e-9, atol=0)
