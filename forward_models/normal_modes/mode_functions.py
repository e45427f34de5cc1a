"""Mode functions at any depth, normalised so that ∫ φ²/ρ dz over all media is 1 (ρ in g/cm³)."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.spans import gather, locate, part_of_step
from forward_models.normal_modes.steps import (
    H2,
    HALF_SPACE,
    HRHO,
    PERTURBED_HALF_SPACE,
    Q0I,
    Q0R,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    VECTOR,
)
from forward_models.normal_modes.wronskian import (
    ALONG_X,
    LOG_SCALE,
    LOSS,
    N_ROWS,
    PHI,
    PHR,
    PSI,
    PSR,
    XI,
    XR,
    half_space_decay,
    shoot_along_x,
    start_lane,
    unpack,
)


@kernel
def mode_functions(
    x: Any,
    loss: Any,
    depth: Any,
    block_item: Any,
    block_node: Any,
    block_first: Any,
    steps: Any,
    first: Any,
    top: int,
    kind: Any,
    q_bottom: Any,
    rho_bottom: Any,
    q_shear: Any,
) -> Any:
    """Newton's move -W / ∂W/∂x of the lanes ``x``, and (lane, D) φ at the depths of their items.

    ``depth`` is (items, D) m, in any order; blocks as for :func:`wronskian`. φ is that of ``x`` as
    given, positive nearest the surface.
    """
    move = np.empty(x.size, np.complex128)
    result = np.zeros((x.size, depth.shape[1]), np.complex128)
    above, below = np.empty((N_ROWS, VECTOR)), np.empty((N_ROWS, VECTOR))
    amplitude = np.empty((2, VECTOR), np.complex128)
    phi = np.empty((depth.shape[1], VECTOR), np.complex128)
    for block in range(block_item.size):
        item, node = block_item[block], block_node[block]
        stack = steps[first[item] : first[item + 1]]
        offset, step_of, slot, used = locate(depth[item], stack)
        kept = np.zeros((used, N_ROWS, VECTOR))
        b = block_first[block]
        while b < block_first[block + 1]:
            a = b
            b, upper, lower = gather(stack, x, a, block_first[block + 1], node)
            for m in range(VECTOR):  # spare lanes are copies of the last
                lane = min(a + m, b - 1)
                start_lane(
                    x[lane],
                    loss[lane],
                    m,
                    ALONG_X,
                    stack,
                    upper,
                    lower,
                    top,
                    kind[item],
                    q_bottom[item],
                    rho_bottom[item],
                    q_shear[item],
                    above,
                    below,
                )
            shoot_along_x(stack, upper, node, ALONG_X, above, slot, kept)
            shoot_along_x(stack, lower, node, ALONG_X, below, slot, kept)
            for m in range(VECTOR):
                amplitude[0, m], amplitude[1, m] = _amplitudes(above, below, m, stack, node)
            for m in range(b - a):
                f, g, df, dg = unpack(above, m)
                u, v, du, dv = unpack(below, m)
                move[a + m] = (u * g - f * v) / (df * v + f * dv - du * g - u * dg)
            for j in range(upper, lower + 1):
                if slot[j] >= 0:
                    side, end = (0, above) if j < node else (1, below)
                    _scale(kept[slot[j]], end, amplitude[side])
            within_steps(stack, offset, step_of, slot, kept, upper, lower, phi)
            for d in range(depth.shape[1]):
                if step_of[d] == stack.shape[0] and lower == stack.shape[0]:
                    state = kept[slot[lower]]
                    for m in range(VECTOR):
                        phi[d, m] = unpack(state, m)[0]
                        if kind[item] == HALF_SPACE or kind[item] == PERTURBED_HALF_SPACE:
                            at = complex(state[XR, m], state[XI, m])
                            gamma, _ = half_space_decay(
                                at, state[LOSS, m], q_bottom[item], kind[item], ALONG_X
                            )
                            phi[d, m] *= cmath.exp(-gamma * offset[d])
                        elif offset[d] >= 1e-6:  # on a rigid or elastic bottom, not in it
                            phi[d, m] = 0j
                for m in range(b - a):
                    result[a + m, d] = phi[d, m]
    return move, result


@inner
def _scale(state: Any, end: Any, amplitude: Any) -> None:
    """Gives a state on the way of a shot to ``end`` the size that it has in the mode."""
    for m in range(VECTOR):
        factor = amplitude[m]
        shift = state[LOG_SCALE, m] - end[LOG_SCALE, m]
        if shift != 0.0:
            factor *= math.exp(shift)
        f = factor * complex(state[PHR, m], state[PHI, m])
        g = factor * complex(state[PSR, m], state[PSI, m])
        state[PHR, m], state[PHI, m], state[PSR, m], state[PSI, m] = f.real, f.imag, g.real, g.imag


@inner
def _amplitudes(above: Any, below: Any, lane: int, steps: Any, node: int) -> Any:
    """Factors that join the two shots at the match node and give the mode unit norm."""
    f, g, df, dg = unpack(above, lane)
    u, v, du, dv = unpack(below, lane)
    # φ and ψ have different units: weigh ψ by the thickness and density of the nearest step.
    unit = steps[min(node, steps.shape[0] - 1), HRHO]
    weight_u, weight_v = u.conjugate(), v.conjugate() * unit * unit
    join = (f * weight_u + g * weight_v) / (u * weight_u + v * weight_v)
    norm = (f * dg - g * df) - join * join * (u * dv - v * du)
    amplitude = 1.0 / cmath.sqrt(norm)
    return amplitude, amplitude * join


@inner(
    "void(f8[:, ::1], f8[::1], i8[::1], i8[::1], f8[:, :, ::1], i8, i8, c16[:, ::1])", fastmath=FAST
)
def within_steps(
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
            for m in range(phi.shape[1]):
                phi[d, m] = 0j
            continue
        a, to_q1, to_q0 = part_of_step(steps[j, THICKNESS], offset[d])
        b = a - 1.0
        h2 = a * a * steps[j, H2]
        q1r, q1i = steps[j, V1R] / steps[j, H2], steps[j, V1I] / steps[j, H2]
        q2r, q2i = -steps[j, V2R] / steps[j, H2], -steps[j, V2I] / steps[j, H2]
        q0r = steps[j, Q0R] + q1r * b + q2r * to_q0
        q0i = steps[j, Q0I] + q1i * b + q2i * to_q0
        v1r, v1i = h2 * a * (q1r + q2r * to_q1), h2 * a * (q1i + q2i * to_q1)
        v2r, v2i = -h2 * a * a * q2r, -h2 * a * a * q2i
        hrho, i = a * steps[j, HRHO], slot[j]
        for m in range(phi.shape[1]):
            e = kept[i, LOSS, m]
            z = complex(h2 * (kept[i, XR, m] - q0r), h2 * (kept[i, XI, m] - e * q0i))
            v1, v2 = complex(v1r, e * v1i), complex(v2r, e * v2i)
            w = v1 * v1 * (1.0 / 24.0)
            xi_, eta0, eta1, eta2, eta3, _ = complex_eta_functions(z)
            p11 = xi_ + 0.5 * v1 * eta1 - w * eta2
            p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
            at = p11 * complex(kept[i, PHR, m], kept[i, PHI, m])
            phi[d, m] = at + p12 * complex(kept[i, PSR, m], kept[i, PSI, m])
