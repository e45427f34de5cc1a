"""A fresh critic finds nothing beside the exact posterior, and what is wrong with others."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from oceaninv.inference.estimator import Architecture, Estimator
from oceaninv.inference.remaining import remaining_divergence

# y = v + e with v ~ N(0, I) and e ~ N(0, ¼ I): the posterior is N(0.8 y, 0.2 I)
UNKNOWNS = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))


def network(width: float = 1.0) -> Estimator:
    """An untrained flow about a guess, which the features end with, widened by a factor."""
    architecture = Architecture(
        dim=2, features=7, guesses=1, hidden=16, depth=0, context=4, blocks=1, coupling_hidden=8,
        bins=4,
    )  # fmt: skip
    estimator = Estimator(architecture, seed=0)
    estimator.widening.fill_(width)
    return estimator.eval().requires_grad_(False)


def pairs(shift: float = 0.0):
    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        v = UNKNOWNS[index]
        y = v + 0.5 * torch.randn(v.shape, generator=generator)
        sd = math.sqrt(0.2)
        guess = [0.8 * y + shift * sd, torch.full_like(y, math.log(sd)), torch.zeros(len(y), 1)]
        return v, torch.cat([y, *guess], -1)

    return draw


def test_nothing_remains_of_the_exact_posterior() -> None:
    found = remaining_divergence(network(), pairs(), 2000, seed=1)
    assert found["estimate"] == pytest.approx(0, abs=0.003)
    assert found["lower"] < 0.001
    assert found["n"] == 800


def test_few_simulations_are_not_known_by_heart() -> None:
    once = pairs()(torch.arange(200), torch.Generator().manual_seed(2))

    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return once[0][index], once[1][index]  # the same noise at every call

    found = remaining_divergence(network(), draw, 200, seed=1)
    assert found["estimate"] == pytest.approx(0, abs=0.003)


def test_what_remains_is_twice_the_jensen_shannon_divergence() -> None:
    found = remaining_divergence(network(), pairs(shift=1.0), 2000, seed=1)
    x, distance = torch.linspace(-12, 12, 20_001), math.sqrt(2)  # in sd, of two unknowns moved by 1
    p, q = (torch.exp(-0.5 * (x - m) ** 2) / math.sqrt(2 * math.pi) for m in (0, distance))
    kl_to_mixture = [torch.xlogy(a, 2 * a / (p + q)) for a in (p, q)]
    exact = torch.trapezoid(sum(kl_to_mixture), x)  # 0.40, a sum and no mean
    assert found["estimate"] == pytest.approx(float(exact), abs=0.1)


@pytest.mark.parametrize(("width", "shift"), [(0.5, 0.0), (1.0, 1.0)])
def test_collapsed_and_shifted_samplers_are_found(width: float, shift: float) -> None:
    found = remaining_divergence(network(width), pairs(shift), 2000, seed=1)
    assert found["lower"] > 0.1
    assert found["error"] < 0.05
