"""Exact complex modes: each real mode followed as the attenuation grows from nothing to its value.

Newton steps from the predicted roots suffice while the attenuation moves a root by much less than
the distance to its neighbour. Where it does not (slow lossy mud, modes deep in a lossy layer) two
roots would fall on one; those are followed along the path, in parts that shrink until each
prediction is confirmed, and the set is checked for duplicates at the end.
"""

from __future__ import annotations

import cmath
import math
import warnings
from typing import Any

import numpy as np

from forward_models.normal_modes.contour import zeros_within
from forward_models.normal_modes.items import (
    Items,
    Lanes,
    follow_of,
    ranked,
    wronskian_of,
)
from forward_models.normal_modes.kernels import kernel
from forward_models.normal_modes.paths import NEWTON_LIMIT
from forward_models.normal_modes.real_modes import find_ducts, mean_distance
from forward_models.normal_modes.steps import H2, Q0I, Q0R

# A root that attenuation moves by more than this share of the distance to its neighbour is followed
# in parts, and so is one that is then found further from where it was predicted than the first of
# the limits. Two that end in one go again, in shorter parts under a stricter limit.
_SHIFT_LIMIT = 0.3
_LIMITS = (0.04, 0.02, 0.01)
_LONGEST = (0.1, 0.02)
_DEFLATED = 1e-6  # the last move of deflated Newton steps, whose error is about its square
_ASIDE = 2.0  # distances to the next root that a root may be further aside than its loss explains
# Nepers between a node and where its mode is strong beyond which the node moves.
_FAR = 2.0
_SAME = 1e-5  # roots nearer than this are one, in shares of the distance to the next
_CLOSEST = 1e-4  # least distance to a neighbour, in shares of the mean


def complex_modes(
    items: Items,
    lanes: Lanes,
    start: np.ndarray,
    drift: np.ndarray,
    distance: np.ndarray,
    tolerance: float = 1e-14,
) -> tuple[Lanes, np.ndarray]:
    """(lanes, x): complex x of every mode, in the order of ``start``, and where its shots meet.

    NaN for a mode that there is only without the loss, see `_gone`.

    ``start`` is x of the lossless guide, ``drift`` its derivative with the share of the loss,
    ``distance`` that to its neighbour and ``tolerance`` the error of x in shares of it.
    """
    # Twins in ducts of their own do not come near each other: a floor keeps their distance.
    spacing = np.maximum(distance, _CLOSEST * mean_distance(items, lanes, start.real))
    part = np.abs(drift) / spacing
    part = np.where(part < _SHIFT_LIMIT, 1.0, _SHIFT_LIMIT / np.maximum(part, _SHIFT_LIMIT))
    x, good = follow_of(items, lanes, start, drift, spacing, part, 1.0, _LIMITS[0], tolerance)
    good &= _plausible(items, lanes, x, start, spacing)
    x[~good] = (start + drift)[~good]
    hard = ~good | _duplicates(lanes, x, start, spacing)
    for longest, limit in zip(_LONGEST, _LIMITS[1:], strict=True):
        if not hard.any():
            break
        h = np.flatnonzero(hard)
        again, found = follow_of(
            items, lanes[h], start[h], drift[h], spacing[h], part[h], longest, limit, tolerance
        )
        found &= _plausible(items, lanes[h], again, start[h], spacing[h])
        x[h[found]], good[h[found]] = again[found], True
        hard = ~good | _duplicates(lanes, x, start, spacing)
    lost = np.zeros(x.size, bool)
    for lane in np.flatnonzero(hard).tolist():
        if not good[lane] or _duplicates(lanes, x, start, spacing)[lane]:
            root = _deflated(items, lanes, x, lane, start, drift, spacing[lane])
            lost[lane] = root is None
            x[lane] = x[lane] if root is None else root
    x[_gone(items, lanes, x, lost, spacing)] = np.nan
    moved = np.flatnonzero((np.abs(drift) > _SHIFT_LIMIT * spacing) & np.isfinite(x))
    node = lanes.node.copy()
    node[moved] = _sheltered(items, lanes[moved], x[moved], spacing[moved])
    moved = np.flatnonzero(node != lanes.node)
    lanes = Lanes(lanes.item, node)
    x[moved], _ = newton(items, lanes[moved], x[moved], spacing[moved], tolerance)
    return lanes, x


