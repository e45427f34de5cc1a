"""Critics find divergences that are known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from oceaninv.errors import InputError
from oceaninv.inference.objectives import DIVERGENCES, estimate_divergence, make_objective
from oceaninv.scenario.training import Training

MEAN = torch.tensor([0.6, -0.4])
COVARIANCE = torch.tensor([[0.5, 0.3], [0.3, 1.2]])


def gaussian(mean: torch.Tensor, covariance: torch.Tensor):
    """Pairs (z, h) with z from this Gaussian, and an h that says nothing."""
    factor = torch.linalg.cholesky(covariance)

    def sample(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        z = mean + torch.randn(n, 2, generator=generator) @ factor.T
        return z, torch.randn(n, 3, generator=generator)

    return sample


P, Q = gaussian(MEAN, COVARIANCE), gaussian(torch.zeros(2), torch.eye(2))
LOG_P = MultivariateNormal(MEAN, COVARIANCE).log_prob
LOG_Q = MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob


def exact(name: str) -> float:
    """KL in closed form; JS (f-GAN's, twice the usual) by a million draws."""
    if name == "kl":
        trace, log_det = torch.trace(COVARIANCE), torch.logdet(COVARIANCE)
        return (0.5 * (trace + MEAN @ MEAN - 2 - log_det)).item()
    generator = torch.Generator().manual_seed(0)
    p, q = P(10**6, generator)[0], Q(10**6, generator)[0]
    on_p = -torch.nn.functional.softplus(LOG_Q(p) - LOG_P(p))
    on_q = -torch.nn.functional.softplus(LOG_P(q) - LOG_Q(q))
    return (on_p.mean() + on_q.mean()).item() + 2 * torch.log(torch.tensor(2.0)).item()


@pytest.mark.parametrize("name", ["kl", "js"])
def test_critic_estimates_a_known_divergence(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    found, error = estimate_divergence(
        DIVERGENCES[name], P, Q, steps=400, batch_size=512, generator=generator
    )
    assert error < 0.02
    assert found == pytest.approx(exact(name), abs=0.05)


@pytest.mark.parametrize("name", ["kl", "js"])
def test_critic_finds_nothing_between_equal_distributions(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    found, _ = estimate_divergence(
        DIVERGENCES[name], Q, Q, steps=200, batch_size=512, generator=generator
    )
    assert found == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("name", ["kl", "js"])
def test_bound_is_reached_by_the_optimal_critic_only(name: str) -> None:
    """The optimal critic has g = 1 + log p/q for KL and g = log p/q for JS."""
    generator = torch.Generator().manual_seed(2)
    p, q = P(10**6, generator)[0], Q(10**6, generator)[0]
    constant = 1.0 if name == "kl" else 0.0
    divergence = DIVERGENCES[name]

    def bound(scale: float) -> float:
        on_p, on_q = (scale * (LOG_P(x) - LOG_Q(x)) + constant for x in (p, q))
        return divergence.bound(on_p, on_q).item()

    assert bound(1.0) == pytest.approx(exact(name), abs=5e-3)
    assert bound(0.5) < bound(1.0) - 0.01
    assert bound(1.5) < bound(1.0) - 0.01


def test_unknown_objective_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"objective: 'vina-xl' is not known; choose one of nll"):
        make_objective("vina-xl", 2, 3, Training())
