"""Real shooting without loss, with the first-order effect of loss beside it.

On real x the Wronskian of a lossless guide is real and its derivative with attenuation imaginary,
so that one real shot carries both derivatives, and the mode functions of the perturbative
treatment: a quarter of the price of complex arithmetic.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.propagator import eta_functions
from forward_models.normal_modes.spans import copy_into, fill, gather, locate, part_of_step
from forward_models.normal_modes.steps import (
    CHECK_EVERY,
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    LARGE,
    PERTURBED_HALF_SPACE,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    VECTOR,
)

# Rows of the state of a shot, one column a lane: φ, ψ, their derivatives by x, and the imaginary
# parts of their derivatives by the share of the loss; the logarithm of the scale taken out.
PHI, PSI, PHI_X, PSI_X, PHI_LOSS, PSI_LOSS, LOG_SCALE = range(7)
N_ROWS = 7


@kernel
def lossless(
    x: Any,
    depth: Any,
    with_loss: bool,
    block_item: Any,
    block_node: Any,
    block_first: Any,
    steps: Any,
    first: Any,
    top: int,
    kind: Any,
    q_bottom: Any,
    rho_bottom: Any,
) -> Any:
    """(W, ∂W/∂x, Im ∂W/∂loss) of each lane, with one common factor, and φ (lane, D), as complex.

    Blocks and ``depth`` (items, D) as for mode_functions. The effect of loss is found only
    ``with_loss``.
    """
    value, slope, lossy = np.empty(x.size), np.empty(x.size), np.empty(x.size)
    result = np.empty((x.size, depth.shape[1]), np.complex128)
    phi, amplitude = np.empty((depth.shape[1], VECTOR)), np.empty((2, VECTOR))
    lanes = np.empty(VECTOR)
    above, below = np.empty((N_ROWS, VECTOR)), np.empty((N_ROWS, VECTOR))
    for block in range(block_item.size):
        item, node = block_item[block], block_node[block]
        stack = steps[first[item] : first[item + 1]]
        j = min(node, stack.shape[0] - 1)
        offset, step_of, slot, used = locate(depth[item], stack)
        kept = np.zeros((used, N_ROWS, VECTOR))
        b = block_first[block]
        while b < block_first[block + 1]:
            a = b
            b, upper, lower = gather(stack, x, a, block_first[block + 1], node)
            for m in range(VECTOR):
                lanes[m] = x[min(a + m, b - 1)]
            for row in range(N_ROWS):
                fill(above[row], 0.0)
                fill(below[row], 0.0)
            if upper > 0:
                _decaying(lanes, stack, upper, -1.0, above)
            else:
                fill(above[PHI if top == RIGID else PSI], 1.0)
            if lower < stack.shape[0]:
                _decaying(lanes, stack, lower - 1, 1.0, below)
            else:
                _bottom(lanes, kind[item], q_bottom[item], rho_bottom[item], below)
            _shoot(lanes, stack, upper, node, with_loss, above, slot, kept)
            _shoot(lanes, stack, lower, node, with_loss, below, slot, kept)
            for m in range(b - a):
                f, g, u, v = above[PHI, m], above[PSI, m], below[PHI, m], below[PSI, m]
                kappa = math.sqrt(abs(stack[j, Q0R] - lanes[m]) + 1e-12 * abs(lanes[m]))
                unit = stack[j, HRHO] / (math.sqrt(stack[j, H2]) * kappa)
                size = math.sqrt(f * f + (unit * g) ** 2)
                size *= math.sqrt(u * u + (unit * v) ** 2) / unit
                value[a + m] = (f * v - u * g) / size
                slope[a + m] = (
                    above[PHI_X, m] * v
                    + f * below[PSI_X, m]
                    - below[PHI_X, m] * g
                    - u * above[PSI_X, m]
                ) / size
                lossy[a + m] = (
                    above[PHI_LOSS, m] * v
                    + f * below[PSI_LOSS, m]
                    - below[PHI_LOSS, m] * g
                    - u * above[PSI_LOSS, m]
                ) / size
            if depth.shape[1]:
                for m in range(VECTOR):
                    amplitude[0, m], amplitude[1, m] = _amplitudes(above, below, m, stack[j, HRHO])
                for i in range(upper, lower + 1):
                    if slot[i] >= 0:
                        side, end = (0, above) if i < node else (1, below)
                        _scale(kept[slot[i]], end, amplitude[side])
            _within_steps(lanes, stack, offset, step_of, slot, kept, upper, lower, phi)
            for d in range(depth.shape[1]):
                if step_of[d] == stack.shape[0] and lower == stack.shape[0]:
                    state = kept[slot[lower]]
                    for m in range(VECTOR):
                        phi[d, m] = state[PHI, m]
                        if kind[item] == HALF_SPACE or kind[item] == PERTURBED_HALF_SPACE:
                            gamma = -rho_bottom[item] * state[PSI, m] / state[PHI, m]
                            phi[d, m] *= math.exp(-gamma * offset[d])
                        elif offset[d] >= 1e-6:  # on a rigid bottom, not in it
                            phi[d, m] = 0.0
                for m in range(b - a):
                    result[a + m, d] = phi[d, m]
    return value, slope, lossy, result


@inner
def _scale(state: Any, end: Any, amplitude: Any) -> None:
    """Gives a state on the way of a shot to ``end`` the size that it has in the mode."""
    for m in range(VECTOR):
        factor = amplitude[m]
        shift = state[LOG_SCALE, m] - end[LOG_SCALE, m]
        if shift != 0.0:
            factor *= math.exp(shift)
        state[PHI, m] *= factor
        state[PSI, m] *= factor


@inner
def _amplitudes(above: Any, below: Any, m: int, unit: float) -> Any:
    """Factors that join the two shots at the match node and give the mode unit norm.

    φ and ψ differ in units: ``unit`` weighs ψ by thickness and density of the nearest step.
    """
    f, g, df, dg = above[PHI, m], above[PSI, m], above[PHI_X, m], above[PSI_X, m]
    u, v, du, dv = below[PHI, m], below[PSI, m], below[PHI_X, m], below[PSI_X, m]
    join = (f * u + g * v * unit * unit) / (u * u + (v * unit) ** 2)
    amplitude = 1.0 / math.sqrt((f * dg - g * df) - join * join * (u * dv - v * du))
    return amplitude, amplitude * join


@inner(
    "void(f8[::1], f8[:, ::1], f8[::1], i8[::1], i8[::1], f8[:, :, ::1], i8, i8, f8[:, ::1])",
    fastmath=FAST,
)
def _within_steps(
    x: Any,
    steps: Any,
    offset: Any,
    step_of: Any,
    slot: Any,
    kept: Any,
    upper: int,
    lower: int,
    phi: Any,
) -> None:
    """Fills φ (D, lane) at ``offset`` below the tops of steps from the states there.

    It is 0 outside the nodes ``upper`` and ``lower``, where nothing of the modes is left.
    """
    for d in range(step_of.size):
        j = step_of[d]
        if j < upper or j >= lower:
            for m in range(x.size):
                phi[d, m] = 0.0
            continue
        share, to_q1, to_q0 = part_of_step(steps[j, THICKNESS], offset[d])
        h2 = share * share * steps[j, H2]
        q1, q2 = steps[j, V1R] / steps[j, H2], -steps[j, V2R] / steps[j, H2]
        q0 = steps[j, Q0R] + q1 * (share - 1.0) + q2 * to_q0
        v1, v2 = h2 * share * (q1 + q2 * to_q1), -h2 * share * share * q2
        hrho, w, i = share * steps[j, HRHO], v1 * v1 / 24.0, slot[j]
        for m in range(x.size):
            xi, eta0, eta1, eta2, eta3, _ = eta_functions(h2 * (x[m] - q0))
            p11 = xi + 0.5 * v1 * eta1 - w * eta2
            p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
            phi[d, m] = p11 * kept[i, PHI, m] + p12 * kept[i, PSI, m]


@inner
def _bottom(x: Any, kind: int, q: complex, rho: float, state: Any) -> None:
    """The state at the bottom of the stack; γ as in wronskian's half_space_decay."""
    if kind == RIGID:
        fill(state[PHI], 1.0)
    elif kind == HALF_SPACE or kind == PERTURBED_HALF_SPACE:
        fill(state[PHI], 1.0)
        for m in range(x.size):
            at_bottom = q if kind == PERTURBED_HALF_SPACE else complex(q.real, 0.0)
            gamma = cmath.sqrt(x[m] - at_bottom + 1e-30 * x[m])
            state[PSI, m] = -gamma.real / rho
            state[PSI_X, m] = -(0.5 / gamma).real / rho
            if kind == PERTURBED_HALF_SPACE:
                state[PSI_LOSS, m] = -gamma.imag / rho
            else:
                state[PSI_LOSS, m] = (0.5 * q.imag / gamma).real / rho
    else:
        fill(state[PSI], -1.0)


