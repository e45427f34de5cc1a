"""How fine the steps along a profile must be: by phase and decay of the modes, and its bends."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import inner
from forward_models.normal_modes.moments import k_squared, size, squared

# Vertical phase of a step, rad: below 2π each half of it holds at most one zero of a mode. Where
# modes decay the power series of the propagator, of positive terms there, reaches further.
PHASE_LIMIT = 5.5
DECAY_LIMIT = 4.8
# Limits on the moments |v₁| and |v₁v₂| of a step: the neglected terms are 2e-5 v₁³ and 6e-3 v₁v₂ of
# the state, so that they add about 2e-8 and 1e-7.
GRADIENT_LIMIT = 0.1
CURVATURE_LIMIT = 2e-5
# Limit on what the moments v₃ and v₄, neglected, add to the state in a step of several segments.
MERGING_LIMIT = 1e-7
# A shot starts where its mode has decayed by exp(-TAIL): the square is 4e-18.
TAIL = 20.0

_LEAST = 1e-6  # of a step: a segment through which nothing changes is a part of one all the same
SAMPLES = 9  # of the phase's rate along a segment
_SHORT = 8.0  # largest phase, rad, of a segment whose rate is sampled once
INTERFACE_MARGIN = 1.2  # between layers the interface wave may be slower than between half-spaces
_PROBES = 12  # trial modes that tell how steeply anything that matters decays at a depth


@inner
def largest_k_squared(omega: float, thickness: Any, c_top: Any, c_bottom: Any) -> float:
    """The largest Re k² of the stack: no trapped mode has a larger x."""
    largest = 0.0
    for s in range(thickness.size):
        if thickness[s] > 0.0:
            top, bottom = squared(omega, c_top[s]).real, squared(omega, c_bottom[s]).real
            largest = max(largest, top, bottom)
    return largest


@inner
def phase_rates(
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

    Probes between x_min and x_max decay from their turning depths on the way down; the next
    steeper than those that have not died tells how fast anything that matters decays at a depth.
    Where a dead one oscillates again, in a slower layer, its modes decay upwards from there too.
    """
    decay = np.zeros(_PROBES)
    last_oscillating, revived = -1, False
    for s in range(thickness.size):
        for i in range(SAMPLES):  # slices take the compiler seconds
            rate[s, i] = 0.0
        h = thickness[s]
        if h <= 0.0:
            continue
        top, bottom = squared(omega, c_top[s]), squared(omega, c_bottom[s])
        middle = k_squared(omega, c_top[s], c_bottom[s], 0.5, n2)
        if max(top.real, bottom.real) > x_min:
            last_oscillating = s if bottom.real > x_min else s - 1
        v1 = 0.5 * h * h * size(bottom - top)
        v2 = h * h * size(top + bottom - 2.0 * middle) / 3.0
        # A segment of few steps is sampled at its middle alone.
        highest, lowest = max(top.real, bottom.real), min(top.real, bottom.real)
        short = h**2 * max(highest - x_min, max(x_max, x_interface) - lowest) < _SHORT**2
        samples = 1 if short else SAMPLES
        for i in range(samples):
            q = middle
            if not short:
                q = k_squared(omega, c_top[s], c_bottom[s], i / (SAMPLES - 1.0), n2)
            revived = revived or _revives(decay, x_min, x_max, q.real)
            steepest = _steepest(decay, x_min, x_max, q.real, h / samples)
            here = max(
                _LEAST,
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
            for i in range(1, SAMPLES):
                rate[s, i] = rate[s, 0]
    if revived and not is_open:
        _raise_from_below(omega, thickness, c_top, c_bottom, n2, x_min, x_max, rate)
    return last_oscillating


@inner
def _revives(decay: Any, x_min: float, x_max: float, q: float) -> bool:
    """Whether a dead probe oscillates at a depth of k² = q."""
    for n in range(_PROBES):
        if decay[n] > TAIL and x_min + (x_max - x_min) * n / (_PROBES - 1.0) <= q:
            return True
    return False


@inner
def _steepest(decay: Any, x_min: float, x_max: float, q: float, h: float) -> float:
    """x - q of the first probe above all that live at a depth of k² = q; they decay over h.

    Dead is one that has decayed by a whole step more than matters, and had so a sample before:
    rates fall from one sample to the next, and no step may reach from where a mode lives into the
    coarse ones behind.
    """
    steepest, alive = 0.0, False
    for n in range(_PROBES):
        x = x_min + (x_max - x_min) * n / (_PROBES - 1.0)
        if x <= q:
            decay[n] = 0.0
            alive = True
            continue
        grown = h * math.sqrt(x - q)
        if decay[n] - grown < TAIL + DECAY_LIMIT:
            steepest, alive = x - q, True
            decay[n] += grown
        elif alive:  # modes between the last that lives and this one may live
            steepest, alive = x - q, False
    return steepest


@inner
def _raise_from_below(
    omega: float,
    thickness: Any,
    c_top: Any,
    c_bottom: Any,
    n2: bool,
    x_min: float,
    x_max: float,
    rate: Any,
) -> None:
    """Makes the rates enough for modes that decay upwards, by probes on their way up."""
    decay = np.full(_PROBES, np.inf)
    for s in range(thickness.size - 1, -1, -1):
        h = thickness[s]
        for i in range(SAMPLES - 1, -1, -1):
            if h > 0.0:
                q = k_squared(omega, c_top[s], c_bottom[s], i / (SAMPLES - 1.0), n2)
                steepest = _steepest(decay, x_min, x_max, q.real, h / SAMPLES)
                rate[s, i] = max(rate[s, i], h * math.sqrt(steepest + abs(q.imag)) / DECAY_LIMIT)


@inner
def raise_rates(
    omega: float, thickness: Any, c_top: Any, c_bottom: Any, n2: bool, x: float, rate: Any
) -> None:
    """Makes the rates enough for an interface wave, which decays upwards from the bottom."""
    decay = 0.0
    for s in range(thickness.size - 1, -1, -1):
        for i in range(SAMPLES - 1, -1, -1):
            if thickness[s] <= 0.0 or decay > TAIL:
                continue
            q = k_squared(omega, c_top[s], c_bottom[s], i / (SAMPLES - 1.0), n2).real
            gamma = thickness[s] * math.sqrt(max(x - q, 0.0))
            rate[s, i] = max(rate[s, i], gamma / DECAY_LIMIT)
            decay += gamma / SAMPLES


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
def step_count(rate: Any) -> int:
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
def step_ends(rate: Any, count: int, ends: Any) -> None:
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
def mergeable(moments: Any, x_min: float, x_max: float) -> bool:
    """Whether one step of these moments is as good as those that it would replace."""
    h2 = moments[0].real ** 2
    q0 = moments[1]
    phase2 = h2 * max(q0.real - x_min + abs(q0.imag), 0.0)
    decay2 = h2 * max(x_max - q0.real + abs(q0.imag), 0.0)
    if phase2 > PHASE_LIMIT**2 or decay2 > DECAY_LIMIT**2:
        return False
    v1, v2 = h2 * size(moments[2]), h2 * size(moments[3])
    v3, v4 = h2 * size(moments[4]), h2 * size(moments[5])
    # The leading terms that the propagator leaves out: ±v₃ Zη₃/2 in P₁₁ and P₂₂, v₄ Zη₄/2 in P₁₂.
    neglected = max(phase2, 1.0) * (v3 / 210.0 + v4 / 1890.0)
    return neglected < MERGING_LIMIT and v1 < GRADIENT_LIMIT and v1 * v2 < CURVATURE_LIMIT
