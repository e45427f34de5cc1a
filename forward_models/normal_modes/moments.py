"""k² along a segment, and its moments over the pieces that make a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import inner

# Gauss-Legendre rules of three and five points; three do for a change of speed below 5 %.
_GAUSS_3 = np.polynomial.legendre.leggauss(3)
_GAUSS_5 = np.polynomial.legendre.leggauss(5)
_STEEP = 0.05


@inner
def k_squared(omega: float, c_top: complex, c_bottom: complex, tau: float, n2: bool) -> complex:
    """(ω/c)² at the fraction ``tau`` of a segment, c or 1/c² linear in depth."""
    if n2:
        top, bottom = squared(omega, c_top), squared(omega, c_bottom)
        return top + (bottom - top) * tau
    return squared(omega, c_top + (c_bottom - c_top) * tau)


@inner(forceinline=True)
def squared(omega: float, c: complex) -> complex:
    """(ω/c)²; division of complex numbers as the language has it branches and is slower."""
    ratio = c.imag / c.real
    re = omega / (c.real + c.imag * ratio)
    im = -re * ratio
    return complex(re * re - im * im, 2.0 * re * im)


@inner(forceinline=True)
def size(z: complex) -> float:
    """|z| where neither overflow nor underflow is near."""
    return math.sqrt(z.real * z.real + z.imag * z.imag)


@inner
def gauss_rule(c_top: complex, c_bottom: complex, width: float) -> Any:
    """(nodes, weights) of the rule for the moments over a share of a segment."""
    return _GAUSS_5 if size(c_bottom - c_top) * width > _STEEP * size(c_top) else _GAUSS_3


@inner
def piece_moments(
    omega: float,
    thickness: float,
    c_top: complex,
    c_bottom: complex,
    n2: bool,
    start: float,
    end: float,
    x_min: float,
    moments: Any,
) -> None:
    """Fills (6,): height of a piece of a segment, and ∫ zⁿ (k² - x_min) dz, n ≤ 4, z from its top.

    Less x_min, for k² itself would leave their differences few digits.
    """
    height = thickness * (end - start)
    for n in range(6):
        moments[n] = 0.0
    moments[0] = height
    nodes, weights = gauss_rule(c_top, c_bottom, end - start)
    for g in range(nodes.size):
        within = 0.5 + 0.5 * nodes[g]
        q = k_squared(omega, c_top, c_bottom, start + within * (end - start), n2) - x_min
        q *= 0.5 * weights[g] * height
        for n in range(1, 6):
            moments[n] += q
            q *= within * height


@inner
def join(above: Any, below: Any, both: Any) -> None:
    """Fills the moments of one piece on top of another, (h + z)ⁿ expanded for the lower one."""
    h = above[0].real
    m0, m1, m2, m3, m4 = below[1], below[2], below[3], below[4], below[5]
    both[0] = h + below[0]
    both[1] = above[1] + m0
    both[2] = above[2] + m1 + h * m0
    both[3] = above[3] + m2 + h * (2.0 * m1 + h * m0)
    both[4] = above[4] + m3 + h * (3.0 * m2 + h * (3.0 * m1 + h * m0))
    both[5] = above[5] + m4 + h * (4.0 * m3 + h * (6.0 * m2 + h * (4.0 * m1 + h * m0)))


@inner
def legendre(moments: Any, x_min: float, total: Any) -> None:
    """Fills total (6,): thickness of a step and the Legendre moments q₀ … q₄ of its k²."""
    per = 1.0 / moments[0].real
    m0 = moments[1] * per
    m1 = moments[2] * per * per
    m2 = moments[3] * per * per * per
    m3 = moments[4] * (per * per) * (per * per)
    m4 = moments[5] * (per * per) * (per * per) * per
    total[0] = moments[0]
    total[1] = m0 + x_min
    total[2] = 3.0 * (2.0 * m1 - m0)
    total[3] = 5.0 * (6.0 * (m2 - m1) + m0)
    total[4] = 7.0 * (20.0 * m3 - 30.0 * m2 + 12.0 * m1 - m0)
    total[5] = 9.0 * (70.0 * m4 - 140.0 * m3 + 90.0 * m2 - 20.0 * m1 + m0)
