"""Mode functions at any depth, normalised so that ∫ φ²/ρ dz over all media is 1 (ρ in g/cm³)."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
from numba import njit

from forward_models.normal_modes.propagator import complex_eta_functions
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
)
from forward_models.normal_modes.wronskian import (
    ALONG_X,
    LOG_SCALE,
    N_ROWS,
    half_space_decay,
    shoot,
    start_shots,
    unpack,
)


@njit(cache=True, nogil=True)
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
) -> Any:
    """(lane, D) φ of the modes ``x`` at the depths of their items, positive nearest the surface.

    ``depth`` is (items, D) m, in any order; blocks as for :func:`wronskian`.
    """
    result = np.zeros((x.size, depth.shape[1]), np.complex128)
    for block in range(block_item.size):
        item, node = block_item[block], block_node[block]
        a, b = block_first[block], block_first[block + 1]
        stack = steps[first[item] : first[item + 1]]
        at_node, step_of, slot = _locate(depth[item], stack)
        above, below = start_shots(
            x[a:b], loss[a:b], top, kind[item], q_bottom[item], rho_bottom[item], ALONG_X
        )
        kept = np.zeros((slot.max() + 1, N_ROWS, above.shape[1]))
        shoot(stack, 0, node, ALONG_X, above, slot, kept)
        shoot(stack, stack.shape[0], node, ALONG_X, below, slot, kept)
        for m in range(b - a):
            scale_above, scale_below = _amplitudes(above, below, m, stack, node)
            for d in range(depth.shape[1]):
                j = step_of[d]
                state = kept[slot[j]]
                if j < node:
                    amplitude = scale_above * math.exp(state[LOG_SCALE, m] - above[LOG_SCALE, m])
                else:
                    amplitude = scale_below * math.exp(state[LOG_SCALE, m] - below[LOG_SCALE, m])
                phi, psi, _, _ = unpack(state, m)
                offset = depth[item, d] - at_node[j]
                if j < stack.shape[0]:
                    at = _within_step(x[a + m], loss[a + m], stack, j, offset, phi, psi)
                elif kind[item] == HALF_SPACE or kind[item] == PERTURBED_HALF_SPACE:
                    gamma, _ = half_space_decay(
                        x[a + m], loss[a + m], q_bottom[item], kind[item], ALONG_X
                    )
                    at = phi * cmath.exp(-gamma * offset)
                else:
                    at = 0j
                result[a + m, d] = amplitude * at
    return result


@njit(cache=True, nogil=True)
def _locate(depth: Any, steps: Any) -> Any:
    """(node depths, step of each depth, slot of each node that a depth hangs on or -1).

    Depths below the last node hang on it: in the half-space φ only decays.
    """
    at_node = np.zeros(steps.shape[0] + 1)
    for j in range(steps.shape[0]):
        at_node[j + 1] = at_node[j] + steps[j, THICKNESS]
    step_of = np.empty(depth.size, np.int64)
    slot = np.full(steps.shape[0] + 1, -1)
    used = 0
    for d in range(depth.size):
        step = 0
        while step < steps.shape[0] and at_node[step + 1] <= depth[d]:
            step += 1
        step_of[d] = step
        if slot[step] < 0:
            slot[step] = used
            used += 1
    return at_node, step_of, slot


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _within_step(
    x: complex, loss: float, steps: Any, j: int, offset: float, phi: complex, psi: complex
) -> complex:
    """φ at ``offset`` below the top of step j, from the moments of k² over that part of it."""
    h = math.sqrt(steps[j, H2])
    a = min(offset / h, 1.0)
    b = a - 1.0
    # u' in [-1, 1] over the part: U = a u' + b; Legendre moments of q₀ + q₁ U + q₂ P₂(U) over it.
    q0 = complex(steps[j, Q0R], loss * steps[j, Q0I])
    q1 = complex(steps[j, V1R], loss * steps[j, V1I]) / steps[j, H2]
    q2 = -complex(steps[j, V2R], loss * steps[j, V2I]) / steps[j, H2]
    q0 += q1 * b + q2 * (1.5 * (b * b + a * a / 3.0) - 0.5)
    q1, q2 = q1 * a + 3.0 * q2 * a * b, q2 * a * a
    h2 = (a * h) ** 2
    v1, v2 = h2 * q1, -h2 * q2
    w = v1 * v1 / 24.0
    xi, eta0, eta1, eta2, eta3, _ = complex_eta_functions(h2 * (x - q0))
    p11 = xi + 0.5 * v1 * eta1 - w * eta2
    p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * a * steps[j, HRHO]
    return p11 * phi + p12 * psi
