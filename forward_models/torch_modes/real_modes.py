"""Every trapped mode of the lossless guide; the algorithm of ``normal_modes.real_modes``."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from forward_models.normal_modes.real_modes import (
    _CLOSE,
    _EXTRA_POINTS,
    _MERGED,
    OWN,
    OWN_OF_NEXT,
    TWIN,
)
from forward_models.torch_modes.lossless import lossless
from forward_models.torch_modes.phase import phase, scale_of
from forward_models.torch_modes.shots import Ends, ends_of
from forward_models.torch_modes.table import Lanes, Table

_BISECTIONS = 100


def count_modes(table: Table, dtype: torch.dtype) -> Tensor:
    """(items,) number of members, from the phase at x_min alone."""
    solvable = torch.nonzero(table.x_max > table.x_min).flatten()
    lanes, x = Lanes(solvable, table.axis[solvable]), table.x_min[solvable]
    theta, _ = phase(table, lanes, ends_of(table, lanes, x, last=True), x, dtype)
    counts = torch.zeros(len(table), dtype=torch.int64, device=table.device)
    counts[solvable] = torch.ceil(theta / math.pi).clamp(min=0).to(torch.int64)
    return counts


def real_modes(table: Table, counts: Tensor, dtype: torch.dtype) -> tuple[Lanes, Tensor]:
    """(lanes, x): x = k² of every member, largest first within an item.

    Brackets from a table of the phase are narrowed by Newton's method, with bisection where it
    would leave them, until a move is 3e-5 of the mean distance of the roots.
    """
    item = _owners(counts)
    lanes = Lanes(item, table.axis[item])
    order = _ranks(counts, item)
    x, low, high = _brackets(table, counts, lanes, order, dtype)
    ends = ends_of(table, lanes, low, last=True)
    spacing = ((table.x_max - table.x_min) / counts.clamp(min=1))[item]
    x = _narrow(
        table, lanes, ends, order, (x, low, high), 3e-5 * spacing, torch.ones_like(x) > 0, dtype
    )
    # Roots of two ducts may all but coincide; those are told apart to the last digit.
    close = neighbour_distance(lanes, x) < _CLOSE * spacing
    x = _narrow(
        table,
        lanes,
        ends,
        order,
        (x, low, high),
        torch.zeros_like(x),
        close,
        torch.float64,
    )
    return lanes, x


def neighbour_distance(lanes: Lanes, x: Tensor) -> Tensor:
    """Distance of each root to the nearest other of its item; a lone root's own size.

    ``x`` is in order within an item.
    """
    distance = x.abs()
    same = lanes.item[1:] == lanes.item[:-1]
    gap = torch.where(same, (x[1:] - x[:-1]).abs(), math.inf)
    distance[:-1] = torch.minimum(distance[:-1], gap)
    distance[1:] = torch.minimum(distance[1:], gap)
    return distance


def choose_nodes(
    table: Table, lanes: Lanes, x: Tensor, counts: Tensor, dtype: torch.dtype
) -> Lanes:
    """The lanes with each mode's match node at the duct axis where the mode is strongest.

    The rule is that of ``normal_modes.real_modes.choose_nodes``.
    """
    offsets, axes_found, barriers = table.ducts
    if axes_found.size == len(table):
        return lanes
    offset, axes, barrier = (
        torch.from_numpy(a).to(table.device) for a in (offsets, axes_found, barriers)
    )
    split = torch.nonzero(x > barrier[lanes.item]).flatten()
    if split.numel() == 0:
        return lanes
    item, at = lanes.item[split], x[split]
    turns = offset[item + 1] - offset[item]
    unit = ((table.x_max - table.x_min) / counts.clamp(min=1))[item]
    next_root = OWN_OF_NEXT * neighbour_distance(lanes, x)[split]
    own = torch.minimum(OWN * unit, torch.maximum(next_root, TWIN * unit))
    most = int(np.diff(offsets).max())
    cost = torch.full((most, split.numel()), math.inf, dtype=x.dtype, device=table.device)
    polished = cost.clone()
    for turn in range(most):
        has = torch.nonzero(turns > turn).flatten()
        there = Lanes(item[has], axes[offset[item[has]] + turn])
        ends = ends_of(table, there, at[has], last=False)
        value, slope, _ = lossless(table, there, ends, at[has], dtype)
        # Foreign roots rank behind all own ones, the nearest first.
        away = (value / slope).abs()
        foreign = 1e9 * (1.0 + away / unit[has])
        cost[turn, has] = torch.where(away < own[has], slope.abs() * unit[has], foreign)
        polished[turn, has] = at[has] - value / slope
    ranking = torch.argsort(cost, dim=0, stable=True)
    choice = _told_apart(ranking, polished, item, at, unit)
    node = lanes.node.clone()
    node[split] = axes[offset[item] + choice]
    return Lanes(lanes.item, node)


def _told_apart(ranking: Tensor, polished: Tensor, item: Tensor, x: Tensor, unit: Tensor) -> Tensor:
    """The first choice of each lane; the second where the lane before found the same root there."""
    choice = ranking[0].clone()
    gap = torch.maximum(TWIN * unit[1:], _MERGED * (x[1:] - x[:-1]).abs())
    near = (polished[:, 1:] - polished[:, :-1]).abs() < gap
    near &= item[1:] == item[:-1]
    suspects = torch.nonzero(near.any(dim=0)).flatten() + 1
    if suspects.numel() == 0:
        return choice
    # One after the other: what a lane chose changes what the next one finds. They are few.
    picked, second = choice.tolist(), ranking[1].tolist()
    is_near = near[:, suspects - 1].cpu().numpy()
    for column, i in enumerate(suspects.tolist()):
        if picked[i] == picked[i - 1] and is_near[picked[i], column]:
            picked[i] = second[i]
    return torch.tensor(picked, device=choice.device)


def _narrow(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    order: Tensor,
    bracket: tuple[Tensor, Tensor, Tensor],
    tolerance: Tensor,
    chosen: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    """x of (x, low, high) by Newton's method, the chosen lanes, until moves are below tolerance."""
    x, low, high = bracket
    active = torch.nonzero(chosen).flatten()
    least = 4e-16 * table.x_max[lanes.item]
    if table.kernels:
        part = lanes[active]
        some = (x[active], low[active], high[active])
        table.kernels.search(
            table,
            part,
            ends[active],
            order[active],
            some,
            tolerance[active],
            scale_of(table, part),
            least[active],
            _BISECTIONS,
            dtype,
        )
        x[active], low[active], high[active] = some
        return x
    for turn in range(_BISECTIONS):
        if active.numel() == 0:
            break
        at, a, b = x[active], low[active], high[active]
        theta, slope = phase(table, lanes[active], ends[active], at, dtype)
        excess = theta - order[active] * math.pi
        above = excess > 0
        a, b = torch.where(above, at, a), torch.where(above, b, at)
        new = at - excess / slope
        # The phase of two ducts is a staircase, on which Newton's method may only crawl.
        outside = ~((new >= a) & (new <= b))
        if turn % 4 == 3 and turn > 8:
            outside = torch.ones_like(outside)
        new = torch.where(outside, 0.5 * (a + b), new)
        x[active], low[active], high[active] = new, a, b
        wide = b - a > least[active]
        active = active[((new - at).abs() > tolerance[active]) & wide]
    return x


