"""Curved profiles and density gradients against finer sampling and another integrator."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.optimize import brentq

from forward_models import Environment, HalfSpace, Layer, ModelInputError, read_env, solve_modes
from forward_models.profiles import monotone_spline, piecewise_linear

THERMOCLINE = (
    [0.0, 10, 20, 30, 40, 60, 80, 100],
    [1522.0, 1521, 1515, 1505, 1499, 1494, 1491, 1490],
)
SAND = HalfSpace(1650.0, 1800.0, 0.4)
CURVES = {
    "spline": CubicSpline,
    "pchip": PchipInterpolator,
    "monotone_spline": monotone_spline,
}


@pytest.mark.parametrize("curve", CURVES)
def test_wavenumbers_of_a_curved_profile_keep_eight_digits(curve: str) -> None:
    z = np.linspace(0, 100, 20001)
    dense = Layer(z.tolist(), CURVES[curve](*THERMOCLINE)(z).tolist())
    for frequency in (50.0, 600.0):
        exact, k = (
            solve_modes(Environment.from_layers([layer], SAND), [frequency])
            .wavenumber[0, 0]
            .numpy()
            for layer in (dense, Layer(*THERMOCLINE, curve=curve))
        )
        assert k.size == exact.size > 2
        np.testing.assert_allclose(k, exact, rtol=1e-8)


@pytest.mark.parametrize("curve", CURVES)
def test_the_fit_stays_within_its_tolerance_and_needs_few_knots(curve: str) -> None:
    z, c = piecewise_linear(*THERMOCLINE, curve)
    assert len(z) < 500
    assert set(THERMOCLINE[0]) <= set(z)
    between = np.linspace(0, 100, 100001)
    off = np.interp(between, z, c) / CURVES[curve](*THERMOCLINE)(between) - 1
    assert abs(off).max() < 3e-7
    assert abs(np.trapezoid(off, between)) < 1e-9  # of 1e-5, were it not for the fit


@settings(max_examples=20)
@given(st.floats(1400, 1600), st.floats(-0.5, 0.5))
def test_a_straight_profile_stays_as_it_is(c: float, slope: float) -> None:
    depth = [0.0, 3.0, 50.0, 80.0]
    speed = [c + slope * z for z in depth]
    for curve in CURVES:
        z, fitted = piecewise_linear(depth, speed, curve)
        np.testing.assert_allclose(fitted, np.interp(z, depth, speed), rtol=1e-12)


ENV = """'curved'
200.0
2
'%sVW'
0 0.0 100.0
%s
0 0.0 105.0
 100.0 1600.0 0.0 1.5 0.2 /
 105.0 1600.0 /
'A' 0.0
 105.0 1700.0 0.0 2.0 0.5 /
0 1700
10
"""


@pytest.mark.parametrize(("letter", "curve"), [("S", "spline"), ("P", "monotone_spline")])
def test_an_env_file_may_ask_for_a_curve(tmp_path: Path, letter: str, curve: str) -> None:
    knots = "\n".join(f"{z} {c} /" for z, c in zip(*THERMOCLINE, strict=True))
    path = tmp_path / "curved.env"
    path.write_text(ENV % (letter, knots))
    silt = Layer([100, 105], [1600, 1600], 1500.0, 0.2)
    expected = Environment.from_layers(
        [Layer(*THERMOCLINE, curve=curve), silt], HalfSpace(1700.0, 2000.0, 0.5)
    )
    got, k = (solve_modes(e, [200.0]).wavenumber for e in (read_env(path).environment, expected))
    np.testing.assert_allclose(got, k, rtol=1e-14)


def test_the_pchip_of_an_env_file_is_that_of_kraken(tmp_path: Path) -> None:
    """Wavenumbers of KRAKEN (Acoustics Toolbox, May 2023), run with 40,000 points."""
    speed = [1522.0, 1521, 1515, 1495, 1493, 1492, 1499, 1501]
    knots = "\n".join(f"{z} {c} /" for z, c in zip(THERMOCLINE[0], speed, strict=True))
    path = tmp_path / "duct.env"
    path.write_text(
        f"'duct'\n200.0\n1\n'PVW'\n0 0.0 100.0\n{knots}\n"
        "'A' 0.0\n 100.0 1700.0 0.0 2.0 0.0 0.0\n0 1700\n10\n"
    )
    got = solve_modes(read_env(path).environment, [200.0]).wavenumber[0, 0].real.numpy()
    kraken = [0.8405392016, 0.8369389415, 0.8330046714, 0.8280916403, 0.8224554869, 0.8167092978]
    kraken += [0.8097456389, 0.8011982740, 0.7914038250, 0.7803235494, 0.7678255937, 0.7539273786]
    np.testing.assert_allclose(got, kraken, rtol=2e-9)


@settings(max_examples=50)
@given(st.lists(st.floats(1400, 1600), min_size=2, max_size=12))
def test_a_monotone_spline_stays_between_its_knots(speed: list[float]) -> None:
    z = np.linspace(0, 10.0 * len(speed), len(speed))
    curve = monotone_spline(z, np.array(speed))
    np.testing.assert_allclose(curve(z), speed, rtol=1e-14)
    for i in range(len(speed) - 1):
        inside = curve(np.linspace(z[i], z[i + 1], 101))
        assert np.all(inside >= min(speed[i : i + 2]) - 1e-9)
        assert np.all(inside <= max(speed[i : i + 2]) + 1e-9)
        assert np.all(np.diff(inside) * np.sign(speed[i + 1] - speed[i]) >= -1e-9)


def test_a_curve_refuses_what_it_cannot_do() -> None:
    for layer, options, message in (
        (Layer(*THERMOCLINE, curve="cubic"), {}, "layer 1: curve: 'cubic' is unknown; use one of"),
        (
            Layer(*THERMOCLINE, curve="spline"),
            {"interpolation": "n2_linear"},
            "layer 1: curve: 'spline' needs the interpolation 'c_linear', not 'n2_linear'",
        ),
    ):
        with pytest.raises(ModelInputError, match=message):
            Environment.from_layers([layer], SAND, **options)


def test_a_density_gradient_converges_as_the_square_of_the_knots_distance() -> None:
    """Means between knots, against scipy's integration of the continuous density."""
    omega = 2 * math.pi * 100

    def off_mode(k: float) -> float:
        def slope(z: float, y: np.ndarray) -> list[float]:
            c, rho = (1500.0, 1.0) if z < 50 else (1550.0, 1.2 + 0.04 * (z - 50))
            return [rho * y[1], (k * k - (omega / c) ** 2) * y[0] / rho]

        y = np.array([0.0, 1.0])
        for part in ((0, 50), (50 + 1e-12, 70)):
            y = solve_ivp(slope, part, y, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
        return float(y[1] + math.sqrt(k * k - (omega / 1800) ** 2) / 2.2 * y[0])

    def modes(n: int) -> np.ndarray:
        z = np.linspace(50, 70, n + 1)
        silt = Layer(z.tolist(), [1550.0] * (n + 1), (1200 + 40 * (z - 50)).tolist())
        guide = [Layer([0, 50], [1500, 1500]), silt]
        return (
            solve_modes(Environment.from_layers(guide, HalfSpace(1800, 2200)), [100.0])
            .wavenumber[0, 0]
            .real.numpy()
        )

    fine = modes(64)
    exact = [brentq(off_mode, k - 2e-5, k + 2e-5, xtol=1e-15) for k in fine]
    errors = [abs(modes(n) - exact).max() for n in (4, 8, 16)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)
    assert errors[2] < 1e-5 * exact[0]
