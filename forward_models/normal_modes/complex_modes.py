"""Exact complex modes: each real mode followed as the attenuation grows from nothing to its value.

Newton steps from the predicted roots suffice while the attenuation moves a root by much less than
the distance to its neighbour. Where it does not (slow lossy mud, modes deep in a lossy layer) two
roots would fall on one; those march along the path together, the doubtful ones again in steps that
shrink until each prediction is confirmed, and the set is checked for duplicates at the end.
"""

from __future__ import annotations

import cmath
import math
from itertools import product
from typing import Any

import numpy as np
from numba import njit

from forward_models.normal_modes.items import (
    Items,
    Lanes,
    drift_of,
    wronskian_of,
)
from forward_models.normal_modes.real_modes import neighbour_distance
from forward_models.normal_modes.steps import H2, Q0I, Q0R
from forward_models.normal_modes.wronskian import ALONG_LOSS

# A corrector that moves the prediction by more than this share of the distance to the neighbouring
# root is refused: it may have gone to the neighbour.
_CORRECTION_LIMIT = 0.1
# A root that attenuation moves by more than this share of that distance is followed in steps.
_SHIFT_LIMIT = 0.3
# The doubtful ones go again in more steps, and again in ever smaller ones.
_MARCHES = (2, 5, 14)
_DOUBT = 0.3
_NEWTON_LIMIT = 12
_SHORTEST_STEP = 1e-5
# Errors that Newton's method leaves, in shares of the distance to the next root: in the end none
# that finite differences see; on the way roots need only be told apart.
_EXACT = 1e-14
_ON_THE_WAY = 3e-3
_DEFLATED = 1e-6  # the last move of deflated Newton steps, whose error is about its square
# Nepers between a node and where its mode is strong beyond which the node moves.
_FAR = 2.0
_CLOSEST = 1e-4  # least distance to a neighbour, in shares of the mean


def complex_modes(
    items: Items, lanes: Lanes, start: np.ndarray, drift: np.ndarray
) -> tuple[Lanes, np.ndarray]:
    """(lanes, x): complex x of every mode, in the order of ``start``, and where its shots meet.

    ``start`` is x of the lossless guide, ``drift`` its derivative with the share of the loss.
    """
    one = np.ones(start.size)
    # Twins in ducts of their own do not come near each other: a floor keeps their distance.
    counts = np.bincount(lanes.item, minlength=len(items))
    mean = (items.x_max - items.x_min) / np.maximum(counts, 1)
    spacing = np.maximum(neighbour_distance(lanes, start.real), _CLOSEST * mean[lanes.item])
    hard = np.abs(drift) > _SHIFT_LIMIT * spacing
    x = start + drift
    easy = np.flatnonzero(~hard)
    x[easy], converged = newton(items, lanes[easy], x[easy], one[easy], spacing[easy], _EXACT)
    moved = np.abs(x[easy] - start[easy] - drift[easy])
    hard[easy] = ~converged | (moved > _CORRECTION_LIMIT * spacing[easy])
    for steps in _MARCHES:
        h = np.flatnonzero(hard)
        x[h], hard[h] = _march(items, lanes[h], start[h], drift[h], spacing[h], steps)
    hard |= _duplicates(lanes, x, start, spacing)
    for largest in (0.1, 0.02):
        if not hard.any():
            break
        h = np.flatnonzero(hard)
        x[h] = _follow(items, lanes[h], start[h], drift[h], spacing[h], largest)
        hard = _duplicates(lanes, x, start, spacing)
    for lane in np.flatnonzero(hard).tolist():
        if _duplicates(lanes, x, start, spacing)[lane]:
            x[lane] = _deflated(items, lanes, x, lane, start[lane], drift[lane], spacing[lane])
    moved = np.flatnonzero(np.abs(drift) > _SHIFT_LIMIT * spacing)
    node = lanes.node.copy()
    node[moved] = _sheltered(items, lanes[moved], x[moved])
    moved = np.flatnonzero(node != lanes.node)
    lanes = Lanes(lanes.item, node)
    x[moved], _ = newton(items, lanes[moved], x[moved], one[moved], spacing[moved], _EXACT)
    return lanes, x


