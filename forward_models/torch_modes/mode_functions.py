"""Mode functions at any depth with ∫ φ²/ρ dz = 1; see ``normal_modes.mode_functions``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from forward_models.normal_modes.steps import (
    H2,
    HRHO,
    Q0I,
    Q0R,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
)
from forward_models.normal_modes.wronskian import ALONG_X
from forward_models.torch_modes.propagator import complex_eta_functions
from forward_models.torch_modes.shots import Block, Ends, Shots, make_shots
from forward_models.torch_modes.states import half_space_decay, is_half_space
from forward_models.torch_modes.table import Lanes, Table
from forward_models.torch_modes.wronskian import shoot

_SLICE = 1 << 20  # pairs of mode and depth that are evaluated together


def mode_functions(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    x: Tensor,
    loss: Tensor,
    depth: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """(lane, D) φ of the modes ``x`` at the depths (items, D), positive nearest the surface."""
    n, d = x.numel(), depth.shape[1]
    if n == 0 or d == 0:
        return torch.zeros((n, d), dtype=x.dtype, device=x.device)
    step_of, offset_of = _locate(table, depth)
    step = step_of[lanes.item]
    from_above = step < lanes.node[:, None]
    # Steps that the shot of that side has made where it passes the top of the step.
    passed = torch.where(from_above, step - ends.upper[:, None], ends.lower[:, None] - step)
    cut = (ends.lower < table.size[lanes.item])[:, None] & (step >= ends.lower[:, None])
    within = (passed >= 0) & ~cut
    shots = make_shots(table, lanes, ends)
    if table.kernels:
        hanging = table.kernels.Hanging.at(step_of, n)
        states = shoot(table, lanes, ends, shots, x, loss, dtype, hanging=hanging)
        factor = _factors(table, lanes, states, from_above, hanging.log)
        row = torch.where(
            step < table.size[lanes.item][:, None], step + table.first[lanes.item][:, None], -1
        )
        return table.kernels.within_steps(
            table,
            lanes,
            torch.where(within, row, -2),
            offset_of[lanes.item],
            x,
            loss,
            factor,
            hanging.kept,
        )
    kept = _Kept.make(shots, torch.where(within, passed, 0), from_above, x.dtype)
    states = shoot(table, lanes, ends, shots, x, loss, dtype, watch=kept.watch)
    factor = _factors(table, lanes, states, from_above, kept.log.view(n, d))
    result = torch.empty((n, d), dtype=x.dtype, device=x.device)
    rows = max(1, _SLICE // d)
    for a in range(0, n, rows):
        part = slice(a, a + rows)
        item = lanes.item[part]
        phi = _at_offset(
            table,
            item,
            step[part],
            offset_of[item],
            x[part, None],
            loss[part, None],
            kept.phi.view(n, d)[part],
            kept.psi.view(n, d)[part],
        )
        result[part] = torch.where(within[part], factor[part] * phi, 0.0)
    return result


class _Kept:
    """States on the way of shots, taken where a depth hangs on a node."""

    def __init__(self, place: Tensor, pair: Tensor, bounds: np.ndarray, like: Tensor) -> None:
        self.place, self.pair, self.bounds = place, pair, bounds
        self.phi, self.psi = torch.empty_like(like), torch.empty_like(like)
        self.log = torch.empty_like(like.real)

    @classmethod
    def make(cls, shots: Shots, passed: Tensor, from_above: Tensor, kind: torch.dtype) -> _Kept:
        """For pairs (lane, depth) whose shot has made ``passed`` steps there."""
        n = passed.shape[0]
        position = torch.empty_like(shots.order)
        position[shots.order] = torch.arange(shots.order.numel(), device=passed.device)
        place = torch.where(from_above, position[:n, None], position[n:, None])
        made, pair = torch.sort(passed.flatten(), stable=True)
        bounds = np.concatenate([[0], np.cumsum(torch.bincount(made).cpu().numpy())])
        like = torch.empty(passed.numel(), dtype=kind, device=passed.device)
        kept = cls(place.flatten()[pair], pair, bounds, like)
        kept.made = made
        return kept

    made: Tensor

    def watch(self, block: Block, passed: Sequence[Tensor], log: Tensor) -> None:
        """Keeps what the pairs of a block need; number -1 is the start."""
        last = len(self.bounds) - 1
        a = int(self.bounds[min(block.start + 1, last)])
        b = int(self.bounds[min(block.start + 1 + block.size, last)])
        if a == b:
            return
        step, shot = self.made[a:b] - (block.start + 1), self.place[a:b]
        pair = self.pair[a:b]
        parts = [part[step, shot].to(torch.float64) for part in passed]
        self.phi[pair], self.psi[pair] = torch.complex(*parts[:2]), torch.complex(*parts[2:])
        self.log[pair] = log[shot]


def _locate(table: Table, depth: Tensor) -> tuple[Tensor, Tensor]:
    """(step, offset) (items, D): the step that holds each depth, and metres below its top.

    Depths below the last node hang on it: in the half-space φ only decays.
    """
    nodes = table.node_depths()
    first, size = table.first[:, None], table.size[:, None]
    low = torch.zeros_like(depth, dtype=torch.int64)
    high = size.expand_as(low).clone()
    # The number of nodes at or above the depth, by bisection in every item at once.
    for _ in range(int(np.diff(table.items.first).max(initial=1)).bit_length()):
        middle = (low + high) // 2
        past = nodes[first + middle.clamp(max=size - 1)] <= depth
        unfinished = low < high
        low = torch.where(past & unfinished, middle + 1, low)
        high = torch.where(~past & unfinished, middle, high)
    top = torch.where(low > 0, nodes[first + (low - 1).clamp(min=0)], 0.0)
    return low, depth - top


def _factors(
    table: Table,
    lanes: Lanes,
    states: tuple[Tensor, Tensor, tuple[Tensor, Tensor]],
    from_above: Tensor,
    log: Tensor,
) -> Tensor:
    """(lane, D) that join the two shots at the match node and give the mode unit norm.

    ``log`` is of the scale taken out where the state at a depth was kept.
    """
    above, below, (log_above, log_below) = states
    f, g, df, dg = above
    u, v, du, dv = below
    row = table.first[lanes.item] + torch.minimum(lanes.node, table.size[lanes.item] - 1)
    # φ and ψ have different units: weigh ψ by the thickness and density of the nearest step.
    unit = table.steps[HRHO][row]
    weight_u, weight_v = u.conj(), v.conj() * unit * unit
    join = (f * weight_u + g * weight_v) / (u * weight_u + v * weight_v)
    norm = (f * dg - g * df) - join * join * (u * dv - v * du)
    amplitude = 1.0 / norm.sqrt()
    amplitude = torch.stack([amplitude, amplitude * join], dim=1)
    scale = torch.exp(log - torch.where(from_above, log_above[:, None], log_below[:, None]))
    return torch.where(from_above, amplitude[:, :1], amplitude[:, 1:]) * scale


def _at_offset(
    table: Table,
    item: Tensor,
    step: Tensor,
    offset: Tensor,
    x: Tensor,
    loss: Tensor,
    f: Tensor,
    g: Tensor,
) -> Tensor:
    """(lane, D) φ at ``offset`` below the top of a step, or of the bottom, from the state there."""
    size = table.size[item][:, None]
    row = table.first[item][:, None] + torch.minimum(step, size - 1)
    inside = _within_step(table, row, offset, x, loss, f, g)
    kind, q = table.kind[item][:, None], table.q_bottom[item][:, None]
    shape = offset.shape
    gamma, _ = half_space_decay(
        x.expand(shape), loss.expand(shape), q.expand(shape), kind.expand(shape), ALONG_X
    )
    beyond = step >= size
    # On a rigid bottom, not in it.
    hard = ~is_half_space(kind)
    below = torch.where(
        hard, (offset < 1e-6).to(x.dtype), torch.exp(-gamma * torch.where(beyond, offset, 0.0))
    )
    return torch.where(beyond, f * below, inside)


def _within_step(
    table: Table, row: Tensor, offset: Tensor, x: Tensor, loss: Tensor, f: Tensor, g: Tensor
) -> Tensor:
    """φ at ``offset`` below the top of a step, by the moments over that part of it."""
    h2, hrho, q0, q0_loss, v1, v1_loss, v2, v2_loss, h = table.columns(
        (H2, HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I, THICKNESS), row
    )
    a = (offset / h).clamp(max=1.0)
    b = a - 1.0
    # u' in [-1, 1] over the part: U = a u' + b; Legendre moments of q₀ + q₁ U + q₂ P₂(U) over it.
    to_q0 = 1.5 * (b * b + a * a / 3.0) - 0.5
    q1 = torch.complex(v1, loss * v1_loss) / h2
    q2 = -torch.complex(v2, loss * v2_loss) / h2
    part = (a * h) ** 2
    z = part * (x - torch.complex(q0, loss * q0_loss) - q1 * b - q2 * to_q0)
    v1_part = part * a * (q1 + 3.0 * q2 * b)
    v2_part = -part * a * a * q2
    w = v1_part * v1_part * (1.0 / 24.0)
    eta = complex_eta_functions(z)
    p11 = eta.xi + 0.5 * v1_part * eta.eta1 - w * eta.eta2
    p12 = (eta.eta0 - 0.5 * v2_part * eta.eta2 - w * eta.eta3) * (a * hrho)
    return p11 * f + p12 * g
