"""Every trapped mode of the lossless guide: counted, bracketed, and polished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from forward_models.normal_modes.items import Items, Lanes, lossless_of, phase_of, ranked
from forward_models.normal_modes.kernels import kernel
from forward_models.normal_modes.steps import PERTURBED_HALF_SPACE, Q0R

# Moves of the phase's last Newton step, in shares of the distance to the next root.
_ROUGHLY, _NEARLY = 3e-3, 1e-5
# More table points than modes: a bracket then rarely holds two roots.
_EXTRA_POINTS = 8
# Newton steps, in single precision and in double, after which few roots are left: of a steep phase.
_ROUGH_TURNS, _TURNS = 4, 5
_PARTS = np.arange(1, 9) / 9  # of a bracket, by as many points as a vector has lanes
_CUTS = 20  # of a bracket, at most: to the last digit
# Relative changes of k² below this make no duct.
_FLAT = 1e-9
_ABOUT = 4  # roots on either side that tell how far apart they are
# A root is a duct's own if a Newton step there moves it by less than the first share of the mean
# distance, and not towards another root: by less than the second of that to the next.
OWN, OWN_OF_NEXT = 1e-3, 0.1
# Two roots are one of a duct where its Newton steps bring them this near, in shares of the mean
# distance or of their own.
TWIN, _MERGED = 1e-9, 1e-2
_CLOSE = 1e-3  # neighbours, in shares of the mean distance
_DIGIT = 4e-16

# x, low and high of every root, and (excess of Θ over nπ, slope) of some of them at other x
Bracket = tuple[np.ndarray, np.ndarray, np.ndarray]
Excess = Callable[..., tuple[np.ndarray, np.ndarray]]


def count_modes(items: Items) -> np.ndarray:
    """(items,) number of members, from the phase at x_min alone."""
    solvable = np.flatnonzero((items.x_max > items.x_min) & (items.kind <= PERTURBED_HALF_SPACE))
    theta, _ = phase_of(items, Lanes(solvable, items.axis[solvable]), items.x_min[solvable])
    counts = np.zeros(len(items), np.int64)
    counts[solvable] = np.maximum(0, np.ceil(theta / np.pi)).astype(np.int64)
    return counts


def real_modes(items: Items, counts: np.ndarray) -> tuple[Lanes, np.ndarray]:
    """(lanes, x): x = k² of every member, largest first within an item.

    Brackets from a table of the phase are narrowed by Newton's method, with bisection where it
    would leave them, until a move is 3e-3 of the distance of roots that the slope of the phase
    tells: the error is about its square, and one more step, with the Wronskian, squares it again.
    Single precision does for that, but where a barrier parts two ducts.
    """
    item = np.repeat(np.arange(len(items)), counts)
    lanes = Lanes(item, items.axis[item])
    order = _ranks(counts)
    _, _, barrier = find_ducts(items.steps, items.first)
    x, low, high = _brackets(items, counts, lanes, order, barrier)
    spacing = ((items.x_max - items.x_min) / np.maximum(counts, 1))[item]

    def excess_of(
        some: np.ndarray, at: np.ndarray, *, rough: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        theta, slope = phase_of(items, lanes[some], at, rough=rough)
        return theta - order[some] * np.pi, slope

    # The phase of two ducts is a staircase: near its steps a small excess may be a large error.
    parted = high > barrier[item]
    rough = x, low.copy(), high.copy()
    left = _narrow(excess_of, rough, _ROUGHLY, np.arange(x.size), rough=True)
    # A rough bracket may miss its root by little.
    low[~parted] = (rough[1] - _ROUGHLY * spacing)[~parted]
    high[~parted] = (rough[2] + _ROUGHLY * spacing)[~parted]
    bracket = x, low, high
    parted[left] = True
    left = _narrow(excess_of, bracket, _NEARLY, np.flatnonzero(parted))
    _cut(excess_of, bracket, _NEARLY, left)
    # Roots that all but coincide are told apart to the last digit.
    close = np.flatnonzero(neighbour_distance(lanes, x) < _CLOSE * spacing)
    _cut(excess_of, bracket, 0.0, close)
    return lanes, x


def neighbour_distance(lanes: Lanes, x: np.ndarray) -> np.ndarray:
    """Distance of each root to the nearest other of its item; a lone root's own size."""
    order = ranked(lanes.item, x)
    gap = np.where(np.diff(lanes.item[order]) == 0, np.abs(np.diff(x[order])), np.inf)
    nearest, distance = np.full(x.size, np.inf), np.empty_like(x)
    np.minimum(nearest[1:], gap, out=nearest[1:])
    np.minimum(nearest[:-1], gap, out=nearest[:-1])
    distance[order] = np.where(np.isinf(nearest), np.abs(x[order]), nearest)
    return distance


