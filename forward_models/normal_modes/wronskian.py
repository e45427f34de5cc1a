"""Complex shooting: the Wronskian whose zeros are the modes, lossy or not, and its derivatives.

Solutions shot from the surface (L) and from the bottom (R) meet at a node; there

    W(x) = φ_L ψ_R - φ_R ψ_L

vanishes exactly at a mode (Jensen et al., sec. 5.7.1, characteristic function). Shooting carries
the derivative of the state along one *direction*, a change of x = k² and of the profile k²(z)
together, so that one kernel serves Newton's method (∂W/∂x), the drift of a root with attenuation,
first-order loss and the group speed, with no quadrature: -∂W/∂direction / ∂W/∂x is the root's
derivative.
At a root the same states give the norm ∫φ²/ρ dz of each part: φ ∂ψ/∂x - ψ ∂φ/∂x.

The imaginary part of k²(z) is scaled by ``loss`` for each lane: 0 is the lossless guide, 1 the real
one, and the values between are the path along which roots are continued.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.spans import copy_into, gather
from forward_models.normal_modes.steps import (
    CHECK_EVERY,
    DECAYING,
    DECAYING_DECAYING,
    DECAYING_LEAKING,
    ELASTIC,
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    LARGE,
    LEAKING,
    PERTURBED_HALF_SPACE,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    VACUUM,
    VECTOR,
)

# Directions of differentiation: x, the attenuation (∂q = i Im q), the frequency (∂q = 2q/ω, ω = 1).
ALONG_X, ALONG_LOSS, ALONG_FREQUENCY = 0, 1, 2

# Rows of the state of a shot, one column a lane: x, the share of the loss, φ, ψ and derivatives as
# real and imaginary parts, and the logarithm of the scale taken out. One array, so that the
# compiler sees that nothing overlaps and fills the vector lanes.
XR, XI, LOSS, PHR, PHI, PSR, PSI, DPHR, DPHI, DPSR, DPSI, LOG_SCALE = range(12)
N_ROWS = 12


def _make_shoot(along_x: bool) -> Any:
    """The kernel of one direction, ∂x, or of all others; the first is the one that time goes to."""
    # A signature keeps every call on one compiled version, and has it compiled at once.
    signature = "void(f8[:, ::1], i8, i8, i8, f8[:, ::1], i8[::1], f8[:, :, ::1])"

    @inner(signature if along_x else None, fastmath=FAST)
    def shoot(
        steps: Any, start: int, stop: int, direction: int, state: Any, slot: Any, kept: Any
    ) -> None:
        """Carries ``state`` from ``start`` to ``stop``, copied to kept[slot[node]] on the way."""
        down = stop > start
        sign = 1.0 if down else -1.0
        d_re = 2.0 if direction == ALONG_FREQUENCY else 0.0
        d_loss = 1.0 if direction == ALONG_LOSS else 0.0
        if slot[start] >= 0:
            copy_into(kept[slot[start]], state)
        for i in range(abs(stop - start)):
            j = start + i if down else start - 1 - i
            h2, hrho, inv_hrho = steps[j, H2], sign * steps[j, HRHO], sign * steps[j, INV_HRHO]
            q0r, q0i = steps[j, Q0R], steps[j, Q0I]
            v1r, v1i = sign * steps[j, V1R], sign * steps[j, V1I]
            v2r, v2i = steps[j, V2R], steps[j, V2I]
            for m in range(state.shape[1]):
                e = state[LOSS, m]
                z = complex(h2 * (state[XR, m] - q0r), h2 * (state[XI, m] - e * q0i))
                v1, v2 = complex(v1r, e * v1i), complex(v2r, e * v2i)
                w = v1 * v1 * (1.0 / 24.0)
                xi_, eta0, eta1, eta2, eta3, eta4 = complex_eta_functions(z)
                odd = 0.5 * v1 * eta1
                even = xi_ - w * eta2
                p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
                p21 = (z * eta0 + 0.5 * v2 * z * eta2 - w * (eta1 + 7.0 * eta2)) * inv_hrho
                d_odd = 0.25 * v1 * eta2
                d_even = 0.5 * (eta0 - w * eta3)
                d12 = 0.5 * (eta1 - 0.5 * v2 * eta3 - w * eta4) * hrho
                d21 = (
                    eta0
                    + 0.5 * z * eta1
                    + 0.5 * v2 * (eta2 + 0.5 * z * eta3)
                    - 0.5 * w * (eta2 + 7.0 * eta3)
                ) * inv_hrho
                if along_x:
                    d_odd, d_even, d12, d21 = d_odd * h2, d_even * h2, d12 * h2, d21 * h2
                else:
                    d_im = d_loss + d_re * e
                    dz = -complex(h2 * d_re * q0r, h2 * d_im * q0i)
                    dv1 = complex(d_re * v1r, d_im * v1i)
                    dv2 = complex(d_re * v2r, d_im * v2i)
                    dw = v1 * dv1 * (1.0 / 12.0)
                    d_odd = d_odd * dz + 0.5 * dv1 * eta1
                    d_even = d_even * dz - dw * eta2
                    d12 = d12 * dz - (0.5 * dv2 * eta2 + dw * eta3) * hrho
                    d21 = d21 * dz + (0.5 * dv2 * z * eta2 - dw * (eta1 + 7.0 * eta2)) * inv_hrho
                f = complex(state[PHR, m], state[PHI, m])
                g = complex(state[PSR, m], state[PSI, m])
                df = complex(state[DPHR, m], state[DPHI, m])
                dg = complex(state[DPSR, m], state[DPSI, m])
                new_df = (even + odd) * df + p12 * dg + (d_even + d_odd) * f + d12 * g
                new_dg = p21 * df + (even - odd) * dg + d21 * f + (d_even - d_odd) * g
                new_f = (even + odd) * f + p12 * g
                new_g = p21 * f + (even - odd) * g
                state[PHR, m], state[PHI, m] = new_f.real, new_f.imag
                state[PSR, m], state[PSI, m] = new_g.real, new_g.imag
                state[DPHR, m], state[DPHI, m] = new_df.real, new_df.imag
                state[DPSR, m], state[DPSI, m] = new_dg.real, new_dg.imag
            if i % CHECK_EVERY == CHECK_EVERY - 1:
                largest = 0.0
                for m in range(state.shape[1]):
                    largest = max(largest, abs(state[PHR, m]) + abs(state[PHI, m]))
                    largest = max(largest, abs(state[PSR, m]) + abs(state[PSI, m]))
                if largest > LARGE:
                    for m in range(state.shape[1]):
                        size = abs(state[PHR, m]) + abs(state[PHI, m])
                        size += abs(state[PSR, m]) + abs(state[PSI, m])
                        state[LOG_SCALE, m] += math.log(size)
                        for row in range(PHR, LOG_SCALE):
                            state[row, m] /= size
            node = j + 1 if down else j
            if slot[node] >= 0:
                copy_into(kept[slot[node]], state)

    return shoot


shoot_along_x, _shoot_elsewhere = _make_shoot(True), _make_shoot(False)


@inner("UniTuple(c16, 2)(c16, f8, c16, i8, i8)")
def half_space_decay(x: complex, loss: float, q: complex, kind: int, direction: int) -> Any:
    """(γ, ∂γ): decay of a mode into the half-space, γ = √(x - q), and its derivative."""
    if kind == PERTURBED_HALF_SPACE:
        gamma = cmath.sqrt(x - q)
        if direction == ALONG_LOSS:
            return complex(gamma.real, 0.0), complex(0.0, gamma.imag)
        change = 1.0 if direction == ALONG_X else -2.0 * q.real
        return complex(gamma.real, 0.0), complex((0.5 * change / gamma).real, 0.0)
    at_loss = complex(q.real, loss * q.imag)
    # Past cut-off (Re x < Re q) the outgoing branch: a mode that leaks downwards.
    leaky = kind == LEAKING or (kind != DECAYING and x.real < q.real)
    gamma = -1j * cmath.sqrt(at_loss - x) if leaky else cmath.sqrt(x - at_loss)
    if direction == ALONG_X:
        return gamma, 0.5 / gamma
    if direction == ALONG_LOSS:
        return gamma, complex(0.0, -0.5 * q.imag) / gamma
    return gamma, -at_loss / gamma


@inner("UniTuple(c16, 4)(c16, f8, c16, c16, f8, i8, i8)")
def half_space_state(
    x: complex, loss: float, q: complex, q_shear: complex, rho: float, kind: int, direction: int
) -> Any:
    """(φ, ψ, ∂φ, ∂ψ) on top of a half-space, up to one factor.

    Above a fluid ψ = -γ φ/ρ. Above a solid normal displacement and stress are continuous and the
    shear stress vanishes (Jensen et al., sec. 2.4), so that with γ and γₛ of the compressional and
    the shear wave

        φ = [(2x - k_s²)² - 4x γ γₛ] / k_s⁴,   ψ = -γ/ρ,

    which has no poles and becomes the fluid's as k_s² grows.
    """
    if kind < ELASTIC or kind == DECAYING or kind == LEAKING:
        gamma, d_gamma = half_space_decay(x, loss, q, kind, direction)
        return 1.0 + 0j, -gamma / rho, 0j, -d_gamma / rho
    of_p = DECAYING if kind == DECAYING_DECAYING or kind == DECAYING_LEAKING else LEAKING
    of_s = DECAYING if kind == DECAYING_DECAYING else LEAKING
    if kind == ELASTIC:
        of_p = of_s = HALF_SPACE
    gamma, d_gamma = half_space_decay(x, loss, q, of_p, direction)
    gamma_s, d_gamma_s = half_space_decay(x, loss, q_shear, of_s, direction)
    k2, dx, d_k2 = complex(q_shear.real, loss * q_shear.imag), 1.0, 0j
    if direction == ALONG_LOSS:
        dx, d_k2 = 0.0, complex(0.0, q_shear.imag)
    elif direction == ALONG_FREQUENCY:
        dx, d_k2 = 0.0, 2.0 * k2
    twice = 2.0 * x - k2
    phi = twice * twice - 4.0 * x * gamma * gamma_s
    d_phi = 2.0 * twice * (2.0 * dx - d_k2) - 4.0 * dx * gamma * gamma_s
    d_phi -= 4.0 * x * (d_gamma * gamma_s + gamma * d_gamma_s)
    unit = 1.0 / (k2 * k2)
    return phi * unit, -gamma / rho, (d_phi - 2.0 * phi * d_k2 / k2) * unit, -d_gamma / rho


@inner
def start_lane(
    x: complex,
    loss: float,
    m: int,
    direction: int,
    stack: Any,
    upper: int,
    lower: int,
    top: int,
    kind: int,
    q_bottom: complex,
    rho_bottom: float,
    q_shear: complex,
    above: Any,
    below: Any,
) -> None:
    """Fills column ``m`` of both states: the solutions at the nodes ``upper`` and ``lower``."""
    for state in (above, below):
        for row in range(N_ROWS):
            state[row, m] = 0.0
        state[XR, m], state[XI, m], state[LOSS, m] = x.real, x.imag, loss
    if upper > 0:
        _pack(above, m, *_decaying(x, loss, stack[upper], -1.0, direction))
    else:
        above[PHR if top == RIGID else PSR, m] = 1.0
    if lower < stack.shape[0]:
        _pack(below, m, *_decaying(x, loss, stack[lower - 1], 1.0, direction))
    elif kind == RIGID:
        below[PHR, m] = 1.0
    elif kind == VACUUM:
        below[PSR, m] = -1.0
    else:
        state = half_space_state(x, loss, q_bottom, q_shear, rho_bottom, kind, direction)
        _pack(below, m, *state)


@inner
def _decaying(x: complex, loss: float, step: Any, sign: float, direction: int) -> Any:
    """(φ, ψ, ∂φ, ∂ψ) that decays downwards (sign 1) or upwards (-1) in the medium of a step.

    No more than a start: what the medium does beyond has decayed by exp(-2 TAIL) where it matters.
    """
    q, rho = complex(step[Q0R], step[Q0I]), step[HRHO] / step[THICKNESS]
    gamma, d_gamma = half_space_decay(x, loss, q, HALF_SPACE, direction)
    return 1.0 + 0j, -sign * gamma / rho, 0j, -sign * d_gamma / rho


@inner
def _pack(state: Any, m: int, f: complex, g: complex, df: complex, dg: complex) -> None:
    state[PHR, m], state[PHI, m], state[PSR, m], state[PSI, m] = f.real, f.imag, g.real, g.imag
    state[DPHR, m], state[DPHI, m] = df.real, df.imag
    state[DPSR, m], state[DPSI, m] = dg.real, dg.imag


@inner
def unpack(state: Any, lane: int) -> Any:
    """(φ, ψ, ∂φ, ∂ψ) of one lane as complex numbers."""
    return (
        complex(state[PHR, lane], state[PHI, lane]),
        complex(state[PSR, lane], state[PSI, lane]),
        complex(state[DPHR, lane], state[DPHI, lane]),
        complex(state[DPSR, lane], state[DPSI, lane]),
    )


@kernel
def wronskian(
    x: Any,
    loss: Any,
    direction: int,
    whole: bool,
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
    """(W, ∂W along ``direction``, scale) of each lane, from states of unit size at the match node.

    Lanes block_first[i] to block_first[i + 1] belong to item block_item[i] and meet at
    block_node[i]. W and ∂W share a factor, of which ``scale`` is the logarithm taken out: with it
    the derivatives of two directions compare. Shots start where a mode has died; with ``whole``
    they start at the ends, as an analytic W must.
    """
    value, change = np.empty(x.size, np.complex128), np.empty(x.size, np.complex128)
    scale = np.empty(x.size)
    above, below = np.empty((N_ROWS, VECTOR)), np.empty((N_ROWS, VECTOR))
    nothing = np.zeros((0, N_ROWS, VECTOR))
    for block in range(block_item.size):
        item, node = block_item[block], block_node[block]
        stack = steps[first[item] : first[item + 1]]
        slot = np.full(stack.shape[0] + 1, -1)
        j = min(node, stack.shape[0] - 1)
        b = block_first[block]
        while b < block_first[block + 1]:
            a = b
            if whole:
                b, upper, lower = min(a + VECTOR, block_first[block + 1]), 0, stack.shape[0]
            else:
                b, upper, lower = gather(stack, x, a, block_first[block + 1], node)
            for m in range(VECTOR):
                lane = min(a + m, b - 1)
                start_lane(
                    x[lane],
                    loss[lane],
                    m,
                    direction,
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
            if direction == ALONG_X:
                shoot_along_x(stack, upper, node, direction, above, slot, nothing)
                shoot_along_x(stack, lower, node, direction, below, slot, nothing)
            else:
                _shoot_elsewhere(stack, upper, node, direction, above, slot, nothing)
                _shoot_elsewhere(stack, lower, node, direction, below, slot, nothing)
            for m in range(b - a):
                f, g, df, dg = unpack(above, m)
                u, v, du, dv = unpack(below, m)
                # φ and ψ differ by a vertical wavenumber over a density in size.
                kappa = math.sqrt(abs(stack[j, Q0R] - x[a + m].real) + 1e-12 * abs(x[a + m]))
                unit = stack[j, HRHO] / (math.sqrt(stack[j, H2]) * kappa)
                size = math.sqrt(abs(f) ** 2 + (unit * abs(g)) ** 2)
                size *= math.sqrt(abs(u) ** 2 + (unit * abs(v)) ** 2) / unit
                value[a + m] = (f * v - u * g) / size
                change[a + m] = (df * v + f * dv - du * g - u * dg) / size
                scale[a + m] = math.log(size) + above[LOG_SCALE, m] + below[LOG_SCALE, m]
    return value, change, scale
