"""Every trapped mode of the lossless guide: counted, bracketed, and polished."""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.items import Items, Lanes, phase_of, wronskian_of
from forward_models.normal_modes.steps import Q0R

# More table points than modes: a bracket then rarely holds two roots.
_EXTRA_POINTS = 8
_BISECTIONS = 100


def count_modes(items: Items) -> np.ndarray:
    """(items,) number of members, from the phase at x_min alone."""
    solvable = np.flatnonzero(items.x_max > items.x_min)
    theta, _ = phase_of(items, Lanes(solvable, items.axis[solvable]), items.x_min[solvable])
    counts = np.zeros(len(items), np.int64)
    counts[solvable] = np.maximum(0, np.ceil(theta / np.pi)).astype(np.int64)
    return counts


def real_modes(items: Items, counts: np.ndarray) -> tuple[Lanes, np.ndarray]:
    """(lanes, x): x = k² of every member, largest first within an item.

    Brackets from a table of the phase are narrowed by Newton's method, with bisection where it
    would leave them, until a move is 1e-5 of the mean distance of the roots: the error left is its
    square.
    """
    item = np.repeat(np.arange(len(items)), counts)
    lanes = Lanes(item, items.axis[item])
    order = _ranks(counts)
    x, low, high = _brackets(items, counts, lanes, order)
    tolerance = (1e-5 * (items.x_max - items.x_min) / np.maximum(counts, 1))[item]
    active = np.arange(x.size)
    for _ in range(_BISECTIONS):
        theta, slope = phase_of(items, lanes[active], x[active])
        excess = theta - order[active] * np.pi
        above = excess > 0
        low[active[above]] = x[active[above]]
        high[active[~above]] = x[active[~above]]
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x[active] - excess / slope
        outside = ~((new >= low[active]) & (new <= high[active]))
        new[outside] = 0.5 * (low[active] + high[active])[outside]
        moved = np.abs(new - x[active])
        x[active] = new
        narrow = high[active] - low[active] <= 4e-16 * items.x_max[item[active]]
        active = active[(moved > tolerance[active]) & ~narrow]
        if active.size == 0:
            break
    return lanes, x


def _ranks(counts: np.ndarray) -> np.ndarray:
    """0 … count - 1 for each item in turn."""
    total = int(counts.sum())
    return np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)


def _brackets(
    items: Items, counts: np.ndarray, lanes: Lanes, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(guess, low, high) of each root, by inverse interpolation in a table of the phase.

    The table is even in √(x_max - x), in which a guide's phase is nearly linear.
    """
    sizes = np.where(counts > 0, counts + _EXTRA_POINTS, 0)
    owner = np.repeat(np.arange(len(items)), sizes)
    position = _ranks(sizes) / np.maximum(sizes[owner] - 1, 1)
    table = items.x_max[owner] - (items.x_max - items.x_min)[owner] * position**2
    table = np.maximum(table, items.x_min[owner])
    theta, slope = phase_of(items, Lanes(owner, items.axis[owner]), table)
    # One sorted key for all items: the phase plus an offset larger than any phase.
    offset = np.pi * (counts.max(initial=0) + 4)
    key = np.maximum.accumulate(theta + offset * owner) if owner.size else theta
    target = order * np.pi
    right = np.searchsorted(key, target + offset * lanes.item, side="left")
    start = (np.cumsum(sizes) - sizes)[lanes.item]
    right = np.clip(right, start + 1, start + sizes[lanes.item] - 1)
    left = right - 1
    low, high = table[right].copy(), table[left].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        span = theta[right] - theta[left]
        u = (target - theta[left]) / span
        guess = (
            (1 + 2 * u) * (1 - u) ** 2 * high
            + u * (1 - u) ** 2 * span / slope[left]
            + u * u * (3 - 2 * u) * low
            + u * u * (u - 1) * span / slope[right]
        )
    good = (guess > low) & (guess < high)
    return np.where(good, guess, 0.5 * (low + high)), low, high


def choose_nodes(items: Items, lanes: Lanes, x: np.ndarray) -> Lanes:
    """The lanes with each mode's match node at the duct axis where the mode is strongest.

    A mode that is evanescent where its two shots meet has an undetermined shape, so that with
    several ducts no single node serves all modes. Only modes trapped by a barrier between two axes
    need the choice. At a root ∂W/∂x of unit states is the norm over the squared amplitude times
    vertical wavenumber at the node, which a mode keeps throughout a duct: the smallest one marks
    the duct that holds the mode.
    """
    node = lanes.node.copy()
    ducts = [_ducts(items, i) for i in range(len(items))]
    barrier = np.array([lowest for _, lowest in ducts])
    split = np.flatnonzero(x > barrier[lanes.item])
    best = np.full(x.size, np.inf)
    for turn in range(max((axes.size for axes, _ in ducts), default=0)):
        has = np.array([axes.size > turn for axes, _ in ducts])[lanes.item[split]]
        tried = split[has]
        at = np.array([ducts[i][0][turn] for i in lanes.item[tried]], np.int64)
        zero = np.zeros(tried.size)
        _, change = wronskian_of(items, Lanes(lanes.item[tried], at), x[tried] + 0j, zero)
        weight = np.abs(change)
        better = weight < best[tried]
        best[tried[better]] = weight[better]
        node[tried[better]] = at[better]
    return Lanes(lanes.item, node)


def _ducts(items: Items, item: int) -> tuple[np.ndarray, float]:
    """(axes, barrier): steps at local maxima of mean k², and the lowest k² between two of them."""
    q = items.steps[items.first[item] : items.first[item + 1], Q0R]
    if q.size == 0:
        return np.zeros(0, np.int64), np.inf
    padded = np.concatenate([[-np.inf], q, [-np.inf]])
    axes = np.flatnonzero((q > padded[:-2]) & (q >= padded[2:]))
    return axes, q[axes[0] : axes[-1]].min() if axes.size > 1 else np.inf
