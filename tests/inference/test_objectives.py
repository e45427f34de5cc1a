"""Objectives find divergences that are known in closed form, and the two forms are one."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import MultivariateNormal

from oceaninv.errors import InputError
from oceaninv.inference.critics import Critic
from oceaninv.inference.flow import Flow
from oceaninv.inference.objectives import (
    DIVERGENCES,
    OBJECTIVES,
    PrecisionRecall,
    Step,
    estimate_divergence,
    make_objective,
)
from oceaninv.inference.objectives.base import two_samples
from oceaninv.scenario.training import Training, with_settings

MEAN = torch.tensor([0.6, -0.4])
COVARIANCE = torch.tensor([[0.9, 0.2], [0.2, 1.0]])  # between ½ and 2: all ratios have a variance
FACTOR = torch.linalg.cholesky(COVARIANCE)
LOG_P = MultivariateNormal(MEAN, COVARIANCE).log_prob
LOG_Q = MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob

PR = {
    "pr, 1/2": PrecisionRecall(0.5, DIVERGENCES["kl"]),
    "pr, 1": PrecisionRecall(1.0, DIVERGENCES["kl"]),
    "pr, 2": PrecisionRecall(2.0, DIVERGENCES["chi2"]),
}
ALL = {**DIVERGENCES, **PR}


def sample_p(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs (z, h) with z from this Gaussian, and an h that says nothing."""
    z = MEAN + torch.randn(n, 2, generator=generator) @ FACTOR.T
    return z, torch.randn(n, 3, generator=generator)


def sample_q(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 2, generator=generator), torch.randn(n, 3, generator=generator)


def normal_overlap(a: float, b: float) -> float:
    """∫ p^a q^b for a + b = 1, the moment of two Gaussians."""
    p, q = torch.linalg.inv(COVARIANCE.double()), torch.eye(2).double()
    mean = MEAN.double()
    together = a * p + b * q
    shift = a * p @ mean
    exponent = shift @ torch.linalg.solve(together, shift) - a * mean @ p @ mean
    log_det = a * torch.logdet(p) + b * torch.logdet(q) - torch.logdet(together)
    return math.exp(0.5 * (exponent + log_det))


def closed_form(name: str) -> float | None:
    """From the moments of Gaussians, where there is one."""
    p, mean = COVARIANCE.double(), MEAN.double()
    inverse, log_det = torch.linalg.inv(p), torch.logdet(p)
    forms = {
        "kl": (0.5 * (torch.trace(p) + mean @ mean - 2 - log_det)).item(),
        "reverse-kl": (0.5 * (torch.trace(inverse) + mean @ inverse @ mean - 2 + log_det)).item(),
        "chi2": normal_overlap(2, -1) - 1,
        "hellinger": 2 - 2 * normal_overlap(0.5, 0.5),
    }
    return forms.get(name)


def quadrature(f: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """∫ q f(p/q) on a grid."""
    side = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side).float()
    log_p, log_q = LOG_P(grid).double(), LOG_Q(grid).double()
    return (log_q.exp() * f((log_p - log_q).exp())).sum().item() * (side[1] - side[0]).item() ** 2


EXACT = {name: quadrature(divergence.f) for name, divergence in ALL.items()}


def close(name: str) -> float:
    return max(0.02, 0.05 * EXACT[name])


@pytest.mark.parametrize("name", ["kl", "reverse-kl", "chi2", "hellinger"])
def test_generators_integrate_to_the_closed_form(name: str) -> None:
    assert EXACT[name] == pytest.approx(closed_form(name), rel=1e-4)