def mean_distance(items: Items, lanes: Lanes, x: np.ndarray) -> np.ndarray:
    """(lane,) mean distance of the roots about each one, at most that of all roots of its item.

    A layer of far slower sound has few roots in a wide range of x, which says nothing of the rest.
    """
    counts = np.bincount(lanes.item, minlength=len(items))
    distance = ((items.x_max - items.x_min) / np.maximum(counts, 1))[lanes.item]
    order = np.arange(x.size)[ranked(lanes.item, x)]
    item, x = lanes.item[order], x[order]
    reach = 2 * _ABOUT
    width = np.abs(x[:-reach] - x[reach:]) / reach
    middle = order[_ABOUT : _ABOUT + width.size]
    one = item[:-reach] == item[reach:]
    distance[middle] = np.where(one, np.minimum(width, distance[middle]), distance[middle])
    return distance


def _narrow(
    excess_of: Excess,
    bracket: Bracket,
    tolerance: float,
    active: np.ndarray,
    *,
    rough: bool = False,
) -> np.ndarray:
    """Newton's method on (x, low, high) of the ``active`` lanes; returns those left.

    A lane is done after a move below ``tolerance`` of π / |dΘ/dx|, the local distance of roots.
    """
    x, low, high = bracket
    for _ in range(_ROUGH_TURNS if rough else _TURNS):
        if active.size == 0:
            break
        at, left, right = x[active], low[active], high[active]
        excess, slope = excess_of(active, at, rough=rough)
        left, right = np.where(excess > 0, at, left), np.where(excess > 0, right, at)
        new, moved = _newton(at, excess, slope, left, right)
        x[active], low[active], high[active] = new, left, right
        active = active[(moved > tolerance) & (right - left > _DIGIT * right)]
    return active


def _cut(excess_of: Excess, bracket: Bracket, tolerance: float, active: np.ndarray) -> None:
    """As ``_narrow`` where the phase is a staircase, on which Newton's method may only crawl.

    Brackets are cut into nine parts, for a phase at eight points costs little more than at one.
    """
    x, low, high = bracket
    for _ in range(_CUTS):
        if active.size == 0:
            break
        rows = np.arange(active.size)
        left, right = low[active, None], high[active, None]
        at = left + (right - left) * _PARTS
        of_points = excess_of(np.repeat(active, at.shape[1]), at.ravel())
        excess, slope = (values.reshape(at.shape) for values in of_points)
        edges = np.hstack([left, at, right])
        inside = (excess > 0).sum(1)
        low[active], high[active] = edges[rows, inside], edges[rows, inside + 1]
        nearest = rows, np.abs(excess).argmin(1)
        x[active], moved = _newton(
            at[nearest], excess[nearest], slope[nearest], low[active], high[active]
        )
        active = active[(moved > tolerance) & (high[active] - low[active] > _DIGIT * high[active])]


