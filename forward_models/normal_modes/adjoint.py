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
from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.spans import gather, locate
from forward_models.normal_modes.steps import (
    ELASTIC,
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    VECTOR,
    gauss_rule,
    k_squared,
)
from forward_models.normal_modes.wronskian import ALONG_X, half_space_decay

# Columns of the cotangents of a step: the moments of k², thickness and density.
Q0, Q1, Q2, H, RHO = range(5)
# Rows of a state, each a real and an imaginary part, one column a lane.
PHI, PSI, PHI_X, PSI_X = range(0, 8, 2)
# Rows of what the way over a step works with, VECTOR numbers each: x, the state before the step and
# φ, ψ after it, cotangents of the state, what hangs on the node reached, and what falls to the
# step, of the mode and of W. One flat array, so that the compiler sees how far from each other they
# are, that nothing overlaps, and fills the vector lanes.
X, BEFORE, AFTER, COTANGENT, HUNG, OF_PHI, OF_W = 0, 2, 10, 14, 22, 26, 36
N_ROWS = 46


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
                _put_row(up, X, m, x[lane])
                _put_row(down, X, m, x[lane])
            fluid = lower == n and kind[item] == HALF_SPACE
            elastic = lower == n and kind[item] == ELASTIC
            of_phi[:], hung[:] = 0.0, 0.0
            above[upper, :, :], below[lower, :, :] = 0.0, 0.0
            for m in range(VECTOR):
                at = _row(up, X, m)
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
                        _put(below, n, 2 * row, m, solid[row, 0])
                elif kind[item] == RIGID:
                    below[n, PHI, m] = 1.0
                else:
                    below[n, PSI, m] = -1.0
            _copy(above, upper, up, BEFORE, 8)
            for j in range(upper, match):
                _forward(stack, j, 1.0, up)
                _keep(up, above, j + 1)
            _copy(below, lower, down, BEFORE, 8)
            for j in range(lower - 1, match - 1, -1):
                _forward(stack, j, -1.0, down)
                _keep(down, below, j)
            unit = stack[min(match, n - 1), HRHO]
            for m in range(b - a):
                at = _row(up, X, m)
                gamma = half_space_decay(at, 1.0, q_bottom[item], HALF_SPACE, ALONG_X)[0]
                # At the node: a mode is A times the shot from above, A·join times the other.
                f, g = _at(above, match, PHI, m), _at(above, match, PSI, m)
                fx, gx = _at(above, match, PHI_X, m), _at(above, match, PSI_X, m)
                u, v = _at(below, match, PHI, m), _at(below, match, PSI, m)
                ux, vx = _at(below, match, PHI_X, m), _at(below, match, PSI_X, m)
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
                        phi, psi = _within(
                            at, stack, j, offset[d], states, m, cotangent, hung, of_phi
                        )
                        slope = psi * (stack[j, HRHO] / stack[j, THICKNESS])
                    elif elastic:
                        phi = _at(states, j, PHI, m)
                        _put(hung, j, PHI, m, cotangent)
                        rho = stack[j - 1, HRHO] / stack[j - 1, THICKNESS]
                        slope = rho * _at(states, j, PSI, m)
                    else:
                        decay = cmath.exp(-gamma * offset[d])
                        phi = _at(states, j, PHI, m) * decay
                        _put(hung, j, PHI, m, cotangent * decay)
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
                _set(up, m, g_norm * gx + share_u, share_v - g_norm * fx, -g_norm * g, g_norm * f)
                _set(
                    down,
                    m,
                    minus * vx - join[m] * share_u + complex(hung[match, 0, m], hung[match, 1, m]),
                    -minus * ux - join[m] * share_v + complex(hung[match, 2, m], hung[match, 3, m]),
                    -minus * v,
                    minus * u,
                )
            for j in range(match - 1, upper - 1, -1):
                _copy(above, j, up, BEFORE, 8)
                _copy(above, j + 1, up, AFTER, 4)
                _copy(hung, j, up, HUNG, 4)
                _back(stack, j, 1.0, up)
                _share_out(up, j, of_phi, of_w)
            for j in range(match, lower):
                _copy(below, j + 1, down, BEFORE, 8)
                _copy(below, j, down, AFTER, 4)
                _copy(hung, j + 1, down, HUNG, 4)
                _back(stack, j, -1.0, down)
                _share_out(down, j, of_phi, of_w)
            for m in range(b - a):
                root = g_x[a + m]
                of_bottom = np.zeros((2, 3), np.complex128)
                if fluid:
                    at, rho = _row(up, X, m), rho_bottom[item]
                    gamma = half_space_decay(at, 1.0, q_bottom[item], HALF_SPACE, ALONG_X)[0]
                    g1, g3 = _row(down, COTANGENT + 2, m), _row(down, COTANGENT + 6, m)
                    g_gamma[m] += (0.5 * g3 / (gamma * gamma) - g1) / rho
                    of_bottom[0, 0] = -0.5 * g_gamma[m] / gamma
                    of_bottom[0, 1] = (gamma * g1 + 0.5 * g3 / gamma) / rho**2
                    # At a root each shot is the mode: W changes by perturbation integrals, in the
                    # units of the shot from above 1/join and of the one from below join.
                    of_bottom[1, 0] = 0.5 * join[m] / (rho * gamma)
                    of_bottom[1, 1] = join[m] * gamma / rho**2
                    root -= of_bottom[0, 0]
                elif elastic:
                    at = _row(up, X, m)
                    elastic_partials(at, q_bottom[item], q_shear[item], rho_bottom[item], solid)
                    u, v = solid[0, 0], solid[1, 0]
                    for row in range(4):
                        g = _row(down, COTANGENT + 2 * row, m)
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
                        of_root = scale[side, m] * _at(of_w, j, 2 * column, m)
                        total += _at(of_phi, j, 2 * column, m) + of_root
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


