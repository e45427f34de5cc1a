"""Exact-order propagation of the depth equation across one step, and its derivative.

The depth equation ρ d/dz(ρ⁻¹ dφ/dz) + (q(z) - x) φ = 0 with q = (ω/c)² and x = k² (Jensen et al.,
*Computational Ocean Acoustics*, eq. 5.3) becomes y'' = (Z + V(τ)) y on a unit step τ ∈ [0, 1] of
thickness h, with Z = h²(x - q₀) and V the rest of -h²q. With u = 1 - 2τ and the Legendre moments
qₙ of q over the step,

    V = v₁ P₁(u) + v₂ P₂(u),   v₁ = h² q₁,   v₂ = -h² q₂.

Perturbing the constant-coefficient solution (the CP method of Ixaru, *Numerical Methods for
Differential Equations and Applications*, 1984) gives the transfer matrix in closed form through the
entire functions η_m(Z), which are trigonometric, hyperbolic or complex alike and need no branch:

    P₁₁ = ξ + v₁η₁/2 - v₁²η₂/24        P₁₂ = η₀ - v₂η₂/2 - v₁²η₃/24
    P₂₂ = ξ - v₁η₁/2 - v₁²η₂/24        P₂₁ = Zη₀ + v₂Zη₂/2 - v₁²(η₁ + 7η₂)/24

first order in v₁ and v₂ and second order in v₁. The state is (φ, ψ) with ψ = ρ⁻¹ dφ/dz, which is
continuous across density jumps.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner


def series(m: int, count: int) -> tuple[float, ...]:
    """The first coefficients of η_m(Z) = 2^m Σ (p+m)!/p! Z^p / (2p+2m+1)!."""
    return tuple(
        2**m * factorial(p + m) / (factorial(p) * factorial(2 * p + 2 * m + 1))
        for p in range(count)
    )


# Fifteen terms reach 4e-14 of a unit at Z = -30 and 1e-15 at Z = 23, which the choice of steps
# guarantees; ten in single precision 4e-6.
N_TERMS = 15
ETA_3, ETA_4 = series(3, N_TERMS), series(4, N_TERMS)
ETA_5 = series(5, 5)  # of the gradients, where it is small beside others
_ROUGH_2, _ROUGH_3 = (tuple(map(np.float32, series(m, 10))) for m in (2, 3))


@inner(fastmath=FAST, forceinline=True)
def eta_functions(z: Any) -> Any:
    """(ξ, η₀, η₁, η₂, η₃, η₄) at real Z, -30.3 ≤ Z ≤ 23.

    ξ = cosh √Z, η₀ = sinh √Z / √Z, η_m = (η_{m-2} - (2m-1) η_{m-1}) / Z, run downwards from two
    power series, which is stable and costs no square root.
    """
    eta3 = ETA_3[12] + z * (ETA_3[13] + z * ETA_3[14])
    eta3 = ETA_3[8] + z * (ETA_3[9] + z * (ETA_3[10] + z * (ETA_3[11] + z * eta3)))
    eta3 = ETA_3[4] + z * (ETA_3[5] + z * (ETA_3[6] + z * (ETA_3[7] + z * eta3)))
    eta3 = ETA_3[0] + z * (ETA_3[1] + z * (ETA_3[2] + z * (ETA_3[3] + z * eta3)))
    eta4 = ETA_4[12] + z * (ETA_4[13] + z * ETA_4[14])
    eta4 = ETA_4[8] + z * (ETA_4[9] + z * (ETA_4[10] + z * (ETA_4[11] + z * eta4)))
    eta4 = ETA_4[4] + z * (ETA_4[5] + z * (ETA_4[6] + z * (ETA_4[7] + z * eta4)))
    eta4 = ETA_4[0] + z * (ETA_4[1] + z * (ETA_4[2] + z * (ETA_4[3] + z * eta4)))
    eta2 = z * eta4 + 7.0 * eta3
    eta1 = z * eta3 + 5.0 * eta2
    eta0 = z * eta2 + 3.0 * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4


@inner(fastmath=FAST, forceinline=True)
def complex_eta_functions(z: complex) -> Any:
    """The same at complex Z; the series are divided by z² - 2 Re(z) z + |z|², in reals."""
    r, s = 2.0 * z.real, -(z.real * z.real + z.imag * z.imag)
    a, b = ETA_3[13], ETA_3[14]
    a, b = ETA_3[12] + s * b, a + r * b
    a, b = ETA_3[11] + s * b, a + r * b
    a, b = ETA_3[10] + s * b, a + r * b
    a, b = ETA_3[9] + s * b, a + r * b
    a, b = ETA_3[8] + s * b, a + r * b
    a, b = ETA_3[7] + s * b, a + r * b
    a, b = ETA_3[6] + s * b, a + r * b
    a, b = ETA_3[5] + s * b, a + r * b
    a, b = ETA_3[4] + s * b, a + r * b
    a, b = ETA_3[3] + s * b, a + r * b
    a, b = ETA_3[2] + s * b, a + r * b
    a, b = ETA_3[1] + s * b, a + r * b
    a, b = ETA_3[0] + s * b, a + r * b
    eta3 = complex(a + b * z.real, b * z.imag)
    a, b = ETA_4[13], ETA_4[14]
    a, b = ETA_4[12] + s * b, a + r * b
    a, b = ETA_4[11] + s * b, a + r * b
    a, b = ETA_4[10] + s * b, a + r * b
    a, b = ETA_4[9] + s * b, a + r * b
    a, b = ETA_4[8] + s * b, a + r * b
    a, b = ETA_4[7] + s * b, a + r * b
    a, b = ETA_4[6] + s * b, a + r * b
    a, b = ETA_4[5] + s * b, a + r * b
    a, b = ETA_4[4] + s * b, a + r * b
    a, b = ETA_4[3] + s * b, a + r * b
    a, b = ETA_4[2] + s * b, a + r * b
    a, b = ETA_4[1] + s * b, a + r * b
    a, b = ETA_4[0] + s * b, a + r * b
    eta4 = complex(a + b * z.real, b * z.imag)
    eta2 = z * eta4 + 7.0 * eta3
    eta1 = z * eta3 + 5.0 * eta2
    eta0 = z * eta2 + 3.0 * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4


@inner(fastmath=FAST, forceinline=True)
def rough_eta_functions(z: Any) -> Any:
    """(ξ, η₀, η₁, η₂, η₃) at real Z in single precision."""
    eta2 = _ROUGH_2[8] + z * _ROUGH_2[9]
    eta2 = _ROUGH_2[4] + z * (_ROUGH_2[5] + z * (_ROUGH_2[6] + z * (_ROUGH_2[7] + z * eta2)))
    eta2 = _ROUGH_2[0] + z * (_ROUGH_2[1] + z * (_ROUGH_2[2] + z * (_ROUGH_2[3] + z * eta2)))
    eta3 = _ROUGH_3[8] + z * _ROUGH_3[9]
    eta3 = _ROUGH_3[4] + z * (_ROUGH_3[5] + z * (_ROUGH_3[6] + z * (_ROUGH_3[7] + z * eta3)))
    eta3 = _ROUGH_3[0] + z * (_ROUGH_3[1] + z * (_ROUGH_3[2] + z * (_ROUGH_3[3] + z * eta3)))
    eta1 = z * eta3 + np.float32(5.0) * eta2
    eta0 = z * eta2 + np.float32(3.0) * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3
