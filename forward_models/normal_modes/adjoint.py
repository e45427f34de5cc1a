"""Cotangents of modes: from those of x = k² and of mode functions back to steps and segments.

Shooting is a product of transfer matrices, so that its adjoint is one more shot in the opposite
sense; the root itself, W(x, θ) = 0, adds -∂W/∂θ / ∂W/∂x times its cotangent (implicit function
theorem). Nothing is unrolled: the price is about that of two complex shots, for all parameters.

Everything is holomorphic but the depths, thicknesses and densities, which are real: a cotangent g
of w stands for dL = Re(g dw), and is passed on by plain multiplication with complex derivatives.
"""

from __future__ import annotations

import cmath
from typing import Any

import numpy as np
from numba import njit

from forward_models.normal_modes.mode_functions import locate
from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.steps import (
    H2,
    HALF_SPACE,
    HRHO,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    gauss_rule,
    k_squared,
    reach,
)
from forward_models.normal_modes.wronskian import ALONG_X, half_space_decay

# Columns of the cotangents of a step: the moments of k², thickness and density.
Q0, Q1, Q2, H, RHO = range(5)


@njit(cache=True, nogil=True, error_model="numpy")
def step_cotangents(
    x: Any,
    node: Any,
    lane_first: Any,
    g_x: Any,
    g_phi: Any,
    depth: Any,
    steps: Any,
    first: Any,
    top: int,
    kind: Any,
    q_bottom: Any,
    rho_bottom: Any,
) -> Any:
    """Cotangents of steps, of the half-space and of depths from those of the modes.

    Args:
        x, node: (lane,) roots and match nodes; lanes lane_first[i] to lane_first[i + 1] belong to
            item i.
        g_x: (lane,) cotangents of x; g_phi: (lane, D) of mode functions at ``depth`` (items, D).

    Returns:
        (steps, 5) by the columns above, (items, 2) of q_bottom and rho_bottom, (items, D).
    """
    g_steps = np.zeros((steps.shape[0], 5), np.complex128)
    g_bottom = np.zeros((first.size - 1, 2), np.complex128)
    g_depth = np.zeros(depth.shape, np.complex128)
    for item in range(first.size - 1):
        stack = steps[first[item] : first[item + 1]]
        n = stack.shape[0]
        at_node, step_of, _ = locate(depth[item], stack)
        above, below = np.zeros((n + 1, 4), np.complex128), np.zeros((n + 1, 4), np.complex128)
        hung = np.zeros((n + 1, 2), np.complex128)
        of_phi, of_w = np.zeros((n, 5), np.complex128), np.zeros((n, 5), np.complex128)
        g_offset = np.zeros(n + 1, np.complex128)
        for lane in range(lane_first[item], lane_first[item + 1]):
            match = node[lane]
            upper, lower = reach(stack, x[lane].real, match)
            fluid = lower == n and kind[item] == HALF_SPACE
            gamma = half_space_decay(x[lane], 1.0, q_bottom[item], HALF_SPACE, ALONG_X)[0]
            _shoot_down(x[lane], stack, upper, match, top, above)
            if lower < n:
                q = complex(stack[lower - 1, Q0R], stack[lower - 1, Q0I])
                rho = stack[lower - 1, HRHO] / stack[lower - 1, THICKNESS]
                _start_decaying(
                    half_space_decay(x[lane], 1.0, q, HALF_SPACE, ALONG_X)[0], rho, below[n]
                )
                below[lower, :] = below[n]
            elif fluid:
                _start_decaying(gamma, rho_bottom[item], below[n])
            else:
                below[n, :] = 0.0
                below[n, 0 if kind[item] == RIGID else 1] = 1.0 if kind[item] == RIGID else -1.0
            _shoot_up(x[lane], stack, lower, match, below)

            # At the node: a mode is A times the shot from above and B = A·join times the other.
            f, g, fx, gx = above[match, 0], above[match, 1], above[match, 2], above[match, 3]
            u, v, ux, vx = below[match, 0], below[match, 1], below[match, 2], below[match, 3]
            unit = stack[min(match, n - 1), HRHO]
            weight_u, weight_v = u.conjugate(), v.conjugate() * unit * unit
            total = u * weight_u + v * weight_v
            join = (f * weight_u + g * weight_v) / total
            amplitude = 1.0 / cmath.sqrt((f * gx - g * fx) - join * join * (u * vx - v * ux))
            hung[:], of_phi[:], of_w[:] = 0.0, 0.0, 0.0
            g_a, g_b, g_gamma = 0j, 0j, 0j
            for d in range(depth.shape[1]):
                j = step_of[d]
                if j < upper or (j >= lower and lower < n) or (j == n and not fluid):
                    continue
                in_upper = j < match
                factor = amplitude if in_upper else amplitude * join
                state = above[j] if in_upper else below[j]
                offset = depth[item, d] - at_node[j]
                cotangent = g_phi[lane, d] * factor
                if j < n:
                    phi, psi = _within(
                        x[lane], stack[j], offset, state, cotangent, hung[j], of_phi[j]
                    )
                    slope = psi * stack[j, HRHO] / stack[j, THICKNESS]
                else:
                    decay = cmath.exp(-gamma * offset)
                    phi = state[0] * decay
                    hung[j, 0] += cotangent * decay
                    g_gamma -= cotangent * offset * phi
                    slope = -gamma * phi
                g_depth[item, d] += cotangent * slope
                g_offset[j] += cotangent * slope
                if in_upper:
                    g_a += g_phi[lane, d] * phi
                else:
                    g_b += g_phi[lane, d] * phi
            g_a += g_b * join
            g_norm = -0.5 * amplitude**3 * g_a
            g_join = g_b * amplitude - 2.0 * join * (u * vx - v * ux) * g_norm
            share_u, share_v = g_join * weight_u / total, g_join * weight_v / total

            # Down from the node and up from it: (cotangents of the state, of W's state).
            minus = -join * join * g_norm
            up = np.array([g_norm * gx + share_u, share_v - g_norm * fx, -g_norm * g, g_norm * f])
            down = np.array(
                [minus * vx - join * share_u, -minus * ux - join * share_v, -minus * v, minus * u]
            )
            w_x = fx * v + f * vx - ux * g - u * gx
            up_w, down_w = np.array([v, -u]), np.array([-g, f])
            root = g_x[lane]
            for j in range(match - 1, upper - 1, -1):
                _back(x[lane], stack[j], 1.0, above[j], up, up_w, of_phi[j], of_w[j])
                up[:2] += hung[j]
            down[:2] += hung[match]
            for j in range(match, lower):
                _back(x[lane], stack[j], -1.0, below[j + 1], down, down_w, of_phi[j], of_w[j])
                down[:2] += hung[j + 1]
            of_bottom = np.zeros((2, 2), np.complex128)
            if fluid:
                rho = rho_bottom[item]
                g_gamma += (0.5 * down[3] / (gamma * gamma) - down[1]) / rho
                of_bottom[0, 0] = -0.5 * g_gamma / gamma
                of_bottom[0, 1] = (gamma * down[1] + 0.5 * down[3] / gamma) / rho**2
                of_bottom[1, 0] = 0.5 * down_w[1] / (rho * gamma)
                of_bottom[1, 1] = gamma * down_w[1] / rho**2
                root -= of_bottom[0, 0]
            # z = h²(x - q₀): x enters each step as -q₀ does.
            for j in range(upper, lower):
                root -= of_phi[j, Q0]
            factor = -root / w_x
            for j in range(upper, lower):
                for column in range(5):
                    g_steps[first[item] + j, column] += of_phi[j, column] + factor * of_w[j, column]
            g_bottom[item] += of_bottom[0] + factor * of_bottom[1]
        # A depth within a step is measured from the thicknesses above it.
        beyond = 0j
        for j in range(n, 0, -1):
            beyond += g_offset[j]
            g_steps[first[item] + j - 1, H] -= beyond
    return g_steps, g_bottom, g_depth


