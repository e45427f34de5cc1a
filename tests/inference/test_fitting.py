"""Training learns known posteriors, goes on where it was killed, and survives divergence."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import chi2
from torch import Tensor, nn

from oceaninv.errors import InputError
from oceaninv.inference.estimator import Estimator
from oceaninv.inference.fitting import TrainingError, fit
from oceaninv.inference.networks import Network, new_network
from oceaninv.inference.training_checks import held_out
from oceaninv.scenario.training import Training, with_settings

# y = A v + e with v ~ N(0, I) and e ~ N(0, sd² I): the posterior is Gaussian
A = torch.tensor([[1.0, 0.5], [0.0, 1.0], [1.0, -1.0]])
SD = 0.5
COVARIANCE = torch.linalg.inv(torch.eye(2) + A.T @ A / SD**2)
GAIN = -0.5 * torch.logdet(COVARIANCE).item()  # nats that y tells of v

SETTINGS = Training(
    n_simulations=20_000, hidden=64, depth=1, context=16, blocks=2, coupling_hidden=32,
    epochs=10, batch_size=512, learning_rate=5e-3, warm_start_epochs=5, critic_hidden=64,
    critic_steps=2,
)  # fmt: skip


def observe(v: Tensor, generator: torch.Generator) -> Tensor:
    return v @ A.T + SD * torch.randn(len(v), 3, generator=generator)


def pairs(n: int):
    unknowns = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))

    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return unknowns[index], observe(unknowns[index], generator)

    return draw


def check_posterior(estimator: Network) -> None:
    """Mean and covariance within 5 %, 90 % coverage in [.87, .93], at measurements not seen."""
    generator = torch.Generator().manual_seed(99)
    v = torch.randn(40, 2, generator=generator)
    y = observe(v, generator)
    mean = y @ A @ COVARIANCE / SD**2
    sd = COVARIANCE.diagonal().sqrt()
    conditions = estimator.condition(y.repeat_interleave(2000, 0))
    draws = estimator.draw(conditions, generator).view(40, 2000, 2)
    # 5 % of the prior's sd and spread: at one measurement, then on the whole
    assert ((draws.mean(1) - mean) / sd).square().mean().sqrt() < 0.12
    assert (draws.mean(1) - mean).square().mean().sqrt() < 0.05
    gap = draws - draws.mean(1, keepdim=True)
    covariance = torch.einsum("bni,bnj->ij", gap, gap) / (40 * 1999)
    scaled = covariance / sd / sd[:, None]
    assert (scaled - COVARIANCE / sd / sd[:, None]).abs().max() < 0.05

    v = torch.randn(2000, 2, generator=generator)
    y = observe(v, generator)
    z = estimator.flow.to_latent(v, estimator.condition(y).context, generator)
    within = z.square().sum(1) < chi2(z.shape[1]).ppf(0.9)
    assert 0.87 < within.float().mean() < 0.93
    conditions = estimator.condition(y.repeat_interleave(150, 0))
    drawn = estimator.draw(conditions, generator).view(2000, 150, 2)
    rank = (drawn < v[:, None]).float().mean(1)
    covered = ((rank > 0.05) & (rank < 0.95)).float().mean(0)
    assert ((covered > 0.87) & (covered < 0.93)).all(), covered


@pytest.fixture(scope="module")
def draw():
    return pairs(20_000)


# all that claim to be posterior estimators; the others say in their docstrings that they are not
@pytest.mark.parametrize(
    ("objective", "form"),
    [
        ("nll", "latent"),
        ("vina-kl", "latent"),
        ("vina-js", "latent"),
        ("vina-reverse-kl", "latent"),
        ("vina-hellinger", "latent"),
        ("vina-reverse-kl", "data"),
        ("nll+vina-js", "latent"),
    ],
)
def test_linear_gaussian_posterior_is_learned(objective: str, form: str, draw) -> None:
    settings = with_settings(SETTINGS, {"critic_form": form})
    result = fit(draw, 20_000, settings, seed=1, objective=objective)
    check_posterior(result.estimator)
    assert result.record["validation"] == pytest.approx(-GAIN, abs=0.12)
    if objective != "nll":
        # the state that is kept must be one that the critic has moved
        assert result.record["best_epoch"] > SETTINGS.warm_start_epochs + 1
        warm = result.record["history"][SETTINGS.warm_start_epochs]["validation"]
        assert result.record["validation"] < warm + 0.05, "no collapse after the warm start"


def test_an_inn_learns_the_posterior_too(draw) -> None:
    settings = with_settings(SETTINGS, {"epochs": 16, "ema": 0.0})
    result = fit(draw, 20_000, settings, seed=1, estimator="inn")
    check_posterior(result.estimator)
    assert result.record["validation_is"] == "energy score"


SHORT = SETTINGS.model_copy(update={"epochs": 5, "warm_start_epochs": 1, "critic_steps": 1})


@pytest.mark.parametrize("objective", ["nll", "vina-js"])
def test_a_resumed_training_equals_an_uninterrupted_one(objective: str, tmp_path: Path) -> None:
    draw = pairs(2000)

    def run(path: Path, resume: bool = False, kill_at: int = 0):
        def progress(done: int, total: int, text: str) -> None:
            if done and done == kill_at:
                raise KeyboardInterrupt

        # spectral norms carry a state of their own, and dropout draws random numbers
        settings = with_settings(SHORT, {"critic_regularisation": "spectral", "dropout": 0.2})
        return fit(
            draw, 2000, settings, seed=3, objective=objective, checkpoint=path, resume=resume,
            progress=progress,
        )  # fmt: skip

    whole = run(tmp_path / "a.safetensors")
    for kill_at in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "b.safetensors", resume=kill_at > 1, kill_at=kill_at)
    resumed = run(tmp_path / "b.safetensors", resume=True)
    assert len(resumed.record["history"]) == SHORT.epochs
    timeless = [
        [{k: x for k, x in epoch.items() if k != "seconds"} for epoch in r.record["history"]]
        for r in (whole, resumed)
    ]
    assert timeless[0] == timeless[1]
    ours, theirs = whole.estimator.state_dict(), resumed.estimator.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_dropout_leaves_out_in_training_alone() -> None:
    settings = with_settings(SHORT, {"dropout": 0.5})
    network = new_network("cinn", 2, 3, settings, 0, 1)
    assert isinstance(network, Estimator)
    features = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    nn.init.normal_(network.summary.leave.weight, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        drawn = [network.train().condition(features).context for _ in range(400)]
        kept = [network.eval().condition(features).context for _ in range(2)]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(drawn[0], drawn[1])
    spread = torch.stack(drawn).std(0)
    assert (torch.stack(drawn).mean(0) - kept[0]).abs().max() < 5 * float(spread.max()) / 20


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    fit(pairs(1000), 1000, SHORT, seed=3, checkpoint=path)
    with pytest.raises(InputError, match=r"c\.safetensors: seed: .* \(3, not 4\); use its seed"):
        fit(pairs(1000), 1000, SHORT, seed=4, checkpoint=path, resume=True)
    longer = with_settings(SHORT, {"epochs": 6})
    with pytest.raises(InputError, match=r"settings\.epochs: .* \(5, not 6\)"):
        fit(pairs(1000), 1000, longer, seed=3, checkpoint=path, resume=True)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"c\.safetensors: is truncated"):
        fit(pairs(1000), 1000, SHORT, seed=3, checkpoint=path, resume=True)
    save_file({}, path, metadata={"header": "[" * 10**4})
    with pytest.raises(InputError, match=r"c\.safetensors: is truncated or not a file of oceaninv"):
        fit(pairs(1000), 1000, SHORT, seed=3, checkpoint=path, resume=True)


def test_divergence_keeps_the_last_good_state() -> None:
    calls = 0
    clean = pairs(2000)

    def poisoned(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        v, y = clean(index, generator)
        # 1 call for held-out data, 1 to standardise, 3 an epoch
        return v, y * math.nan if calls == 2 + 3 * 2 + 2 else y

    result = fit(poisoned, 2000, SHORT, seed=1)
    assert "became NaN in epoch 3; the state of epoch 2 was kept" in result.record["stopped"]
    assert all(torch.isfinite(t).all() for t in result.estimator.state_dict().values())
    clean_run = fit(clean, 2000, SHORT.model_copy(update={"epochs": 5}), seed=1)
    assert result.record["validation"] == clean_run.record["history"][1]["validation"]

    def hopeless(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        v, y = clean(index, generator)
        return v, y if len(index) > 1000 else y * math.nan

    with pytest.raises(TrainingError, match="NaN in epoch 1"):
        fit(hopeless, 2000, SHORT, seed=1)


def test_an_exploding_score_ends_training_at_the_last_good_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = iter([-1.0, -1.5, 400.0, -2.0])
    monkeypatch.setattr("oceaninv.inference.fitting._Loop._score", lambda self: next(scores))
    result = fit(pairs(1000), 1000, SHORT, seed=1)
    assert "exploded to 400 in epoch 3 (best -1.5)" in result.record["stopped"]
    assert "the state of epoch 2 was kept" in result.record["stopped"]
    assert len(result.record["history"]) == 3


def test_the_average_of_the_weights_is_what_is_kept() -> None:
    def weights(ema: float) -> Tensor:
        settings = with_settings(SHORT, {"ema": ema})
        result = fit(pairs(1000), 1000, settings, seed=1, objective="vina-js")
        return torch.cat([p.flatten() for p in result.estimator.parameters()])

    # an average of almost no memory is the last state
    last, almost, smooth = weights(0.0), weights(1e-6), weights(0.999)
    assert torch.allclose(last, almost, atol=1e-5)
    assert (last - smooth).abs().max() > 5e-5  # of some ten steps at a low rate


def test_training_ends_early_without_improvement_and_in_time() -> None:
    generator = torch.Generator().manual_seed(0)
    unknowns = torch.randn(1000, 2, generator=generator)

    def nothing_to_learn(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return unknowns[index], torch.randn(len(index), 3, generator=generator)

    settings = SHORT.model_copy(update={"epochs": 60, "patience": 3})
    result = fit(nothing_to_learn, 1000, settings, seed=1)
    assert result.record["stopped"] == "no improvement on held-out data for 3 epochs"
    assert result.record["best_epoch"] == result.record["epochs"] - 3

    patient = settings.model_copy(update={"epochs": 1000, "patience": 1000})
    result = fit(pairs(5000), 5000, patient, seed=1, max_minutes=0.01)
    assert "the time was up" in result.record["stopped"]
    assert result.record["seconds"] < 5


def test_an_objective_needs_epochs_of_its_own() -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2})
    with pytest.raises(InputError, match=r"training\.epochs: 2 leaves none to vina-js after its 2"):
        fit(pairs(1000), 1000, settings, seed=1, objective="vina-js")


def test_the_warm_start_takes_half_of_the_epochs_at_most() -> None:
    settings = SHORT.model_copy(update={"epochs": 4, "warm_start_epochs": 10})
    result = fit(pairs(1000), 1000, settings, seed=1, objective="vina-js")
    assert result.record["best_epoch"] == 4, "2 of nll, 1 of the critic"


@pytest.mark.parametrize("objective", ["nll", "mmd", "sinkhorn"])
def test_two_simulations_and_one_held_out_can_be_learned_from(
    objective: str, recwarn: pytest.WarningsRecorder
) -> None:
    assert held_out(3, 1, SHORT) == 1
    result = fit(pairs(3), 3, SHORT, seed=1, objective=objective)
    assert result.record["stopped"] == "all 5 epochs done"
    assert not list(recwarn)


@pytest.mark.parametrize("seed", range(4, 8))
def test_no_environment_is_both_learned_from_and_held_out(seed: int) -> None:
    """Of 22 simulations, eight in each, the last environment has six."""
    calls: list[set[int]] = []
    draw = pairs(22)

    def watched(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        calls.append({i // 8 for i in index.tolist()})
        return draw(index, generator)

    fit(watched, 22, SHORT.model_copy(update={"epochs": 1}), seed=seed, together=8)
    held, *learned = calls
    assert held
    assert not held & set().union(*learned)
    assert held | set().union(*learned) == {0, 1, 2}