def newton(
    items: Items, lanes: Lanes, x: np.ndarray, spacing: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """(x, converged): roots of W nearest to ``x``, but for ``tolerance`` of ``spacing``.

    Each move squares the error in some unit, first taken for ``spacing``, then told by two moves: a
    root is done when the next move would be below ``tolerance``.
    """
    still, whole = np.zeros_like(x), np.ones(x.size)
    return follow_of(items, lanes, x, still, spacing, whole, 1.0, np.inf, tolerance)


def _plausible(
    items: Items, lanes: Lanes, x: np.ndarray, start: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """(lane,) whether the loss can have moved a root so far sideways.

    dx/d(loss) is the mean of i Im k²(z) over the mode, weighed by φ²/ρ: as complex as φ, but of the
    size of the largest Im k². What went further has jumped from path to path.
    """
    largest = np.maximum.reduceat(items.steps[:, Q0I], items.first[:-1])
    largest = np.maximum(largest, items.q_bottom.imag)[lanes.item]
    return np.abs(x.real - start.real) < largest + _ASIDE * spacing


def _deflated(
    items: Items,
    lanes: Lanes,
    x: np.ndarray,
    lane: int,
    start: np.ndarray,
    drift: np.ndarray,
    spacing: float,
) -> complex | None:
    """A root of W that no other lane of the item has: Newton's method on W / Π (x - others).

    Two paths that all but meet (an exceptional point close to real attenuations) may end in one
    root, however short the steps; the other one lies near. Or near where another path began, if
    that one has the root that was near. None where it finds none.
    """
    here = np.flatnonzero((lanes.item == lanes.item[lane]) & (np.arange(x.size) != lane))
    others = x[here]
    # A mode of a lossy layer among those of the water: it may be far up.
    ladder = 1j * np.append(
        2.0 ** np.arange(-1, 6) * spacing, np.linspace(0.5, 3, 21) * drift[lane].imag
    )
    elsewhere = here[np.argsort(np.abs(start[here] - start[lane]))]
    aside = spacing * np.array([0.5, -0.5, 1.0, -1.0])
    trials = np.concatenate(
        [
            [start[lane] + drift[lane]],
            x[lane] + ladder,
            start[lane] + ladder,
            (start[lane] + aside[:, None] + ladder).ravel(),
            (start + drift)[elsewhere],
        ]
    )
    item = lanes.item[lane]
    lossy = np.argmax(items.steps[items.first[item] : items.first[item + 1], Q0I])
    trials = np.repeat(trials, 2)
    node = np.tile([lanes.node[lane], lossy], trials.size // 2)
    # A mode that is nearer to cut-off than the loss moves it passes it: no other has its root.
    above = start[lane].real - items.x_min[item]
    passes = above < max(abs(drift[lane]), items.q_bottom[item].imag)
    beyond: list[complex] = []  # roots that are faster than any member without the loss
    ends = 2 * np.array([0, 1, 1 + 2 * ladder.size, 1 + 6 * ladder.size, trials.size // 2])
    for part in map(slice, ends[:-1], ends[1:]):
        found, good = _apart(items, item, node[part], trials[part], others, spacing)
        good &= found.imag > -1e-6 * spacing
        members = found[good & (found.real > items.x_min[item])]
        if members.size:
            return complex(members[0])
        beyond.extend(found[good].tolist())
        if beyond and passes:
            break
    return beyond[0] if beyond else None


def _gone(
    items: Items, lanes: Lanes, x: np.ndarray, lost: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """(lane,) which of the ``lost`` have no root: the argument principle counts those there are.

    A resonance of gas loses so much that it passes Re x = Re k² of the half-space, beyond which
    modes leak. Where leaking moves it back, it is on neither sheet.
    """
    gone = lost.copy()
    for item in np.unique(lanes.item[lost]):
        of_item = np.array([item])
        limits = items.x_min[of_item], items.x_max[of_item]
        inside = (lanes.item == item) & (x.real > limits[0]) & (x.real < limits[1]) & ~lost
        region = items.sheets(of_item, items.kind[of_item], *limits)
        below = 0.5 * spacing[inside].min(initial=limits[1][0], keepdims=True)
        held = zeros_within(region, inside.sum(keepdims=True), below)[0, 0].real
        gone[lanes.item == item] &= held <= inside.sum()
        if held > inside.sum():
            warnings.warn(
                f"normal modes: {held - inside.sum():.0f} of {held:.0f} modes with Re k² between "
                f"{limits[0][0]:g} and {limits[1][0]:g} rad²/m² were not found",
                RuntimeWarning,
                stacklevel=2,
            )
    return gone


def _apart(
    items: Items,
    item: int,
    node: np.ndarray,
    trial: np.ndarray,
    others: np.ndarray,
    spacing: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(x, found): roots of W / Π (x - others) near each trial, and whether they are new ones."""
    at, last = trial.astype(complex), np.full(trial.size, np.inf)
    active = np.argsort(node, kind="stable")
    for _ in range(2 * NEWTON_LIMIT):
        here = at[active]
        of_item = Lanes(np.full(active.size, item), node[active])
        value, change = wronskian_of(items, of_item, here, np.ones(active.size))
        # A trial far from any root may overflow or meet another root, which ends it.
        with np.errstate(all="ignore"):
            pull = (1.0 / (here[:, None] - others)).sum(axis=1)
            move = np.where(value == 0, 0.0, 1.0 / (change / value - pull))
        move[(here[:, None] == others).any(axis=1)] = np.nan
        at[active], last[active] = here - move, np.abs(move)
        active = active[last[active] > _DEFLATED * spacing]
        if active.size == 0:
            break
    nearest = np.abs(at[:, None] - others).min(axis=1, initial=np.inf)
    return at, (last <= _DEFLATED * spacing) & (nearest > 1e-6 * spacing)


def _duplicates(lanes: Lanes, x: np.ndarray, start: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Marks roots that coincide with another of their item though they started apart."""
    order = np.arange(x.size)[ranked(lanes.item, x.real)]
    return _coinciding(order, lanes.item, x, start, spacing)


@kernel
def _coinciding(order: Any, item: Any, x: Any, start: Any, spacing: Any) -> Any:
    """(lane,) whether one of the next three in ``order`` is the same root."""
    marked = np.zeros(x.size, np.bool_)
    for i in range(x.size):
        a = order[i]
        for b in order[i + 1 : i + 4]:
            apart = _SAME * min(spacing[a], spacing[b])
            if item[a] == item[b] and abs(x[a] - x[b]) < apart < abs(start[a] - start[b]):
                marked[a] = marked[b] = True
    return marked


def _sheltered(items: Items, lanes: Lanes, x: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """(lane,) match nodes where the modes are strong.

    A mode of a lossy layer decays in the water, though it oscillates there, and its shape would be
    lost at the axis of the duct; one of two ducts may have become one of the other. The node moves
    to the step of least decay where that is more than a few nepers away, or to the axis of another
    duct, if the mode is stronger there: |∂W/∂x|, |∫ φ²/ρ dz| of a mode of size 1 at the node, is
    least where it is. Shots that meet where it has died may not reach it: x is no root there.
    """
    node = lanes.node.copy()
    offset, axes, _ = find_ducts(items.steps, items.first)
    ducts = np.diff(offset)[lanes.item]
    tried = [_least_decay(x, lanes.item, node, items.steps, items.first, _FAR)]
    for turn in range(ducts.max(initial=1) if axes.size > len(items) else 0):
        has = (ducts > turn) & (ducts > 1)
        tried.append(np.where(has, axes[offset[lanes.item] + np.where(has, turn, 0)], node))
    for trial in tried:
        far = np.flatnonzero(trial != node)
        item, whole = lanes.item[far], np.ones(far.size)
        _, slope = wronskian_of(items, Lanes(item, node[far]), x[far], whole)
        value, change = wronskian_of(items, Lanes(item, trial[far]), x[far], whole)
        better = np.abs(change) * math.exp(_FAR) < np.abs(slope)
        better &= np.abs(value) < _SAME * spacing[far] * np.abs(change)
        node[far] = np.where(better, trial[far], node[far])
    return node


@kernel
def _least_decay(x: Any, item: Any, node: Any, steps: Any, first: Any, far: float) -> Any:
    """(lane,) nodes; decay is Re √(x - q₀) over a step."""
    result = node.copy()
    for lane in range(x.size):
        start, stop = first[item[lane]], first[item[lane] + 1]
        least, best, rate = np.inf, start + node[lane], np.empty(stop - start)
        for j in range(start, stop):
            gamma = cmath.sqrt(x[lane] - complex(steps[j, Q0R], steps[j, Q0I])).real
            rate[j - start] = gamma * math.sqrt(steps[j, H2])
            if steps[j, Q0R] > x[lane].real and gamma < least:
                least, best = gamma, j
        best -= start
        low, high = min(best, node[lane]), max(best, node[lane])
        if rate[low:high].sum() > far:
            result[lane] = best
    return result
