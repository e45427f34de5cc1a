"""The depth-dependent Green's function, at complex wavenumbers, by two shots through the stack.

    ρ d/dz(ρ⁻¹ dg/dz) + (q(z) - x) g = -2 δ(z - z_s),   x = k²,

so that ∫ g J₀(kr) k dk is exp(ikR)/R where nothing reflects (Jensen, Kuperman, Porter & Schmidt,
*Computational Ocean Acoustics* (2011), sec. 4.3). With φ_L shot from the surface, φ_R from the
bottom, and ψ = ρ⁻¹ dφ/dz,

    g = -2 φ_L(z_<) φ_R(z_>) / (ρ(z_s) W),   W = φ_L ψ_R - φ_R ψ_L at the source.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel
from forward_models.normal_modes.mode_functions import within_steps
from forward_models.normal_modes.propagator import complex_eta_functions
from forward_models.normal_modes.spans import ON_INTERFACE, copy_into, locate, reach
from forward_models.normal_modes.steps import (
    CHECK_EVERY,
    DECAYING,
    DECAYING_DECAYING,
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    LARGE,
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
    half_space_state,
)


@kernel
def vertical_decay(x: complex, q: complex) -> complex:
    """γ = √(x - q) on the physical sheet, Re γ ≥ 0: decaying or outgoing where Im x ≤ Im q."""
    return cmath.sqrt(x - q)


@kernel
def green_function(
    x: Any,
    depth: Any,
    n_sources: int,
    steps: Any,
    top: int,
    bottom: int,
    q_bottom: complex,
    rho_bottom: float,
    q_shear: complex,
) -> Any:
    """(N, S, R) g at N complex ``x`` for the first S of ``depth`` (S + R,) m against the others.

    A half-space of ``q_shear`` other than 0 is a solid, in which there are no receivers.
    """
    n_receivers = depth.size - n_sources
    result = np.empty((x.size, n_sources, n_receivers), np.complex128)
    offset, step_of, slot, used = locate(depth, steps)
    shallowest, deepest = step_of.min(), step_of.max()
    down, up = np.empty((N_ROWS, VECTOR)), np.empty((N_ROWS, VECTOR))
    kept_down = np.zeros((used, N_ROWS, VECTOR))
    kept_up = np.zeros_like(kept_down)
    left = np.empty((depth.size, VECTOR), np.complex128)
    right = np.empty_like(left)
    for a in range(0, x.size, VECTOR):
        b = min(a + VECTOR, x.size)
        low = x[a].real
        for lane in range(a, b):
            low = min(low, x[lane].real)
        upper = reach(steps, low, shallowest)[0]
        lower = reach(steps, low, min(deepest + 1, steps.shape[0]))[1]
        _start(x[a:b], steps, upper, lower, top, bottom, q_bottom, rho_bottom, q_shear, down, up)
        _carry(steps, upper, deepest, down, slot, kept_down)
        _carry(steps, lower, shallowest, up, slot, kept_up)
        within_steps(steps, offset, step_of, slot, kept_down, 0, steps.shape[0], left)
        within_steps(steps, offset, step_of, slot, kept_up, 0, steps.shape[0], right)
        for d in range(depth.size):
            j = step_of[d]
            if j < steps.shape[0]:
                continue
            for m in range(b - a):
                left[d, m] = _phi(kept_down[slot[j]], m)
                right[d, m] = _phi(kept_up[slot[j]], m)
                if bottom == HALF_SPACE:
                    right[d, m] *= cmath.exp(-vertical_decay(x[a + m], q_bottom) * offset[d])
                elif offset[d] > ON_INTERFACE:  # on a rigid bottom, not in it
                    right[d, m] = 0j
        for s in range(n_sources):
            j = step_of[s]
            # A source on an interface lies in the medium above it.
            medium = j - 1 if j > 0 and offset[s] < ON_INTERFACE else j
            rho = steps[medium, HRHO] / steps[medium, THICKNESS]
            one, other = kept_down[slot[j]], kept_up[slot[j]]
            for m in range(b - a):
                wronskian = _phi(one, m) * _psi(other, m) - _phi(other, m) * _psi(one, m)
                for r in range(n_receivers):
                    d = n_sources + r
                    i = step_of[d]
                    if depth[d] >= depth[s]:
                        product = left[s, m] * right[d, m]
                        scale = kept_up[slot[i], LOG_SCALE, m] - other[LOG_SCALE, m]
                    else:
                        product = left[d, m] * right[s, m]
                        scale = kept_down[slot[i], LOG_SCALE, m] - one[LOG_SCALE, m]
                    result[a + m, s, r] = -2.0 * product * math.exp(scale) / (rho * wronskian)
    return result


@inner
def _start(
    x: Any,
    steps: Any,
    upper: int,
    lower: int,
    top: int,
    bottom: int,
    q_bottom: complex,
    rho_bottom: float,
    q_shear: complex,
    down: Any,
    up: Any,
) -> None:
    """Fills the states at the nodes ``upper`` and ``lower``, spare lanes with copies of the last.

    Inside the stack, where everything has decayed on the way there, solutions decay on.
    """
    down[:], up[:] = 0.0, 0.0
    for m in range(VECTOR):
        at = x[min(m, x.size - 1)]
        for state in (down, up):
            state[XR, m], state[XI, m], state[LOSS, m] = at.real, at.imag, 1.0
        if upper > 0:
            q, rho = _medium(steps, upper)
            slope = vertical_decay(at, q) / rho
            down[PHR, m], down[PSR, m], down[PSI, m] = 1.0, slope.real, slope.imag
        else:
            down[PHR if top == RIGID else PSR, m] = 1.0
        if lower < steps.shape[0] or bottom == HALF_SPACE:
            q, rho, shear = q_bottom, rho_bottom, q_shear
            if lower < steps.shape[0]:
                q, rho = _medium(steps, lower - 1)
                shear = 0j
            sheet = DECAYING_DECAYING if shear != 0 else DECAYING
            phi, psi, _, _ = half_space_state(at, 1.0, q, shear, rho, sheet, ALONG_X)
            up[PHR, m], up[PHI, m] = phi.real, phi.imag
            up[PSR, m], up[PSI, m] = psi.real, psi.imag
        elif bottom == RIGID:
            up[PHR, m] = 1.0
        else:
            up[PSR, m] = -1.0


@inner
def _medium(steps: Any, j: int) -> Any:
    """(q₀, ρ) of a step."""
    return complex(steps[j, Q0R], steps[j, Q0I]), steps[j, HRHO] / steps[j, THICKNESS]


@inner
def _phi(state: Any, lane: int) -> complex:
    return complex(state[PHR, lane], state[PHI, lane])


@inner
def _psi(state: Any, lane: int) -> complex:
    return complex(state[PSR, lane], state[PSI, lane])


@inner(fastmath=FAST)
def _carry(steps: Any, start: int, stop: int, state: Any, slot: Any, kept: Any) -> None:
    """Carries (φ, ψ) from node to node as the shots of the modes do, but without derivatives."""
    down = stop > start
    sign = 1.0 if down else -1.0
    if slot[start] >= 0:
        copy_into(kept[slot[start]], state)
    for i in range(abs(stop - start)):
        j = start + i if down else start - 1 - i
        h2, hrho, inv_hrho = steps[j, H2], sign * steps[j, HRHO], sign * steps[j, INV_HRHO]
        q0r, q0i = steps[j, Q0R], steps[j, Q0I]
        v1 = sign * complex(steps[j, V1R], steps[j, V1I])
        v2 = complex(steps[j, V2R], steps[j, V2I])
        w = v1 * v1 * (1.0 / 24.0)
        for m in range(state.shape[1]):
            z = complex(h2 * (state[XR, m] - q0r), h2 * (state[XI, m] - q0i))
            xi_, eta0, eta1, eta2, eta3, _ = complex_eta_functions(z)
            odd = 0.5 * v1 * eta1
            even = xi_ - w * eta2
            p12 = (eta0 - 0.5 * v2 * eta2 - w * eta3) * hrho
            p21 = (z * eta0 + 0.5 * v2 * z * eta2 - w * (eta1 + 7.0 * eta2)) * inv_hrho
            f = complex(state[PHR, m], state[PHI, m])
            g = complex(state[PSR, m], state[PSI, m])
            new_f = (even + odd) * f + p12 * g
            new_g = p21 * f + (even - odd) * g
            state[PHR, m], state[PHI, m] = new_f.real, new_f.imag
            state[PSR, m], state[PSI, m] = new_g.real, new_g.imag
        if i % CHECK_EVERY == CHECK_EVERY - 1:
            for m in range(state.shape[1]):
                size = abs(state[PHR, m]) + abs(state[PHI, m])
                size += abs(state[PSR, m]) + abs(state[PSI, m])
                if size > LARGE:
                    state[LOG_SCALE, m] += math.log(size)
                    for row in (PHR, PHI, PSR, PSI):
                        state[row, m] /= size
        node = j + 1 if down else j
        if slot[node] >= 0:
            copy_into(kept[slot[node]], state)