@njit(cache=True, nogil=True, error_model="numpy")
def segment_cotangents(
    g_steps: Any,
    steps: Any,
    first: Any,
    piece: Any,
    edges: Any,
    omega: Any,
    thickness: Any,
    c_top: Any,
    c_bottom: Any,
    n2: bool,
) -> Any:
    """Cotangents of segments from those of the steps that are made of them.

    Returns:
        c_top, c_bottom (F, B, S), thickness and density (B, S), all complex.
    """
    shape = (thickness.shape[0], thickness.shape[1])
    g_top, g_low = np.zeros(c_top.shape, np.complex128), np.zeros(c_top.shape, np.complex128)
    g_thickness, g_rho = np.zeros(shape, np.complex128), np.zeros(shape, np.complex128)
    p = 0
    for item in range(first.size - 1):
        b, f = item // omega.size, item % omega.size
        for row in range(first[item], first[item + 1]):
            start = p
            while p < piece.shape[0] and piece[p, 0] == row:
                p += 1
            height = steps[row, THICKNESS]
            g_rho[b, piece[start, 1]] += g_steps[row, RHO]
            moved = 0j  # what all pieces share of a change of thickness of any
            above = 0.0
            for i in range(start, p):
                s, width = piece[i, 1], edges[i, 1] - edges[i, 0]
                part = thickness[b, s] * width / height
                ct, cb = c_top[f, b, s], c_bottom[f, b, s]
                nodes, weights = gauss_rule(ct, cb, width)
                before = 0j
                for g in range(nodes.size):
                    within = 0.5 + 0.5 * nodes[g]
                    tau = edges[i, 0] + within * width
                    q = k_squared(omega[f], ct, cb, tau, n2)
                    u = 2.0 * (above + within * part) - 1.0
                    # g_q: cotangent of k² there; its change with u, the place in the step.
                    g_q = (
                        g_steps[row, Q0]
                        + 3.0 * u * g_steps[row, Q1]
                        + 2.5 * (3.0 * u * u - 1.0) * g_steps[row, Q2]
                    )
                    g_u = 3.0 * g_steps[row, Q1] + 15.0 * u * g_steps[row, Q2]
                    weight = 0.5 * weights[g] * part
                    if n2:
                        g_top[f, b, s] -= weight * g_q * (1.0 - tau) * 2.0 * omega[f] ** 2 / ct**3
                        g_low[f, b, s] -= weight * g_q * tau * 2.0 * omega[f] ** 2 / cb**3
                    else:
                        g_c = -2.0 * weight * g_q * q / (ct + (cb - ct) * tau)
                        g_top[f, b, s] += (1.0 - tau) * g_c
                        g_low[f, b, s] += tau * g_c
                    if p - start > 1:
                        own = 0.5 * weights[g] * q * g_q + weight * q * g_u * 2.0 * within
                        g_thickness[b, s] += own * width / height
                        moved += part * own
                        moved += above * weight * q * g_u * 2.0
                        before += weight * q * g_u * 2.0
                for k in range(start, i):
                    wide = edges[k, 1] - edges[k, 0]
                    g_thickness[b, piece[k, 1]] += before * wide / height
                above += part
            for i in range(start, p):
                width = edges[i, 1] - edges[i, 0]
                g_thickness[b, piece[i, 1]] += width * (g_steps[row, H] - moved / height)
    return g_top, g_low, g_thickness, g_rho


