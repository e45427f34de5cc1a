"""Modes over a half-space that carries energy away: leaky modes, and all modes of an elastic one.

There is no real problem here whose roots could be counted. The vertical wavenumbers of the waves in
the half-space divide the plane of x = k² into strips: right of Re k² of a wave the wave decays
downwards, left of it it leaks (see ``half_space_decay``). On each strip W is analytic, and the
argument principle counts its zeros (``contour``). Roots come from the modes of the same guide over
a rigid bottom, by Newton's method; those that it misses, told by the count, from a grid of starts
with the known roots divided out. The interface wave of an elastic half-space (Scholte wave), slower
than all else, is bracketed on the real axis and followed into the loss (``interface_waves``).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from forward_models.normal_modes.complex_modes import newton, sheltered
from forward_models.normal_modes.contour import count_zeros
from forward_models.normal_modes.interface_waves import interface_waves
from forward_models.normal_modes.items import Items, Lanes, wronskian_of
from forward_models.normal_modes.real_modes import count_modes, neighbour_distance
from forward_models.normal_modes.steps import (
    DECAYING,
    DECAYING_DECAYING,
    DECAYING_LEAKING,
    ELASTIC,
    LEAKING,
    LEAKING_LEAKING,
    RIGID,
)
from forward_models.normal_modes.trapped_modes import trapped_modes

# The strips reach this far beyond the largest k² of the stack, where only an interface wave lives.
_BEYOND = 1.02
# In shares of the mean distance of roots: two nearer than this are one; the last move of Newton's
# method, whose error is about its square.
_SAME, _EXACT = 1e-6, 3e-6
_ROUNDS = 4  # of ever denser starts
_NEWTON_LIMIT = 40


@dataclass(frozen=True)
class _Strips:
    """Strips of the open items by increasing x: ``sheet`` has an item for each.

    ``item`` (strips,) is the item that a strip belongs to, ``first`` (items + 1,) its bounds,
    ``spacing`` (strips,) the mean distance of roots.
    """

    sheet: Items
    item: np.ndarray
    first: np.ndarray
    spacing: np.ndarray

    def of(self, item: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(lane,) the strip that holds Re x, or -1."""
        strip = np.full(item.size, -1)
        for number in range(3):
            candidate = self.first[item] + number
            exists = np.flatnonzero(candidate < self.first[item + 1])
            there = candidate[exists]
            inside = (x.real[exists] > self.sheet.x_min[there]) & (
                x.real[exists] < self.sheet.x_max[there]
            )
            strip[exists[inside]] = there[inside]
        return strip


def open_modes(items: Items) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) of every mode of the open items of a chunk, in any order.

    Members are the roots with Re x above x_min and 0 ≤ Im x < Re x, each on the sheet of its strip.
    Warns where fewer are found than there are.
    """
    companion = replace(items, kind=np.where(_radiates(items), RIGID, items.kind))
    counts = np.where(items.open, count_modes(companion), 0)
    strips = _strips(items, counts)
    lanes, start, _ = trapped_modes(companion, counts, exact=True)
    wave, at = interface_waves(items)
    strip = np.append(strips.of(lanes.item, start), strips.of(wave.item, at))
    beyond = strip[start.size :] < 0
    node, start = np.append(lanes.node, wave.node), np.append(start, at)
    order = np.lexsort((-start.real, node, strip))
    order = order[strip[order] >= 0]
    expected = np.bincount(strip[order], minlength=len(strips.sheet))
    on, x = _roots(strips, Lanes(strip[order], node[order]), start[order])
    on, x = _completed(strips, on, x, expected)
    return (
        Lanes(
            np.append(strips.item[on.item], wave.item[beyond]),
            np.append(on.node, wave.node[beyond]),
        ),
        np.append(x, at[beyond]),
    )


def _radiates(items: Items) -> np.ndarray:
    """(items,) whether some mode above x_min leaks into the half-space, or might."""
    return (items.kind == ELASTIC) | (items.open & (items.q_bottom.real > items.x_min))


def _strips(items: Items, counts: np.ndarray) -> _Strips:
    owner, low, high, kind = [], [], [], []
    for i in np.flatnonzero(items.open & (items.x_max > items.x_min)).tolist():
        elastic = items.kind[i] == ELASTIC
        p, s = items.q_bottom[i].real, items.q_shear[i].real
        x_min, x_max = items.x_min[i], _BEYOND * items.x_max[i]
        cuts = [q for q in ((p, s) if elastic else (p,)) if x_min < q < x_max]
        for a, b in zip([x_min, *cuts], [*cuts, x_max], strict=True):
            owner.append(i)
            low.append(a)
            high.append(b)
            if elastic:
                both = DECAYING_DECAYING if a >= s else DECAYING_LEAKING
                kind.append(both if a >= p else LEAKING_LEAKING)
            else:
                kind.append(DECAYING if a >= p else LEAKING)
    item = np.array(owner, np.int64)
    sheet = items.sheets(item, np.array(kind, np.int64), np.array(low), np.array(high))
    first = np.searchsorted(item, np.arange(len(items) + 1))
    spacing = (_BEYOND * items.x_max - items.x_min) / (counts + 1)
    return _Strips(sheet, item, first, spacing[item])


def _roots(strips: _Strips, on: Lanes, start: np.ndarray) -> tuple[Lanes, np.ndarray]:
    """(lanes, x): the members that Newton's method reaches from ``start``, each once."""
    spacing = strips.spacing[on.item]
    apart = np.minimum(neighbour_distance(on, start.real), spacing)
    tolerance = _EXACT * np.maximum(apart, 1e-4 * spacing)
    x, good = newton(strips.sheet, on, start, np.ones(start.size), tolerance)
    good &= _member(strips.sheet, on.item, x)
    on, x, start = on[good], x[good], start[good]
    # Twins in ducts of their own started together; others that end together are one.
    order = np.lexsort((x.real, on.item))
    drop = np.zeros(x.size, bool)
    for apart_by in (1, 2, 3):
        a, b = order[apart_by:], order[:-apart_by]
        near = _SAME * strips.spacing[on.item[a]]
        same = (on.item[a] == on.item[b]) & (np.abs(x[a] - x[b]) < near)
        drop[a[same & (np.abs(start[a] - start[b]) > near)]] = True
    return on[~drop], x[~drop]


