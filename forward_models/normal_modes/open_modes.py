"""Modes over a half-space that carries energy away: leaky modes, and all modes of an elastic one.

There is no real problem here whose roots could be counted. The vertical wavenumbers of the waves in
the half-space divide the plane of x = k² into strips: right of Re k² of a wave the wave decays
downwards, left of it it leaks (see ``half_space_decay``). On each strip W is analytic, and the
argument principle counts its zeros (``contour``). Those right of a fluid half-space are the trapped
modes. Other roots come from the modes of the same guide over a rigid bottom, by Newton's method;
those that it misses, told by the count, from sums of roots with the known ones divided out. The
interface wave of an elastic half-space (Scholte wave), slower than all else, is bracketed on the
real axis and followed into the loss (``interface_waves``).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from forward_models.normal_modes.complex_modes import newton
from forward_models.normal_modes.contour import zeros_within
from forward_models.normal_modes.interface_waves import interface_waves
from forward_models.normal_modes.items import Items, Lanes, wronskian_of
from forward_models.normal_modes.real_modes import count_modes, neighbour_distance
from forward_models.normal_modes.steps import (
    DECAYING,
    DECAYING_DECAYING,
    DECAYING_LEAKING,
    ELASTIC,
    HALF_SPACE,
    LEAKING,
    LEAKING_LEAKING,
    RIGID,
)
from forward_models.normal_modes.trapped_modes import trapped_modes

# The strips reach this far beyond the largest k² of the stack, where only an interface wave lives.
_BEYOND = 1.02
# In shares of the mean distance of roots: two nearer than this are one; the last move of deflated
# Newton steps, whose error is about its square. Near a branch point the shares are of what is left
# to that.
_SAME, _EXACT = 1e-6, 3e-6
_NEAREST = 1e-9  # in shares of x: nearer to a branch point rounding is all that is left
_TO_BRANCH = 4.0  # moves in shares of the distance to a branch point, up to which steps are of γ
_LEFT = 1e-14  # error of Newton's method, in shares of the distance of roots
_ROUNDS = 12
_NEWTON_LIMIT = 40
_STRONGER = 0.01  # share of ∂W/∂x from which on a mode is better matched at the bottom


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
    alike, start = Lanes(strip[order], node[order]), start[order]
    held, known = _trapped(items, strips)
    rest = strips.sheet.kind[alike.item] != DECAYING
    on, x = _roots(strips, alike[rest], start[rest])
    on, x = Lanes(np.append(held.item, on.item), np.append(held.node, on.node)), np.append(known, x)
    on, x = _completed(strips, on, x, alike.item, start.real)
    new = ~np.isin(x, known)
    on, x = _at_best_nodes(strips, on[new], x[new])
    return (
        Lanes(
            np.concatenate([strips.item[held.item], strips.item[on.item], wave.item[beyond]]),
            np.concatenate([held.node, on.node, wave.node[beyond]]),
        ),
        np.concatenate([known, x, at[beyond]]),
    )


def _trapped(items: Items, strips: _Strips) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) of the roots that decay into a fluid half-space: the modes that do not leak."""
    fluid = items.open & (items.kind == HALF_SPACE)
    x_min = np.where(fluid, np.maximum(items.x_min, items.q_bottom.real), items.x_min)
    above = replace(items, x_min=x_min)
    counts = np.where(fluid, count_modes(above.perturbed()), 0)
    lanes, x, _ = trapped_modes(above, counts, exact=True)
    strip = strips.of(lanes.item, x)
    # The loss may have moved one past cut-off, where there is another sheet.
    good = (strip >= 0) & (strips.sheet.kind[strip] == DECAYING)
    return Lanes(strip[good], lanes.node[good]), x[good]


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
    apart = np.maximum(apart, 1e-4 * spacing)
    x, good = newton(strips.sheet, on, start, apart, _LEFT)
    good &= _member(strips.sheet, on.item, x)
    on, x, start = on[good], x[good], start[good]
    good = _confirmed(strips, on, x)
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


def _confirmed(strips: _Strips, on: Lanes, x: np.ndarray) -> np.ndarray:
    """(lane,) whether W has a root there, at the node or at the bottom: moves may shrink elsewhere.

    One of them may have lost the mode in rounding, see ``_at_best_nodes``.
    """
    _, away = _strength(strips.sheet, on, x)
    _, away_at_bottom = _strength(strips.sheet, _bottom_lanes(strips, on), x)
    return np.fmin(away, away_at_bottom) < _SAME * strips.spacing[on.item]


def _bottom_lanes(strips: _Strips, on: Lanes) -> Lanes:
    return Lanes(on.item, np.diff(strips.sheet.first)[on.item])