@njit(cache=True, nogil=True, error_model="numpy")
def _transfer(z: complex, v1: complex, v2: complex) -> Any:
    """(M₁₁, M₁₂, M₂₁, M₂₂) of a unit step and their derivatives by z; see ``propagator``."""
    xi, eta0, eta1, eta2, eta3, eta4 = complex_eta_functions(z)
    w = v1 * v1 / 24.0
    odd, d_odd = 0.5 * v1 * eta1, 0.25 * v1 * eta2
    even, d_even = xi - w * eta2, 0.5 * (eta0 - w * eta3)
    m12 = eta0 - 0.5 * v2 * eta2 - w * eta3
    d12 = 0.5 * (eta1 - 0.5 * v2 * eta3 - w * eta4)
    m21 = z * eta0 + 0.5 * v2 * z * eta2 - w * (eta1 + 7.0 * eta2)
    d21 = eta0 + 0.5 * z * eta1 + 0.5 * v2 * (eta2 + 0.5 * z * eta3)
    d21 -= 0.5 * w * (eta2 + 7.0 * eta3)
    return even + odd, m12, m21, even - odd, d_even + d_odd, d12, d21, d_even - d_odd


@njit(cache=True, nogil=True, error_model="numpy")
def _transfer_cotangents(z: complex, v1: complex, v2: complex, m: Any, d: Any) -> Any:
    """(g_z, g_v1, g_v2) from the cotangents m of M and d of ∂M/∂z, as ``_transfer`` orders them."""
    _, eta0, eta1, eta2, eta3, eta4 = complex_eta_functions(z)
    # Only beside v₁²: five terms of its power series do.
    eta5 = 1 / 10395 + z * (1 / 270270 + z * (1 / 16216200 + z * (1 / 1654052400)))
    w, w1 = v1 * v1 / 24.0, v1 / 12.0
    even, odd = m[0] + m[3], m[0] - m[3]
    d_even, d_odd = d[0] + d[3], d[0] - d[3]
    g_z = even * 0.5 * (eta0 - w * eta3) + odd * 0.25 * v1 * eta2
    g_z += m[1] * 0.5 * (eta1 - 0.5 * v2 * eta3 - w * eta4)
    g_z += m[2] * (
        eta0 + 0.5 * z * eta1 + 0.5 * v2 * (eta2 + 0.5 * z * eta3) - 0.5 * w * (eta2 + 7.0 * eta3)
    )
    g_z += d_even * 0.25 * (eta1 - w * eta4) + d_odd * 0.125 * v1 * eta3
    g_z += d[1] * 0.25 * (eta2 - 0.5 * v2 * eta4 - w * eta5)
    g_z += d[2] * (
        eta1
        + 0.25 * z * eta2
        + 0.5 * v2 * (eta3 + 0.25 * z * eta4)
        - 0.25 * w * (eta3 + 7.0 * eta4)
    )
    g_v1 = 0.5 * odd * eta1 + 0.25 * d_odd * eta2
    g_v1 -= w1 * (even * eta2 + m[1] * eta3 + m[2] * (eta1 + 7.0 * eta2))
    g_v1 -= 0.5 * w1 * (d_even * eta3 + d[1] * eta4 + d[2] * (eta2 + 7.0 * eta3))
    g_v2 = 0.5 * eta2 * (m[2] * z - m[1]) - 0.25 * d[1] * eta3
    g_v2 += 0.5 * d[2] * (eta2 + 0.5 * z * eta3)
    return g_z, g_v1, g_v2


