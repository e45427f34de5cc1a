"""Roots of the Wronskian followed from the lossless guide to full attenuation, eight at a time.

Eight lanes of any items fill the vectors of the processor: each takes the steps of its own guide,
told once where they share it, and where one has come to its end the next in the queue takes its
place, so that none waits for another. What a lane does is Newton's method at a share of the loss,
along a path of as many shares as its root needs: few, mostly one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.spans import reach
from forward_models.normal_modes.steps import (
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    LARGE,
    Q0I,
    Q0R,
    V1I,
    V1R,
    V2I,
    V2R,
    VECTOR,
)
from forward_models.normal_modes.wronskian import (
    ALONG_X,
    DPHI,
    DPHR,
    DPSI,
    DPSR,
    LOG_SCALE,
    LOSS,
    N_ROWS,
    PHI,
    PHR,
    PSI,
    PSR,
    XI,
    XR,
    start_lane,
    unpack,
)

# Columns of a step as a lane meets it: with its sign of direction and its share of the loss.
_H2, _Z_RE, _Z_IM, _V1R, _V1I, _V2R, _V2I, _HRHO, _INV_HRHO = range(9)
_TILE = 8  # steps between two looks at the size of the states

# On the way roots need only be told apart; errors in shares of the distance to the next root.
_ON_THE_WAY = 3e-3
NEWTON_LIMIT = 12
_SHORTEST = 1e-5  # of the path: a root that a branch cut stops goes the rest of it at once
_SHORTER, _LONGER = 0.4, 1.8
_SMOOTH = 0.2  # share of the limit below which the next part may be longer
_NEAR = 2.0  # shares of what separates and moves the roots, of a jump along the rest of a path
_GROWTH = 1e-6  # of roots that only rounding makes grow, in shares of the distance to the next
_CUT_OFF = 1e-6  # the least distance to a branch point, in shares of that to the next root
_REMEMBERED = 3  # points of a path that tell how it goes on


@kernel
def follow(
    start: Any,
    drift: Any,
    spacing: Any,
    part: Any,
    longest: float,
    limit: float,
    tolerance: float,
    item: Any,
    node: Any,
    steps: Any,
    first: Any,
    top: int,
    kind: Any,
    q_bottom: Any,
    rho_bottom: Any,
    q_shear: Any,
) -> Any:
    """(x, good): roots at full loss of the paths that leave ``start`` with the slope ``drift``.

    A part of a path, ``part`` to begin with and ``longest`` at most, is predicted by a polynomial
    and corrected by Newton's method. A correction beyond ``limit`` of ``spacing``, the distance to
    the next root, may have gone to that one: the part is taken in shorter ones. ``tolerance`` is
    the error that is left, in shares of ``spacing``. Not good is a root that never met it, one
    that grows, and one that is nowhere near where its path had led.
    """
    n, queued = start.size, 0
    x, good = start.copy(), np.zeros(n, np.bool_)
    lane, busy = np.full(VECTOR, -1), np.zeros(VECTOR, np.bool_)
    done, ahead, before = np.zeros(VECTOR), np.zeros(VECTOR), np.zeros(VECTOR)
    turns, forced, known = np.zeros(VECTOR, np.int64), np.zeros(VECTOR, np.bool_), lane * 0
    shares, points = np.zeros((VECTOR, _REMEMBERED)), np.zeros((VECTOR, _REMEMBERED), np.complex128)
    guess, at, loss = np.zeros(VECTOR, np.complex128), np.zeros(VECTOR, np.complex128), done * 0
    last_value, last_slope, last_at = guess.copy(), guess.copy(), guess.copy()
    last_unit = np.zeros(VECTOR)
    above, below = np.zeros((N_ROWS, VECTOR)), np.zeros((N_ROWS, VECTOR))
    upper, lower = np.zeros(VECTOR, np.int64), np.zeros(VECTOR, np.int64)
    last, count = np.zeros((2, VECTOR), np.int64), np.zeros((2, VECTOR), np.int64)
    tile = np.empty((_TILE, 9, VECTOR))
    while True:
        for m in range(VECTOR):
            if not busy[m] and queued < n:
                lane[m], busy[m], known[m], done[m], turns[m] = queued, True, 0, 0.0, 0
                ahead[m], forced[m] = min(part[queued], longest), math.isinf(limit)
                queued += 1
            if busy[m] and turns[m] == 0:
                if ahead[m] < _SHORTEST:
                    forced[m], ahead[m] = True, 1.0
                if done[m] + 1.2 * ahead[m] > 1.0:
                    ahead[m] = 1.0 - done[m]
                i = lane[m]
                loss[m] = done[m] + ahead[m]
                guess[m] = _predicted(start[i], drift[i], shares[m], points[m], known[m], loss[m])
                if forced[m] and known[m] > 0:
                    guess[m] = _straight_on(start[i], shares[m], points[m], known[m], loss[m])
                at[m], before[m] = guess[m], np.nan
        left = 0
        for m in range(VECTOR):
            left += busy[m]
        if left == 0:
            return x, good
        for m in range(VECTOR):
            if lane[m] < 0:  # fewer lanes than slots
                lane[m], at[m], loss[m] = lane[0], at[0], loss[0]
            i = lane[m]
            stack = steps[first[item[i]] : first[item[i] + 1]]
            if turns[m] == 0:
                upper[m], lower[m] = reach(stack, at[m].real, node[i])
                last[0, m], last[1, m] = first[item[i]] + node[i] - 1, first[item[i]] + node[i]
                count[0, m], count[1, m] = node[i] - upper[m], lower[m] - node[i]
            start_lane(
                at[m],
                loss[m],
                m,
                ALONG_X,
                stack,
                upper[m],
                lower[m],
                top,
                kind[item[i]],
                q_bottom[item[i]],
                rho_bottom[item[i]],
                q_shear[item[i]],
                above,
                below,
            )
        for side in range(2):
            state = above if side == 0 else below
            _carry(steps, last[side], count[side], 1 - 2 * side, state, tile)
        for m in range(VECTOR):
            if not busy[m]:
                continue
            i = lane[m]
            f, g, df, dg = unpack(above, m)
            u, v, du, dv = unpack(below, m)
            value, slope = f * v - u * g, df * v + f * dv - du * g - u * dg
            unit = above[LOG_SCALE, m] + below[LOG_SCALE, m]
            move = -value / slope
            size = abs(move) / spacing[i]
            error = size * size
            if kind[item[i]] == HALF_SPACE:  # near its cut-off the scale of a root is that to it
                gamma2 = max(abs(at[m] - q_bottom[item[i]]) / spacing[i], _CUT_OFF)
                error /= min(gamma2, 1.0) ** 2
            turns[m] += 1
            if turns[m] > 1:
                error = min(size, error * max(1.0, size / before[m] ** 2))
                if unit == last_unit[m] and abs(value) < abs(last_value[m]):
                    better = _by_two(at[m] - last_at[m], last_value[m], last_slope[m], value, slope)
                    change = abs(better - move)
                    # Of two values that are both rounding it makes anything.
                    if change < 0.5 * abs(move):
                        # Its error: that of Newton's move, times the square of the last or so.
                        error = min(error, change / spacing[i] * min(1.0, 4.0 * before[m] ** 2))
                        move = better
            last_at[m], last_value[m], last_slope[m], last_unit[m] = at[m], value, slope, unit
            at[m] += move
            before[m] = size
            final = loss[m] >= 1.0
            met = error < (tolerance if final else _ON_THE_WAY)
            lost = not math.isfinite(size) or (turns[m] == NEWTON_LIMIT and not met)
            lost = lost or (not forced[m] and abs(at[m] - guess[m]) > limit * spacing[i])
            if lost and not forced[m]:
                ahead[m], turns[m] = _SHORTER * ahead[m], 0
            elif final and (met or lost):
                near = abs(at[m] - guess[m]) < _NEAR * (spacing[i] + abs(drift[i]))
                near = math.isinf(limit) or (near and at[m].imag > -_GROWTH * spacing[i])
                x[i], good[i], busy[m] = at[m], met and near, False
            elif met or lost:
                known[m] = _remember(loss[m], at[m], shares[m], points[m], known[m])
                done[m], turns[m] = loss[m], 0
                if abs(at[m] - guess[m]) < _SMOOTH * limit * spacing[i]:
                    ahead[m] *= _LONGER
                ahead[m] = min(ahead[m], longest)


@kernel
def _by_two(
    apart: complex, value: complex, slope: complex, here: complex, slope_here: complex
) -> complex:
    """The move from the second of two points, ``apart`` from the first, to the root of W.

    x as a function of W is taken for the cubic through both points with their slopes (inverse
    Hermite interpolation): the error is about the squares of those of both points multiplied.
    """
    ratio = here / value
    t = 1.0 / (1.0 - ratio)
    rest = -ratio * t  # 1 - t
    move = -here / slope_here * t * t - (1.0 + 2.0 * t) * rest * rest * apart
    return move - rest * rest * value / slope


@inner
def _predicted(
    start: complex, drift: complex, shares: Any, points: Any, known: int, share: float
) -> complex:
    """x at a share of the loss, of a polynomial through ``points`` and, while those are few, start.

    The start with its slope says little of a path that has left the neighbours it began among:
    from there on paths are nearly straight.
    """
    few = known < _REMEMBERED
    x = start + drift * share if few else 0j
    for i in range(known):
        weight = 1.0
        for j in range(known):
            if j != i:
                weight *= (share - shares[j]) / (shares[i] - shares[j])
        if few:  # start + drift s + s² r(s), r a polynomial
            away = points[i] - (start + drift * shares[i])
            x += weight * away * (share / shares[i]) ** 2
        else:
            x += weight * points[i]
    return x


@inner
def _straight_on(start: complex, shares: Any, points: Any, known: int, share: float) -> complex:
    """x at a share of the loss from the last two points of a path: a guess that cannot run away."""
    x, here = points[known - 1], shares[known - 1]
    before, there = (points[known - 2], shares[known - 2]) if known > 1 else (start, 0.0)
    return x + (share - here) * (x - before) / (here - there)


@inner
def _remember(share: float, x: complex, shares: Any, points: Any, known: int) -> int:
    """Notes a point of a path, in place of the oldest if there are many; returns how many."""
    if known == _REMEMBERED:
        for i in range(known - 1):
            shares[i], points[i] = shares[i + 1], points[i + 1]
        known -= 1
    shares[known], points[known] = share, x
    return known + 1


@inner
def _carry(steps: Any, last: Any, count: Any, sign: int, state: Any, tile: Any) -> None:
    """Carries each lane's state over its ``count`` steps, all to arrive together at ``last``."""
    longest, shared = 0, True
    for m in range(VECTOR):
        longest = max(longest, count[m])
        shared = shared and last[m] == last[0]
    for p in range(0, longest, _TILE):
        size = min(_TILE, longest - p)
        for i in range(size):
            left = longest - 1 - p - i
            if shared:
                step = steps[last[0] - sign * left]
                _lay_out(step, sign, left, count, state[LOSS], tile[i], 0, VECTOR)
                continue
            for m in range(VECTOR):
                if left < count[m]:
                    step = steps[last[m] - sign * left]
                    _lay_out(step, sign, left, count, state[LOSS], tile[i], m, m + 1)
                else:  # the lane begins later, and its guide may have no such step
                    for row in range(tile.shape[1]):
                        tile[i, row, m] = 0.0
        _shoot(tile[:size], state)
        for m in range(VECTOR):
            largest = abs(state[PHR, m]) + abs(state[PHI, m])
            largest += abs(state[PSR, m]) + abs(state[PSI, m])
            if largest > LARGE:
                state[LOG_SCALE, m] += math.log(largest)
                for row in range(PHR, LOG_SCALE):
                    state[row, m] /= largest