def _member(sheet: Items, strip: np.ndarray, x: np.ndarray) -> np.ndarray:
    inside = (x.real > sheet.x_min[strip]) & (x.real < sheet.x_max[strip])
    return inside & (x.imag < x.real) & (x.imag > -1e-9 * x.real)


def _completed(
    strips: _Strips, on: Lanes, x: np.ndarray, alike: np.ndarray, about: np.ndarray
) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) with the roots that the count shows to be missing.

    A region of which few are missing tells them by its sums of roots; the others, and those whose
    roots were not reached from there, are cut in two. Where roots are ``about``, in the strips
    ``alike``, tells where to cut: they may crowd in a small part of a strip.
    """
    strip = np.arange(strips.item.size)
    expected = np.bincount(alike, minlength=strip.size)
    low, high = strips.sheet.x_min, strips.sheet.x_max
    for turn in range(_ROUNDS):
        region = strips.sheet.sheets(strip, strips.sheet.kind[strip], low, high)
        sums = zeros_within(region, expected, 0.5 * strips.spacing[strip])
        if turn == 0:
            total = sums[:, 0].real.astype(np.int64)
        known = [
            x[(on.item == s) & (x.real > a) & (x.real < b)]
            for s, a, b in zip(strip, low, high, strict=True)
        ]
        missing = sums[:, 0].real.astype(np.int64) - [roots.size for roots in known]
        few = np.flatnonzero((missing > 0) & (missing < sums.shape[1])).tolist()
        starts = [_from_sums(region, r, sums[r], known[r]) for r in few]
        start = np.concatenate([*starts, np.empty(0, np.complex128)])
        at = np.repeat(strip[few], [found.size for found in starts])
        for node in (strips.sheet.axis[at], np.diff(strips.sheet.first)[at]) if few else ():
            on, x = _with_more(strips, on, x, Lanes(at, node), start)
        lacking = total - np.bincount(on.item, minlength=total.size)
        again = np.flatnonzero((missing > 0) & (lacking[strip] > 0))
        if again.size == 0:
            return on, x
        cut = np.array(
            [
                _cut(np.append(known[r].real, about[alike == strip[r]]), low[r], high[r])
                for r in again.tolist()
            ]
        )
        expected = np.repeat([known[r].size // 2 for r in again.tolist()], 2)
        strip = np.repeat(strip[again], 2)
        low = np.stack([low[again], cut], axis=1).reshape(-1)
        high = np.stack([cut, high[again]], axis=1).reshape(-1)
    for s in np.flatnonzero(lacking > 0).tolist():
        warnings.warn(
            f"normal modes: {lacking[s]} of {total[s]} modes with Re k² between "
            f"{strips.sheet.x_min[s]:g} and {strips.sheet.x_max[s]:g} rad²/m² were not found",
            RuntimeWarning,
            stacklevel=2,
        )
    return on, x


def _cut(about: np.ndarray, low: float, high: float) -> float:
    """Where to cut a region: in the widest gap of the middle half of what roots are about."""
    inside = about[(about > low) & (about < high)]
    ends = np.sort(np.concatenate([[low], inside, [high]]))
    gaps = np.diff(ends)
    first = gaps.size // 4
    widest = first + int(np.argmax(gaps[first : gaps.size - first]))
    return float(0.5 * (ends[widest] + ends[widest + 1]))


def _from_sums(sheet: Items, region: int, sums: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The missing roots of a region from sums of powers of all of them (Newton's identities)."""
    middle = 0.5 * (sheet.x_min[region] + sheet.x_max[region])
    half = 0.5 * (sheet.x_max[region] - sheet.x_min[region])
    u = (known - middle) / half
    power = sums - np.sum(u[:, None] ** np.arange(sums.size), axis=0)
    count = round(power[0].real)
    elementary = [1.0 + 0j]
    for n in range(1, count + 1):
        terms = [(-1) ** (i - 1) * elementary[n - i] * power[i] for i in range(1, n + 1)]
        elementary.append(sum(terms) / n)
    signs = (-1.0) ** np.arange(count + 1)
    return middle + half * np.roots(signs * np.array(elementary))