@njit(cache=True, nogil=True, error_model="numpy")
def _step_of(x: complex, step: Any, sign: float) -> Any:
    """(z, v₁, v₂, hρ) of a step, signed for the way up."""
    z = step[H2] * (x - complex(step[Q0R], step[Q0I]))
    v1, v2 = sign * complex(step[V1R], step[V1I]), complex(step[V2R], step[V2I])
    return z, v1, v2, sign * step[HRHO]


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(x: complex, step: Any, sign: float, state: Any, to: Any) -> None:
    """The state (φ, ψ, ∂φ/∂x, ∂ψ/∂x) one step further."""
    z, v1, v2, hrho = _step_of(x, step, sign)
    m11, m12, m21, m22, d11, d12, d21, d22 = _transfer(z, v1, v2)
    f, g, fx, gx = state[0], state[1], state[2], state[3]
    to[0] = m11 * f + m12 * hrho * g
    to[1] = m21 / hrho * f + m22 * g
    to[2] = m11 * fx + m12 * hrho * gx + step[H2] * (d11 * f + d12 * hrho * g)
    to[3] = m21 / hrho * fx + m22 * gx + step[H2] * (d21 / hrho * f + d22 * g)


@njit(cache=True, nogil=True, error_model="numpy")
def _shoot_down(x: complex, stack: Any, upper: int, match: int, top: int, states: Any) -> None:
    """Fills the states at the nodes ``upper`` to ``match``."""
    states[upper, :] = 0.0
    if upper > 0:
        q = complex(stack[upper, Q0R], stack[upper, Q0I])
        gamma = half_space_decay(x, 1.0, q, HALF_SPACE, ALONG_X)[0]
        _start_decaying(-gamma, stack[upper, HRHO] / stack[upper, THICKNESS], states[upper])
    else:
        states[0, 0 if top == RIGID else 1] = 1.0
    for j in range(upper, match):
        _forward(x, stack[j], 1.0, states[j], states[j + 1])


