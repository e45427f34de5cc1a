"""From a profile to the steps of the propagator: where they end, and the moments of k² over each.

A step is a row of a float64 table whose columns are named below. Steps follow the vertical phase,
not the wavelength: three to two vertical cycles of the steepest mode. A segment is cut into
several, finer where the phase runs faster; segments that are thin against the phase and nearly in
line share one, so that the knots of a dense cast cost nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import inner, kernel

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

# Vertical phase of a step, rad: below 2π each half of it holds at most one zero of a mode. Where
# modes decay the power series of the propagator, of positive terms there, reaches further.
PHASE_LIMIT = 4.3
DECAY_LIMIT = 4.8
# Limits on the moments |v₁| and |v₁v₂| of a step: the neglected terms are 2e-5 v₁³ and 6e-3 v₁v₂ of
# the state, so that either adds about 1e-7.
GRADIENT_LIMIT = 0.2
CURVATURE_LIMIT = 2e-5
# Limit on what the moments v₃ and v₄, neglected, add to the state in a step of several segments.
MERGING_LIMIT = 1e-7
# A shot starts where its mode has decayed by exp(-TAIL): the square is 4e-18.
TAIL = 20.0

# Gauss-Legendre rules of three and five points; three do for a change of speed below 5 %.
_GAUSS_3 = np.polynomial.legendre.leggauss(3)
_GAUSS_5 = np.polynomial.legendre.leggauss(5)
_STEEP = 0.05
# States are scaled down when they have grown beyond LARGE, looked at every so many steps.
LARGE = 1e60
CHECK_EVERY = 8

# Lanes that a kernel carries at once; on a shorter vector the compiler uses several.
VECTOR = 8

_SAMPLES = 9  # of the phase's rate along a segment
_SHORT = 8.0  # largest phase, rad, of a segment whose rate is sampled once
_INTERFACE_MARGIN = 1.2  # between layers the interface wave may be slower than between half-spaces
_PROBES = 12  # trial modes that tell how steeply anything that matters decays at a depth


@inner
def k_squared(omega: float, c_top: complex, c_bottom: complex, tau: float, n2: bool) -> complex:
    """(ω/c)² at the fraction ``tau`` of a segment, c or 1/c² linear in depth."""
    if n2:
        top, bottom = _squared(omega, c_top), _squared(omega, c_bottom)
        return top + (bottom - top) * tau
    return _squared(omega, c_top + (c_bottom - c_top) * tau)


@inner(forceinline=True)
def _squared(omega: float, c: complex) -> complex:
    """(ω/c)²; division of complex numbers as the language has it branches and is slower."""
    ratio = c.imag / c.real
    re = omega / (c.real + c.imag * ratio)
    im = -re * ratio
    return complex(re * re - im * im, 2.0 * re * im)


@inner(forceinline=True)
def _size(z: complex) -> float:
    """|z| where neither overflow nor underflow is near."""
    return math.sqrt(z.real * z.real + z.imag * z.imag)


@inner
def gauss_rule(c_top: complex, c_bottom: complex, width: float) -> Any:
    """(nodes, weights) of the rule for the moments over a share of a segment."""
    return _GAUSS_5 if _size(c_bottom - c_top) * width > _STEEP * _size(c_top) else _GAUSS_3


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
    rate = np.empty((n_items, n_segments, _SAMPLES))
    x_min, x_max = np.empty(n_items), np.empty(n_items)
    q_bottom, rho_bottom = np.zeros(n_items, np.complex128), np.ones(n_items)
    q_shear, x_interface = np.zeros(n_items, np.complex128), np.zeros(n_items)
    kind, is_open = np.full(n_items, bottom), np.zeros(n_items, np.bool_)
    size = 0
    for item in range(n_items):
        b, f = item // omega.size, item % omega.size
        x_min[item] = (omega[f] / c_high) ** 2
        if bottom == HALF_SPACE:
            q_bottom[item], rho_bottom[item] = _squared(omega[f], c_half[f, b]), rho_half[b]
            if not leaky:
                x_min[item] = max(x_min[item], q_bottom[item].real)
            elastic = c_shear[f, b] != 0.0
            is_open[item] = leaky or elastic
            if elastic:
                kind[item] = ELASTIC
                q_shear[item] = _squared(omega[f], c_shear[f, b])
        x_max[item] = _largest_k_squared(omega[f], thickness[b], c_top[f, b], c_bottom[f, b])
        if kind[item] == ELASTIC:
            densest = 0.0
            for s in range(n_segments):
                densest = max(densest, rho[b, s])
            x_interface[item] = _INTERFACE_MARGIN * interface_wave(
                q_bottom[item].real, q_shear[item].real, rho_bottom[item], x_max[item], densest
            )
        last[item] = _phase_rates(
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
            _raise_rates(
                omega[f],
                thickness[b],
                c_top[f, b],
                c_bottom[f, b],
                n2,
                x_interface[item],
                rate[item],
            )
        for s in range(n_segments):
            size += _step_count(rate[item, s])
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
            count = _step_count(rate[item, s])
            _step_ends(rate[item, s], count, ends)
            for i in range(count):
                piece[used, 1], edges[used, 0], edges[used, 1] = s, ends[i], ends[i + 1]
                used += 1
                _piece_moments(
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
                    _join(raw, own, trial)
                    _legendre(trial, x_min[item], total)
                    joined = _mergeable(total, x_min[item], x_max[item])
                if joined:
                    _copy_row(raw, trial)
                else:
                    _copy_row(raw, own)
                    _legendre(raw, x_min[item], total)
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
def _largest_k_squared(omega: float, thickness: Any, c_top: Any, c_bottom: Any) -> float:
    """The largest Re k² of the stack: no trapped mode has a larger x."""
    largest = 0.0
    for s in range(thickness.size):
        if thickness[s] > 0.0:
            top, bottom = _squared(omega, c_top[s]).real, _squared(omega, c_bottom[s]).real
            largest = max(largest, top, bottom)
    return largest


@inner
def _phase_rates(
    omega: float,
    thickness: Any,
    c_top: Any,
    c_bottom: Any,
    n2: bool,
    x_min: float,
    x_max: float,
    is_open: bool,
    x_interface: float,
    rate: Any,
) -> int:
    """Fills (segment, sample) steps per segment; returns the last segment where a mode oscillates.

    Probes between x_min and x_max decay from their turning depths on the way down; the steepest
    of those that have not died tells how fast anything that matters decays at a depth.
    """
    decay = np.zeros(_PROBES)
    last_oscillating = -1
    for s in range(thickness.size):
        for i in range(_SAMPLES):  # slices take the compiler seconds
            rate[s, i] = 0.0
        h = thickness[s]
        if h <= 0.0:
            continue
        top, bottom = _squared(omega, c_top[s]), _squared(omega, c_bottom[s])
        middle = k_squared(omega, c_top[s], c_bottom[s], 0.5, n2)
        if max(top.real, bottom.real) > x_min:
            last_oscillating = s if bottom.real > x_min else s - 1
        v1 = 0.5 * h * h * _size(bottom - top)
        v2 = h * h * _size(top + bottom - 2.0 * middle) / 3.0
        # A segment of few steps is sampled at its middle alone.
        highest, lowest = max(top.real, bottom.real), min(top.real, bottom.real)
        short = h**2 * max(highest - x_min, max(x_max, x_interface) - lowest) < _SHORT**2
        samples = 1 if short else _SAMPLES
        for i in range(samples):
            q = middle
            if not short:
                q = k_squared(omega, c_top[s], c_bottom[s], i / (_SAMPLES - 1.0), n2)
            steepest = 0.0
            for n in range(_PROBES):
                x = x_min + (x_max - x_min) * n / (_PROBES - 1.0)
                if x <= q.real:
                    decay[n] = 0.0
                elif decay[n] < TAIL:
                    steepest = x - q.real
                    decay[n] += h / samples * math.sqrt(steepest)
            here = max(
                h * math.sqrt(max(q.real - x_min, 0.0) + abs(q.imag)) / PHASE_LIMIT,
                h * math.sqrt(steepest + abs(q.imag)) / DECAY_LIMIT,
            )
            if is_open:  # |x - q| ≤ x_max for all x that matters
                here = max(here, h * math.sqrt(x_max) / DECAY_LIMIT)
            # v₁ falls as the cube of the number of steps, v₁v₂ as its seventh power: rarely enough
            # for the price of a root.
            cube = here * here * here
            if v1 > GRADIENT_LIMIT * cube:
                here = (v1 / GRADIENT_LIMIT) ** (1.0 / 3.0)
                cube = here * here * here
            if v1 * v2 > CURVATURE_LIMIT * cube * cube * here:
                here = (v1 * v2 / CURVATURE_LIMIT) ** (1.0 / 7.0)
            rate[s, i] = here
        if short:
            for i in range(1, _SAMPLES):
                rate[s, i] = rate[s, 0]
    return last_oscillating


@inner
def _raise_rates(
    omega: float, thickness: Any, c_top: Any, c_bottom: Any, n2: bool, x: float, rate: Any
) -> None:
    """Makes the rates enough for an interface wave, which decays upwards from the bottom."""
    decay = 0.0
    for s in range(thickness.size - 1, -1, -1):
        for i in range(_SAMPLES - 1, -1, -1):
            if thickness[s] <= 0.0 or decay > TAIL:
                continue
            q = k_squared(omega, c_top[s], c_bottom[s], i / (_SAMPLES - 1.0), n2).real
            gamma = thickness[s] * math.sqrt(max(x - q, 0.0))
            rate[s, i] = max(rate[s, i], gamma / DECAY_LIMIT)
            decay += gamma / _SAMPLES


@inner
def interface_wave(q_bottom: float, q_shear: float, rho_bottom: float, q: float, rho: float) -> Any:
    """x of the Scholte wave between a lossless fluid and an elastic half-space.

    The root above q and q_shear of (Jensen et al., sec. 2.4; Cagniard's equation)

        √(x - q) R(x) / ρ + q_shear² √(x - q_bottom) / ρ_bottom = 0,
        R = (2x - q_shear)² - 4x √(x - q_bottom) √(x - q_shear),

    where the left side falls from above zero to below, to 1e-6.
    """
    low = max(q, q_shear)
    high = low
    while _cagniard(high, q_bottom, q_shear, rho_bottom, q, rho) > 0.0:
        low, high = high, 2.0 * high
    while high - low > 1e-6 * high:
        middle = 0.5 * (low + high)
        if _cagniard(middle, q_bottom, q_shear, rho_bottom, q, rho) > 0.0:
            low = middle
        else:
            high = middle
    return high


@inner
def _cagniard(
    x: float, q_bottom: float, q_shear: float, rho_bottom: float, q: float, rho: float
) -> float:
    gamma = math.sqrt(max(x - q_bottom, 0.0))
    rayleigh = (2.0 * x - q_shear) ** 2 - 4.0 * x * gamma * math.sqrt(max(x - q_shear, 0.0))
    return math.sqrt(max(x - q, 0.0)) * rayleigh / rho + q_shear**2 * gamma / rho_bottom


@inner
def _step_count(rate: Any) -> int:
    """Steps of a segment: the integral of its rate, rounded up; none if padding."""
    return math.ceil(_integral(rate))


@inner
def _integral(rate: Any) -> float:
    """The trapezoidal integral of evenly spaced samples over 0 to 1."""
    total = -0.5 * (rate[0] + rate[rate.size - 1])
    for i in range(rate.size):
        total += rate[i]
    return total / (rate.size - 1)


@inner
def _step_ends(rate: Any, count: int, ends: Any) -> None:
    """Fills ends[: count + 1], fractions of a segment that share its rate evenly."""
    ends[0], ends[count] = 0.0, 1.0
    if count < 2:
        return
    width = 1.0 / (rate.size - 1)
    share = _integral(rate) / count
    reached, j = 0.0, 0
    for i in range(1, count):
        while j < rate.size - 2 and reached + 0.5 * (rate[j] + rate[j + 1]) * width < i * share:
            reached += 0.5 * (rate[j] + rate[j + 1]) * width
            j += 1
        # a t + (b - a) t²/2 = what is missing, t the fraction of the interval between samples
        a, slope = rate[j], rate[j + 1] - rate[j]
        missing = (i * share - reached) / width
        root = math.sqrt(max(a * a + 2.0 * slope * missing, 0.0))
        ends[i] = width * (j + min(2.0 * missing / (a + root), 1.0))


@inner
def _piece_moments(
    omega: float,
    thickness: float,
    c_top: complex,
    c_bottom: complex,
    n2: bool,
    start: float,
    end: float,
    x_min: float,
    moments: Any,
) -> None:
    """Fills (6,): height of a piece of a segment, and ∫ zⁿ (k² - x_min) dz, n ≤ 4, z from its top.

    Less x_min, for k² itself would leave their differences few digits.
    """
    height = thickness * (end - start)
    for n in range(6):
        moments[n] = 0.0
    moments[0] = height
    nodes, weights = gauss_rule(c_top, c_bottom, end - start)
    for g in range(nodes.size):
        within = 0.5 + 0.5 * nodes[g]
        q = k_squared(omega, c_top, c_bottom, start + within * (end - start), n2) - x_min
        q *= 0.5 * weights[g] * height
        for n in range(1, 6):
            moments[n] += q
            q *= within * height


@inner
def _join(above: Any, below: Any, both: Any) -> None:
    """Fills the moments of one piece on top of another, (h + z)ⁿ expanded for the lower one."""
    h = above[0].real
    m0, m1, m2, m3, m4 = below[1], below[2], below[3], below[4], below[5]
    both[0] = h + below[0]
    both[1] = above[1] + m0
    both[2] = above[2] + m1 + h * m0
    both[3] = above[3] + m2 + h * (2.0 * m1 + h * m0)
    both[4] = above[4] + m3 + h * (3.0 * m2 + h * (3.0 * m1 + h * m0))
    both[5] = above[5] + m4 + h * (4.0 * m3 + h * (6.0 * m2 + h * (4.0 * m1 + h * m0)))


@inner
def _legendre(moments: Any, x_min: float, total: Any) -> None:
    """Fills total (6,): thickness of a step and the Legendre moments q₀ … q₄ of its k²."""
    per = 1.0 / moments[0].real
    m0 = moments[1] * per
    m1 = moments[2] * per * per
    m2 = moments[3] * per * per * per
    m3 = moments[4] * (per * per) * (per * per)
    m4 = moments[5] * (per * per) * (per * per) * per
    total[0] = moments[0]
    total[1] = m0 + x_min
    total[2] = 3.0 * (2.0 * m1 - m0)
    total[3] = 5.0 * (6.0 * (m2 - m1) + m0)
    total[4] = 7.0 * (20.0 * m3 - 30.0 * m2 + 12.0 * m1 - m0)
    total[5] = 9.0 * (70.0 * m4 - 140.0 * m3 + 90.0 * m2 - 20.0 * m1 + m0)


@inner
def _copy_row(to: Any, values: Any) -> None:
    """Copies a row; an assignment of slices takes the compiler seconds."""
    for n in range(to.size):
        to[n] = values[n]


@inner
def _mergeable(moments: Any, x_min: float, x_max: float) -> bool:
    """Whether one step of these moments is as good as those that it would replace."""
    h2 = moments[0].real ** 2
    q0 = moments[1]
    phase2 = h2 * max(q0.real - x_min + abs(q0.imag), 0.0)
    decay2 = h2 * max(x_max - q0.real + abs(q0.imag), 0.0)
    if phase2 > PHASE_LIMIT**2 or decay2 > DECAY_LIMIT**2:
        return False
    v1, v2 = h2 * _size(moments[2]), h2 * _size(moments[3])
    v3, v4 = h2 * _size(moments[4]), h2 * _size(moments[5])
    # The leading terms that the propagator leaves out: ±v₃ Zη₃/2 in P₁₁ and P₂₂, v₄ Zη₄/2 in P₁₂.
    neglected = max(phase2, 1.0) * (v3 / 210.0 + v4 / 1890.0)
    return neglected < MERGING_LIMIT and v1 < GRADIENT_LIMIT and v1 * v2 < CURVATURE_LIMIT


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
