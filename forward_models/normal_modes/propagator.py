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

# Power series of η₃ and η₄, η_m(Z) = 2^m Σ (p+m)!/p! Z^p / (2p+2m+1)!; fourteen terms reach
# 1e-14 for |Z| ≤ 18.5 and 2e-13 at Z = 23, which the choice of steps guarantees.

_A0 = 1 / 105
_A1 = 1 / 1890
_A2 = 1 / 83160
_A3 = 1 / 6486480
_A4 = 1 / 778377600
_A5 = 1 / 132324192000
_A6 = 1 / 30169915776000
_A7 = 1 / 8869955238144000
_A8 = 1 / 3264143527636992000
_A9 = 1 / 1468864587436646400000
_A10 = 1 / 793186877215789056000000
_A11 = 1 / 506053227663673417728000000
_A12 = 1 / 376503601381773022789632000000
_A13 = 1 / 323040089985561253553504256000000
_B0 = 1 / 945
_B1 = 1 / 20790
_B2 = 1 / 1081080
_B3 = 1 / 97297200
_B4 = 1 / 13232419200
_B5 = 1 / 2514159648000
_B6 = 1 / 633568231296000
_B7 = 1 / 204008970477312000
_B8 = 1 / 81603588190924800000
_B9 = 1 / 39659343860789452800000
_B10 = 1 / 23002419439257882624000000
_B11 = 1 / 15687650057573875949568000000
_B12 = 1 / 12424618845598509752057856000000
_B13 = 1 / 11306403149494643874372648960000000


@inner(fastmath=FAST, forceinline=True)
def eta_functions(z: Any) -> Any:
    """(ξ, η₀, η₁, η₂, η₃, η₄) at real Z, -18.5 ≤ Z ≤ 23.

    ξ = cosh √Z, η₀ = sinh √Z / √Z, η_m = (η_{m-2} - (2m-1) η_{m-1}) / Z, run downwards from two
    power series, which is stable and costs no square root.
    """
    eta3 = _A12 + z * _A13
    eta3 = _A8 + z * (_A9 + z * (_A10 + z * (_A11 + z * eta3)))
    eta3 = _A4 + z * (_A5 + z * (_A6 + z * (_A7 + z * eta3)))
    eta3 = _A0 + z * (_A1 + z * (_A2 + z * (_A3 + z * eta3)))
    eta4 = _B12 + z * _B13
    eta4 = _B8 + z * (_B9 + z * (_B10 + z * (_B11 + z * eta4)))
    eta4 = _B4 + z * (_B5 + z * (_B6 + z * (_B7 + z * eta4)))
    eta4 = _B0 + z * (_B1 + z * (_B2 + z * (_B3 + z * eta4)))
    eta2 = z * eta4 + 7.0 * eta3
    eta1 = z * eta3 + 5.0 * eta2
    eta0 = z * eta2 + 3.0 * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4


@inner(fastmath=FAST, forceinline=True)
def complex_eta_functions(z: complex) -> Any:
    """The same at complex Z; the series are divided by z² - 2 Re(z) z + |z|², in reals."""
    r, s = 2.0 * z.real, -(z.real * z.real + z.imag * z.imag)
    a, b = _A12, _A13
    a, b = _A11 + s * b, a + r * b
    a, b = _A10 + s * b, a + r * b
    a, b = _A9 + s * b, a + r * b
    a, b = _A8 + s * b, a + r * b
    a, b = _A7 + s * b, a + r * b
    a, b = _A6 + s * b, a + r * b
    a, b = _A5 + s * b, a + r * b
    a, b = _A4 + s * b, a + r * b
    a, b = _A3 + s * b, a + r * b
    a, b = _A2 + s * b, a + r * b
    a, b = _A1 + s * b, a + r * b
    a, b = _A0 + s * b, a + r * b
    eta3 = complex(a + b * z.real, b * z.imag)
    a, b = _B12, _B13
    a, b = _B11 + s * b, a + r * b
    a, b = _B10 + s * b, a + r * b
    a, b = _B9 + s * b, a + r * b
    a, b = _B8 + s * b, a + r * b
    a, b = _B7 + s * b, a + r * b
    a, b = _B6 + s * b, a + r * b
    a, b = _B5 + s * b, a + r * b
    a, b = _B4 + s * b, a + r * b
    a, b = _B3 + s * b, a + r * b
    a, b = _B2 + s * b, a + r * b
    a, b = _B1 + s * b, a + r * b
    a, b = _B0 + s * b, a + r * b
    eta4 = complex(a + b * z.real, b * z.imag)
    eta2 = z * eta4 + 7.0 * eta3
    eta1 = z * eta3 + 5.0 * eta2
    eta0 = z * eta2 + 3.0 * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4


# The same series of η₂ and η₃ in single precision: nine terms reach 1e-7.
_C, _D = (
    tuple(
        np.float32(2**m * factorial(p + m) / (factorial(p) * factorial(2 * p + 2 * m + 1)))
        for p in range(9)
    )
    for m in (2, 3)
)


@inner(fastmath=FAST, forceinline=True)
def rough_eta_functions(z: Any) -> Any:
    """(ξ, η₀, η₁, η₂, η₃) at real Z in single precision."""
    eta2 = _C[4] + z * (_C[5] + z * (_C[6] + z * (_C[7] + z * _C[8])))
    eta2 = _C[0] + z * (_C[1] + z * (_C[2] + z * (_C[3] + z * eta2)))
    eta3 = _D[4] + z * (_D[5] + z * (_D[6] + z * (_D[7] + z * _D[8])))
    eta3 = _D[0] + z * (_D[1] + z * (_D[2] + z * (_D[3] + z * eta3)))
    eta1 = z * eta3 + np.float32(5.0) * eta2
    eta0 = z * eta2 + np.float32(3.0) * eta1
    return z * eta1 + eta0, eta0, eta1, eta2, eta3
