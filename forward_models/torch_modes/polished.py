"""Real roots made exact by Newton's method on W; see ``normal_modes.trapped_modes``."""

from __future__ import annotations

import torch
from torch import Tensor

from forward_models.normal_modes.cut_off import above_cut_off, from_cut_off, within_cut_off
from forward_models.normal_modes.steps import HALF_SPACE, PERTURBED_HALF_SPACE
from forward_models.normal_modes.trapped_modes import NEARLY, POLISHED, POLISHING
from forward_models.torch_modes.lossless import lossless
from forward_models.torch_modes.real_modes import neighbour_distance
from forward_models.torch_modes.shots import Ends, ends_of
from forward_models.torch_modes.table import Lanes, Table

# The last move where the drift is wanted, whose error is about as large, in shares of the distance
# to the neighbouring root.
_FIRST_ORDER = 3e-9


def polished(
    table: Table, lanes: Lanes, x: Tensor, dtype: torch.dtype, *, exact: bool
) -> tuple[Ends, Tensor, Tensor]:
    """(ends, x, dx/d(loss)) of roots of the lossless guide, which only phases have told.

    Roots that go on into the loss (``exact``) are left with a larger error, and so is their
    derivative. ``x`` is in order within an item.
    """
    distance = neighbour_distance(lanes, x)
    branch, q = _has_branch_point(table)[lanes.item], table.q_bottom.real[lanes.item]
    x = torch.where(branch & (x <= q), above_cut_off(x, q), x)
    ends = ends_of(table, lanes, x, last=False)
    if exact:
        enough = torch.where(table.lossy()[lanes.item], NEARLY, POLISHED) * distance
    else:
        enough = _FIRST_ORDER * distance
    drift = torch.zeros_like(x)
    left = torch.arange(x.numel(), device=x.device)
    for _ in range(POLISHING):
        if left.numel() == 0:
            break
        at = x[left]
        value, slope, change = lossless(table, lanes[left], ends[left], at, dtype)
        # Where two roots all but coincide the phase knew them better.
        near = value.abs() < 0.1 * distance[left] * slope.abs()
        move = -value / slope
        move = torch.where(branch[left], from_cut_off(at, q[left], move), move)
        move = torch.where(near, move, 0.0)
        x[left], drift[left] = at + move, -change / slope
        within = torch.where(
            branch[left], within_cut_off(x[left], q[left], enough[left]), enough[left]
        )
        left = left[move.abs() > within + 2.0 * torch.finfo(dtype).eps * at]
    return ends, x, torch.complex(torch.zeros_like(drift), drift)


def _has_branch_point(table: Table) -> Tensor:
    """(items,) whether W of the real guide has one at cut-off."""
    lossless = (table.kind == PERTURBED_HALF_SPACE) & (table.q_bottom.imag == 0.0)
    return (table.kind == HALF_SPACE) | lossless
