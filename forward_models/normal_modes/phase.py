"""Real modes: a phase that counts oscillations brackets each one, so none is missed or doubled.

With the Prüfer phase θ = atan2(φ, ψ), solutions shot from the surface and from the bottom meet at
the depth of the largest k². Their phase difference Θ(x) falls monotonically with x = k² and the
trapped mode with n interior zeros is the root of Θ(x) = nπ, so Θ(x) also counts the modes above x.
Each half of a step is shorter than half a vertical cycle: it holds at most one zero, seen as one
change of sign. In the middle, with the double argument formulas of ξ and η₀ at constant k²,

    φ ∝ ξ(Z/4) φ₀ + hρ η₀(Z/4) ψ₀ / 2 = [(1 + ξ) φ₀ + hρ η₀ ψ₀] / 2ξ(Z/4),

where ξ(Z/4) = cos(√-Z / 2) changes its sign at Z = -π². That this is rough does no harm: a zero
near the middle counts once on either side.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.propagator import eta_functions, rough_eta_functions
from forward_models.normal_modes.spans import fill, span
from forward_models.normal_modes.steps import (
    CHECK_EVERY,
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    LARGE,
    PERTURBED_HALF_SPACE,
    Q0R,
    RIGID,
    THICKNESS,
    V1R,
    V2R,
    VECTOR,
)

_TURN = -(math.pi**2)  # Z where half a step is a quarter of a vertical cycle
# Lanes that share a span and fill two vectors, so that one hides the other's latency.
_LANES = 2 * VECTOR
# In single precision, of half the width: rows φ, ψ, ∂φ/∂x, ∂ψ/∂x, x and the zeros of φ.
ROUGH = (6, 4 * VECTOR)
_ROUGHLY_LARGE = 1e6  # as LARGE
# Logarithm of what the lane that grows fastest may have grown by between two looks: lanes share
# the steps that the slowest needs, over which another may grow by as much as by many of its own.
_GROWN, _ROUGHLY_GROWN = 100.0, 10.0


@kernel
def phase(
    x: Any,
    block_item: Any,
    block_first: Any,
    steps: Any,
    first: Any,
    axis: Any,
    x_min: Any,
    top: int,
    kind: Any,
    q_bottom: Any,
    rho_bottom: Any,
    rough: Any,
) -> Any:
    """(Θ, dΘ/dx) at each x; Θ = nπ at the mode of n interior zeros.

    Lanes block_first[i] to block_first[i + 1] belong to item block_item[i]. With ``rough``, room of
    shape ROUGH in single precision, the phase is good to 1e-4 and costs half; else it is empty.
    """
    lanes_at_once = rough.shape[1] if rough.size > 0 else _LANES
    theta, slope = np.empty(x.size), np.empty(x.size)
    for block in range(block_item.size):
        item = block_item[block]
        stack = steps[first[item] : first[item + 1]]
        match = axis[item]
        # Any fixed positive scale gives the same roots; this one makes Θ nearly linear in phase.
        scale = math.sqrt(max(stack[match, Q0R] - x_min[item], 1e-12) * stack[match, H2])
        scale *= stack[match, INV_HRHO]
        for a in range(block_first[block], block_first[block + 1], lanes_at_once):
            b = min(a + lanes_at_once, block_first[block + 1])
            width = VECTOR * ((b - a + VECTOR - 1) // VECTOR)
            above, below = np.zeros((4, width)), np.zeros((4, width))
            lanes, zeros = np.empty(width), np.zeros(width)
            lowest = x[a]
            for m in range(width):
                lanes[m] = x[min(a + m, b - 1)]
                lowest = min(lowest, lanes[m])
            upper, lower = span(stack, lowest, match)
            _start(
                lanes,
                stack,
                upper,
                lower,
                top,
                kind[item],
                q_bottom[item],
                rho_bottom[item],
                above,
                below,
            )
            if rough.size > 0:
                # Differences of k² keep their digits if its largest value is taken from both.
                q = stack[match, Q0R]
                for m in range(width):
                    rough[4, m] = lanes[m] - q
                    rough[5, m] = 0.0
                _shoot_roughly(rough, width, q, stack, upper, match, above)
                _shoot_roughly(rough, width, q, stack, lower, match, below)
                for m in range(width):
                    zeros[m] = rough[5, m]
            else:
                _shoot(lanes, stack, upper, match, above, zeros)
                _shoot(lanes, stack, lower, match, below, zeros)
            for m in range(b - a):
                turn, change = _angle_between(above, below, m, scale)
                theta[a + m] = math.pi * zeros[m] + turn
                slope[a + m] = change
    return theta, slope


@inner
def _start(
    x: Any,
    stack: Any,
    upper: int,
    lower: int,
    top: int,
    kind: int,
    q_bottom: complex,
    rho_bottom: float,
    above: Any,
    below: Any,
) -> None:
    """Fills the states at the nodes ``upper`` and ``lower``."""
    if upper > 0:
        _decaying(x, stack[upper, Q0R] + 0j, stack[upper, HRHO] / stack[upper, THICKNESS], above)
        for m in range(x.size):
            above[1, m], above[3, m] = -above[1, m], -above[3, m]
    else:
        fill(above[0 if top == RIGID else 1], 1.0)
    if lower < stack.shape[0]:
        j = lower - 1
        _decaying(x, stack[j, Q0R] + 0j, stack[j, HRHO] / stack[j, THICKNESS], below)
    elif kind == PERTURBED_HALF_SPACE:
        _decaying(x, q_bottom, rho_bottom, below)
    elif kind == HALF_SPACE:
        _decaying(x, q_bottom.real + 0j, rho_bottom, below)
    else:
        fill(below[0 if kind == RIGID else 1], 1.0 if kind == RIGID else -1.0)


@inner
def _decaying(x: Any, q: complex, rho: float, state: Any) -> None:
    """The state of solutions that decay downwards in a medium of constant k²."""
    fill(state[0], 1.0)
    for m in range(x.size):
        gamma = cmath.sqrt(x[m] - q + 1e-200)
        state[1, m] = -gamma.real / rho
        state[3, m] = -0.5 * (1.0 / gamma).real / rho


@inner("void(f8[::1], f8[:, ::1], i8, i8, f8[:, ::1], f8[::1])", fastmath=FAST)
def _shoot(x: Any, steps: Any, start: int, stop: int, state: Any, zeros: Any) -> None:
    """Carries ``state``, rows φ, ψ, ∂φ/∂x, ∂ψ/∂x, between two nodes, counting the zeros of φ."""
    phi, psi, dphi, dpsi = state[0], state[1], state[2], state[3]
    down = stop > start
    sign = 1.0 if down else -1.0
    highest, grown = x[0], 0.0
    for m in range(x.size):
        highest = max(highest, x[m])
    for i in range(abs(stop - start)):
        j = start + i if down else start - 1 - i
        h2, hrho, inv_hrho = steps[j, H2], sign * steps[j, HRHO], sign * steps[j, INV_HRHO]
        q0, v1, v2 = steps[j, Q0R], sign * steps[j, V1R], steps[j, V2R]
        w = v1 * v1 / 24.0
        for m in range(x.size):
            z = h2 * (x[m] - q0)
            xi, eta0, eta1, eta2, eta3, eta4 = eta_functions(z)
            odd, d_odd = 0.5 * v1 * eta1, 0.25 * v1 * eta2
            even, d_even = xi - w * eta2, 0.5 * (eta0 - w * eta3)
            p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
            d12 = 0.5 * (eta1 - 0.5 * v2 * eta3 - w * eta4) * hrho
            p21 = (z * eta0 + 0.5 * v2 * z * eta2 - w * (eta1 + 7.0 * eta2)) * inv_hrho
            d21 = (
                eta0
                + 0.5 * z * eta1
                + 0.5 * v2 * (eta2 + 0.5 * z * eta3)
                - 0.5 * w * (eta2 + 7.0 * eta3)
            ) * inv_hrho
            f, g, df, dg = phi[m], psi[m], dphi[m], dpsi[m]
            middle = (1.0 + xi) * f + hrho * eta0 * g
            middle = middle if z > _TURN else -middle
            new = (even + odd) * f + p12 * g
            dphi[m] = (even + odd) * df + p12 * dg + h2 * ((d_even + d_odd) * f + d12 * g)
            dpsi[m] = p21 * df + (even - odd) * dg + h2 * (d21 * f + (d_even - d_odd) * g)
            psi[m] = p21 * f + (even - odd) * g
            phi[m] = new
            zeros[m] += 1.0 if (middle < 0.0) != (f < 0.0) else 0.0
            zeros[m] += 1.0 if (middle < 0.0) != (new < 0.0) else 0.0
        grown += math.sqrt(max(h2 * (highest - q0), 0.0))
        if grown > _GROWN or i % CHECK_EVERY == CHECK_EVERY - 1:
            grown, largest = 0.0, 0.0
            for m in range(x.size):
                largest = max(largest, abs(phi[m]), abs(psi[m]))
            if largest > LARGE:
                for m in range(x.size):
                    scale = 1.0 / (abs(phi[m]) + abs(psi[m]))
                    phi[m] *= scale
                    psi[m] *= scale
                    dphi[m] *= scale
                    dpsi[m] *= scale


@inner("void(f4[:, ::1], i8, f8, f8[:, ::1], i8, i8, f8[:, ::1])", fastmath=FAST)
def _shoot_roughly(
    rough: Any, width: int, q: float, steps: Any, start: int, stop: int, state: Any
) -> None:
    """As ``_shoot``, x less q; what is small is left out of the derivatives."""
    phi, psi, dphi, dpsi, x, zeros = rough[0], rough[1], rough[2], rough[3], rough[4], rough[5]
    for row in range(4):
        for m in range(width):
            rough[row, m] = state[row, m]
    down = stop > start
    sign = 1.0 if down else -1.0
    none, half, one, seven = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(7.0)
    turn = np.float32(_TURN)
    highest, grown = x[0], none
    for m in range(width):
        highest = max(highest, x[m])
    for i in range(abs(stop - start)):
        j = start + i if down else start - 1 - i
        h2 = np.float32(steps[j, H2])
        hrho, inv_hrho = np.float32(sign * steps[j, HRHO]), np.float32(sign * steps[j, INV_HRHO])
        q0 = np.float32(steps[j, Q0R] - q)
        v1, v2 = np.float32(0.5 * sign * steps[j, V1R]), np.float32(0.5 * steps[j, V2R])
        w = np.float32(steps[j, V1R] * steps[j, V1R] / 24.0)
        for m in range(width):
            z = h2 * (x[m] - q0)
            xi, eta0, eta1, eta2, eta3 = rough_eta_functions(z)
            odd, even = v1 * eta1, xi - w * eta2
            p12 = (eta0 - v2 * eta2 - w * eta3) * hrho
            p21 = (z * (eta0 + v2 * eta2) - w * (eta1 + seven * eta2)) * inv_hrho
            d_odd, d12, d21 = v1 * eta2, eta1 * hrho, (eta0 + xi) * inv_hrho
            f, g, df, dg = phi[m], psi[m], dphi[m], dpsi[m]
            middle = (one + xi) * f + hrho * eta0 * g
            middle = middle if z > turn else -middle
            new = (even + odd) * f + p12 * g
            d = half * h2
            dphi[m] = (even + odd) * df + p12 * dg + d * ((eta0 + d_odd) * f + d12 * g)
            dpsi[m] = p21 * df + (even - odd) * dg + d * (d21 * f + (eta0 - d_odd) * g)
            psi[m] = p21 * f + (even - odd) * g
            phi[m] = new
            zeros[m] += one if (middle < none) != (f < none) else none
            zeros[m] += one if (middle < none) != (new < none) else none
        grown += math.sqrt(max(h2 * (highest - q0), none))
        if grown > _ROUGHLY_GROWN or i % CHECK_EVERY == CHECK_EVERY - 1:
            grown, largest = none, none
            for m in range(width):
                largest = max(largest, abs(phi[m]), abs(psi[m]))
            if largest > _ROUGHLY_LARGE:
                for m in range(width):
                    scale = one / (abs(phi[m]) + abs(psi[m]))
                    phi[m] *= scale
                    psi[m] *= scale
                    dphi[m] *= scale
                    dpsi[m] *= scale
    for row in range(4):
        for m in range(width):
            state[row, m] = rough[row, m]


@inner
def _angle_between(above: Any, below: Any, m: int, scale: float) -> Any:
    """(θ_L - θ_R, its derivative by x), each θ in [0, π], with φ scaled against ψ."""
    f, g, df, dg = scale * above[0, m], above[1, m], scale * above[2, m], above[3, m]
    u, v, du, dv = scale * below[0, m], below[1, m], scale * below[2, m], below[3, m]
    change = (g * df - f * dg) / (f * f + g * g) - (v * du - u * dv) / (u * u + v * v)
    # One arc tangent for the two: both states point to the right half of the circle of phases.
    if f < 0.0:
        f, g = -f, -g
    if u < 0.0:
        u, v = -u, -v
    return math.atan2(f * v - g * u, g * v + f * u), change
