"""Cylindrical waves against scipy, and a few against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy import special

from forward_models.hankel import INCOMING, OUTGOING, STANDING, cylindrical_wave

MIDDLE = np.array([1e-3, 0.1, 0.7])
SPREAD = 4e-4 * np.array([0.9, -1.0, 0.5 - 1j, 0.1 + 0.7j, -0.3 + 1e-3j])
K = MIDDLE[:, None] + SPREAD
R = np.array([1e-2, 3.0, 249.9, 250.1, 1999.0, 2001.0, 3e4])


@pytest.mark.parametrize(
    ("kind", "exact"),
    [
        (STANDING, special.jv),
        (OUTGOING, lambda n, z: special.hankel1(n, z) / 2),
        (INCOMING, lambda n, z: special.hankel2(n, z) / 2),
    ],
)
def test_waves_are_those_of_scipy(kind: int, exact: object) -> None:
    modest = np.abs(np.multiply.outer(K, R).imag) < 30
    wave, expected = cylindrical_wave(kind, MIDDLE, SPREAD, R), exact(0, np.multiply.outer(K, R))
    # relative to the larger of the two parts: J₀ has zeros
    scale = np.abs(special.hankel1(0, np.multiply.outer(K, R))) if kind != INCOMING else 0.0
    size = np.maximum(np.abs(expected), scale if kind == STANDING else 0.0)
    assert (np.abs(wave - expected) < 2e-11 * size)[modest].all()


def test_waves_are_those_of_mpmath_where_the_expansion_begins() -> None:
    for z in (25.01 - 1.5j, 25.01 + 0.1j, 200.1 - 2.0j):
        wave = cylindrical_wave(STANDING, np.array([z]), np.zeros(1), np.array([1.0]))[0, 0, 0]
        assert abs(wave - complex(mpmath.besselj(0, z))) < 1e-13
