"""Modes that the bottom traps, complex where the guide is lossy."""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.complex_modes import complex_modes
from forward_models.normal_modes.cut_off import above_cut_off, from_cut_off, within_cut_off
from forward_models.normal_modes.items import Items, Lanes, lossless_of, ranked
from forward_models.normal_modes.real_modes import choose_nodes, neighbour_distance, real_modes
from forward_models.normal_modes.steps import HALF_SPACE, PERTURBED_HALF_SPACE

# The last move of real Newton steps, whose error is about its square, in shares of the distance to
# the neighbouring root: of roots that go on into the loss or to one more step, and of all others.
NEARLY, POLISHED = 3e-5, 3e-8
_LEFT = 1e-11  # the error of complex ones, in the same shares
POLISHING = 6  # Newton steps at most; one or two do but where roots all but coincide
_ROUNDING = 4e-16  # of x


def trapped_modes(
    items: Items, counts: np.ndarray, *, exact: bool
) -> tuple[Lanes, np.ndarray, np.ndarray]:
    """(lanes, x, distance): ``counts`` modes of each item, with the loss if ``exact``.

    Fewer where the loss leaves a mode on no sheet.

    A complex x is left with an error of 1e-11 of ``distance``, that of the root from its neighbour
    without the loss, which is little for mode functions; one more Newton step makes it exact.
    Where there is nothing left to do ``distance`` is 0.
    """
    lanes, real_x = real_modes(items, counts)
    lanes = choose_nodes(items, lanes, real_x)
    order = ranked(lanes.item, real_x, lanes.node)
    lanes, x = lanes[order], real_x[order]
    # A lone root's is at most that between the limits of all.
    distance = np.minimum(neighbour_distance(lanes, x), (items.x_max - items.x_min)[lanes.item])
    x = _above_cut_off(items, lanes, x)
    drift = np.empty(x.size, np.complex128)
    lossy = items.lossy()[lanes.item]
    enough = np.where(lossy | (not exact), NEARLY, POLISHED) * distance
    left = np.arange(x.size)
    for _ in range(POLISHING):
        move, drift[left], _ = newton_step(
            items, lanes[left], x[left], distance[left], with_loss=exact
        )
        x[left] += move
        within = _within_cut_off(items, lanes[left], x[left], enough[left])
        left = left[np.abs(move) > within + _ROUNDING * x[left]]
        if left.size == 0:
            break
    x = x + 0j
    if exact:
        solved, x[lossy] = complex_modes(
            items, lanes[lossy], x[lossy], drift[lossy], distance[lossy], _LEFT
        )
        lanes.node[lossy] = solved.node
        distance[~lossy] = 0.0  # polished; at cut-off a step in x might end on the branch point
        there = np.isfinite(x)
        if not there.all():
            lanes, x, distance = lanes[there], x[there], distance[there]
    return lanes, x, distance


def newton_step(
    items: Items,
    lanes: Lanes,
    x: np.ndarray,
    distance: np.ndarray,
    depth: np.ndarray | None = None,
    *,
    with_loss: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(move, drift, φ) at real x of the lossless guide: Newton's move, dx/d(loss), mode functions.

    Roots nearer to each other than their moves stay: where two all but coincide, the phase knew
    them better. ``distance`` is that to the neighbouring root; φ is (lane, D) at (items, D) m.
    """
    value, slope, change, phi = lossless_of(items, lanes, x, depth, with_loss=with_loss)
    near = np.abs(value) < 0.1 * distance * np.abs(slope)
    move = np.where(near, _from_cut_off(items, lanes, x, -value / slope), 0.0)
    return move, -1j * change / slope, phi


def _from_cut_off(items: Items, lanes: Lanes, x: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Newton's ``move`` in x, from a branch point in γ."""
    branch = _has_branch_point(items)
    if not branch.any():
        return move
    q = items.q_bottom.real[lanes.item]
    return np.where(branch[lanes.item], from_cut_off(x, q, move), move)


def _within_cut_off(items: Items, lanes: Lanes, x: np.ndarray, enough: np.ndarray) -> np.ndarray:
    """``enough``, less next to a branch point."""
    branch = _has_branch_point(items)
    if not branch.any():
        return enough
    q = items.q_bottom.real[lanes.item]
    return np.where(branch[lanes.item], within_cut_off(x, q, enough), enough)


def _above_cut_off(items: Items, lanes: Lanes, x: np.ndarray) -> np.ndarray:
    """``x``, above the branch point where there is one."""
    q = items.q_bottom.real[lanes.item]
    below = _has_branch_point(items)[lanes.item] & (x <= q)
    return np.where(below, above_cut_off(x, q), x)


def _has_branch_point(items: Items) -> np.ndarray:
    """(items,) whether W of the real guide has one at cut-off."""
    lossless = (items.kind == PERTURBED_HALF_SPACE) & (items.q_bottom.imag == 0.0)
    return (items.kind == HALF_SPACE) | lossless