def _member(sheet: Items, strip: np.ndarray, x: np.ndarray) -> np.ndarray:
    inside = (x.real > sheet.x_min[strip]) & (x.real < sheet.x_max[strip])
    return inside & (x.imag < x.real) & (x.imag > -1e-9 * x.real)


def _completed(
    strips: _Strips, on: Lanes, x: np.ndarray, expected: np.ndarray
) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) with the roots that the count of a strip shows to be missing."""
    total = count_zeros(strips.sheet, expected, 0.5 * strips.spacing)
    found = np.bincount(on.item, minlength=total.size)
    strip, node, roots = [on.item], [on.node], [x]
    for s in np.flatnonzero(found < total).tolist():
        more, more_x = _search(strips, s, x[on.item == s], int(total[s]))
        strip.append(more.item)
        node.append(more.node)
        roots.append(more_x)
        if found[s] + more_x.size < total[s]:
            warnings.warn(
                f"normal modes: {total[s] - found[s] - more_x.size} of {total[s]} leaky modes with "
                f"k² between {strips.sheet.x_min[s]:g} and {strips.sheet.x_max[s]:g} not found",
                RuntimeWarning,
                stacklevel=2,
            )
    return Lanes(np.concatenate(strip), np.concatenate(node)), np.concatenate(roots)


def _search(strips: _Strips, strip: int, known: np.ndarray, total: int) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) of the roots of a strip beside the known ones."""
    sheet, spacing = strips.sheet, strips.spacing[strip]
    low, high = sheet.x_min[strip], sheet.x_max[strip]
    bottom = sheet.first[strip + 1] - sheet.first[strip]
    roots, nodes = known, np.empty(0, np.int64)
    for turn in range(_ROUNDS):
        along = (np.arange(2 ** (turn + 1) * total) + 0.5) / (2 ** (turn + 1) * total)
        up = np.array([0.05, 0.3, 1.0, 3.0])[:, None] * spacing
        grid = (high - (high - low) * along**2 + 1j * np.minimum(up, 0.9 * high)).ravel()
        for node in (sheet.axis[strip], bottom):
            lanes = Lanes(np.full(grid.size, strip), np.full(grid.size, node))
            at, good = _deflated_newton(sheet, lanes, grid, roots, _EXACT * spacing)
            for new in at[good & _member(sheet, lanes.item, at)]:
                if np.abs(new - roots).min(initial=np.inf) > _SAME * spacing:
                    roots, nodes = np.append(roots, new), np.append(nodes, node)
            if roots.size >= total:
                break
        if roots.size >= total:
            break
    x = roots[known.size :]
    lanes = Lanes(np.full(x.size, strip), nodes)
    in_stack = lanes.node < bottom
    lanes.node[in_stack] = sheltered(sheet, lanes[in_stack], x[in_stack])
    order = np.lexsort((-x.real, lanes.node))
    lanes, x = lanes[order], x[order]
    x, _ = newton(sheet, lanes, x, np.ones(x.size), np.full(x.size, _EXACT * spacing))
    return lanes, x


def _deflated_newton(
    sheet: Items, lanes: Lanes, x: np.ndarray, roots: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """(x, converged): Newton's method on W / Π (x - roots)."""
    x = x.copy()
    converged = np.zeros(x.size, bool)
    active = np.arange(x.size)
    for _ in range(_NEWTON_LIMIT):
        value, slope = wronskian_of(sheet, lanes[active], x[active], np.ones(active.size))
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.sum(1.0 / (x[active, None] - roots), axis=1)
            move = 1.0 / (slope / value - pull)
        x[active] -= move
        converged[active] = np.abs(move) < tolerance
        active = active[~(np.abs(move) < tolerance) & np.isfinite(move)]
        active = active[np.abs(x[active]) < 10.0 * sheet.x_max[lanes.item[active]]]
        if active.size == 0:
            break
    return x, converged