@inner(forceinline=True)
def _lay_out(
    step: Any, sign: float, left: int, count: Any, loss: Any, row: Any, start: int, stop: int
) -> None:
    """Tells a step to the lanes from ``start`` to ``stop``; no step to those that begin later."""
    h2, hrho, inv_hrho = step[H2], sign * step[HRHO], sign * step[INV_HRHO]
    z_re, q0i = h2 * step[Q0R], h2 * step[Q0I]
    v1r, v1i = 0.5 * sign * step[V1R], 0.5 * sign * step[V1I]
    v2r, v2i = 0.5 * step[V2R], 0.5 * step[V2I]
    for m in range(start, stop):
        here = 1.0 if left < count[m] else 0.0
        lossy = here * loss[m]
        row[_H2, m], row[_Z_RE, m], row[_Z_IM, m] = here * h2, here * z_re, lossy * q0i
        row[_V1R, m], row[_V1I, m] = here * v1r, lossy * v1i
        row[_V2R, m], row[_V2I, m] = here * v2r, lossy * v2i
        row[_HRHO, m], row[_INV_HRHO, m] = here * hrho, here * inv_hrho


@inner("void(f8[:, :, ::1], f8[:, ::1])", fastmath=FAST)
def _shoot(tile: Any, state: Any) -> None:
    """Carries the states over the steps of a tile; the matrix is ``propagator``'s.

    Products with Z are taken from the recursion, Zη_m = η_{m-2} - (2m-1) η_{m-1}, and those with
    v₁²/24 and v₂/2 are shared.
    """
    for i in range(tile.shape[0]):
        for m in range(state.shape[1]):
            h2, hrho, inv_hrho = tile[i, _H2, m], tile[i, _HRHO, m], tile[i, _INV_HRHO, m]
            z = complex(
                h2 * state[XR, m] - tile[i, _Z_RE, m], h2 * state[XI, m] - tile[i, _Z_IM, m]
            )
            v, u = (
                complex(tile[i, _V1R, m], tile[i, _V1I, m]),
                complex(tile[i, _V2R, m], tile[i, _V2I, m]),
            )
            xi, eta0, eta1, eta2, eta3, eta4 = complex_eta_functions(z)
            w = v * v * (1.0 / 6.0)
            w2, w3 = w * eta2, w * eta3
            u1, u2 = u * eta1, u * eta2
            odd, even = v * eta1, xi - w2
            d_odd, d_even = 0.5 * v * eta2, 0.5 * (eta0 - w3)
            p12 = (eta0 - u2 - w3) * hrho
            d12 = (0.5 * hrho) * (eta1 - u * eta3 - w * eta4)
            p21 = (z * eta0 + u * eta0 - 3.0 * u1 - w * eta1 - 7.0 * w2) * inv_hrho
            d21 = (0.5 * inv_hrho) * (xi + eta0 + u1 - 3.0 * u2 - w2 - 7.0 * w3)
            f = complex(state[PHR, m], state[PHI, m])
            g = complex(state[PSR, m], state[PSI, m])
            df = complex(state[DPHR, m], state[DPHI, m])
            dg = complex(state[DPSR, m], state[DPSI, m])
            plus, minus = even + odd, even - odd
            new_df = plus * df + p12 * dg + h2 * ((d_even + d_odd) * f + d12 * g)
            new_dg = p21 * df + minus * dg + h2 * (d21 * f + (d_even - d_odd) * g)
            new_f = plus * f + p12 * g
            new_g = p21 * f + minus * g
            state[PHR, m], state[PHI, m] = new_f.real, new_f.imag
            state[PSR, m], state[PSI, m] = new_g.real, new_g.imag
            state[DPHR, m], state[DPHI, m] = new_df.real, new_df.imag
            state[DPSR, m], state[DPSI, m] = new_dg.real, new_dg.imag
