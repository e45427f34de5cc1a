"""The transfer matrix of a step on tensors: the formulas of ``normal_modes.propagator``.

One text serves real tensors and complex ones, single steps and blocks of steps. Kernels of whole
shots (``kernels``) have the same formulas a second time, in the language of their compiler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from forward_models.normal_modes.propagator import ETA_3, ETA_4


class Etas(NamedTuple):
    """The entire functions ξ, η₀ … η₄ at Z."""

    xi: Tensor
    eta0: Tensor
    eta1: Tensor
    eta2: Tensor
    eta3: Tensor
    eta4: Tensor


class Transfer(NamedTuple):
    """Rows of a transfer matrix: φ' = p11 φ + p12 ψ, ψ' = p21 φ + p22 ψ."""

    p11: Tensor
    p12: Tensor
    p21: Tensor
    p22: Tensor


def eta_functions(z: Tensor) -> Etas:
    """(ξ, η₀ … η₄) at real Z, -30.3 ≤ Z ≤ 23, from two power series and a stable recursion."""
    return _recursion(z, _horner(ETA_3, z), _horner(ETA_4, z))


def complex_eta_functions(z: Tensor) -> Etas:
    """The same at complex Z; the series are divided by z² - 2 Re(z) z + |z|², in reals."""
    r, s = 2.0 * z.real, -(z.real * z.real + z.imag * z.imag)
    return _recursion(z, _divided(ETA_3, r, s, z), _divided(ETA_4, r, s, z))


class Middle(NamedTuple):
    """The sign of φ in the middle of a step: that of of_phi φ + of_psi ψ."""

    of_phi: Tensor
    of_psi: Tensor


def middle(z: Tensor, hrho: Tensor, eta: Etas) -> Middle:
    """φ at half a step of constant k², see ``normal_modes.phase``."""
    sign = torch.where(z > -(math.pi**2), 1.0, -1.0).to(z.dtype)
    return Middle(sign * (1.0 + eta.xi), sign * hrho * eta.eta0)


def transfer(
    z: Tensor, v1: Tensor, v2: Tensor, hrho: Tensor, inv_hrho: Tensor, eta: Etas
) -> Transfer:
    """The matrix of a step of moments v₁ and v₂; hρ and v₁ negative for a step upwards."""
    w = v1 * v1 * (1.0 / 24.0)
    half = v2 * 0.5
    odd = v1 * 0.5 * eta.eta1
    even = eta.xi - w * eta.eta2
    p12 = (eta.eta0 - half * eta.eta2 - w * eta.eta3) * hrho
    p21 = z * (eta.eta0 + half * eta.eta2) - w * (eta.eta1 + eta.eta2 * 7.0)
    p21 = p21 * inv_hrho
    return Transfer(even + odd, p12, p21, even - odd)


def transfer_by_z(
    z: Tensor, v1: Tensor, v2: Tensor, hrho: Tensor, inv_hrho: Tensor, eta: Etas
) -> Transfer:
    """Its derivative by Z."""
    w = v1 * v1 * (1.0 / 24.0)
    half = v2 * 0.5
    odd = v1 * 0.25 * eta.eta2
    even = (eta.eta0 - w * eta.eta3) * 0.5
    p12 = ((eta.eta1 - half * eta.eta3 - w * eta.eta4) * 0.5) * hrho
    by_half = z * 0.5
    p21 = eta.eta0 + by_half * eta.eta1 + half * (eta.eta2 + by_half * eta.eta3)
    p21 = (p21 - w * 0.5 * (eta.eta2 + eta.eta3 * 7.0)) * inv_hrho
    return Transfer(even + odd, p12, p21, even - odd)


def transfer_by_moments(
    z: Tensor, v1: Tensor, dv1: Tensor, dv2: Tensor, hrho: Tensor, inv_hrho: Tensor, eta: Etas
) -> Transfer:
    """Its change with v₁ and v₂ when those change by dv₁ and dv₂, at one Z."""
    dw = v1 * dv1 * (1.0 / 12.0)
    half = dv2 * 0.5
    odd = dv1 * 0.5 * eta.eta1
    even = dw * eta.eta2 * -1.0
    p12 = ((half * eta.eta2 + dw * eta.eta3) * -1.0) * hrho
    p21 = (half * z * eta.eta2 - dw * (eta.eta1 + eta.eta2 * 7.0)) * inv_hrho
    return Transfer(even + odd, p12, p21, even - odd)


def scaled(matrix: Transfer, factor: Tensor) -> Transfer:
    """Every element times a factor."""
    return Transfer(*(element * factor for element in matrix))


def added(one: Transfer, other: Transfer) -> Transfer:
    """The sum, element by element."""
    return Transfer(*(a + b for a, b in zip(one, other, strict=True)))


def advance(p: Transfer, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """(φ, ψ) one step further."""
    return torch.addcmul(p.p11 * f, p.p12, g), torch.addcmul(p.p21 * f, p.p22, g)


def advance_derivative(
    p: Transfer, d: Transfer, f: Tensor, g: Tensor, df: Tensor, dg: Tensor
) -> tuple[Tensor, Tensor]:
    """(∂φ, ∂ψ) one step further, d being the derivative of p."""
    df, dg = advance(p, df, dg)
    of_f, of_g = advance(d, f, g)
    return df + of_f, dg + of_g


def _recursion(z: Tensor, eta3: Tensor, eta4: Tensor) -> Etas:
    eta2 = z * eta4 + eta3 * 7.0
    eta1 = z * eta3 + eta2 * 5.0
    eta0 = z * eta2 + eta1 * 3.0
    return Etas(z * eta1 + eta0, eta0, eta1, eta2, eta3, eta4)


def _horner(coefficients: Sequence[float], z: Tensor) -> Tensor:
    value = coefficients[-1] * z + coefficients[-2]
    for a in coefficients[-3::-1]:
        value = value * z + a
    return value


def _divided(coefficients: Sequence[float], r: Tensor, s: Tensor, z: Tensor) -> Tensor:
    """The series at z by synthetic division by z² - r z - s."""
    a, b = s * coefficients[-1] + coefficients[-3], r * coefficients[-1] + coefficients[-2]
    for c in coefficients[-4::-1]:
        a, b = s * b + c, r * b + a
    return z * b + a
