"""Exact complex modes: all but the hardest.

Newton's method and marches along the path of the loss in equal steps run on the device, where many
lanes at once cost no more than one. Items in which a root is still
doubtful after that, or found twice, are few: they go to the compiled path on the host as a whole.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from forward_models.normal_modes import complex_modes as compiled
from forward_models.normal_modes import items as host
from forward_models.normal_modes.batch import in_parallel
from forward_models.normal_modes.complex_modes import (
    _CLOSEST,
    _FAR,
    _SHIFT_LIMIT,
    _least_decay,
)
from forward_models.normal_modes.paths import NEWTON_LIMIT
from forward_models.normal_modes.real_modes import neighbour_distance as host_distance
from forward_models.torch_modes.real_modes import neighbour_distance
from forward_models.torch_modes.shots import Ends, ends_of
from forward_models.torch_modes.table import Lanes, Table
from forward_models.torch_modes.wronskian import wronskian

# A last Newton move in shares of the distance to the neighbouring root: the error left is about its
# square. On the way a root need only be told from its neighbours.
_EXACT, _ON_THE_WAY = 3e-6, 1e-2
# Corrections of a prediction beyond which it may have gone to the neighbour, in the same shares: of
# one at full loss, and of one on a march in so many steps.
_CORRECTION_LIMIT = 0.1
_ROOT = 1e-4  # a Newton move from a root at another node, in the same shares
_DOUBT = 0.3
_MARCHES = (3, 9, 27, 81)


def complex_modes(
    table: Table, lanes: Lanes, start: Tensor, drift: Tensor, counts: Tensor, dtype: torch.dtype
) -> tuple[Lanes, Tensor]:
    """(lanes, x): complex x of every mode, in the order of ``start``, and where its shots meet.

    ``start`` (real) is x of the lossless guide in order within an item, ``drift`` its derivative
    with the share of the loss.
    """
    one = torch.ones_like(start)
    mean = (table.x_max - table.x_min) / counts.clamp(min=1)
    # Twins in ducts of their own do not come near each other: a floor keeps their distance.
    spacing = torch.maximum(neighbour_distance(lanes, start), _CLOSEST * mean[lanes.item])
    far = drift.abs() > _SHIFT_LIMIT * spacing
    x = start + drift
    easy = torch.nonzero(~far).flatten()
    guess = x[easy]
    x[easy], converged = newton(table, lanes[easy], guess, one[easy], _EXACT * spacing[easy], dtype)
    doubtful = far.clone()
    doubtful[easy] = ~converged | ((x[easy] - guess).abs() > _CORRECTION_LIMIT * spacing[easy])
    for steps in _MARCHES:
        h = torch.nonzero(doubtful).flatten()
        if h.numel() == 0:
            break
        x[h], doubtful[h] = _march(table, lanes[h], start[h], drift[h], spacing[h], steps, dtype)
    doubtful |= _duplicates(lanes, x, start, spacing)
    lost = torch.zeros(len(table), dtype=torch.bool, device=table.device)
    lost[lanes.item[doubtful]] = True
    elsewhere = torch.nonzero(lost[lanes.item]).flatten()
    node = lanes.node.clone()
    if elsewhere.numel():
        node[elsewhere], x[elsewhere] = _on_the_host(
            table, lanes[elsewhere], start[elsewhere], drift[elsewhere]
        )
    moved = torch.nonzero(far & ~lost[lanes.item]).flatten()
    if moved.numel():
        node[moved] = _sheltered(table, lanes[moved], x[moved], spacing[moved], dtype)
        moved = torch.nonzero((node != lanes.node) & ~lost[lanes.item]).flatten()
        there = Lanes(lanes.item[moved], node[moved])
        x[moved], _ = newton(table, there, x[moved], one[moved], _EXACT * spacing[moved], dtype)
    return Lanes(lanes.item, node), x


def newton(
    table: Table, lanes: Lanes, x: Tensor, loss: Tensor, tolerance: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(x, converged): roots of W nearest to ``x`` at the given shares of the attenuation.

    A root is done after a move below ``tolerance``; since each move squares the error, what is left
    is far smaller.
    """
    x = x.clone()
    converged = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    ends = ends_of(table, lanes, x.real, last=False)
    if table.kernels:
        return table.kernels.newton(table, lanes, ends, x, loss, tolerance, NEWTON_LIMIT, dtype)
    active = torch.arange(x.numel(), device=x.device)
    for _ in range(NEWTON_LIMIT):
        if active.numel() == 0:
            break
        at, here = x[active], Ends(ends.upper[active], ends.lower[active])
        value, change, _ = wronskian(table, lanes[active], here, at, loss[active], dtype)
        move = value / change
        x[active] = at - move
        done = move.abs() < tolerance[active]
        converged[active] = done
        active = active[~done & torch.isfinite(move.abs())]
    return x, converged


