"""The flow is an exact, invertible density that starts as the prior."""

from __future__ import annotations

import pytest
import torch

from oceaninv.inference.couplings import TAIL, spline
from oceaninv.inference.flow import Flow, permutations, standard_normal_log_prob


def random_flow(dim: int, seed: int = 0, blocks: int = 4, size: float = 0.3) -> Flow:
    """A flow far from the identity: every weight is moved."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        flow = Flow(dim, 8, blocks=blocks, hidden=32, bins=8, generator=generator)
        for weight in flow.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=generator) / 32**0.5)
    return flow.requires_grad_(False)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dim", [1, 2, 3, 9, 12])
def test_round_trip_in_single_precision(dim: int) -> None:
    flow = random_flow(dim, size=0.15)
    v, context = normal(2000, dim), normal(2000, 8, seed=2)
    z, forward = flow(v, context)
    back, inverse = flow.inverse(z, context)
    assert (z - v).abs().max() > 0.5, "the flow must not be trivial here"
    assert (back - v).abs().max() < 1e-5
    assert (forward + inverse).abs().max() < 1e-4


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_log_determinant_is_that_of_the_jacobian(dim: int) -> None:
    flow = random_flow(dim).double()
    v, context = normal(20, dim).double(), normal(20, 8, seed=2).double()
    _, log_det = flow(v, context)
    for i in range(len(v)):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, h=context[i : i + 1]: flow(x[None], h)[0][0], v[i]
        )
        assert log_det[i] == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-9)


def test_density_integrates_to_one() -> None:
    flow = random_flow(2, seed=3)
    side = torch.linspace(-9, 9, 401)
    grid = torch.cartesian_prod(side, side)
    for seed in range(2):
        density = flow.log_prob(grid, normal(1, 8, seed=seed)).double().exp()
        assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=2e-3)


def test_untrained_flow_is_exactly_the_prior() -> None:
    generator = torch.Generator().manual_seed(0)
    flow = Flow(5, 8, blocks=6, hidden=32, bins=8, generator=generator)
    v, context = 2 * normal(500, 5), 10 * normal(500, 8)
    assert torch.allclose(flow.log_prob(v, context), standard_normal_log_prob(v), atol=1e-4)


def test_samples_carry_their_own_density() -> None:
    flow = random_flow(4)
    context = normal(1, 8)
    v, log_q = flow.sample(context, torch.Generator().manual_seed(0), 1000)
    assert v.shape == (1000, 4)
    assert (flow.log_prob(v, context) - log_q).abs().max() < 1e-4


def test_one_row_of_context_serves_all_rows() -> None:
    for dim in (1, 3):
        flow = random_flow(dim)
        v, context = normal(50, dim), normal(1, 8)
        one, many = flow.log_prob(v, context), flow.log_prob(v, context.expand(50, 8))
        assert torch.allclose(one, many, atol=1e-5)


@pytest.mark.parametrize("dim", [1, 2, 3, 8, 9])
def test_every_variable_moves_in_each_pair_of_couplings(dim: int) -> None:
    orders = permutations(dim, 6, torch.Generator().manual_seed(dim))
    place = torch.arange(dim)
    for first, second in zip(orders[::2], orders[1::2], strict=True):
        place = place[first]
        moved = set(place[dim // 2 :].tolist())
        place = place[second]
        moved |= set(place[dim // 2 :].tolist())
        assert moved == set(range(dim))


def test_spline_is_monotone_and_the_identity_outside() -> None:
    raw = 2 * normal(1, 23, 1)
    x = torch.linspace(-2 * TAIL, 2 * TAIL, 4001)[None]
    y, log_slope = spline(x, raw)
    outside = x.abs() >= TAIL
    assert (y.diff(dim=1) > 0).all()
    assert torch.equal(y[outside], x[outside])
    assert (log_slope[outside] == 0).all()
    assert log_slope[~outside].abs().max() > 0.5