@njit(cache=True, nogil=True, error_model="numpy")
def _shoot_up(x: complex, stack: Any, lower: int, match: int, states: Any) -> None:
    """Fills the states at the nodes ``lower`` - 1 to ``match``."""
    for j in range(lower - 1, match - 1, -1):
        _forward(x, stack[j], -1.0, states[j + 1], states[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _start_decaying(gamma: complex, rho: float, state: Any) -> None:
    state[0], state[1] = 1.0, -gamma / rho
    state[2], state[3] = 0.0, -0.5 / (gamma * rho)


@njit(cache=True, nogil=True, error_model="numpy")
def _back(
    x: complex, step: Any, sign: float, state: Any, g: Any, g_w: Any, of_phi: Any, of_w: Any
) -> None:
    """Carries cotangents back over a step that was entered with ``state``.

    ``g`` (4,) of the state and ``g_w`` (2,) of W's part of it are replaced by those at its start;
    what falls to the step itself is added to ``of_phi`` and ``of_w``.
    """
    z, v1, v2, hrho = _step_of(x, step, sign)
    h2 = step[H2]
    m11, m12, m21, m22, d11, d12, d21, d22 = _transfer(z, v1, v2)
    m12, m21, d12, d21 = m12 * hrho, m21 / hrho, d12 * hrho, d21 / hrho
    f, p, fx, px = state[0], state[1], state[2], state[3]
    m = np.empty(4, np.complex128)
    d = np.empty(4, np.complex128)
    m[0], m[1] = g[0] * f + g[2] * fx, (g[0] * p + g[2] * px) * hrho
    m[2], m[3] = (g[1] * f + g[3] * fx) / hrho, g[1] * p + g[3] * px
    d[0], d[1], d[2], d[3] = (
        h2 * g[2] * f,
        h2 * g[2] * p * hrho,
        h2 * g[3] * f / hrho,
        h2 * g[3] * p,
    )
    g_z, g_v1, g_v2 = _transfer_cotangents(z, v1, v2, m, d)
    # M₁₂ goes with hρ and M₂₁ with its inverse; the x-derivatives go with h² beside.
    scale = m[1] * m12 / hrho - m[2] * m21 * hrho + d[1] * d12 / hrho - d[2] * d21 * hrho
    grown = d[0] * d11 + d[1] * d12 / hrho + d[2] * d21 * hrho + d[3] * d22
    _add(step, sign, z, v1, v2, g_z, g_v1, g_v2, scale, 2.0 * grown, of_phi)
    m[0], m[1], m[2], m[3] = g_w[0] * f, g_w[0] * p * hrho, g_w[1] * f / hrho, g_w[1] * p
    d[:] = 0.0
    g_z, g_v1, g_v2 = _transfer_cotangents(z, v1, v2, m, d)
    scale = m[1] * m12 / hrho - m[2] * m21 * hrho
    _add(step, sign, z, v1, v2, g_z, g_v1, g_v2, scale, 0j, of_w)
    g0, g1, g2, g3 = g[0], g[1], g[2], g[3]
    g[0] = m11 * g0 + m21 * g1 + h2 * (d11 * g2 + d21 * g3)
    g[1] = m12 * g0 + m22 * g1 + h2 * (d12 * g2 + d22 * g3)
    g[2] = m11 * g2 + m21 * g3
    g[3] = m12 * g2 + m22 * g3
    g0, g1 = g_w[0], g_w[1]
    g_w[0], g_w[1] = m11 * g0 + m21 * g1, m12 * g0 + m22 * g1


@njit(cache=True, nogil=True, error_model="numpy")
def _add(
    step: Any,
    sign: float,
    z: complex,
    v1: complex,
    v2: complex,
    g_z: complex,
    g_v1: complex,
    g_v2: complex,
    scale: complex,
    grown: complex,
    to: Any,
) -> None:
    """Adds to the cotangents of a step; ``scale`` is that of log hρ, ``grown`` of log h alone."""
    h2, h = step[H2], step[THICKNESS]
    to[Q0] -= h2 * g_z
    to[Q1] += h2 * sign * g_v1
    to[Q2] -= h2 * g_v2
    to[H] += (scale + grown + 2.0 * (z * g_z + v1 * g_v1 + v2 * g_v2)) / h
    to[RHO] += scale * h / step[HRHO]


@njit(cache=True, nogil=True, error_model="numpy")
def _within(
    x: complex, step: Any, offset: float, state: Any, cotangent: complex, hung: Any, of_phi: Any
) -> Any:
    """(φ, ψ) at ``offset`` in a step entered with ``state``; adds the cotangents of φ there.

    ``of_phi`` gets those at a fixed offset, ``hung`` (2,) those of the state.
    """
    h = step[THICKNESS]
    a = min(offset / h, 1.0)
    b = a - 1.0
    to_q0 = 1.5 * (b * b + a * a / 3.0) - 0.5
    q0 = complex(step[Q0R], step[Q0I])
    q1 = complex(step[V1R], step[V1I]) / step[H2]
    q2 = -complex(step[V2R], step[V2I]) / step[H2]
    h2, hrho = (a * h) ** 2, max(a, 1e-12) * step[HRHO]
    z = h2 * (x - q0 - q1 * b - q2 * to_q0)
    v1, v2 = h2 * a * (q1 + 3.0 * q2 * b), -h2 * a * a * q2
    m11, m12, m21, m22, _, _, _, _ = _transfer(z, v1, v2)
    m, d = np.zeros(4, np.complex128), np.zeros(4, np.complex128)
    m[0], m[1] = cotangent * state[0], cotangent * state[1] * hrho
    g_z, g_v1, g_v2 = _transfer_cotangents(z, v1, v2, m, d)
    of_phi[Q0] -= h2 * g_z
    of_phi[Q1] += h2 * (a * g_v1 - b * g_z)
    of_phi[Q2] += h2 * (3.0 * a * b * g_v1 - to_q0 * g_z - a * a * g_v2)
    of_phi[RHO] += m[1] * m12 * h / step[HRHO]
    # A thicker step at the same offset: a and b shrink, the profile stretches.
    g_a = -h2 * (q1 + q2 * (3.0 * b + a)) * g_z
    g_a += h2 * (q1 + 3.0 * q2 * (2.0 * a - 1.0)) * g_v1 - 2.0 * h2 * a * q2 * g_v2
    of_phi[H] -= g_a * a / h
    hung[0] += cotangent * m11
    hung[1] += cotangent * m12 * hrho
    phi = m11 * state[0] + m12 * hrho * state[1]
    return phi, m21 / hrho * state[0] + m22 * state[1]
