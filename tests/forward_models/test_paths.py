"""Complex roots that are hard to follow from the lossless guide to full attenuation."""

from __future__ import annotations

import cmath
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from forward_models import Environment, HalfSpace, Layer, solve_modes
from forward_models.normal_modes.paths import _by_two
from forward_models.seabed import attenuation_to_nepers

# Depths (m), speeds (m/s), density (kg/m³) and attenuation (dB/wavelength) of each layer.
Layers = list[tuple[list[float], list[float], float, float]]
# Water modes and modes of a lossy layer change places as the loss grows: two paths end in one.
EXCHANGE: Layers = [
    ([0, 38.419, 115.937], [1477.337, 1475.584, 1481.223], 1000, 0.0),
    ([115.937, 143.757], [1578.733, 1645.883], 1476.8, 0.520696),
]
EXCHANGE_BELOW, EXCHANGE_TONE = HalfSpace(2086.966, 2244.6, 0.262582), 1995.928522
# The highest modes pass cut-off on their way.
PASSING: Layers = [
    ([0, 206.548, 264.918, 393.582], [1524.364, 1486.967, 1482.51, 1504.555], 1000, 0.0),
    ([393.582, 396.221], [1464.058, 1549.47], 1263.5, 0.0),
    ([396.221, 408.648], [1616.637, 1773.139], 2060.1, 0.400088),
    ([408.648, 435.475], [1917.859, 2006.995], 2111.6, 0.673035),
    ([435.475, 447.463], [2186.903, 2324.771], 2012.8, 0.0),
    ([447.463, 453.554], [2362.806, 2355.529], 1358.0, 0.807814),
    ([453.554, 467.566], [2305.193, 2457.272], 1927.9, 0.53582),
]
PASSING_BELOW, PASSING_TONE = HalfSpace(3355.535, 1624.7, 0.0213), 156.574148


def guide(layers: Layers, below: HalfSpace) -> Environment:
    return Environment.from_layers([Layer(*layer) for layer in layers], below)


@pytest.mark.parametrize(
    ("layers", "below", "tone"),
    [(EXCHANGE, EXCHANGE_BELOW, EXCHANGE_TONE), (PASSING, PASSING_BELOW, PASSING_TONE)],
    ids=["exchange", "passing"],
)
def test_every_root_is_there_once(layers: Layers, below: HalfSpace, tone: float) -> None:
    modes = solve_modes(guide(layers, below), [tone])
    k = modes.wavenumber[0, 0, : int(modes.n_modes[0, 0])].numpy()
    assert np.isfinite(k).all()
    assert np.isfinite(modes.group_speed[0, 0, : k.size].numpy()).all()
    apart = np.abs(k[:, None] - k) + np.eye(k.size)
    assert apart.min() > 1e-6 * np.abs(k).max()


def test_roots_that_change_places_satisfy_the_depth_equation() -> None:
    """Runge-Kutta integration of the depth equation, which knows nothing of steps and paths."""
    modes = solve_modes(guide(EXCHANGE, EXCHANGE_BELOW), [EXCHANGE_TONE])
    k = modes.wavenumber[0, 0, : int(modes.n_modes[0, 0])].numpy()
    nearest = np.argsort(np.abs(k**2 - (55.38352 + 0.0355j)))[:2]
    assert abs(k[nearest[0]] ** 2 - (55.38352 + 0.0355j)) < 1e-3  # what one path had lost
    for root in k[nearest]:
        h = 1e-6 * root
        low, high = (mismatch(at) for at in (root - h, root + h))
        newton = -0.5 * (low + high) / ((high - low) / (2.0 * h))
        assert abs(newton) < 1e-7 * abs(root)


def mismatch(k: complex) -> complex:
    """ψ + γφ/ρ at the bottom of a solution that vanishes at the surface."""
    omega, state = 2.0 * math.pi * EXCHANGE_TONE, np.array([0.0, 1.0 + 0j])

    def speed(c: float, alpha: float) -> complex:
        nepers = float(attenuation_to_nepers(alpha, "W", c, EXCHANGE_TONE))
        return c - 1j * nepers * c**2 / omega  # as sound_speed is complex in the solver

    for depth, c, rho, alpha in EXCHANGE:
        for (top, bottom), (c_top, c_bottom) in zip(pairwise(depth), pairwise(c), strict=True):
            a, b = speed(c_top, alpha), speed(c_bottom, alpha)

            def slope(z: float, y: np.ndarray, top=top, bottom=bottom, a=a, b=b, rho=rho):
                at = a + (b - a) * (z - top) / (bottom - top)
                return np.array([rho * y[1], (k * k - (omega / at) ** 2) * y[0] / rho])

            done = solve_ivp(slope, (top, bottom), state, method="DOP853", rtol=1e-10, atol=1e-12)
            state = done.y[:, -1]
    below = EXCHANGE_BELOW
    q = (omega / speed(below.sound_speed, below.attenuation)) ** 2
    return complex(state[1] + cmath.sqrt(k * k - q) * state[0] / below.density)


def test_two_points_with_slopes_find_a_root_to_the_fourth_order() -> None:
    def wave(x: complex) -> complex:
        return cmath.sin(x) * cmath.exp(0.3j * x)

    def slope(x: complex) -> complex:
        return (cmath.cos(x) + 0.3j * cmath.sin(x)) * cmath.exp(0.3j * x)

    errors = []
    for far in (0.04, 0.02, 0.01):
        one, other = far * (1.0 + 0.5j), far * (0.4 - 0.3j)
        move = _by_two(other - one, wave(one), slope(one), wave(other), slope(other))
        errors.append(abs(other + move))
    assert np.log2(errors[0] / errors[1]) > 3.7
    assert np.log2(errors[1] / errors[2]) > 3.7