def _brackets(
    table: Table, counts: Tensor, lanes: Lanes, order: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """(guess, low, high) of each root, by inverse interpolation in a table of the phase.

    The table is even in √(x_max - x), in which a guide's phase is nearly linear.
    """
    sizes = torch.where(counts > 0, counts + _EXTRA_POINTS, 0)
    owner = _owners(sizes)
    position = _ranks(sizes, owner) / (sizes[owner] - 1).clamp(min=1)
    trial = table.x_max[owner] - (table.x_max - table.x_min)[owner] * position**2
    trial = torch.maximum(trial, table.x_min[owner])
    trials = Lanes(owner, table.axis[owner])
    theta, slope = phase(table, trials, ends_of(table, trials, trial, last=True), trial, dtype)
    # One sorted key for all items: the phase plus an offset larger than any phase.
    most = counts.max() if counts.numel() else torch.zeros((), device=table.device)
    offset = math.pi * (most.to(torch.float64) + 4.0)
    key = theta + offset * owner
    key = torch.cummax(key, 0).values if key.numel() else key
    target = order * math.pi
    right = torch.searchsorted(key, target + offset * lanes.item)
    start = (torch.cumsum(sizes, 0) - sizes)[lanes.item]
    right = torch.minimum(torch.maximum(right, start + 1), start + sizes[lanes.item] - 1)
    left = right - 1
    low, high = trial[right], trial[left]
    span = theta[right] - theta[left]
    u = (target - theta[left]) / span
    guess = (
        (1 + 2 * u) * (1 - u) ** 2 * high
        + u * (1 - u) ** 2 * span / slope[left]
        + u * u * (3 - 2 * u) * low
        + u * u * (u - 1) * span / slope[right]
    )
    good = (guess > low) & (guess < high)
    return torch.where(good, guess, 0.5 * (low + high)), low, high


def _owners(counts: Tensor) -> Tensor:
    """The index of each entry, as often as it counts."""
    return torch.repeat_interleave(torch.arange(counts.numel(), device=counts.device), counts)


def _ranks(counts: Tensor, owner: Tensor) -> Tensor:
    """0 … count - 1 for each owner in turn, float64."""
    first = torch.cumsum(counts, 0) - counts
    return (torch.arange(owner.numel(), device=owner.device) - first[owner]).to(torch.float64)
