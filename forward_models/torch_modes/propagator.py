"""The transfer matrix of a step on tensors: the formulas of ``normal_modes.propagator``.

Everything here is written with +, - and * alone, so that one text serves real tensors, complex ones
and ``Pair``s of reals, which compilers fuse; single steps and blocks of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from forward_models.normal_modes import propagator as series

_ETA_3 = [getattr(series, f"_A{n}") for n in range(14)]
_ETA_4 = [getattr(series, f"_B{n}") for n in range(14)]


@dataclass(frozen=True)
class Pair:
    """A complex number as two reals."""

    real: Tensor
    imag: Tensor

    def __add__(self, other: Pair) -> Pair:
        return Pair(self.real + other.real, self.imag + other.imag)

    def __sub__(self, other: Pair) -> Pair:
        return Pair(self.real - other.real, self.imag - other.imag)

    def __mul__(self, other: Pair | float) -> Pair:
        if isinstance(other, Pair):
            real = self.real * other.real - self.imag * other.imag
            return Pair(real, self.real * other.imag + self.imag * other.real)
        return Pair(self.real * other, self.imag * other)


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
    """(ξ, η₀ … η₄) at real Z, -18.5 ≤ Z ≤ 23, from two power series and a stable recursion."""
    return _recursion(z, _horner(_ETA_3, z), _horner(_ETA_4, z))


def complex_eta_functions(z: Any) -> Etas:
    """The same at complex Z; the series are divided by z² - 2 Re(z) z + |z|², in reals."""
    r, s = 2.0 * z.real, -(z.real * z.real + z.imag * z.imag)
    return _recursion(z, _divided(_ETA_3, r, s, z), _divided(_ETA_4, r, s, z))


class Middle(NamedTuple):
    """The sign of φ in the middle of a step: that of of_phi φ + of_psi ψ."""

    of_phi: Tensor
    of_psi: Tensor


def middle(z: Tensor, hrho: Tensor, eta: Etas) -> Middle:
    """φ at half a step of constant k², see ``normal_modes.phase``."""
    sign = torch.where(z > -(math.pi**2), 1.0, -1.0).to(z.dtype)
    return Middle(sign * (1.0 + eta.xi), sign * hrho * eta.eta0)


def transfer(z: Any, v1: Any, v2: Any, hrho: Any, inv_hrho: Any, eta: Etas) -> Transfer:
    """The matrix of a step of moments v₁ and v₂; hρ and v₁ negative for a step upwards."""
    w = v1 * v1 * (1.0 / 24.0)
    half = v2 * 0.5
    odd = v1 * 0.5 * eta.eta1
    even = eta.xi - w * eta.eta2
    p12 = times_real(eta.eta0 - half * eta.eta2 - w * eta.eta3, hrho)
    p21 = z * (eta.eta0 + half * eta.eta2) - w * (eta.eta1 + eta.eta2 * 7.0)
    p21 = times_real(p21, inv_hrho)
    return Transfer(even + odd, p12, p21, even - odd)


def transfer_by_z(z: Any, v1: Any, v2: Any, hrho: Any, inv_hrho: Any, eta: Etas) -> Transfer:
    """Its derivative by Z."""
    w = v1 * v1 * (1.0 / 24.0)
    half = v2 * 0.5
    odd = v1 * 0.25 * eta.eta2
    even = (eta.eta0 - w * eta.eta3) * 0.5
    p12 = times_real((eta.eta1 - half * eta.eta3 - w * eta.eta4) * 0.5, hrho)
    by_half = z * 0.5
    p21 = eta.eta0 + by_half * eta.eta1 + half * (eta.eta2 + by_half * eta.eta3)
    p21 = times_real(p21 - w * 0.5 * (eta.eta2 + eta.eta3 * 7.0), inv_hrho)
    return Transfer(even + odd, p12, p21, even - odd)


def transfer_by_moments(
    z: Any, v1: Any, dv1: Any, dv2: Any, hrho: Any, inv_hrho: Any, eta: Etas
) -> Transfer:
    """Its change with v₁ and v₂ when those change by dv₁ and dv₂, at one Z."""
    dw = v1 * dv1 * (1.0 / 12.0)
    half = dv2 * 0.5
    odd = dv1 * 0.5 * eta.eta1
    even = dw * eta.eta2 * -1.0
    p12 = times_real((half * eta.eta2 + dw * eta.eta3) * -1.0, hrho)
    p21 = times_real(half * z * eta.eta2 - dw * (eta.eta1 + eta.eta2 * 7.0), inv_hrho)
    return Transfer(even + odd, p12, p21, even - odd)


def times_real(value: Any, factor: Tensor) -> Any:
    """A real or complex value times a real one."""
    if isinstance(value, Pair):
        return Pair(value.real * factor, value.imag * factor)
    return value * factor


def scaled(matrix: Transfer, factor: Any) -> Transfer:
    """Every element times a factor of its own kind, or a real one."""
    if isinstance(factor, Pair):
        return Transfer(*(element * factor for element in matrix))
    return Transfer(*(times_real(element, factor) for element in matrix))


def added(one: Transfer, other: Transfer) -> Transfer:
    """The sum, element by element."""
    return Transfer(*(a + b for a, b in zip(one, other, strict=True)))


def advance(p: Transfer, f: Any, g: Any) -> tuple[Any, Any]:
    """(φ, ψ) one step further."""
    if isinstance(f, Tensor):
        return torch.addcmul(p.p11 * f, p.p12, g), torch.addcmul(p.p21 * f, p.p22, g)
    return p.p11 * f + p.p12 * g, p.p21 * f + p.p22 * g


def advance_derivative(
    p: Transfer, d: Transfer, f: Any, g: Any, df: Any, dg: Any
) -> tuple[Any, Any]:
    """(∂φ, ∂ψ) one step further, d being the derivative of p."""
    df, dg = advance(p, df, dg)
    of_f, of_g = advance(d, f, g)
    return df + of_f, dg + of_g


def _recursion(z: Any, eta3: Any, eta4: Any) -> Etas:
    eta2 = z * eta4 + eta3 * 7.0
    eta1 = z * eta3 + eta2 * 5.0
    eta0 = z * eta2 + eta1 * 3.0
    return Etas(z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4)


def _horner(coefficients: list[float], z: Tensor) -> Tensor:
    value = coefficients[-1] * z + coefficients[-2]
    for a in coefficients[-3::-1]:
        value = value * z + a
    return value


def _divided(coefficients: list[float], r: Tensor, s: Tensor, z: Any) -> Any:
    """The series at z by synthetic division by z² - r z - s."""
    a, b = s * coefficients[-1] + coefficients[-3], r * coefficients[-1] + coefficients[-2]
    for c in coefficients[-4::-1]:
        a, b = s * b + c, r * b + a
    if isinstance(z, Pair):
        return Pair(b * z.real + a, b * z.imag)
    return z * b + a
