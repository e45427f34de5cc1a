"""The way of a mode's state over one step, and the way back of cotangents."""

from __future__ import annotations

from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner
from forward_models.normal_modes.propagator import ETA_5, complex_eta_functions
from forward_models.normal_modes.steps import (
    H2,
    HRHO,
    INV_HRHO,
    Q0I,
    Q0R,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    VECTOR,
)

# Rows of a state, each a real and an imaginary part, one column a lane.
PHI, PSI, PHI_X, PSI_X = range(0, 8, 2)
# Rows of what the way over a step works with, VECTOR numbers each: x, the state before the step and
# φ, ψ after it, cotangents of the state, what hangs on the node reached, and what falls to the
# step, of the mode and of W. One flat array, so that the compiler sees how far from each other they
# are, that nothing overlaps, and fills the vector lanes.
X, BEFORE, AFTER, COTANGENT, HUNG, OF_PHI, OF_W = 0, 2, 10, 14, 22, 26, 36
N_ROWS = 46


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
    eta5 = ETA_5[0] + z * (ETA_5[1] + z * (ETA_5[2] + z * (ETA_5[3] + z * ETA_5[4])))
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
def at_node(states: Any, j: int, row: int, m: int) -> complex:
    """What node j keeps of lane m in two rows."""
    return complex(states[j, row, m], states[j, row + 1, m])


@inner(fastmath=FAST, forceinline=True)
def put(to: Any, j: int, row: int, m: int, value: complex) -> None:
    """Adds to two rows of node or step j."""
    to[j, row, m] += value.real
    to[j, row + 1, m] += value.imag


@inner(fastmath=FAST, forceinline=True)
def row_of(work: Any, row: int, m: int) -> complex:
    """Two rows of ``work``; unsigned, for the compiler then sees that nothing wraps around."""
    i = np.uintp(row) * np.uintp(VECTOR) + np.uintp(m)
    return complex(work[i], work[i + np.uintp(VECTOR)])


@inner(fastmath=FAST, forceinline=True)
def put_row(work: Any, row: int, m: int, value: complex) -> None:
    """Fills two rows of ``work``."""
    i = np.uintp(row) * np.uintp(VECTOR) + np.uintp(m)
    work[i], work[i + np.uintp(VECTOR)] = value.real, value.imag


@inner
def copy_rows(states: Any, j: int, work: Any, row: int, count: int) -> None:
    """Copies the first rows of node j to ``row`` and on of what a step works with."""
    for i in range(count):
        for m in range(VECTOR):
            work[(row + i) * VECTOR + m] = states[j, i, m]


@inner
def keep(work: Any, states: Any, j: int) -> None:
    """Copies the state into that of node j."""
    for i in range(8):
        for m in range(VECTOR):
            states[j, i, m] = work[(BEFORE + i) * VECTOR + m]


@inner
def share_out(work: Any, j: int, of_phi: Any, of_w: Any) -> None:
    """Gives step j what fell to it."""
    for i in range(10):
        for m in range(VECTOR):
            of_phi[j, i, m] += work[(OF_PHI + i) * VECTOR + m]
            of_w[j, i, m] = work[(OF_W + i) * VECTOR + m]


@inner(fastmath=FAST)
def start_cotangents(to: Any, m: int, g0: complex, g1: complex, g2: complex, g3: complex) -> None:
    """Those of the state at the match node: φ, ψ and their derivatives by x."""
    put_row(to, COTANGENT, m, g0)
    put_row(to, COTANGENT + 2, m, g1)
    put_row(to, COTANGENT + 4, m, g2)
    put_row(to, COTANGENT + 6, m, g3)


