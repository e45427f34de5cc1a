"""From a profile to the steps of the propagator: where they end, and the moments of k² over each.

A step is a row of a float64 table whose columns are named below. Steps follow the vertical phase,
not the wavelength: eight to seven vertical cycles of the steepest mode. A segment is cut into
several, finer where the phase runs faster; segments that are thin against the phase and nearly in
line share one, so that the knots of a dense cast cost nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import inner, kernel
from forward_models.normal_modes.moments import join, legendre, piece_moments, squared
from forward_models.normal_modes.rates import (
    INTERFACE_MARGIN,
    SAMPLES,
    TAIL,
    interface_wave,
    largest_k_squared,
    mergeable,
    phase_rates,
    raise_rates,
    step_count,
    step_ends,
)

# Columns of the table of steps.
H2, HRHO, INV_HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I, THICKNESS = range(10)
N_COLUMNS = 10

# Bottom conditions, as the kernels know them. A perturbed half-space is KRAKEN's: the real part of
# its vertical wavenumber bounds the real problem, the imaginary part is part of the perturbation.
HALF_SPACE, RIGID, VACUUM, PERTURBED_HALF_SPACE = 0, 1, 2, 3
# An elastic half-space; and half-spaces on a stated sheet, on which waves decay downwards or leak
# whatever their wavenumber: fluid ones, elastic ones by the compressional and the shear wave.
ELASTIC = 4
DECAYING, LEAKING = 5, 6
DECAYING_DECAYING, DECAYING_LEAKING, LEAKING_LEAKING = 7, 8, 9

# States are scaled down when they have grown beyond LARGE, looked at every so many steps.
LARGE = 1e60
CHECK_EVERY = 8

# Lanes that a kernel carries at once; on a shorter vector the compiler uses several.
VECTOR = 8


@kernel
def build_steps(
    omega: Any,
    thickness: Any,
    c_top: Any,
    c_bottom: Any,
    rho: Any,
    n2: bool,
    bottom: int,
    c_half: Any,
    rho_half: Any,
    c_shear: Any,
    c_high: float,
    leaky: bool,
    merge: bool,
) -> Any:
    """The eigenproblems of a chunk of B environments at F frequencies, environment by environment.

    An *item* is one environment at one frequency. Its members are the modes with phase speed below
    ``c_high`` and, over a half-space, below its sound speed: x = k² between x_min =
    max((ω/c_high)², Re k² of the half-space) and x_max, the largest Re k² of the stack. With
    ``leaky`` the half-space sets no limit. An item is *open* if it is leaky or elastic: its modes
    may be anywhere where |Im x| ≤ |x| and so are its steps; an elastic one has an interface wave
    besides, of x above x_max, at its bottom.

    Args:
        omega: (F,) rad/s.
        thickness, rho: (B, S); c_top, c_bottom: (F, B, S) complex.
        c_half, c_shear: (F, B) complex, the latter 0 for a fluid; rho_half: (B,); ``bottom`` one of
            the first three kinds above.
        merge: whether segments may share a step.

    Returns:
        steps (n, N_COLUMNS) of all items in turn, first (B·F + 1,) their bounds, x_min, x_max,
        axis (the step of largest mean k²), kind, q_bottom, rho_bottom, q_shear, open (B·F,) each,
        x_interface (B·F,), a bound for the interface wave's x or 0, and the pieces
        of segments that the steps are made of: (step, segment) and (from, to) as fractions of the
        segment. Where the deepest part of a profile matters to no mode it is cut, and the item
        closes with a half-space of the k² and density found there.
    """
    n_items = thickness.shape[0] * omega.size
    n_segments = thickness.shape[1]
    last = np.empty(n_items, np.int64)
    rate = np.empty((n_items, n_segments, SAMPLES))
    x_min, x_max = np.empty(n_items), np.empty(n_items)
    q_bottom, rho_bottom = np.zeros(n_items, np.complex128), np.ones(n_items)
    q_shear, x_interface = np.zeros(n_items, np.complex128), np.zeros(n_items)
    kind, is_open = np.full(n_items, bottom), np.zeros(n_items, np.bool_)
    size = 0
    for item in range(n_items):
        b, f = item // omega.size, item % omega.size
        x_min[item] = (omega[f] / c_high) ** 2
        if bottom == HALF_SPACE:
            q_bottom[item], rho_bottom[item] = squared(omega[f], c_half[f, b]), rho_half[b]
            if not leaky:
                x_min[item] = max(x_min[item], q_bottom[item].real)
            elastic = c_shear[f, b] != 0.0
            is_open[item] = leaky or elastic
            if elastic:
                kind[item] = ELASTIC
                q_shear[item] = squared(omega[f], c_shear[f, b])
        x_max[item] = largest_k_squared(omega[f], thickness[b], c_top[f, b], c_bottom[f, b])
        if kind[item] == ELASTIC:
            densest = 0.0
            for s in range(n_segments):
                densest = max(densest, rho[b, s])
            x_interface[item] = INTERFACE_MARGIN * interface_wave(
                q_bottom[item].real, q_shear[item].real, rho_bottom[item], x_max[item], densest
            )
        last[item] = phase_rates(
            omega[f],
            thickness[b],
            c_top[f, b],
            c_bottom[f, b],
            n2,
            x_min[item],
            max(x_max[item], x_min[item]),
            is_open[item],
            x_interface[item],
            rate[item],
        )
        if kind[item] == ELASTIC:
            raise_rates(
                omega[f],
                thickness[b],
                c_top[f, b],
                c_bottom[f, b],
                n2,
                x_interface[item],
                rate[item],
            )
        for s in range(n_segments):
            size += step_count(rate[item, s])
    steps = np.empty((size, N_COLUMNS))
    piece, edges = np.empty((size, 2), np.int64), np.empty((size, 2))
    first = np.zeros(n_items + 1, np.int64)
    axis = np.zeros(n_items, np.int64)
    row, used = 0, 0
    ends = np.empty(size + 1)
    own, raw = np.zeros(6, np.complex128), np.zeros(6, np.complex128)
    trial, total = np.zeros(6, np.complex128), np.zeros(6, np.complex128)
    for item in range(n_items):
        b, f = item // omega.size, item % omega.size
        decay, above, before, filled = 0.0, 0.0, -1, 0.0
        for s in range(n_segments):
            count = step_count(rate[item, s])
            step_ends(rate[item, s], count, ends)
            for i in range(count):
                piece[used, 1], edges[used, 0], edges[used, 1] = s, ends[i], ends[i + 1]
                used += 1
                piece_moments(
                    omega[f],
                    thickness[b, s],
                    c_top[f, b, s],
                    c_bottom[f, b, s],
                    n2,
                    ends[i],
                    ends[i + 1],
                    x_min[item],
                    own,
                )
                # Does the segment fit into the step before?
                joined = merge and count == 1 and before >= 0 and rho[b, s] == rho[b, before]
                joined = joined and filled + rate[item, s, 0] <= 1.0
                if joined:
                    join(raw, own, trial)
                    legendre(trial, x_min[item], total)
                    joined = mergeable(total, x_min[item], x_max[item])
                if joined:
                    raw, trial = trial, raw
                else:
                    raw, own = own, raw
                    legendre(raw, x_min[item], total)
                    filled, above = 0.0, decay
                    row += 1
                filled += rate[item, s, 0]
                before = s if count == 1 else -1
                piece[used - 1, 0] = row - 1
                _fill_step(steps[row - 1], total, rho[b, s])
                q0 = total[1].real
                decay = (
                    above + total[0].real * math.sqrt(x_min[item] - q0) if q0 < x_min[item] else 0.0
                )
                if s > last[item] and decay > TAIL and kind[item] != ELASTIC:
                    kind[item] = HALF_SPACE
                    q_bottom[item], rho_bottom[item] = total[1], rho[b, s]
                    break
            if s > last[item] and decay > TAIL and kind[item] != ELASTIC:
                break
        first[item + 1] = row
        # In isovelocity water the first of many equals, whatever their rounding.
        for j in range(first[item], row):
            if steps[j, Q0R] > steps[first[item] + axis[item], Q0R] * (1.0 + 1e-12):
                axis[item] = j - first[item]
    return (
        steps[:row].copy(),
        first,
        x_min,
        x_max,
        axis,
        kind,
        q_bottom,
        rho_bottom,
        q_shear,
        is_open,
        x_interface,
        piece[:used].copy(),
        edges[:used].copy(),
    )


@inner
def _fill_step(step: Any, moments: Any, rho: float) -> None:
    h = moments[0].real
    step[H2] = h * h
    step[HRHO] = h * rho
    step[INV_HRHO] = 1.0 / (h * rho)
    step[Q0R], step[Q0I] = moments[1].real, moments[1].imag
    step[V1R], step[V1I] = h * h * moments[2].real, h * h * moments[2].imag
    step[V2R], step[V2I] = -h * h * moments[3].real, -h * h * moments[3].imag
    step[THICKNESS] = h