def newton(
    items: Items,
    lanes: Lanes,
    x: np.ndarray,
    loss: np.ndarray,
    spacing: np.ndarray,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(x, converged): roots of W nearest to ``x`` at the given shares of the attenuation.

    Each move squares the error in some unit, first taken for ``spacing``, then told by two moves: a
    root is done when the next move would be below ``tolerance`` of ``spacing``.
    """
    x = x.copy()
    converged = np.zeros(x.size, bool)
    active = np.arange(x.size)
    before = np.full(x.size, np.nan)
    for _ in range(_NEWTON_LIMIT):
        value, change = wronskian_of(items, lanes[active], x[active], loss[active])
        move = value / change
        x[active] -= move
        size = np.abs(move) / spacing[active]
        with np.errstate(over="ignore", invalid="ignore"):
            error = size**2 * np.fmax(1.0, size / before[active] ** 2)
        done = np.fmin(size, error) < tolerance
        converged[active[done]] = True
        before[active] = size
        active = active[~done & np.isfinite(move)]
        if active.size == 0:
            break
    return x, converged


def _march(
    items: Items,
    lanes: Lanes,
    start: np.ndarray,
    drift: np.ndarray,
    spacing: np.ndarray,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(x, doubtful): roots carried to full attenuation in equal steps, all lanes together.

    Each step is predicted by the cubic through the last roots, the first ones by the drift at the
    start; doubtful is a root that did not converge or whose prediction was once off by much of the
    distance to its neighbour.
    """
    doubtful = np.zeros(start.size, bool)
    length = 1.0 / steps
    # The root one step before the start that a parabola, in the end a cubic, would have had.
    path = [start - length * drift, start]
    for step in range(1, steps + 1):
        guess = _extrapolated(path[-4:])
        tolerance = _EXACT if step == steps else _ON_THE_WAY
        loss = np.full(start.size, step * length)
        x, converged = newton(items, lanes, guess, loss, spacing, tolerance)
        doubtful |= ~converged | (np.abs(x - guess) > _DOUBT * spacing)
        path.append(x)
        if step == 1:
            path[0] = x - 2.0 * length * drift
        elif step == 2:
            path[0] = (6.0 * path[2] - path[3] - 3.0 * start - 6.0 * length * drift) / 2.0
    return path[-1], doubtful


def _extrapolated(x: list[np.ndarray]) -> np.ndarray:
    """The next of equidistant values by the polynomial through all of them."""
    if len(x) == 2:
        return 2.0 * x[1] - x[0]
    if len(x) == 3:
        return 3.0 * (x[2] - x[1]) + x[0]
    return 4.0 * (x[3] + x[1]) - 6.0 * x[2] - x[0]


def _follow(
    items: Items,
    lanes: Lanes,
    start: np.ndarray,
    drift: np.ndarray,
    spacing: np.ndarray,
    largest: float,
) -> np.ndarray:
    """Roots carried from no attenuation to all of it, ``largest`` of the path at most at a time.

    ``drift`` is dx/d(loss) at the start. A root that a branch cut stops (a mode passing cut-off)
    goes the rest of the way at once.
    """
    x, drift = start.copy(), drift.copy()
    done = np.zeros(x.size)
    length = np.full(x.size, largest)
    active = np.arange(x.size)
    while active.size:
        stuck = length[active] < _SHORTEST_STEP
        length[active] = np.where(stuck, 1.0, np.minimum(length[active], 1.0 - done[active]))
        at = np.minimum(done[active] + length[active], 1.0)
        guess = x[active] + drift[active] * (at - done[active])
        new, converged = newton(items, lanes[active], guess, at, spacing[active], _EXACT)
        good = converged & (np.abs(new - guess) <= _CORRECTION_LIMIT * spacing[active])
        good |= stuck
        length[active[~good]] *= 0.4
        kept = active[good]
        x[kept], done[kept] = new[good], at[good]
        length[kept] = np.minimum(1.6 * length[kept], largest)
        moving = active[good & (at < 1.0)]
        drift[moving] = drift_of(items, lanes[moving], x[moving], done[moving], ALONG_LOSS)
        active = active[done[active] < 1.0]
    return x


def _deflated(
    items: Items,
    lanes: Lanes,
    x: np.ndarray,
    lane: int,
    start: complex,
    drift: complex,
    spacing: float,
) -> complex:
    """A root of W that no other lane of the item has: Newton's method on W / Π (x - others).

    Two paths that all but meet (an exceptional point close to real attenuations) may end in one
    root, however short the steps; the other one lies near. What was there is kept if none is found.
    """
    others = x[(lanes.item == lanes.item[lane]) & (np.arange(x.size) != lane)]
    # A mode of a lossy layer among those of the water: it may be far up.
    ladder = (*(2.0 ** np.arange(-1, 6) * spacing), *(np.linspace(0.5, 3.0, 21) * drift.imag))
    above = x[lane] + 1j * np.array(ladder)
    item = lanes.item[lane]
    lossy = np.argmax(items.steps[items.first[item] : items.first[item + 1], Q0I])
    for trial, node in product((start + drift, *above), (lanes.node[lane], lossy)):
        at, move = complex(trial), math.inf
        here = Lanes(np.array([item]), np.array([node]))
        for _ in range(4 * _NEWTON_LIMIT):
            value, change = wronskian_of(items, here, np.array([at]), np.ones(1))
            pull = np.sum(1.0 / (at - others)) if (at != others).all() else np.nan
            ratio = change[0] / value[0] if value[0] != 0 else np.inf
            move = 1.0 / (ratio - pull)
            at -= move
            if not abs(move) > _DEFLATED * spacing:
                break
        if abs(move) <= _DEFLATED * spacing and np.abs(at - others).min() > 1e-6 * spacing:
            return complex(at)
    return complex(x[lane])


def _duplicates(lanes: Lanes, x: np.ndarray, start: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Marks roots that coincide with another of their item though they started apart."""
    marked = np.zeros(x.size, bool)
    order = np.lexsort((x.real, lanes.item))
    for apart in (1, 2, 3):
        a, b = order[apart:], order[:-apart]
        apart_by = 1e-5 * np.minimum(spacing[a], spacing[b])
        near = (np.abs(x[a] - x[b]) < apart_by) & (np.abs(start[a] - start[b]) > apart_by)
        near &= lanes.item[a] == lanes.item[b]
        marked[a[near]] = marked[b[near]] = True
    return marked


def _sheltered(items: Items, lanes: Lanes, x: np.ndarray) -> np.ndarray:
    """(lane,) match nodes where the modes are strong.

    A mode of a lossy layer decays in the water, though it oscillates there, and its shape would be
    lost at the axis of the duct. The node moves to the step of least decay where that is more than
    a few nepers away.
    """
    return _least_decay(x, lanes.item, lanes.node, items.steps, items.first, _FAR)


@njit(cache=True, nogil=True, error_model="numpy")
def _least_decay(x: Any, item: Any, node: Any, steps: Any, first: Any, far: float) -> Any:
    """(lane,) nodes; decay is Re √(x - q₀) over a step."""
    result = node.copy()
    for lane in range(x.size):
        start, stop = first[item[lane]], first[item[lane] + 1]
        least, best, rate = np.inf, start + node[lane], np.empty(stop - start)
        for j in range(start, stop):
            gamma = cmath.sqrt(x[lane] - complex(steps[j, Q0R], steps[j, Q0I])).real
            rate[j - start] = gamma * math.sqrt(steps[j, H2])
            if steps[j, Q0R] <= x[lane].real:
                rate[j - start] = -np.inf  # a barrier: what is beyond is another duct
            elif gamma < least:
                least, best = gamma, j
        best -= start
        low, high = min(best, node[lane]), max(best, node[lane])
        if rate[low:high].sum() > far:
            result[lane] = best
    return result