@inner(fastmath=FAST)
def forward(stack: Any, j: int, sign: float, work: Any) -> None:
    """Carries the state (φ, ψ, ∂φ/∂x, ∂ψ/∂x) over step j."""
    h2, hrho, inv_hrho = stack[j, H2], sign * stack[j, HRHO], sign * stack[j, INV_HRHO]
    for m in range(work.size // N_ROWS):
        z, v1, v2 = _step_of(row_of(work, X, m), stack, j, sign)
        m11, m12, m21, m22, d11, d12, d21, d22 = _transfer(complex_eta_functions(z), z, v1, v2)
        f, g = row_of(work, BEFORE + PHI, m), row_of(work, BEFORE + PSI, m) * hrho
        fx, gx = row_of(work, BEFORE + PHI_X, m), row_of(work, BEFORE + PSI_X, m) * hrho
        put_row(work, BEFORE + PHI, m, m11 * f + m12 * g)
        put_row(work, BEFORE + PSI, m, (m21 * f + m22 * g) * inv_hrho)
        put_row(work, BEFORE + PHI_X, m, m11 * fx + m12 * gx + h2 * (d11 * f + d12 * g))
        by_x = m21 * fx + m22 * gx + h2 * (d21 * f + d22 * g)
        put_row(work, BEFORE + PSI_X, m, by_x * inv_hrho)


@inner(fastmath=FAST)
def back(stack: Any, j: int, sign: float, work: Any) -> None:
    """Turns cotangents of the state after step j into those of the state before it.

    ``OF_PHI`` becomes what falls to the step itself, ``OF_W`` the change of W with it where the
    shot is the mode.
    """
    h2, hrho, inv_hrho = stack[j, H2], sign * stack[j, HRHO], sign * stack[j, INV_HRHO]
    for m in range(work.size // N_ROWS):
        z, v1, v2 = _step_of(row_of(work, X, m), stack, j, sign)
        eta = complex_eta_functions(z)
        matrix = _transfer(eta, z, v1, v2)
        m11, m12, m21, m22, d11, d12, d21, d22 = matrix
        # In the unit step's own state (φ, hρψ).
        f, p = row_of(work, BEFORE + PHI, m), row_of(work, BEFORE + PSI, m) * hrho
        fx, px = row_of(work, BEFORE + PHI_X, m), row_of(work, BEFORE + PSI_X, m) * hrho
        g0, g1 = row_of(work, COTANGENT, m), row_of(work, COTANGENT + 2, m) * inv_hrho
        g2, g3 = row_of(work, COTANGENT + 4, m), row_of(work, COTANGENT + 6, m) * inv_hrho
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
        w0 = sign * row_of(work, AFTER + PSI, m)
        w1 = -sign * inv_hrho * row_of(work, AFTER + PHI, m)
        c = (w0 * f, w0 * p, w1 * f, w1 * p)
        z_m, v1_m, v2_m = _of_matrix(eta, matrix, v1, z, c)
        scale = c[1] * m12 - c[2] * m21
        grown = scale + 2.0 * (z * z_m + v1 * v1_m + v2 * v2_m)
        _note(stack, j, sign, m, z_m, v1_m, v2_m, scale, grown, work, OF_W)
        f1 = m11 * g0 + m21 * g1 + h2 * (d11 * g2 + d21 * g3)
        p1 = (m12 * g0 + m22 * g1 + h2 * (d12 * g2 + d22 * g3)) * hrho
        put_row(work, COTANGENT, m, f1 + row_of(work, HUNG, m))
        put_row(work, COTANGENT + 2, m, p1 + row_of(work, HUNG + 2, m))
        put_row(work, COTANGENT + 4, m, m11 * g2 + m21 * g3)
        put_row(work, COTANGENT + 6, m, (m12 * g2 + m22 * g3) * hrho)


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
    """Cotangents of step j by ``adjoint``'s columns; ``scale`` of log ρ, ``grown`` of log h."""
    h2, inv_h = stack[j, H2], 1.0 / stack[j, THICKNESS]
    inv_rho = stack[j, THICKNESS] * stack[j, INV_HRHO]
    put_row(work, row, m, -h2 * g_z)
    put_row(work, row + 2, m, h2 * sign * g_v1)
    put_row(work, row + 4, m, -h2 * g_v2)
    put_row(work, row + 6, m, inv_h * grown)
    put_row(work, row + 8, m, inv_rho * scale)


@inner(fastmath=FAST)
def within(
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
    f, p = at_node(states, j, PHI, lane), at_node(states, j, PSI, lane) * hrho
    c = (cotangent * f, cotangent * p, 0j, 0j)
    g_z, g_v1, g_v2 = _of_matrix(eta, matrix, v1, z, c)
    put(of_phi, j, 0, lane, -h2 * g_z)
    put(of_phi, j, 2, lane, h2 * (a * g_v1 - b * g_z))
    put(of_phi, j, 4, lane, h2 * (3.0 * a * b * g_v1 - to_q0 * g_z - a * a * g_v2))
    # A thicker step at the same offset: a and b shrink, the profile stretches.
    g_a = -h2 * (q1 + q2 * (3.0 * b + a)) * g_z
    g_a += h2 * (q1 + 3.0 * q2 * (2.0 * a - 1.0)) * g_v1 - 2.0 * h2 * a * q2 * g_v2
    put(of_phi, j, 6, lane, -g_a * (a / h))
    put(of_phi, j, 8, lane, c[1] * matrix[1] * (h * stack[j, INV_HRHO]))
    put(hung, j, PHI, lane, cotangent * matrix[0])
    put(hung, j, PSI, lane, cotangent * matrix[1] * hrho)
    return matrix[0] * f + matrix[1] * p, (matrix[2] * f + matrix[3] * p) * (1.0 / hrho)
