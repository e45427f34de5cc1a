"""Normal fits against a dense grid of the exact posterior, and models that begin with them."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.inference.model import Model
from oceaninv.inference.normal_fits import NormalFits, normal_fit
from oceaninv.inference.training import train
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import Scenario, load_scenario

FITTED = {"references": 0, "gauss_newton": 2, "n_fits": 1000, "first_epochs": 4, "epochs": 6}


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


def test_a_model_with_fits_is_trained_kept_and_resumed(
    scenario: Scenario, measurement: Measurement, tmp_path: Path
) -> None:
    model = train(scenario, out=tmp_path / "m", seed=1, settings=FITTED)
    assert isinstance(model.aid, NormalFits)
    again = Model.load(tmp_path / "m")
    torch.testing.assert_close(again.features(measurement), model.features(measurement))
    assert not (tmp_path / "m" / "fits").exists()
    # nothing learned from the guess would be the prior: 0 nats
    assert model.record["validation"] < -2

    class Killed(Exception):
        pass

    def kill(done: int, total: int, text: str) -> None:
        if text == "training" and (tmp_path / "k" / "fits").exists():
            raise Killed

    with pytest.raises(Killed):
        train(scenario, out=tmp_path / "k", seed=1, settings=FITTED, progress=kill)
    told: list[str] = []
    resumed = train(
        scenario, out=tmp_path / "k", seed=1, settings=FITTED, resume=True,
        progress=lambda done, total, text: told.append(text),
    )  # fmt: skip
    assert "simulating" not in told
    for name, tensor in model.estimator.state_dict().items():
        torch.testing.assert_close(resumed.estimator.state_dict()[name], tensor)


def test_fits_of_levels_and_with_references_are_refused(tmp_path: Path) -> None:
    levels = load_scenario("swellex96-tl")
    with pytest.raises(InputError, match="gauss_newton: 2 fits pressure alone"):
        train(levels, out=tmp_path / "t", settings=FITTED | {"references": 0}, n_simulations=1000)
    pressure = load_scenario("swellex96-2p")
    with pytest.raises(InputError, match="two ways to one guess"):
        train(pressure, out=tmp_path / "p", settings={"gauss_newton": 2})