@inner(fastmath=FAST, forceinline=True)
def _transfer(eta: Any, z: complex, v1: complex, v2: complex) -> Any:
    """(M₁₁, M₁₂, M₂₁, M₂₂) of a unit step and their derivatives by z; see ``propagator``."""
    xi, eta0, eta1, eta2, eta3, eta4 = eta
    w = v1 * v1 * (1.0 / 24.0)
    odd, d_odd = 0.5 * v1 * eta1, 0.25 * v1 * eta2
    even, d_even = xi - w * eta2, 0.5 * (eta0 - w * eta3)
    m12 = eta0 - 0.5 * v2 * eta2 - w * eta3
    d12 = 0.5 * (eta1 - 0.5 * v2 * eta3 - w * eta4)
    m21 = z * eta0 + 0.5 * v2 * z * eta2 - w * (eta1 + 7.0 * eta2)
    d21 = eta0 + 0.5 * z * eta1 + 0.5 * v2 * (eta2 + 0.5 * z * eta3)
    d21 -= 0.5 * w * (eta2 + 7.0 * eta3)
    return even + odd, m12, m21, even - odd, d_even + d_odd, d12, d21, d_even - d_odd


@inner(fastmath=FAST, forceinline=True)
def _of_matrix(eta: Any, matrix: Any, v1: complex, z: complex, m: Any) -> Any:
    """(g_z, g_v1, g_v2) from the cotangents m of M alone; both as ``_transfer`` orders them."""
    _, _, eta1, eta2, eta3, _ = eta
    w1 = v1 * (1.0 / 12.0)
    g_z = m[0] * matrix[4] + m[1] * matrix[5] + m[2] * matrix[6] + m[3] * matrix[7]
    g_v1 = 0.5 * (m[0] - m[3]) * eta1
    g_v1 -= w1 * ((m[0] + m[3]) * eta2 + m[1] * eta3 + m[2] * (eta1 + 7.0 * eta2))
    return g_z, g_v1, 0.5 * eta2 * (m[2] * z - m[1])