def _with_more(
    strips: _Strips, on: Lanes, x: np.ndarray, lanes: Lanes, start: np.ndarray
) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) with the members that Newton's method reaches from ``start`` beside those."""
    sheet = strips.sheet
    order = np.lexsort((-start.real, lanes.node, lanes.item))
    lanes = lanes[order]
    at, good = _deflated_newton(strips, lanes, start[order], on, x)
    good &= _member(sheet, lanes.item, at)
    lanes, at = lanes[good], at[good]
    good = _confirmed(strips, lanes, at)
    lanes, at = lanes[good], at[good]
    if at.size == 0:
        return on, x
    # Of roots that are one, keep those known before, or the first.
    strip, node = np.append(on.item, lanes.item), np.append(on.node, lanes.node)
    x, new = np.append(x, at), np.arange(x.size + at.size) >= x.size
    order = np.lexsort((x.real, strip))
    apart = np.abs(np.diff(x[order])) > _SAME * strips.spacing[strip[order]][1:]
    cluster = np.cumsum(np.append(True, apart | (np.diff(strip[order]) != 0)))
    order = order[np.lexsort((new[order], cluster))]
    cluster = np.sort(cluster)
    keep = order[~new[order] | np.append(True, np.diff(cluster) != 0)]
    return Lanes(strip[keep], node[keep]), x[keep]


def _at_best_nodes(strips: _Strips, on: Lanes, x: np.ndarray) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) with shots that meet where the mode is strong: where it was, or at the bottom.

    ∂W/∂x of unit states is the norm of the mode over its squared amplitude at the node. Where the
    mode is lost in what the shot from the other side has of rounding, x is no root there, and what
    ∂W/∂x says of its strength means nothing.
    """
    sheet = strips.sheet
    bottom = _bottom_lanes(strips, on)
    here, away = _strength(sheet, on, x)
    at_bottom, away_at_bottom = _strength(sheet, bottom, x)
    near = _SAME * strips.spacing[on.item]
    lost = (away > near) & (away_at_bottom < away)
    better = (at_bottom < _STRONGER * here) & (away_at_bottom <= near) | lost
    lanes = Lanes(on.item, np.where(better, bottom.node, on.node))
    order = np.lexsort((-x.real, lanes.node, lanes.item))
    lanes, x = lanes[order], x[order]
    moved = np.flatnonzero(lanes.node == np.diff(sheet.first)[lanes.item])
    spacing = strips.spacing[lanes.item[moved]]
    x[moved], _ = newton(sheet, lanes[moved], x[moved], spacing, _LEFT)
    return lanes, x


def _strength(sheet: Items, lanes: Lanes, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(|∂W/∂x|, distance to the root by Newton's method) at the nodes of ``lanes``."""
    order = np.lexsort((-x.real, lanes.node, lanes.item))
    value, slope = np.empty(x.size, np.complex128), np.empty(x.size, np.complex128)
    value[order], slope[order] = wronskian_of(sheet, lanes[order], x[order], np.ones(x.size))
    with np.errstate(divide="ignore", invalid="ignore"):  # a shot may see nothing of the mode
        return np.abs(slope), np.abs(value / slope)


def _deflated_newton(
    strips: _Strips, lanes: Lanes, x: np.ndarray, on: Lanes, roots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(x, converged): Newton's method on W / Π (x - roots of the same strip)."""
    x = x.copy()
    sheet, strip = strips.sheet, lanes.item
    converged = np.zeros(x.size, bool)
    active = np.arange(x.size)
    order = np.argsort(on.item, kind="stable")
    counts = np.bincount(on.item, minlength=strips.item.size)
    table = np.full((strips.item.size, counts.max(initial=0)), 1e30 + 0j)  # far: no pull
    table[np.arange(table.shape[1]) < counts[:, None]] = roots[order]
    for _ in range(_NEWTON_LIMIT):
        if active.size == 0:
            break
        value, slope = wronskian_of(strips.sheet, lanes[active], x[active], np.ones(active.size))
        with np.errstate(divide="ignore", invalid="ignore"):
            pull = np.sum(1.0 / (x[active, None] - table[lanes.item[active]]), axis=1)
            move = 1.0 / (slope / value - pull)
            move = _in_gamma(x[active] - sheet.q_bottom[strip[active]], move)
            move = _in_gamma(x[active] - sheet.q_shear[strip[active]], move)
        x[active] -= move
        branch = np.minimum(
            np.abs(x[active] - sheet.q_bottom[strip[active]]),
            np.abs(x[active] - sheet.q_shear[strip[active]]),
        )
        scale = np.minimum(branch, strips.spacing[strip[active]])
        converged[active] = np.abs(move) < _EXACT * np.maximum(scale, _NEAREST * np.abs(x[active]))
        going = ~converged[active] & (
            np.abs(x[active]) < 10.0 * strips.sheet.x_max[lanes.item[active]]
        )
        active = active[going]
    return x, converged


def _in_gamma(gamma2: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Newton's ``move`` in x as one in γ, of either sign, where it comes near γ = 0.

    The step of γ is move / 2γ, and x = q + γ²: near the branch point W is smooth in γ alone.
    """
    near = np.abs(move) < _TO_BRANCH * np.abs(gamma2)
    return np.where(near, move - move**2 / (4.0 * gamma2), move)