def _newton(
    x: np.ndarray, excess: np.ndarray, slope: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(x, move) after a Newton step, the move in shares of π; inf where halving is better."""
    with np.errstate(divide="ignore", invalid="ignore"):
        new = x - excess / slope
    inside = (new >= low) & (new <= high)
    return np.where(inside, new, 0.5 * (low + high)), np.where(
        inside, np.abs(excess) / np.pi, np.inf
    )


def _ranks(counts: np.ndarray) -> np.ndarray:
    """0 … count - 1 for each item in turn."""
    total = int(counts.sum())
    return np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)


def _brackets(
    items: Items, counts: np.ndarray, lanes: Lanes, order: np.ndarray, barrier: np.ndarray
) -> Bracket:
    """(guess, low, high) of each root, by inverse interpolation in a table of the phase.

    The table is even in √(x_max - x), in which a guide's phase is nearly linear. Single precision
    does below the ``barrier`` (items,).
    """
    sizes = np.where(counts > 0, counts + _EXTRA_POINTS, 0)
    owner = np.repeat(np.arange(len(items)), sizes)
    position = _ranks(sizes) / np.maximum(sizes[owner] - 1, 1)
    table = items.x_max[owner] - (items.x_max - items.x_min)[owner] * position**2
    table = np.maximum(table, items.x_min[owner])
    points = Lanes(owner, items.axis[owner])
    theta, slope = phase_of(items, points, table, rough=True)
    above = table > barrier[owner]
    above[1:] |= above[:-1]  # and the next, where a bracket ends that begins there
    reached = theta > -0.1  # the phase of the first mode is 0
    reached[:-1] |= reached[1:]
    above = np.flatnonzero((above & reached) | ~np.isfinite(theta))
    theta[above], slope[above] = phase_of(items, points[above], table[above])
    # One sorted key for all items: the phase plus an offset larger than any phase.
    offset = np.pi * (counts.max(initial=0) + 4)
    key = np.fmax.accumulate(theta + offset * owner) if owner.size else theta
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
    need the choice. Behind a thick barrier a duct has modes of its own: the node must be one of
    whose modes x is a root. Through a thin one all see the same roots; there ∂W/∂x of unit states
    is the norm over the squared amplitude times vertical wavenumber at the node, which a mode keeps
    throughout a duct: the smallest one marks the duct that holds the mode. Of two modes that would
    become one (twin ducts) the second goes to its second choice.
    """
    offset, axes, barrier = find_ducts(items.steps, items.first)
    if axes.size == len(items):
        return lanes
    node = lanes.node.copy()
    split = np.flatnonzero(x > barrier[lanes.item])
    turns = np.diff(offset)[lanes.item[split]]
    unit = mean_distance(items, lanes, x)[split]
    next_root = OWN_OF_NEXT * neighbour_distance(lanes, x)[split]
    own = np.minimum(OWN * unit, np.maximum(next_root, TWIN * unit))
    cost = np.full((turns.max(initial=0), split.size), np.inf)
    polished = cost.copy()
    for turn in range(len(cost)):
        has = np.flatnonzero(turns > turn)
        item = lanes.item[split[has]]
        value, slope, _, _ = lossless_of(
            items, Lanes(item, axes[offset[item] + turn]), x[split[has]], with_loss=False
        )
        # Foreign roots rank behind all own ones, the nearest first.
        away = np.abs(value / slope)
        foreign = 1e9 * (1.0 + away / unit[has])
        cost[turn, has] = np.where(away < own[has], np.abs(slope) * unit[has], foreign)
        polished[turn, has] = x[split[has]] - value / slope
    ranking = np.argsort(cost, axis=0)
    choice = ranking[0] if len(cost) else ranking
    same = np.diff(lanes.item[split]) == 0
    for i in np.flatnonzero(same) + 1:
        a, b = choice[i - 1], choice[i]
        gap = max(TWIN * unit[i], _MERGED * abs(x[split[i]] - x[split[i - 1]]))
        if a == b and abs(polished[a, i - 1] - polished[b, i]) < gap:
            choice[i] = ranking[1, i]
    node[split] = axes[offset[lanes.item[split]] + choice]
    return Lanes(lanes.item, node)


@kernel
def find_ducts(steps: Any, first: Any) -> Any:
    """(offset, axes, barrier): axes[offset[i] : offset[i + 1]] are the duct axes of item i.

    An axis is a step where mean k² has a local maximum; the barrier is the lowest k² between two of
    them, +inf where there is one.
    """
    n_items = first.size - 1
    offset, axes = np.zeros(n_items + 1, np.int64), np.empty(steps.shape[0] + n_items, np.int64)
    barrier = np.full(n_items, np.inf)
    found = 0
    for item in range(n_items):
        axis, low, rising = -1, 0.0, True
        for j in range(first[item], first[item + 1]):
            q = steps[j, Q0R]
            if axis < 0 or (rising and q > steps[axis, Q0R]):
                axis, low, rising = j, q, True
            elif rising and q < steps[axis, Q0R] * (1.0 - _FLAT):
                axes[found], found = axis - first[item], found + 1
                low, rising = q, False
            elif not rising and q < low:
                low = q
            elif not rising and q > low * (1.0 + _FLAT):
                barrier[item] = min(barrier[item], low)
                axis, rising = j, True
        if axis < 0 or rising:
            axes[found], found = max(axis - first[item], 0), found + 1
        offset[item + 1] = found
    return offset, axes[:found], barrier
