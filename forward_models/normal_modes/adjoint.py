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

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.moments import gauss_rule, k_squared
from forward_models.normal_modes.spans import gather, locate
from forward_models.normal_modes.step_adjoint import (
    AFTER,
    BEFORE,
    COTANGENT,
    HUNG,
    N_ROWS,
    PHI,
    PHI_X,
    PSI,
    PSI_X,
    X,
    at_node,
    back,
    copy_rows,
    forward,
    keep,
    put,
    put_row,
    row_of,
    share_out,
    start_cotangents,
    within,
)
from forward_models.normal_modes.steps import (
    ELASTIC,
    HALF_SPACE,
    HRHO,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    VECTOR,
)
from forward_models.normal_modes.wronskian import ALONG_X, half_space_decay

# Columns of the cotangents of a step: the moments of k², thickness and density.
Q0, Q1, Q2, H, RHO = range(5)


@kernel(fastmath=FAST)
def step_cotangents(
    x: Any,
    g_x: Any,
    g_phi: Any,
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
    """Cotangents of steps, of the half-space and of depths from those of the modes.

    Args:
        x: (lane,) roots; blocks of lanes as for :func:`wronskian`.
        g_x: (lane,) cotangents of x; g_phi: (lane, D) of mode functions at ``depth`` (items, D).

    Returns:
        (steps, 5) by the columns above, (items, 3) of q_bottom, rho_bottom and q_shear, (items, D).
    """
    g_steps = np.zeros((steps.shape[0], 5), np.complex128)
    g_bottom = np.zeros((first.size - 1, 3), np.complex128)
    solid = np.empty((4, 5), np.complex128)
    g_depth = np.zeros(depth.shape, np.complex128)
    up, down = np.empty(N_ROWS * VECTOR), np.empty(N_ROWS * VECTOR)
    join, g_gamma = np.empty(VECTOR, np.complex128), np.empty(VECTOR, np.complex128)
    scale = np.empty((2, VECTOR), np.complex128)
    w_x = np.empty(VECTOR, np.complex128)
    for block in range(block_item.size):
        item, match = block_item[block], block_node[block]
        stack = steps[first[item] : first[item + 1]]
        g_item = g_steps[first[item] : first[item + 1]]
        n = stack.shape[0]
        offset, step_of, _, _ = locate(depth[item], stack)
        above, below = np.zeros((n + 1, 8, VECTOR)), np.zeros((n + 1, 8, VECTOR))
        hung = np.zeros((n + 1, 4, VECTOR))
        of_phi, of_w = np.zeros((n, 10, VECTOR)), np.zeros((n, 10, VECTOR))
        g_offset = np.zeros(n + 1, np.complex128)
        b = block_first[block]
        while b < block_first[block + 1]:
            a = b
            b, upper, lower = gather(stack, x, a, block_first[block + 1], match)
            for m in range(VECTOR):
                lane = min(a + m, b - 1)
                put_row(up, X, m, x[lane])
                put_row(down, X, m, x[lane])
            fluid = lower == n and kind[item] == HALF_SPACE
            elastic = lower == n and kind[item] == ELASTIC
            of_phi[:], hung[:] = 0.0, 0.0
            above[upper, :, :], below[lower, :, :] = 0.0, 0.0
            for m in range(VECTOR):
                at = row_of(up, X, m)
                if upper > 0:
                    gamma, rho = _decay_in(at, stack, upper)
                    _start_decaying(-gamma, rho, above, upper, m)
                else:
                    above[0, PHI if top == RIGID else PSI, m] = 1.0
                if lower < n:
                    gamma, rho = _decay_in(at, stack, lower - 1)
                    _start_decaying(gamma, rho, below, lower, m)
                elif fluid:
                    gamma = half_space_decay(at, 1.0, q_bottom[item], HALF_SPACE, ALONG_X)[0]
                    _start_decaying(gamma, rho_bottom[item], below, n, m)
                elif elastic:
                    elastic_partials(at, q_bottom[item], q_shear[item], rho_bottom[item], solid)
                    for row in range(4):
                        put(below, n, 2 * row, m, solid[row, 0])
                elif kind[item] == RIGID:
                    below[n, PHI, m] = 1.0
                else:
                    below[n, PSI, m] = -1.0
            copy_rows(above, upper, up, BEFORE, 8)
            for j in range(upper, match):
                forward(stack, j, 1.0, up)
                keep(up, above, j + 1)
            copy_rows(below, lower, down, BEFORE, 8)
            for j in range(lower - 1, match - 1, -1):
                forward(stack, j, -1.0, down)
                keep(down, below, j)
            unit = stack[min(match, n - 1), HRHO]
            for m in range(b - a):
                at = row_of(up, X, m)
                gamma = half_space_decay(at, 1.0, q_bottom[item], HALF_SPACE, ALONG_X)[0]
                # At the node: a mode is A times the shot from above, A·join times the other.
                f, g = at_node(above, match, PHI, m), at_node(above, match, PSI, m)
                fx, gx = at_node(above, match, PHI_X, m), at_node(above, match, PSI_X, m)
                u, v = at_node(below, match, PHI, m), at_node(below, match, PSI, m)
                ux, vx = at_node(below, match, PHI_X, m), at_node(below, match, PSI_X, m)
                weight_u, weight_v = u.conjugate(), v.conjugate() * unit * unit
                total = u * weight_u + v * weight_v
                join[m] = (f * weight_u + g * weight_v) / total
                norm = (f * gx - g * fx) - join[m] * join[m] * (u * vx - v * ux)
                amplitude = 1.0 / cmath.sqrt(norm)
                g_a, g_b, g_gamma[m] = 0j, 0j, 0j
                for d in range(depth.shape[1]):
                    j = step_of[d]
                    if j < upper or (j >= lower and lower < n):
                        continue
                    if j == n and not fluid and not (elastic and offset[d] <= 1e-6):
                        continue
                    states = above if j < match else below
                    cotangent = g_phi[a + m, d] * amplitude
                    if j >= match:
                        cotangent *= join[m]
                    if j < n:
                        phi, psi = within(
                            at, stack, j, offset[d], states, m, cotangent, hung, of_phi
                        )
                        slope = psi * (stack[j, HRHO] / stack[j, THICKNESS])
                    elif elastic:
                        phi = at_node(states, j, PHI, m)
                        put(hung, j, PHI, m, cotangent)
                        rho = stack[j - 1, HRHO] / stack[j - 1, THICKNESS]
                        slope = rho * at_node(states, j, PSI, m)
                    else:
                        decay = cmath.exp(-gamma * offset[d])
                        phi = at_node(states, j, PHI, m) * decay
                        put(hung, j, PHI, m, cotangent * decay)
                        g_gamma[m] -= cotangent * offset[d] * phi
                        slope = -gamma * phi
                    g_depth[item, d] += cotangent * slope
                    g_offset[j] += cotangent * slope
                    if j < match:
                        g_a += g_phi[a + m, d] * phi
                    else:
                        g_b += g_phi[a + m, d] * phi
                g_a += g_b * join[m]
                g_norm = -0.5 * amplitude * amplitude * amplitude * g_a
                g_join = g_b * amplitude - 2.0 * join[m] * (u * vx - v * ux) * g_norm
                share_u, share_v = g_join * weight_u / total, g_join * weight_v / total
                minus = -join[m] * join[m] * g_norm
                w_x[m] = fx * v + f * vx - ux * g - u * gx
                start_cotangents(
                    up, m, g_norm * gx + share_u, share_v - g_norm * fx, -g_norm * g, g_norm * f
                )
                start_cotangents(
                    down,
                    m,
                    minus * vx - join[m] * share_u + complex(hung[match, 0, m], hung[match, 1, m]),
                    -minus * ux - join[m] * share_v + complex(hung[match, 2, m], hung[match, 3, m]),
                    -minus * v,
                    minus * u,
                )
            for j in range(match - 1, upper - 1, -1):
                copy_rows(above, j, up, BEFORE, 8)
                copy_rows(above, j + 1, up, AFTER, 4)
                copy_rows(hung, j, up, HUNG, 4)
                back(stack, j, 1.0, up)
                share_out(up, j, of_phi, of_w)
            for j in range(match, lower):
                copy_rows(below, j + 1, down, BEFORE, 8)
                copy_rows(below, j, down, AFTER, 4)
                copy_rows(hung, j + 1, down, HUNG, 4)
                back(stack, j, -1.0, down)
                share_out(down, j, of_phi, of_w)
            for m in range(b - a):
                root = g_x[a + m]
                of_bottom = np.zeros((2, 3), np.complex128)
                if fluid:
                    at, rho = row_of(up, X, m), rho_bottom[item]
                    gamma = half_space_decay(at, 1.0, q_bottom[item], HALF_SPACE, ALONG_X)[0]
                    g1, g3 = row_of(down, COTANGENT + 2, m), row_of(down, COTANGENT + 6, m)
                    g_gamma[m] += (0.5 * g3 / (gamma * gamma) - g1) / rho
                    of_bottom[0, 0] = -0.5 * g_gamma[m] / gamma
                    of_bottom[0, 1] = (gamma * g1 + 0.5 * g3 / gamma) / rho**2
                    # At a root each shot is the mode: W changes by perturbation integrals, in the
                    # units of the shot from above 1/join and of the one from below join.
                    of_bottom[1, 0] = 0.5 * join[m] / (rho * gamma)
                    of_bottom[1, 1] = join[m] * gamma / rho**2
                    root -= of_bottom[0, 0]
                elif elastic:
                    at = row_of(up, X, m)
                    elastic_partials(at, q_bottom[item], q_shear[item], rho_bottom[item], solid)
                    u, v = solid[0, 0], solid[1, 0]
                    for row in range(4):
                        g = row_of(down, COTANGENT + 2 * row, m)
                        root += g * solid[row, 1]
                        for column in range(3):
                            of_bottom[0, column] += g * solid[row, 2 + column]
                    for column in range(3):
                        du, dv = solid[0, 2 + column], solid[1, 2 + column]
                        of_bottom[1, column] = join[m] * (u * dv - v * du)
                # z = h²(x - q₀): x enters each step as -q₀ does.
                for j in range(upper, lower):
                    root -= complex(of_phi[j, 0, m], of_phi[j, 1, m])
                factor = -root / w_x[m]
                g_bottom[item] += of_bottom[0] + factor * of_bottom[1]
                scale[0, m], scale[1, m] = factor / join[m], factor * join[m]
            for j in range(upper, lower):
                side = 0 if j < match else 1
                for column in range(5):
                    total = 0j
                    for m in range(b - a):
                        of_root = scale[side, m] * at_node(of_w, j, 2 * column, m)
                        total += at_node(of_phi, j, 2 * column, m) + of_root
                    g_item[j, column] += total
        # A depth within a step is measured from the thicknesses above it.
        beyond = 0j
        for j in range(n, 0, -1):
            beyond += g_offset[j]
            g_item[j - 1, H] -= beyond
    return g_steps, g_bottom, g_depth


@kernel
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


@inner
def _decay_in(x: complex, stack: Any, j: int) -> Any:
    """(γ, ρ) of what decays in the medium of step j."""
    q = complex(stack[j, Q0R], stack[j, Q0I])
    gamma = half_space_decay(x, 1.0, q, HALF_SPACE, ALONG_X)[0]
    return gamma, stack[j, HRHO] / stack[j, THICKNESS]


@inner
def elastic_partials(x: complex, p: complex, s: complex, rho: float, to: Any) -> None:
    """Fills (4, 5) for the state on top of an elastic half-space; see ``half_space_state``.

    Rows are φ, ψ and their derivatives by x; columns the value and its derivatives by x, p (k² of
    the compressional wave), ρ and s (k² of the shear wave).
    """
    a = half_space_decay(x, 1.0, p, HALF_SPACE, ALONG_X)[0]
    b = half_space_decay(x, 1.0, s, HALF_SPACE, ALONG_X)[0]
    twice, both = 2.0 * x - s, a * b
    # of γγₛ: first derivatives, and the mixed ones with x
    both_p, both_s = -0.5 * b / a, -0.5 * a / b
    both_x = -both_p - both_s
    both_xp, both_xs = -0.25 * (1.0 / both - b / a**3), -0.25 * (1.0 / both - a / b**3)
    both_xx = -both_xp - both_xs
    r = twice * twice - 4.0 * x * both
    r_x = 4.0 * twice - 4.0 * (both + x * both_x)
    r_s = -2.0 * twice - 4.0 * x * both_s
    r_xs = -4.0 - 4.0 * (both_s + x * both_xs)
    unit = 1.0 / (s * s)
    to[0, 0], to[0, 1], to[0, 2], to[0, 3] = r * unit, r_x * unit, -4.0 * x * both_p * unit, 0.0
    to[0, 4] = (r_s - 2.0 * r / s) * unit
    to[2, 0], to[2, 1] = r_x * unit, (8.0 - 8.0 * both_x - 4.0 * x * both_xx) * unit
    to[2, 2], to[2, 3] = -4.0 * (both_p + x * both_xp) * unit, 0.0
    to[2, 4] = (r_xs - 2.0 * r_x / s) * unit
    slope, bend = 0.5 / (a * rho), 0.25 / (a**3 * rho)
    to[1, 0], to[1, 1], to[1, 2], to[1, 3], to[1, 4] = -a / rho, -slope, slope, a / rho**2, 0.0
    to[3, 0], to[3, 1], to[3, 2], to[3, 3], to[3, 4] = -slope, bend, -bend, slope / rho, 0.0


@inner
def _start_decaying(gamma: complex, rho: float, states: Any, j: int, m: int) -> None:
    states[j, PHI, m] = 1.0
    put(states, j, PSI, m, -gamma / rho)
    put(states, j, PSI_X, m, -0.5 / (gamma * rho))
