"""The transfer matrix of a step on tensors: the formulas of ``normal_modes.propagator``.

Everything here is written with +, - and * alone, so that one text serves real tensors and complex
ones, single steps and blocks of steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from forward_models.normal_modes import propagator as series

_ETA_3 = [getattr(series, f"_A{n}") for n in range(11)]
_ETA_4 = [getattr(series, f"_B{n}") for n in range(11)]


class Etas(NamedTuple):
    """The entire functions ξ, η₀ … η₄ at Z."""

    xi: Any
    eta0: Any
    eta1: Any
    eta2: Any
    eta3: Any
    eta4: Any


class Transfer(NamedTuple):
    """Rows of a transfer matrix: φ' = p11 φ + p12 ψ, ψ' = p21 φ + p22 ψ."""

    p11: Any
    p12: Any
    p21: Any
    p22: Any


def eta_functions(z: Any) -> Etas:
    """(ξ, η₀ … η₄) at real Z, -9 ≤ Z ≤ 16, from two power series and a stable recursion."""
    return _recursion(z, _horner(_ETA_3, z), _horner(_ETA_4, z))


def complex_eta_functions(z: Any) -> Etas:
    """The same at complex Z; the series are divided by z² - 2 Re(z) z + |z|², in reals."""
    r, s = 2.0 * z.real, -(z.real * z.real + z.imag * z.imag)
    return _recursion(z, _divided(_ETA_3, r, s, z), _divided(_ETA_4, r, s, z))


def transfer(z: Any, v1: Any, v2: Any, hrho: Any, inv_hrho: Any, eta: Etas) -> Transfer:
    """The matrix of a step of moments v₁ and v₂; hρ and v₁ negative for a step upwards."""
    w = v1 * v1 * (1.0 / 24.0)
    odd = 0.5 * v1 * eta.eta1
    even = eta.xi - w * eta.eta2
    p12 = (eta.eta0 - 0.5 * v2 * eta.eta2 - w * eta.eta3) * hrho
    p21 = (z * (eta.eta0 + 0.5 * v2 * eta.eta2) - w * (eta.eta1 + 7.0 * eta.eta2)) * inv_hrho
    return Transfer(even + odd, p12, p21, even - odd)


def transfer_by_z(z: Any, v1: Any, v2: Any, hrho: Any, inv_hrho: Any, eta: Etas) -> Transfer:
    """Its derivative by Z."""
    w = v1 * v1 * (1.0 / 24.0)
    odd = 0.25 * v1 * eta.eta2
    even = 0.5 * (eta.eta0 - w * eta.eta3)
    p12 = 0.5 * (eta.eta1 - 0.5 * v2 * eta.eta3 - w * eta.eta4) * hrho
    half = 0.5 * z
    p21 = eta.eta0 + half * eta.eta1 + 0.5 * v2 * (eta.eta2 + half * eta.eta3)
    p21 = (p21 - 0.5 * w * (eta.eta2 + 7.0 * eta.eta3)) * inv_hrho
    return Transfer(even + odd, p12, p21, even - odd)


def transfer_by_moments(
    z: Any, v1: Any, dv1: Any, dv2: Any, hrho: Any, inv_hrho: Any, eta: Etas
) -> Transfer:
    """Its change with v₁ and v₂ when those change by dv₁ and dv₂, at one Z."""
    dw = v1 * dv1 * (1.0 / 12.0)
    odd = 0.5 * dv1 * eta.eta1
    even = -1.0 * (dw * eta.eta2)
    p12 = -1.0 * (0.5 * dv2 * eta.eta2 + dw * eta.eta3) * hrho
    p21 = (0.5 * dv2 * z * eta.eta2 - dw * (eta.eta1 + 7.0 * eta.eta2)) * inv_hrho
    return Transfer(even + odd, p12, p21, even - odd)


def _recursion(z: Any, eta3: Any, eta4: Any) -> Etas:
    eta2 = z * eta4 + 7.0 * eta3
    eta1 = z * eta3 + 5.0 * eta2
    eta0 = z * eta2 + 3.0 * eta1
    return Etas(z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4)


def _horner(coefficients: list[float], z: Any) -> Any:
    value = coefficients[-1] * z + coefficients[-2]
    for a in coefficients[-3::-1]:
        value = value * z + a
    return value


def _divided(coefficients: list[float], r: Any, s: Any, z: Any) -> Any:
    """The series at z by synthetic division by z² - r z - s."""
    b = coefficients[-1]
    a = coefficients[-2]
    for c in coefficients[-3::-1]:
        a, b = s * b + c, r * b + a
    return b * z + a