def test_precision_recall_is_the_total_variation_at_one() -> None:
    total_variation = 0.5 * quadrature(lambda u: (u - 1).abs())
    assert EXACT["pr, 1"] == pytest.approx(total_variation, rel=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_critic_estimates_a_known_divergence(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    found, error = estimate_divergence(
        ALL[name], sample_p, sample_q, steps=250, batch_size=512, penalty=0.0, generator=generator
    )
    assert error < 0.02
    assert found == pytest.approx(EXACT[name], abs=close(name))


@pytest.mark.parametrize("name", ALL)
def test_best_critic_reaches_the_divergence_and_no_other_does(name: str) -> None:
    """`log_ratio` inverts the best critic; a critic that is too steep or too flat is worse."""
    divergence = ALL[name]
    generator = torch.Generator().manual_seed(2)
    p, q = sample_p(200_000, generator)[0], sample_q(200_000, generator)[0]
    zero = torch.zeros(1)
    slope = (divergence.log_ratio(zero + 1) - divergence.log_ratio(zero)).item()
    offset = divergence.log_ratio(zero).item()

    def values(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        on_p, on_q = ((scale * (LOG_P(x) - LOG_Q(x)) - offset) / slope for x in (p, q))
        return on_p, on_q

    on_p, on_q = values(1.0)
    estimate = (divergence.on_p(on_p).mean() + divergence.on_q(on_q).mean()).item()
    assert estimate == pytest.approx(EXACT[name], abs=0.01)
    best = divergence.bound(on_p, on_q)
    assert divergence.bound(*values(0.5)) < best - 0.005
    assert divergence.bound(*values(1.5)) < best - 0.005


@pytest.mark.parametrize("name", ["kl", "js", "pr, 1"])
def test_critic_finds_nothing_between_equal_distributions(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    found, _ = estimate_divergence(
        ALL[name], sample_q, sample_q, steps=100, batch_size=512, penalty=0.0, generator=generator
    )
    assert found == pytest.approx(0, abs=0.02)


def moved_flow() -> Flow:
    """A flow far from the identity."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        flow = Flow(2, 3, blocks=3, hidden=16, bins=6, generator=generator)
        for weight in flow.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return flow.requires_grad_(False)


def step_of(flow: Flow, n: int, seed: int) -> Step:
    """Unknowns v whose latents T(v; h) are the Gaussian P."""
    generator = torch.Generator().manual_seed(seed)
    z, h = sample_p(n, generator)
    return Step(flow, flow.inverse(z, h)[0], h, generator, 0.0)


@pytest.mark.parametrize("name", ALL)
def test_a_critic_composed_with_the_map_gives_both_forms_one_bound(name: str) -> None:
    flow = moved_flow()
    critic = Critic(2, 3, 16)
    moves = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in critic.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=moves))

    def composed(v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return critic(flow(v, h)[0], h)

    def terms(form: str, g: Callable) -> tuple[torch.Tensor, torch.Tensor]:
        step = step_of(flow, 2000, 5)  # the same draws
        p, q = two_samples(step, form, moving=False)
        return ALL[name].on_p(g(p, step.context)), ALL[name].on_q(g(q, step.context))

    with torch.no_grad():
        latent, data = terms("latent", critic), terms("data", composed)
    assert latent[0].std() > 1e-3
    for one, other in zip(latent, data, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=2e-4)


@pytest.fixture(scope="module")
def pools() -> dict[str, tuple]:
    """Of each form, draws of P, of Q and their contexts."""
    flow, found = moved_flow(), {}
    for form in ("latent", "data"):
        step = step_of(flow, 40_000, 6)
        found[form] = (*two_samples(step, form, moving=False), step.context)
    return found


@pytest.mark.parametrize("name", ["js", "pr, 1"])
def test_fresh_critics_of_both_forms_agree(name: str, pools: dict[str, tuple]) -> None:
    def sampler(form: str, which: int) -> Callable:
        pool, context = pools[form][which], pools[form][2]

        def sample(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            # half is for learning, the rest to judge by
            half = len(pool) // 2
            index = torch.randint(half, (n,), generator=generator)
            if n > 512:
                index = torch.arange(half, len(pool))
            return pool[index], context[index]

        return sample

    found = {
        form: estimate_divergence(
            ALL[name], sampler(form, 0), sampler(form, 1), steps=200, batch_size=512,
            held_out=513, penalty=0.0, generator=torch.Generator().manual_seed(1),
        )
        for form in ("latent", "data")
    }  # fmt: skip
    (one, one_error), (other, other_error) = found.values()
    assert one == pytest.approx(EXACT[name], abs=close(name))
    # the standard errors know of the draws, not of how well the critic has learned
    assert abs(one - other) < 3 * math.hypot(one_error, other_error) + 0.02


def test_spectral_norm_bounds_the_inner_layers() -> None:
    critic = Critic(2, 3, 16, spectral=True)
    for _ in range(50):
        critic(torch.randn(8, 2), torch.randn(8, 3))  # the power iteration converges
    for layer in (critic.from_latent, critic.middle[0]):
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, rel=1e-2)


@pytest.mark.parametrize("objective", [*OBJECTIVES, "nll+vina-js", "nll+mmd"])
@pytest.mark.parametrize("form", ["latent", "data"])
def test_a_step_down_the_loss_moves_latents_towards_the_normal(objective: str, form: str) -> None:
    """From a shifted map every objective, its critic trained, pulls the shift back."""
    flow = Flow(2, 3, blocks=0, hidden=1, bins=4, generator=torch.Generator())
    settings = with_settings(
        Training(), {"critic_form": form, "critic_hidden": 16, "critic_steps": 60}
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = make_objective(objective, 2, 3, settings)
    generator = torch.Generator().manual_seed(3)
    v = torch.tensor([1.0, 0.0]) + torch.randn(512, 2, generator=generator)
    step = Step(flow, v, torch.randn(512, 3, generator=generator), generator, 0.5)
    if made.critic is not None:
        optimiser = torch.optim.Adam(made.critic.parameters(), lr=5e-3)
        for loss in made.critic_losses(step):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    flow.zero_grad()
    made.loss(step).backward()
    # the bias of the Gaussian layer's mean: T subtracts it, so that it must grow
    gradient = flow.gaussian.head.bias.grad
    assert gradient is not None
    assert gradient[0] < 0
    assert gradient[1].abs() < -0.5 * gradient[0]


def test_hybrids_add_with_their_schedule() -> None:
    flow = moved_flow()

    def loss(name: str, share: float, **settings: object) -> float:
        made = make_objective(name, 2, 3, with_settings(Training(), settings))
        return made.loss(step_of(flow, 256, 4)._replace(share=share)).item()

    likelihood, added = loss("nll", 0), loss("mmd", 0)
    for schedule, factors in (("constant", (1, 1)), ("ramp", (0, 0.5)), ("decay", (1, 0.75))):
        for share, factor in zip((0.0, 0.25), factors, strict=True):
            whole = loss("nll+mmd", share, hybrid_weight=3.0, hybrid_schedule=schedule)
            assert whole == pytest.approx(likelihood + 3 * factor * added, rel=1e-5)


def test_bad_names_and_weights_are_refused() -> None:
    for name in ("vina-xl", "nll+nll", "mmd+nll", "nll+"):
        with pytest.raises(InputError, match=r"objective: '.*' is not known; choose one of nll"):
            make_objective(name, 2, 3, Training())
    with pytest.raises(InputError, match=r"training\.hybrid_weight: -1.*greater than or equal"):
        with_settings(Training(), {"hybrid_weight": -1.0})
    with pytest.raises(InputError, match="need critic_form: data"):
        with_settings(Training(), {"paired_weight": 0.1})
    with pytest.raises(InputError, match=r"training\.critic_form: sideways"):
        with_settings(Training(), {"critic_form": "sideways"})
