"""From a profile to the steps of the propagator: how many, and the moments of k² over each.

A step is a row of a float64 table whose columns are named below. Steps follow the vertical phase,
not the wavelength: about two to a vertical cycle of the steepest mode, and one for a segment that
is thin against it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from forward_models.normal_modes.propagator import PHASE_LIMIT

# Columns of the table of steps.
H2, HRHO, INV_HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I, THICKNESS = range(10)
N_COLUMNS = 10

# Bottom conditions, as the kernels know them. A perturbed half-space is KRAKEN's: the real part of
# its vertical wavenumber bounds the real problem, the imaginary part is part of the perturbation.
HALF_SPACE, RIGID, VACUUM, PERTURBED_HALF_SPACE = 0, 1, 2, 3

# Limits on the moments |v₁| and |v₁v₂| of a step: the neglected terms are 2e-5 v₁³ and 6e-3 v₁v₂ of
# the state, so that either adds about 2e-8.
GRADIENT_LIMIT = 0.1
CURVATURE_LIMIT = 3e-6
# The profile is cut where the least bound mode has decayed by exp(-TAIL): its square is 4e-18.
TAIL = 20.0

_GAUSS_U = np.array(
    [-0.9061798459386640, -0.5384693101056831, 0.0, 0.5384693101056831, 0.9061798459386640]
)
_GAUSS_W = np.array(
    [0.2369268850561891, 0.4786286704993665, 0.5688888888888889, 0.4786286704993665]
    + [0.2369268850561891]
)


@njit(cache=True, nogil=True)
def k_squared(omega: float, c_top: complex, c_bottom: complex, tau: float, n2: bool) -> complex:
    """(ω/c)² at the fraction ``tau`` of a segment, c or 1/c² linear in depth."""
    if n2:
        top, bottom = (omega / c_top) ** 2, (omega / c_bottom) ** 2
        return top + (bottom - top) * tau
    c = c_top + (c_bottom - c_top) * tau
    return (omega / c) ** 2


@njit(cache=True, nogil=True)
def _largest_k_squared(omega: float, thickness: Any, c_top: Any, c_bottom: Any) -> float:
    """The largest Re k² of the stack: no trapped mode has a larger x."""
    largest = 0.0
    for s in range(thickness.size):
        if thickness[s] > 0.0:
            top = ((omega / c_top[s]) ** 2).real
            bottom = ((omega / c_bottom[s]) ** 2).real
            largest = max(largest, top, bottom)
    return largest


@njit(cache=True, nogil=True)
def _count_steps(
    omega: float,
    thickness: Any,
    c_top: Any,
    c_bottom: Any,
    n2: bool,
    x_min: float,
    x_max: float,
    counts: Any,
) -> int:
    """Fills the steps of each segment; returns the last segment where a mode oscillates."""
    last_oscillating = -1
    for s in range(thickness.size):
        counts[s] = 0
        if thickness[s] <= 0.0:
            continue
        top = (omega / c_top[s]) ** 2
        bottom = (omega / c_bottom[s]) ** 2
        high, low = max(top.real, bottom.real), min(top.real, bottom.real)
        steepest = max(high - x_min, x_max - low) + max(abs(top.imag), abs(bottom.imag))
        phase = thickness[s] * math.sqrt(steepest) / PHASE_LIMIT
        middle = k_squared(omega, c_top[s], c_bottom[s], 0.5, n2)
        v1 = 0.5 * thickness[s] ** 2 * abs(bottom - top)
        v2 = thickness[s] ** 2 * abs(top + bottom - 2.0 * middle) / 3.0
        gradient = (v1 / GRADIENT_LIMIT) ** (1.0 / 3.0)
        curvature = (v1 * v2 / CURVATURE_LIMIT) ** (1.0 / 7.0)
        counts[s] = max(1, math.ceil(max(phase, gradient, curvature)))
        if high > x_min:
            last_oscillating = s if bottom.real > x_min else s - 1
    return last_oscillating


@njit(cache=True, nogil=True)
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
    c_high: float,
) -> Any:
    """The eigenproblems of a chunk of B environments at F frequencies, environment by environment.

    An *item* is one environment at one frequency. Its members are the modes with phase speed below
    ``c_high`` and, over a half-space, below its sound speed: x = k² between x_min =
    max((ω/c_high)², Re k² of the half-space) and x_max, the largest Re k² of the stack.

    Args:
        omega: (F,) rad/s.
        thickness, rho: (B, S); c_top, c_bottom: (F, B, S) complex.
        c_half: (F, B) complex; rho_half: (B,); ``bottom`` one of the kinds above.

    Returns:
        steps (n, N_COLUMNS) of all items in turn, first (B·F + 1,) their bounds, x_min, x_max,
        axis (the step of largest mean k²), kind, q_bottom, rho_bottom (B·F,) each. Where the
        deepest part of a profile matters to no mode it is cut, and the item closes with a
        half-space of the k² and density found there.
    """
    n_items = thickness.shape[0] * omega.size
    n_segments = thickness.shape[1]
    counts = np.empty((n_items, n_segments), np.int64)
    last = np.empty(n_items, np.int64)
    x_min, x_max = np.empty(n_items), np.empty(n_items)
    q_bottom, rho_bottom = np.zeros(n_items, np.complex128), np.ones(n_items)
    kind = np.full(n_items, bottom)
    for item in range(n_items):
        b, f = item // omega.size, item % omega.size
        x_min[item] = (omega[f] / c_high) ** 2
        if bottom == HALF_SPACE:
            q_bottom[item], rho_bottom[item] = (omega[f] / c_half[f, b]) ** 2, rho_half[b]
            x_min[item] = max(x_min[item], q_bottom[item].real)
        x_max[item] = _largest_k_squared(omega[f], thickness[b], c_top[f, b], c_bottom[f, b])
        last[item] = _count_steps(
            omega[f],
            thickness[b],
            c_top[f, b],
            c_bottom[f, b],
            n2,
            x_min[item],
            max(x_max[item], x_min[item]),
            counts[item],
        )
    steps = np.empty((counts.sum(), N_COLUMNS))
    first = np.zeros(n_items + 1, np.int64)
    axis = np.zeros(n_items, np.int64)
    row = 0
    for item in range(n_items):
        b, f = item // omega.size, item % omega.size
        decay = 0.0
        largest = -1.0
        for s in range(n_segments):
            for i in range(counts[item, s]):
                h = thickness[b, s] / counts[item, s]
                q0 = _fill_step(
                    steps[row],
                    omega[f],
                    c_top[f, b, s],
                    c_bottom[f, b, s],
                    i,
                    counts[item, s],
                    n2,
                    h,
                    rho[b, s],
                )
                if q0.real > largest:
                    largest = q0.real
                    axis[item] = row - first[item]
                row += 1
                decay = (
                    decay + h * math.sqrt(x_min[item] - q0.real) if q0.real < x_min[item] else 0.0
                )
                if s > last[item] and decay > TAIL:
                    kind[item] = HALF_SPACE
                    q_bottom[item], rho_bottom[item] = q0, rho[b, s]
                    break
            if s > last[item] and decay > TAIL:
                break
        first[item + 1] = row
    return steps[:row].copy(), first, x_min, x_max, axis, kind, q_bottom, rho_bottom


@njit(cache=True, nogil=True)
def _fill_step(
    step: Any,
    omega: float,
    c_top: complex,
    c_bottom: complex,
    i: int,
    count: int,
    n2: bool,
    h: float,
    rho: float,
) -> complex:
    """Writes step ``i`` of ``count`` of a segment; returns the mean of k² over it."""
    q0, q1, q2 = 0j, 0j, 0j
    for g in range(_GAUSS_U.size):
        u = _GAUSS_U[g]
        q = k_squared(omega, c_top, c_bottom, (i + 0.5 + 0.5 * u) / count, n2)
        q0 += 0.5 * _GAUSS_W[g] * q
        q1 += 1.5 * _GAUSS_W[g] * u * q
        q2 += 2.5 * _GAUSS_W[g] * (1.5 * u * u - 0.5) * q
    step[H2] = h * h
    step[HRHO] = h * rho
    step[INV_HRHO] = 1.0 / (h * rho)
    step[Q0R], step[Q0I] = q0.real, q0.imag
    step[V1R], step[V1I] = h * h * q1.real, h * h * q1.imag
    step[V2R], step[V2I] = -h * h * q2.real, -h * h * q2.imag
    step[THICKNESS] = h
    return q0
