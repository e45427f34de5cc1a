"""Cylindrical waves of order zero at many complex arguments: J₀ and H₀⁽¹⁾, H₀⁽²⁾.

Away from the origin by Hankel's expansion (DLMF 10.17.3 to 10.17.6),

    H₀⁽¹⁾(z), H₀⁽²⁾(z) ~ √(2/(πz)) exp(±i(z - π/4)) (P ± iQ),
    P = Σ (-1)ᵐ a₂ₘ / z²ᵐ,   Q = Σ (-1)ᵐ a₂ₘ₊₁ / z²ᵐ⁺¹,   aₙ = Πⱼ₌₁ⁿ -(2j - 1)² / (8j),

near it by scipy, which takes fifty times as long.
"""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
from scipy import special

from forward_models.normal_modes.kernels import kernel

# Twelve terms from |z| = 25 on leave 5e-14, six from 200 on the same.
_NEAR, _FAR = 25.0, 200.0
_A = np.cumprod([1.0, *(-((2.0 * j - 1.0) ** 2) / (8.0 * j) for j in range(1, 12))])
_P, _Q = _A[0::2] * (-1.0) ** np.arange(6), _A[1::2] * (-1.0) ** np.arange(6)

_STEEP = 300.0  # nepers along a panel beyond which factors of an exponential would overflow

STANDING, OUTGOING, INCOMING = 0, 1, 2


def cylindrical_wave(kind: int, middle: np.ndarray, spread: np.ndarray, r: np.ndarray) -> Any:
    """(P, M, R) J₀(kr), or H₀⁽¹⁾(kr)/2 or H₀⁽²⁾(kr)/2, the two parts of J₀.

    The wavenumbers k = middle (P, 1) + spread (M,), Re k ≥ 0, are those of P alike panels, so that
    one exponential of the middle serves a panel.

    Example:
        >>> at = np.array([0.3 - 0.01j]), np.zeros(1), np.array([500.0])
        >>> standing, outgoing, incoming = (cylindrical_wave(kind, *at) for kind in range(3))
        >>> bool(np.isclose(outgoing + incoming, standing, rtol=1e-13, atol=0.0).all())
        True
    """
    k = middle[:, None] + spread
    wave = np.empty((*k.shape, r.size), np.complex128)
    _expansion(kind, middle, spread + 0j, r, wave)
    if np.abs(k).min() * r.min() > _NEAR:
        return wave
    near = np.abs(k)[..., None] * r < _NEAR
    z = (k[..., None] * r)[near]
    if kind == STANDING:
        wave[near] = special.jv(0, z)
    else:
        wave[near] = 0.5 * (special.hankel1 if kind == OUTGOING else special.hankel2)(0, z)
    return wave


@kernel(fastmath={"contract"})
def _expansion(kind: int, middle: Any, spread: Any, r: Any, wave: Any) -> None:
    """Fills what is not near the origin."""
    step = np.empty((spread.size, r.size), np.complex128)
    out = np.empty(r.size, np.complex128)
    sign = -1j if kind == INCOMING else 1j
    for m in range(spread.size):
        for j in range(r.size):
            step[m, j] = cmath.exp(sign * spread[m] * r[j])
    for i in range(middle.size):
        for j in range(r.size):
            out[j] = cmath.exp(sign * (middle[i] * r[j] - 0.25 * math.pi)) / math.sqrt(r[j])
        for m in range(spread.size):
            k = middle[i] + spread[m]
            size, inverse = abs(k), 1.0 / k
            amplitude = 0.5 * cmath.sqrt(2.0 / math.pi * inverse)
            steep = abs(spread[m].imag)
            for j in range(r.size):
                if size * r[j] < _NEAR:
                    continue
                u = inverse / r[j]
                square = u * u
                terms = 3 if size * r[j] > _FAR else 6
                p, q = complex(_P[terms - 1]), complex(_Q[terms - 1])
                for n in range(terms - 2, -1, -1):
                    p = _P[n] + square * p
                    q = _Q[n] + square * q
                q = sign * u * q
                ray = out[j] * step[m, j]
                if steep * r[j] > _STEEP:
                    ray = cmath.exp(sign * (k * r[j] - 0.25 * math.pi)) / math.sqrt(r[j])
                value = ray * (p + q)
                if kind == STANDING:
                    value += (p - q) / (ray * r[j])
                wave[i, m, j] = amplitude * value