@inner
def _decaying(x: Any, stack: Any, j: int, sign: float, state: Any) -> None:
    """Solutions that decay downwards (sign 1) or upwards (-1) in the medium of step j."""
    rho = stack[j, HRHO] / stack[j, THICKNESS]
    fill(state[PHI], 1.0)
    for m in range(x.size):
        gamma = math.sqrt(max(x[m] - stack[j, Q0R], 1e-200))
        state[PSI, m] = -sign * gamma / rho
        state[PSI_X, m] = -sign * 0.5 / (gamma * rho)
        state[PSI_LOSS, m] = sign * 0.5 * stack[j, Q0I] / (gamma * rho)


@inner("void(f8[::1], f8[:, ::1], i8, i8, b1, f8[:, ::1], i8[::1], f8[:, :, ::1])", fastmath=FAST)
def _shoot(
    x: Any, steps: Any, start: int, stop: int, with_loss: bool, state: Any, slot: Any, kept: Any
) -> None:
    """Carries ``state`` from ``start`` to ``stop``, copied to kept[slot[node]] on the way."""
    down = stop > start
    sign = 1.0 if down else -1.0
    if slot[start] >= 0:
        copy_into(kept[slot[start]], state)
    for i in range(abs(stop - start)):
        j = start + i if down else start - 1 - i
        h2, hrho, inv_hrho = steps[j, H2], sign * steps[j, HRHO], sign * steps[j, INV_HRHO]
        q0, v1, v2 = steps[j, Q0R], sign * steps[j, V1R], steps[j, V2R]
        w = v1 * v1 / 24.0
        # Change of z, v₁, v₂ and w with the share of the loss, the imaginary unit taken out.
        z_loss, v1_loss, v2_loss = -h2 * steps[j, Q0I], sign * steps[j, V1I], steps[j, V2I]
        w_loss = v1 * v1_loss / 12.0
        for m in range(x.size):
            z = h2 * (x[m] - q0)
            xi, eta0, eta1, eta2, eta3, eta4 = eta_functions(z)
            odd, even = 0.5 * v1 * eta1, xi - w * eta2
            p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
            p21 = (z * eta0 + 0.5 * v2 * z * eta2 - w * (eta1 + 7.0 * eta2)) * inv_hrho
            odd_z, even_z = 0.25 * v1 * eta2, 0.5 * (eta0 - w * eta3)
            p12_z = 0.5 * (eta1 - 0.5 * v2 * eta3 - w * eta4) * hrho
            p21_z = (
                eta0
                + 0.5 * z * eta1
                + 0.5 * v2 * (eta2 + 0.5 * z * eta3)
                - 0.5 * w * (eta2 + 7.0 * eta3)
            ) * inv_hrho
            f, g, fx, gx = state[PHI, m], state[PSI, m], state[PHI_X, m], state[PSI_X, m]
            plus, minus = even + odd, even - odd
            state[PHI_X, m] = plus * fx + p12 * gx + h2 * ((even_z + odd_z) * f + p12_z * g)
            state[PSI_X, m] = p21 * fx + minus * gx + h2 * (p21_z * f + (even_z - odd_z) * g)
            if with_loss:
                odd_l = odd_z * z_loss + 0.5 * v1_loss * eta1
                even_l = even_z * z_loss - w_loss * eta2
                p12_l = p12_z * z_loss - (0.5 * v2_loss * eta2 + w_loss * eta3) * hrho
                p21_l = (
                    p21_z * z_loss
                    + (0.5 * v2_loss * z * eta2 - w_loss * (eta1 + 7.0 * eta2)) * inv_hrho
                )
                fl, gl = state[PHI_LOSS, m], state[PSI_LOSS, m]
                state[PHI_LOSS, m] = plus * fl + p12 * gl + (even_l + odd_l) * f + p12_l * g
                state[PSI_LOSS, m] = p21 * fl + minus * gl + p21_l * f + (even_l - odd_l) * g
            state[PHI, m] = plus * f + p12 * g
            state[PSI, m] = p21 * f + minus * g
        if i % CHECK_EVERY == CHECK_EVERY - 1:
            largest = 0.0
            for m in range(x.size):
                largest = max(largest, abs(state[PHI, m]), abs(state[PSI, m]))
            if largest > LARGE:
                for m in range(x.size):
                    size = abs(state[PHI, m]) + abs(state[PSI, m])
                    state[LOG_SCALE, m] += math.log(size)
                    for row in range(LOG_SCALE):
                        state[row, m] /= size
        node = j + 1 if down else j
        if slot[node] >= 0:
            copy_into(kept[slot[node]], state)
