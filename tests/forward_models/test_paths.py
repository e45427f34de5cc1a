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

# Segments in turn: thickness (m), speed at top and bottom (m/s), density (kg/m³), attenuation
# (dB/wavelength); to the last digit, since the paths of these guides hang on it.
Segments = list[tuple[float, float, float, float, float]]
# Water modes and modes of a lossy layer change places as the loss grows: two paths end in one.
EXCHANGE: Segments = [
    (38.419144, 1477.337059, 1475.583941, 1000.0, 0.0),
    (77.517686, 1475.583941, 1481.222856, 1000.0, 0.0),
    (27.820694, 1578.733197, 1645.882757, 1476.847868, 0.520696),
]
EXCHANGE_BELOW, EXCHANGE_TONE = HalfSpace(2086.96568, 2244.644843, 0.262582), 1995.928522047667
# The highest modes pass cut-off on their way.
PASSING: Segments = [
    (206.548098, 1524.364028, 1486.966861, 1000.0, 0.0),
    (58.370243, 1486.966861, 1482.510395, 1000.0, 0.0),
    (128.663807, 1482.510395, 1504.554859, 1000.0, 0.0),
    (2.638526, 1464.057867, 1549.469917, 1263.496919, 0.0),
    (12.427058, 1616.637138, 1773.13914, 2060.113057, 0.400088),
    (26.827073, 1917.859326, 2006.995382, 2111.628857, 0.673035),
    (11.987946, 2186.903453, 2324.77135, 2012.755478, 0.0),
    (6.090555, 2362.805657, 2355.529493, 1358.045317, 0.807814),
    (14.012477, 2305.193285, 2457.27167, 1927.940154, 0.53582),
]
PASSING_BELOW, PASSING_TONE = HalfSpace(3355.534888, 1624.681564, 0.0213), 156.574148431588
# One path takes the root of a second, which takes that of a third.
HANDED_ON: Segments = [
    (13.755755, 1502.704955, 1511.687852, 1000.0, 0.0),
    (45.853098, 1511.687852, 1510.105996, 1000.0, 0.0),
    (54.446823, 1510.105996, 1483.593742, 1000.0, 0.0),
    (14.39151, 1638.17242, 1677.764427, 1380.334541, 0.755489),
    (20.55126, 1665.615423, 1787.540061, 1574.41637, 0.085187),
    (8.556942, 1882.195515, 2029.643879, 1581.143282, 0.913873),
    (30.34728, 2245.703189, 2349.681787, 1608.672528, 0.0),
    (14.62576, 2378.116268, 2589.224234, 1953.593036, 0.522235),
    (10.770269, 2864.045685, 3117.74414, 2049.606548, 0.221923),
    (2.776223, 3103.088173, 3318.122647, 1476.494039, 0.0),
]
HANDED_ON_BELOW, HANDED_ON_TONE = HalfSpace(4550.339183, 1883.602222, 0.088987), 1133.4371901807501


def guide(segments: Segments, below: HalfSpace) -> Environment:
    edges = np.cumsum([0.0, *(segment[0] for segment in segments)]).tolist()
    return Environment.from_layers(
        [
            Layer(list(depths), [top, bottom], density, attenuation)
            for depths, (_, top, bottom, density, attenuation) in zip(
                pairwise(edges), segments, strict=True
            )
        ],
        below,
    )


@pytest.mark.parametrize(
    ("segments", "below", "tone"),
    [
        (EXCHANGE, EXCHANGE_BELOW, EXCHANGE_TONE),
        (PASSING, PASSING_BELOW, PASSING_TONE),
        (HANDED_ON, HANDED_ON_BELOW, HANDED_ON_TONE),
    ],
    ids=["exchange", "passing", "handed on"],
)
def test_every_root_is_there_once(segments: Segments, below: HalfSpace, tone: float) -> None:
    modes = solve_modes(guide(segments, below), [tone])
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

    for height, c_top, c_bottom, rho, alpha in EXCHANGE:
        a, b = speed(c_top, alpha), speed(c_bottom, alpha)

        def slope(z: float, y: np.ndarray, height=height, a=a, b=b, rho=rho):
            q = (omega / (a + (b - a) * z / height)) ** 2
            return np.array([rho * y[1], (k * k - q) * y[0] / rho])

        done = solve_ivp(slope, (0.0, height), state, method="DOP853", rtol=1e-10, atol=1e-12)
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


def test_a_mode_that_no_search_finds_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """All fail for the fifth mode; the argument principle counts it all the same."""
    module = "forward_models.normal_modes.complex_modes."
    monkeypatch.setattr(module + "_duplicates", lambda lanes, x, *_: np.arange(x.size) == 4)
    monkeypatch.setattr(module + "_deflated", lambda *_: None)
    n = int(
        solve_modes(guide(EXCHANGE, EXCHANGE_BELOW), [300.0], attenuation="perturbative").n_modes
    )
    with pytest.warns(RuntimeWarning, match=f"1 of {n} modes .* were not found"):
        solve_modes(guide(EXCHANGE, EXCHANGE_BELOW), [300.0])