@inner(fastmath=FAST, forceinline=True)
def _of_slope(eta: Any, z: complex, v1: complex, v2: complex, d: Any) -> Any:
    """(g_z, g_v1, g_v2) from the cotangents d of ∂M/∂z."""
    _, _, eta1, eta2, eta3, eta4 = eta
    # Only beside v₁²: a few terms of its power series do.
    eta5 = 1 / 10395 + z * (1 / 270270 + z * (1 / 16216200 + z * (1 / 1654052400)))
    w, w1 = v1 * v1 * (1.0 / 24.0), v1 * (1.0 / 12.0)
    even, odd = d[0] + d[3], d[0] - d[3]
    g_z = even * 0.25 * (eta1 - w * eta4) + odd * 0.125 * v1 * eta3
    g_z += d[1] * 0.25 * (eta2 - 0.5 * v2 * eta4 - w * eta5)
    g_z += d[2] * (
        eta1
        + 0.25 * z * eta2
        + 0.5 * v2 * (eta3 + 0.25 * z * eta4)
        - 0.25 * w * (eta3 + 7.0 * eta4)
    )
    g_v1 = 0.25 * odd * eta2
    g_v1 -= 0.5 * w1 * (even * eta3 + d[1] * eta4 + d[2] * (eta2 + 7.0 * eta3))
    return g_z, g_v1, 0.5 * d[2] * (eta2 + 0.5 * z * eta3) - 0.25 * d[1] * eta3


@inner(fastmath=FAST, forceinline=True)
def _step_of(x: complex, stack: Any, j: int, sign: float) -> Any:
    """(z, v₁, v₂) of step j, signed for the way up."""
    h2 = stack[j, H2]
    z = complex(h2 * (x.real - stack[j, Q0R]), h2 * (x.imag - stack[j, Q0I]))
    v1 = complex(sign * stack[j, V1R], sign * stack[j, V1I])
    return z, v1, complex(stack[j, V2R], stack[j, V2I])


@inner(fastmath=FAST, forceinline=True)
def _at(states: Any, j: int, row: int, m: int) -> complex:
    return complex(states[j, row, m], states[j, row + 1, m])


@inner(fastmath=FAST, forceinline=True)
def _put(to: Any, j: int, row: int, m: int, value: complex) -> None:
    to[j, row, m] += value.real
    to[j, row + 1, m] += value.imag


@inner(fastmath=FAST, forceinline=True)
def _row(work: Any, row: int, m: int) -> complex:
    i = np.uintp(row) * np.uintp(VECTOR) + np.uintp(m)
    return complex(work[i], work[i + np.uintp(VECTOR)])


@inner(fastmath=FAST, forceinline=True)
def _put_row(work: Any, row: int, m: int, value: complex) -> None:
    i = np.uintp(row) * np.uintp(VECTOR) + np.uintp(m)
    work[i], work[i + np.uintp(VECTOR)] = value.real, value.imag


@inner
def _copy(states: Any, j: int, work: Any, row: int, count: int) -> None:
    """Copies the first rows of node j to ``row`` and on of what a step works with."""
    for i in range(count):
        for m in range(VECTOR):
            work[(row + i) * VECTOR + m] = states[j, i, m]


@inner
def _keep(work: Any, states: Any, j: int) -> None:
    """Copies the state into that of node j."""
    for i in range(8):
        for m in range(VECTOR):
            states[j, i, m] = work[(BEFORE + i) * VECTOR + m]


@inner
def _share_out(work: Any, j: int, of_phi: Any, of_w: Any) -> None:
    """Gives step j what fell to it."""
    for i in range(10):
        for m in range(VECTOR):
            of_phi[j, i, m] += work[(OF_PHI + i) * VECTOR + m]
            of_w[j, i, m] = work[(OF_W + i) * VECTOR + m]


@inner(fastmath=FAST)
def _set(to: Any, m: int, g0: complex, g1: complex, g2: complex, g3: complex) -> None:
    _put_row(to, COTANGENT, m, g0)
    _put_row(to, COTANGENT + 2, m, g1)
    _put_row(to, COTANGENT + 4, m, g2)
    _put_row(to, COTANGENT + 6, m, g3)


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
    _put(states, j, PSI, m, -gamma / rho)
    _put(states, j, PSI_X, m, -0.5 / (gamma * rho))


