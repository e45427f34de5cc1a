"""Mode functions at any depth, normalised so that ∫ φ²/ρ dz over all media is 1 (ρ in g/cm³)."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
from numba import njit

from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.spans import gather, locate, part_of_step
from forward_models.normal_modes.steps import (
    H2,
    HALF_SPACE,
    HRHO,
    PERTURBED_HALF_SPACE,
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
    shots,
    unpack,
)


@njit(cache=True, nogil=True, error_model="numpy")
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
    """(lane, D) φ of the modes ``x`` at the depths of their items, positive nearest the surface.

    ``depth`` is (items, D) m, in any order; blocks as for :func:`wronskian`.
    """
    result = np.zeros((x.size, depth.shape[1]), np.complex128)
    above, below = np.empty((N_ROWS, VECTOR)), np.empty((N_ROWS, VECTOR))
    amplitude = np.empty((2, VECTOR), np.complex128)
    phi = np.empty(VECTOR, np.complex128)
    for block in range(block_item.size):
        item, node = block_item[block], block_node[block]
        stack = steps[first[item] : first[item + 1]]
        at_node, step_of, slot = locate(depth[item], stack)
        kept = np.zeros((slot.max() + 1, N_ROWS, VECTOR))
        b = block_first[block]
        while b < block_first[block + 1]:
            a = b
            b, upper, lower = gather(stack, x, a, block_first[block + 1], node)
            shots(
                x[a:b],
                loss[a:b],
                ALONG_X,
                stack,
                upper,
                node,
                lower,
                top,
                kind[item],
                q_bottom[item],
                rho_bottom[item],
                q_shear[item],
                above,
                below,
                slot,
                kept,
            )
            for m in range(VECTOR):
                amplitude[0, m], amplitude[1, m] = _amplitudes(above, below, m, stack, node)
            for d in range(depth.shape[1]):
                j = step_of[d]
                if j < upper or (j >= lower and lower < stack.shape[0]):
                    continue  # nothing of the modes is left there
                side, end = (0, above) if j < node else (1, below)
                state = kept[slot[j]]
                offset = depth[item, d] - at_node[j]
                if j < stack.shape[0]:
                    within_step(stack[j], offset, state, phi)
                elif kind[item] == HALF_SPACE or kind[item] == PERTURBED_HALF_SPACE:
                    for m in range(VECTOR):
                        at = complex(state[XR, m], state[XI, m])
                        gamma, _ = half_space_decay(
                            at, state[LOSS, m], q_bottom[item], kind[item], ALONG_X
                        )
                        phi[m] = unpack(state, m)[0] * cmath.exp(-gamma * offset)
                else:
                    for m in range(VECTOR):  # on a rigid or elastic bottom, not in it
                        phi[m] = unpack(state, m)[0] if offset < 1e-6 else 0j
                for m in range(b - a):
                    shift = state[LOG_SCALE, m] - end[LOG_SCALE, m]
                    scale = math.exp(shift) if shift != 0.0 else 1.0
                    result[a + m, d] = amplitude[side, m] * scale * phi[m]
    return result


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(
    "void(f8[::1], f8, f8[:, ::1], c16[::1])",
    cache=True,
    nogil=True,
    fastmath={"contract", "nsz", "arcp", "reassoc"},
)
def within_step(step: Any, offset: float, state: Any, phi: Any) -> None:
    """Fills φ of all lanes at ``offset`` below the top of a step from the states at its top."""
    a, to_q1, to_q0 = part_of_step(step, offset)
    b = a - 1.0
    h2 = a * a * step[H2]
    q1r, q1i = step[V1R] / step[H2], step[V1I] / step[H2]
    q2r, q2i = -step[V2R] / step[H2], -step[V2I] / step[H2]
    q0r, q0i = step[Q0R] + q1r * b + q2r * to_q0, step[Q0I] + q1i * b + q2i * to_q0
    v1r, v1i = h2 * a * (q1r + q2r * to_q1), h2 * a * (q1i + q2i * to_q1)
    v2r, v2i = -h2 * a * a * q2r, -h2 * a * a * q2i
    hrho = a * step[HRHO]
    for m in range(phi.size):
        e = state[LOSS, m]
        z = complex(h2 * (state[XR, m] - q0r), h2 * (state[XI, m] - e * q0i))
        v1, v2 = complex(v1r, e * v1i), complex(v2r, e * v2i)
        w = v1 * v1 * (1.0 / 24.0)
        xi_, eta0, eta1, eta2, eta3, _ = complex_eta_functions(z)
        p11 = xi_ + 0.5 * v1 * eta1 - w * eta2
        p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
        at = p11 * complex(state[PHR, m], state[PHI, m])
        phi[m] = at + p12 * complex(state[PSR, m], state[PSI, m])
