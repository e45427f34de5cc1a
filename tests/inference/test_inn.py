"""The INN is invertible, learns a known posterior, and works from training to inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.inference import Model, infer, train
from oceaninv.inference.inn import InnArchitecture, InnEstimator, InnMap
from oceaninv.measurement import Measurement
from oceaninv.scenario import Scenario
from oceaninv.scenario.training import PRESETS, Training, with_settings


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def moved_map(bins: int, smoothing: str = "learned") -> InnMap:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        inn = InnMap(
            2, 3, blocks=4, hidden=16, bins=bins, clamp=2.0, smoothing=smoothing, padding=1.0,
            generator=generator(),
        )  # fmt: skip
        for weight in inn.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator(1)))
    return inn.requires_grad_(False)


@pytest.mark.parametrize("bins", [0, 8])
def test_round_trip_in_single_precision(bins: int) -> None:
    inn = moved_map(bins)
    x = torch.randn(2000, 5, generator=generator())
    out, forward = inn(x)
    back, inverse = inn.inverse(out)
    assert (out - x).abs().max() > 0.5, "the map must not be trivial here"
    assert (back - x).abs().max() < 1e-5
    assert (forward + inverse).abs().max() < 1e-4


def test_untrained_it_is_the_identity() -> None:
    inn = InnMap(
        3, 3, blocks=5, hidden=8, bins=4, clamp=2.0, smoothing="learned", padding=1.0,
        generator=generator(),
    )  # fmt: skip
    x = torch.randn(50, 6, generator=generator())
    assert torch.allclose(inn(x)[0], x, atol=1e-5)
    assert torch.allclose(inn.inverse(x)[0], x, atol=1e-5)


@pytest.mark.parametrize("bins", [0, 8])
def test_log_determinant_is_that_of_the_jacobian(bins: int) -> None:
    inn = moved_map(bins).double()
    x = torch.randn(5, 5, generator=generator()).double()
    _, log_det = inn(x)
    for i in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda p: inn(p[None])[0][0], x[i])
        assert log_det[i] == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-9)


def test_latents_and_draws_are_inverse_to_each_other() -> None:
    """Draws of x come from the latents that T gives back, with their padding."""
    inn = moved_map(8)
    y, z = torch.randn(500, 3, generator=generator()), torch.randn(500, 5, generator=generator(1))
    spread = torch.linalg.solve(inn.whitening(), z[:, :3].T).T
    whole, _ = inn.inverse(torch.cat([y + spread, z[:, 3:]], -1))
    assert torch.allclose(inn.to_data(z, y), whole[:, :2], atol=1e-5)
    out = inn(whole)[0]
    assert torch.allclose(out[:, 3:], z[:, 3:], atol=1e-5)
    # as published: z alone, and ŷ is y
    published = moved_map(8, smoothing="none")
    assert published.latents == 2
    assert published.to_latent(whole[:, :2], y, generator()).shape == (500, 2)
    exact = published.to_data(z, y)
    changed = torch.cat([z[:, :3] + 1, z[:, 3:]], -1)
    assert torch.equal(published.to_data(changed, y), exact)


def test_the_published_form_has_no_likelihood() -> None:
    inn = moved_map(8, smoothing="none")
    with pytest.raises(InputError, match="has no likelihood; choose"):
        inn.negative_log_likelihood(torch.zeros(4, 2), torch.zeros(4, 3), generator())


@pytest.mark.parametrize("padding", [0.8, 2.0])
def test_the_likelihood_is_that_of_a_density_whatever_the_padding(padding: float) -> None:
    """E_ε[exp(−nll)] is q(x | y), which integrates to one; untrained it is N(y, 1)."""
    inn = InnMap(
        1, 1, blocks=0, hidden=4, bins=0, clamp=3.0, smoothing="learned", padding=padding,
        generator=generator(),
    )  # fmt: skip
    x = torch.linspace(-8, 8, 200_001)[:, None]
    nll = inn.negative_log_likelihood(x, torch.zeros(1, 1), generator(2))
    assert 16 * (-nll).exp().mean().item() == pytest.approx(1.0, abs=0.02)


def test_presets_are_settings() -> None:
    for changes in PRESETS.values():
        settings = with_settings(Training(), changes)
        architecture = InnArchitecture.of(2, 70, settings)
        v, y = torch.randn(20, 2, generator=generator()), torch.randn(20, 70, generator=generator())
        estimator = InnEstimator(architecture, seed=0)
        estimator.standardise(v, y)
        assert estimator.flow.noise == architecture.observed + 2
        assert estimator.draw(estimator.condition(y), generator()).shape == (20, 2)


@pytest.fixture(scope="module")
def quick(scenario: Scenario) -> Scenario:
    small = with_settings(scenario.training, {"epochs": 4, "n_simulations": 1000})
    return scenario.model_copy(update={"training": small})


def test_trained_saved_read_and_used(
    quick: Scenario, measurement: Measurement, model: Model, tmp_path: Path
) -> None:
    made = train(quick, out=tmp_path / "inn", seed=1, estimator="inn")
    again = Model.load(tmp_path / "inn")
    assert made.record["estimator"] == "inn"
    assert made.record["validation_is"] == "energy score"
    assert made.record["remaining_divergence"]["form"] == "data"
    ours, theirs = (m.sample(measurement, 400, generator()) for m in (made, again))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert torch.isfinite(quick.prior.log_prob(ours[0])).all()
    raw = infer(measurement, model=again, raw=True, samples=400)
    assert raw.samples.shape == (400, 2)
    # whatever the network, the re-weighted posterior is that of the same likelihood
    one, other = (
        infer(measurement, model=m, seed=3, samples=2000, effective_samples=1500)
        for m in (again, model)
    )
    means = [p.weights @ p.samples for p in (one, other)]
    sd = np.sqrt(other.weights @ (other.samples - means[1]) ** 2)
    assert np.abs((means[0] - means[1]) / sd).max() < 0.15
    assert float(one.attributes["log_evidence"]) == pytest.approx(
        float(other.attributes["log_evidence"]), abs=0.2
    )


def test_the_released_recipe_runs_as_written(quick: Scenario, tmp_path: Path) -> None:
    settings = {**PRESETS["vina-released"], "epochs": 2, "references": 0}
    made = train(
        quick, out=tmp_path / "m", seed=1, estimator="inn", objective="vina-js", settings=settings
    )
    assert made.scenario.training.paired_weight == 0.01
    assert made.estimator.architecture.observation == "features"