def _march(
    table: Table,
    lanes: Lanes,
    start: Tensor,
    drift: Tensor,
    spacing: Tensor,
    steps: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """(x, doubtful): roots carried to full attenuation in equal steps, all lanes together."""
    doubtful = torch.zeros(start.shape, dtype=torch.bool, device=start.device)
    length = 1.0 / steps
    origin = start + 0j
    # The root one step before the start that a parabola, in the end a cubic, would have had.
    path = [origin - length * drift, origin]
    for step in range(1, steps + 1):
        guess = _extrapolated(path[-4:])
        tolerance = (_EXACT if step == steps else _ON_THE_WAY) * spacing
        share = torch.full_like(start, step * length)
        x, converged = newton(table, lanes, guess, share, tolerance, dtype)
        doubtful |= ~converged | ((x - guess).abs() > _DOUBT * spacing)
        path.append(x)
        if step == 1:
            path[0] = x - 2.0 * length * drift
        elif step == 2:
            path[0] = (6.0 * path[2] - path[3] - 3.0 * origin - 6.0 * length * drift) / 2.0
    return path[-1], doubtful


def _extrapolated(x: list[Tensor]) -> Tensor:
    """The next of equidistant values by the polynomial through all of them, a cubic at most."""
    if len(x) == 2:
        return 2.0 * x[1] - x[0]
    if len(x) == 3:
        return 3.0 * (x[2] - x[1]) + x[0]
    return 4.0 * (x[3] + x[1]) - 6.0 * x[2] - x[0]


def _duplicates(lanes: Lanes, x: Tensor, start: Tensor, spacing: Tensor) -> Tensor:
    """Marks roots that coincide with another of their item though they started apart."""
    marked = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    order = torch.argsort(x.real)
    order = order[torch.argsort(lanes.item[order], stable=True)]
    for apart in (1, 2, 3):
        a, b = order[apart:], order[:-apart]
        apart_by = 1e-6 * torch.minimum(spacing[a], spacing[b])
        near = ((x[a] - x[b]).abs() < apart_by) & ((start[a] - start[b]).abs() > apart_by)
        near &= lanes.item[a] == lanes.item[b]
        marked[a[near]] = True
        marked[b[near]] = True
    return marked


def _sheltered(
    table: Table, lanes: Lanes, x: Tensor, spacing: Tensor, dtype: torch.dtype
) -> Tensor:
    """(lane,) nodes where the modes are strong, for the few that moved; the rule is the host's."""
    if table.kernels:
        tried = [table.kernels.least_decay(table, lanes, x, _FAR)]
    else:
        arrays = (values.cpu().numpy() for values in (x, lanes.item, lanes.node))
        found = _least_decay(*arrays, table.items.steps, table.items.first, _FAR)
        tried = [torch.from_numpy(found).to(table.device)]
    offsets, axes_found, _ = table.ducts
    offset, axes = (torch.from_numpy(a).to(table.device) for a in (offsets, axes_found))
    ducts = (offset[1:] - offset[:-1])[lanes.item]
    for turn in range(int(np.diff(offsets).max()) if axes_found.size > len(table) else 0):
        has = (ducts > turn) & (ducts > 1)
        duct = offset[lanes.item] + torch.where(has, turn, 0)
        tried.append(torch.where(has, axes[duct], lanes.node))
    node = lanes.node.clone()
    for trial in tried:
        far = torch.nonzero(trial != node).flatten()
        if far.numel() == 0:
            continue
        item, root = lanes.item[far], x[far]
        whole = torch.ones_like(root.real)
        values, slopes = [], []
        for at in (Lanes(item, node[far]), Lanes(item, trial[far])):
            ends = ends_of(table, at, root.real, last=False)
            value, change, _ = wronskian(table, at, ends, root, whole, dtype)
            values.append(value.abs())
            slopes.append(change.abs())
        better = slopes[1] * math.exp(_FAR) < slopes[0]
        better &= values[1] < _ROOT * spacing[far] * slopes[1]
        node[far] = torch.where(better, trial[far], node[far])
    return node


def _on_the_host(table: Table, lanes: Lanes, start: Tensor, drift: Tensor) -> tuple[Tensor, Tensor]:
    """(node, x) of whole items by the compiled path."""
    item, node, real, change = (
        values.cpu().numpy() for values in (lanes.item, lanes.node, start, drift)
    )
    order = np.lexsort((-real, node, item))
    item, node, real, change = item[order], node[order], real[order], change[order]
    first = np.append(np.flatnonzero(np.diff(item, prepend=-1)), item.size)
    nodes, x = np.empty_like(node), np.empty(real.size, np.complex128)

    def solve(part: slice) -> None:
        lanes_of = slice(first[part.start], first[part.stop])
        among, index = np.unique(item[lanes_of], return_inverse=True)
        items = table.items
        some = items.sheets(among, items.kind[among], items.x_min[among], items.x_max[among])
        own = host.Lanes(index, node[lanes_of])
        solved, roots = compiled.complex_modes(
            some,
            own,
            real[lanes_of] + 0j,
            change[lanes_of],
            host_distance(own, real[lanes_of]),
        )
        nodes[order[lanes_of]], x[order[lanes_of]] = solved.node, roots

    in_parallel(solve, first.size - 1)
    return torch.from_numpy(nodes).to(table.device), torch.from_numpy(x).to(table.device)
