"""The integral metrics are the distances that they are said to be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from oceaninv.inference.objectives import mmd, sinkhorn


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_mmd_of_normals_is_that_of_quadrature() -> None:
    """E k over differences of normals, which are normal, by an integral each."""

    def mean_kernel(mean: float, sd: float) -> float:
        def k(t: float) -> float:
            return sum(s / (s + t * t / 2) for s in (0.05, 0.2, 1.0, 5.0))

        return quad(lambda t: k(t) * norm.pdf(t, mean, sd), -15, 15, points=[0], limit=200)[0]

    exact = mean_kernel(0, 2**0.5) + mean_kernel(0, 0.5 * 2**0.5) - 2 * mean_kernel(1, 1.25**0.5)
    found = [mmd(normal(1000, 1, seed=i), 1 + 0.5 * normal(1000, 1, seed=99 + i)) for i in range(8)]
    assert torch.stack(found).mean().item() == pytest.approx(exact, rel=0.03)


def test_mmd_of_equal_distributions_is_zero_on_average() -> None:
    found = torch.stack(
        [mmd(normal(200, 3, seed=i), normal(200, 3, seed=500 + i)) for i in range(50)]
    )
    assert found.mean().abs() < 3 * found.std() / 50**0.5


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_sinkhorn_of_a_moved_sample_is_half_the_squared_move(move: list[float]) -> None:
    a, t = normal(100, 3), torch.tensor(move)
    half = 0.5 * t.square().sum().item()
    assert sinkhorn(a, a + t).item() == pytest.approx(half, abs=0.01 + 0.01 * half)


def test_sinkhorn_without_blur_is_the_best_assignment() -> None:
    a, b = normal(100, 2), 1 + 0.3 * normal(100, 2, seed=1)
    cost = 0.5 * torch.cdist(a, b).square().numpy()
    rows, columns = linear_sum_assignment(cost)
    assert sinkhorn(a, b, blur=0.005).item() == pytest.approx(cost[rows, columns].mean(), rel=0.03)


def test_gradient_of_sinkhorn_is_that_of_differences() -> None:
    a, b = normal(60, 2).requires_grad_(), 1 + normal(60, 2, seed=1)
    sinkhorn(a, b).backward()
    assert a.grad is not None
    direction = normal(60, 2, seed=2)
    with torch.no_grad():
        ahead, behind = (sinkhorn(a + s * direction, b).item() for s in (0.02, -0.02))
    assert (a.grad * direction).sum().item() == pytest.approx((ahead - behind) / 0.04, rel=0.05)