@inner(fastmath=FAST)
def _forward(stack: Any, j: int, sign: float, work: Any) -> None:
    """Carries the state (φ, ψ, ∂φ/∂x, ∂ψ/∂x) over step j."""
    h2, hrho, inv_hrho = stack[j, H2], sign * stack[j, HRHO], sign * stack[j, INV_HRHO]
    for m in range(work.size // N_ROWS):
        z, v1, v2 = _step_of(_row(work, X, m), stack, j, sign)
        m11, m12, m21, m22, d11, d12, d21, d22 = _transfer(complex_eta_functions(z), z, v1, v2)
        f, g = _row(work, BEFORE + PHI, m), _row(work, BEFORE + PSI, m) * hrho
        fx, gx = _row(work, BEFORE + PHI_X, m), _row(work, BEFORE + PSI_X, m) * hrho
        _put_row(work, BEFORE + PHI, m, m11 * f + m12 * g)
        _put_row(work, BEFORE + PSI, m, (m21 * f + m22 * g) * inv_hrho)
        _put_row(work, BEFORE + PHI_X, m, m11 * fx + m12 * gx + h2 * (d11 * f + d12 * g))
        by_x = m21 * fx + m22 * gx + h2 * (d21 * f + d22 * g)
        _put_row(work, BEFORE + PSI_X, m, by_x * inv_hrho)


@inner(fastmath=FAST)
def _back(stack: Any, j: int, sign: float, work: Any) -> None:
    """Turns cotangents of the state after step j into those of the state before it.

    ``OF_PHI`` becomes what falls to the step itself, ``OF_W`` the change of W with it where the
    shot is the mode.
    """
    h2, hrho, inv_hrho = stack[j, H2], sign * stack[j, HRHO], sign * stack[j, INV_HRHO]
    for m in range(work.size // N_ROWS):
        z, v1, v2 = _step_of(_row(work, X, m), stack, j, sign)
        eta = complex_eta_functions(z)
        matrix = _transfer(eta, z, v1, v2)
        m11, m12, m21, m22, d11, d12, d21, d22 = matrix
        # In the unit step's own state (φ, hρψ).
        f, p = _row(work, BEFORE + PHI, m), _row(work, BEFORE + PSI, m) * hrho
        fx, px = _row(work, BEFORE + PHI_X, m), _row(work, BEFORE + PSI_X, m) * hrho
        g0, g1 = _row(work, COTANGENT, m), _row(work, COTANGENT + 2, m) * inv_hrho
        g2, g3 = _row(work, COTANGENT + 4, m), _row(work, COTANGENT + 6, m) * inv_hrho
        c = (g0 * f + g2 * fx, g0 * p + g2 * px, g1 * f + g3 * fx, g1 * p + g3 * px)
        d = (h2 * g2 * f, h2 * g2 * p, h2 * g3 * f, h2 * g3 * p)
        z_m, v1_m, v2_m = _of_matrix(eta, matrix, v1, z, c)
        z_d, v1_d, v2_d = _of_slope(eta, z, v1, v2, d)
        # M₁₂ goes with hρ and M₂₁ with its inverse; the derivatives by x go with h² beside.
        scale = c[1] * m12 - c[2] * m21 + d[1] * d12 - d[2] * d21
        grown = 2.0 * (d[0] * d11 + d[1] * d12 + d[2] * d21 + d[3] * d22)
        z_m, v1_m, v2_m = z_m + z_d, v1_m + v1_d, v2_m + v2_d
        grown += scale + 2.0 * (z * z_m + v1 * v1_m + v2 * v2_m)
        _note(stack, j, sign, m, z_m, v1_m, v2_m, scale, grown, work, OF_PHI)
        # W = φ_L ψ_R - φ_R ψ_L with the mode itself on the other side.
        w0 = sign * _row(work, AFTER + PSI, m)
        w1 = -sign * inv_hrho * _row(work, AFTER + PHI, m)
        c = (w0 * f, w0 * p, w1 * f, w1 * p)
        z_m, v1_m, v2_m = _of_matrix(eta, matrix, v1, z, c)
        scale = c[1] * m12 - c[2] * m21
        grown = scale + 2.0 * (z * z_m + v1 * v1_m + v2 * v2_m)
        _note(stack, j, sign, m, z_m, v1_m, v2_m, scale, grown, work, OF_W)
        f1 = m11 * g0 + m21 * g1 + h2 * (d11 * g2 + d21 * g3)
        p1 = (m12 * g0 + m22 * g1 + h2 * (d12 * g2 + d22 * g3)) * hrho
        _put_row(work, COTANGENT, m, f1 + _row(work, HUNG, m))
        _put_row(work, COTANGENT + 2, m, p1 + _row(work, HUNG + 2, m))
        _put_row(work, COTANGENT + 4, m, m11 * g2 + m21 * g3)
        _put_row(work, COTANGENT + 6, m, (m12 * g2 + m22 * g3) * hrho)


@inner(fastmath=FAST, forceinline=True)
def _note(
    stack: Any,
    j: int,
    sign: float,
    m: int,
    g_z: complex,
    g_v1: complex,
    g_v2: complex,
    scale: complex,
    grown: complex,
    work: Any,
    row: int,
) -> None:
    """Cotangents of step j by the columns above; ``scale`` of log ρ, ``grown`` of log h."""
    h2, inv_h = stack[j, H2], 1.0 / stack[j, THICKNESS]
    inv_rho = stack[j, THICKNESS] * stack[j, INV_HRHO]
    _put_row(work, row, m, -h2 * g_z)
    _put_row(work, row + 2, m, h2 * sign * g_v1)
    _put_row(work, row + 4, m, -h2 * g_v2)
    _put_row(work, row + 6, m, inv_h * grown)
    _put_row(work, row + 8, m, inv_rho * scale)


@inner(fastmath=FAST)
def _within(
    x: complex,
    stack: Any,
    j: int,
    offset: float,
    states: Any,
    lane: int,
    cotangent: complex,
    hung: Any,
    of_phi: Any,
) -> Any:
    """(φ, ψ) at ``offset`` in step j; adds the cotangents of φ there.

    ``of_phi`` gets those at a fixed offset, ``hung`` those of the state at its top.
    """
    h = stack[j, THICKNESS]
    a = min(offset / h, 1.0)
    b = a - 1.0
    to_q0 = 1.5 * (b * b + a * a / 3.0) - 0.5
    q0 = complex(stack[j, Q0R], stack[j, Q0I])
    inv_h2 = 1.0 / stack[j, H2]
    q1 = complex(stack[j, V1R], stack[j, V1I]) * inv_h2
    q2 = -complex(stack[j, V2R], stack[j, V2I]) * inv_h2
    h2, hrho = (a * h) ** 2, max(a, 1e-12) * stack[j, HRHO]
    z = h2 * (x - q0 - q1 * b - q2 * to_q0)
    v1, v2 = h2 * a * (q1 + 3.0 * q2 * b), -h2 * a * a * q2
    eta = complex_eta_functions(z)
    matrix = _transfer(eta, z, v1, v2)
    f, p = _at(states, j, PHI, lane), _at(states, j, PSI, lane) * hrho
    c = (cotangent * f, cotangent * p, 0j, 0j)
    g_z, g_v1, g_v2 = _of_matrix(eta, matrix, v1, z, c)
    _put(of_phi, j, 0, lane, -h2 * g_z)
    _put(of_phi, j, 2, lane, h2 * (a * g_v1 - b * g_z))
    _put(of_phi, j, 4, lane, h2 * (3.0 * a * b * g_v1 - to_q0 * g_z - a * a * g_v2))
    # A thicker step at the same offset: a and b shrink, the profile stretches.
    g_a = -h2 * (q1 + q2 * (3.0 * b + a)) * g_z
    g_a += h2 * (q1 + 3.0 * q2 * (2.0 * a - 1.0)) * g_v1 - 2.0 * h2 * a * q2 * g_v2
    _put(of_phi, j, 6, lane, -g_a * (a / h))
    _put(of_phi, j, 8, lane, c[1] * matrix[1] * (h * stack[j, INV_HRHO]))
    _put(hung, j, PHI, lane, cotangent * matrix[0])
    _put(hung, j, PSI, lane, cotangent * matrix[1] * hrho)
    return matrix[0] * f + matrix[1] * p, (matrix[2] * f + matrix[3] * p) * (1.0 / hrho)
