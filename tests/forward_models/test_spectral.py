"""The full field against closed forms, quadrature of the textbook's kernel, and the modes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cases import load_case
from scipy import integrate, special

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    pressure,
    solve_modes,
    spectral_pressure,
    stack,
    truncation_error,
)

GUIDE = [
    Layer([0, 20, 60, 100], [1522, 1518, 1492, 1490]),
    Layer([100, 106], [1450, 1480], 1400.0, 0.8),
    Layer([106, 140], [1600, 1750], 1800.0, 0.3),
]
ROCK = HalfSpace(2200.0, 2100.0, 0.2)


def worst(p: torch.Tensor, exact: np.ndarray) -> float:
    return float(np.max(np.abs(p.numpy() - exact) / np.abs(exact).max(axis=(0, 1))))


@pytest.mark.parametrize(("frequency", "depth"), [(5.0, 100.0), (200.0, 100.0), (30.0, 4000.0)])
def test_matched_half_space_is_the_lloyd_mirror(frequency: float, depth: float) -> None:
    ocean = Environment.from_layers([Layer([0, depth], [1500, 1500])], HalfSpace(1500.0, 1000.0))
    source = np.array([0.36, 0.03]) * depth
    receiver = np.array([0.0, 0.02, 0.36, 1.0, 1.3]) * depth  # the third at the source's depth
    ranges = np.array([3.0, 100.0, 1000.0, 5000.0])
    p = spectral_pressure(
        ocean, frequency, source_depth=source, receiver_depth=receiver, range_m=ranges
    )[0, 0]
    k = 2 * math.pi * frequency / 1500
    direct = np.hypot(ranges, (receiver - source[:, None])[..., None])
    image = np.hypot(ranges, (receiver + source[:, None])[..., None])
    exact = np.exp(1j * k * direct) / direct - np.exp(1j * k * image) / image
    assert worst(p, exact) < 1e-7


@pytest.mark.parametrize("attenuation", [0.0, 0.03])
@pytest.mark.parametrize("bottom", ["rigid", "vacuum"])
@pytest.mark.parametrize(("depth", "frequency"), [(100.0, 77.0), (2000.0, 21.3)])
def test_ideal_guide_is_the_series_of_all_its_modes(
    depth: float, frequency: float, bottom: str, attenuation: float
) -> None:
    guide = Environment.from_layers(
        [Layer([0, depth], [1500, 1500], 1000.0, attenuation)], bottom=bottom
    )
    source, receiver = np.array([0.31, 0.8]) * depth, np.array([0.05, 0.5, 0.97]) * depth
    ranges = np.array([0.2, 1.0, 5.0, 30.0]) * depth
    p = spectral_pressure(
        guide, frequency, source_depth=source, receiver_depth=receiver, range_m=ranges
    )[0, 0]
    omega = 2 * math.pi * frequency
    nepers = attenuation * frequency / (1500 * 8.685889638065036)
    number = np.arange(1, 400) - (0.5 if bottom == "rigid" else 0.0)
    vertical = number * math.pi / depth
    k = np.sqrt((omega / (1500 - 1j * nepers * 1500**2 / omega)) ** 2 - vertical**2 + 0j)
    assert (k.imag >= 0).all()
    shape = np.sin(np.multiply.outer(source, vertical))[:, None] * np.sin(
        np.multiply.outer(receiver, vertical)
    )
    series = special.hankel1(0, np.multiply.outer(k, ranges))
    exact = 2j * math.pi / depth * np.einsum("srm,mk->srk", shape, series)
    assert worst(p, exact) < 1e-8


def pekeris_kernel(
    k: complex, omega: float, depth: float, source: float, receiver: float
) -> complex:
    """g of water over a half-space of 1700 m/s, density 1.5 and 1.5 dB/wavelength."""
    nepers = 1.5 * omega / (2 * math.pi * 1700 * 8.685889638065036)
    slow = omega / (1700 - 1j * nepers * 1700**2 / omega)
    gamma = np.sqrt(k**2 - slow**2)
    vertical = np.sqrt((omega / 1500) ** 2 - k**2 + 0j)

    def from_below(z: float) -> complex:
        up = vertical * (depth - z)
        return np.cos(up) + gamma / (1.5 * vertical) * np.sin(up)

    upper, lower = min(source, receiver), max(source, receiver)
    return 2 * np.sin(vertical * upper) * from_below(lower) / (vertical * from_below(0.0))


@pytest.mark.parametrize("distance", [30.0, 400.0])
def test_pekeris_field_is_the_quadrature_of_its_kernel_on_the_real_axis(distance: float) -> None:
    omega, place = 2 * math.pi * 40, (100.0, 36.0, 80.0)

    def integrand(k: float) -> complex:
        return pekeris_kernel(k, omega, *place) * special.j0(k * distance) * k

    ends = [0.0, omega / 1700, omega / 1500, 0.25, 0.7]  # g is singular or nearly so at the second
    exact = sum(
        integrate.quad(integrand, a, b, complex_func=True, limit=500, epsabs=1e-12)[0]
        for a, b in pairwise(ends)
    )
    guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700.0, 1500.0, 1.5))
    p = spectral_pressure(
        guide, 40.0, source_depth=36.0, receiver_depth=80.0, range_m=[distance, 5000.0]
    )
    assert abs(complex(p[0, 0, 0, 0, 0]) - exact) < 1e-7 * abs(exact)


def depth_equation(
    k: np.ndarray, omega: float, interpolation: str, z_from: float, z_to: float, start: np.ndarray
) -> np.ndarray:
    """(φ, ψ) at ``z_to`` by Runge-Kutta through GUIDE from the state at ``z_from``."""
    state, up = start.ravel(), z_to < z_from
    for layer in reversed(GUIDE) if up else GUIDE:
        rho, decay = layer.density / 1000, layer.attenuation / (2 * math.pi * 8.685889638065036)
        knots = list(pairwise(zip(layer.depth, layer.sound_speed, strict=True)))
        for (z1, c1), (z2, c2) in reversed(knots) if up else knots:
            low, high = max(z1, min(z_from, z_to)), min(z2, max(z_from, z_to))
            if low >= high:
                continue
            one, two = (c - 1j * c * decay for c in (c1, c2))

            def slope(z: float, y: np.ndarray) -> np.ndarray:
                t = (z - z1) / (z2 - z1)  # noqa: B023
                slowness2 = 1 / (one + t * (two - one)) ** 2  # noqa: B023
                if interpolation == "n2_linear":
                    slowness2 = (1 - t) / one**2 + t / two**2  # noqa: B023
                phi, psi = y.reshape(2, -1)
                return np.concatenate([rho * psi, (k**2 - omega**2 * slowness2) * phi / rho])  # noqa: B023

            ends = (high, low) if up else (low, high)
            solved = integrate.solve_ivp(slope, ends, state, "DOP853", rtol=1e-10, atol=1e-11)
            state = solved.y[:, -1]
    return state.reshape(2, -1)


def normal_impedance(
    k: np.ndarray, omega: float, speed: complex, shear: complex, rho: float
) -> np.ndarray:
    """p / v_z on a half-space for exp(-iωt): Z_p cos² 2θ_s + Z_s sin² 2θ_s over a solid.

    Brekhovskikh & Lysanov, *Fundamentals of Ocean Acoustics* (2003), sec. 4.3.
    """
    cosine_p = 1j * np.sqrt(k**2 - (omega / speed) ** 2) * speed / omega
    z_p = rho * speed / cosine_p
    if shear == 0:
        return z_p
    sine = k * shear / omega
    cosine = 1j * np.sqrt(k**2 - (omega / shear) ** 2) * shear / omega
    return z_p * (1 - 2 * sine**2) ** 2 + rho * shear / cosine * (2 * sine * cosine) ** 2


@pytest.mark.parametrize(
    ("interpolation", "shear_speed"),
    [("c_linear", 0.0), ("n2_linear", 0.0), ("c_linear", 600.0), ("c_linear", 1200.0)],
)
def test_layered_field_is_an_integral_of_runge_kutta_solutions(
    interpolation: str, shear_speed: float
) -> None:
    omega, source, receivers = 2 * math.pi * 60, 20.0, (55.0, 103.0)
    ranges = np.array([60.0, 300.0])
    corner, end = 0.01 - 0.01j, 0.7 - 0.01j
    panels = np.concatenate([[0.0], np.linspace(corner, end, 60)])
    nodes, weights = np.polynomial.legendre.leggauss(12)
    half = np.diff(panels)[:, None] / 2
    k = ((panels[1:] + panels[:-1])[:, None] / 2 + half * nodes).ravel()
    weight = (half * weights).ravel() * k
    lossy = 1 - 1j * 0.2 / (2 * math.pi * 8.685889638065036)
    impedance = normal_impedance(k, omega, 2200 * lossy, shear_speed * lossy, 2.1)
    above = np.stack([np.zeros_like(k), np.ones_like(k)])
    below = np.stack([impedance / (1j * omega), np.ones_like(k)])
    left = depth_equation(k, omega, interpolation, 0.0, source, above)
    right = depth_equation(k, omega, interpolation, 140.0, source, below)
    wronskian = left[0] * right[1] - right[0] * left[1]
    rock = replace(ROCK, shear_speed=shear_speed, shear_attenuation=0.2 if shear_speed else 0.0)
    guide = Environment.from_layers(GUIDE, rock, interpolation=interpolation)
    p = spectral_pressure(
        guide, 60.0, source_depth=source, receiver_depth=receivers, range_m=ranges
    )
    for r, receiver in enumerate(receivers):
        at = depth_equation(k, omega, interpolation, 140.0, receiver, below)[0]
        g = -2 * left[0] * at / wronskian  # water of density 1 at the source
        exact = special.jv(0, np.multiply.outer(ranges, k)) @ (g * weight)
        np.testing.assert_allclose(p[0, 0, 0, r], exact, rtol=1e-6)


@settings(max_examples=15)
@given(
    one=st.floats(1.0, 100.0),
    other=st.floats(1.0, 100.0),
    distance=st.floats(5.0, 3000.0),
    frequency=st.floats(10.0, 300.0),
)
def test_source_and_receiver_may_change_places(
    one: float, other: float, distance: float, frequency: float
) -> None:
    p = spectral_pressure(
        Environment.from_layers(GUIDE, ROCK),
        frequency,
        source_depth=[one, other],
        receiver_depth=[one, other],
        range_m=distance,
    )[0, 0, :, :, 0]
    assert abs(p[0, 1] - p[1, 0]) < 1e-7 * p.abs().max()


def test_pressure_is_continuous_across_interfaces() -> None:
    p = spectral_pressure(
        Environment.from_layers(GUIDE, ROCK),
        120.0,
        source_depth=40.0,
        receiver_depth=[d + e for d in (60.0, 100.0, 106.0, 140.0) for e in (-1e-7, 1e-7)],
        range_m=[20.0, 700.0],
    )[0, 0, 0]
    assert (p[0::2] - p[1::2]).abs().max() < 1e-6 * p.abs().max()


# The rest is the branch cut's; see Jensen et al., sec. 2.4.5.
@pytest.mark.parametrize(
    ("name", "frequency", "least_range", "exact", "perturbative"),
    [
        ("pekeris", 20.0, 8000.0, 2.5e-4, 1e-2),
        ("mud", 200.0, 3000.0, 2e-4, 2e-2),
        ("high_loss", 200.0, 2000.0, 2e-4, 3e-1),
        ("swellex", 388.0, 3000.0, 5e-5, 3e-2),
    ],
)
def test_exact_modes_meet_the_full_field_far_out_and_first_order_loss_does_not(
    name: str, frequency: float, least_range: float, exact: float, perturbative: float
) -> None:
    case = load_case(name)
    error = {
        kind: truncation_error(
            case.environment,
            frequency,
            source_depth=case.source_depth,
            receiver_depth=case.receiver_depth,
            range_m=[r for r in 1000.0 * np.array(case.range_km) if r >= least_range],
            attenuation=kind,
        )
        for kind in ("exact", "perturbative")
    }
    assert error["exact"].max() < exact
    assert error["perturbative"].max() > perturbative


def test_truncation_error_is_what_the_sum_lacks() -> None:
    guide = Environment.from_layers(GUIDE, ROCK)
    place = {"source_depth": [30.0, 90.0], "receiver_depth": np.linspace(5, 95, 10)}
    ranges = {"range_m": [100.0, 1000.0, 6000.0]}
    error = truncation_error(guide, [50.0, 150.0], **place, **ranges)
    assert error.shape == (1, 2, 2, 3)
    assert (error[..., 0] > 0.05).all()
    assert (error[..., 2] < 0.01).all()
    fewer = truncation_error(guide, [50.0, 150.0], **place, **ranges, c_high=1600.0)
    assert (fewer > error).all()
    p, full = (
        pressure(guide, 150.0, **place, **ranges),
        spectral_pressure(guide, 150.0, **place, **ranges),
    )
    by_hand = np.linalg.norm(p - full, axis=3) / np.linalg.norm(full, axis=3)
    np.testing.assert_allclose(error[:, 1], by_hand[:, 0], rtol=1e-12)


def test_where_no_mode_is_trapped_all_is_left_out() -> None:
    guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1450.0, 1500.0, 0.2))
    place = {"source_depth": 36.0, "receiver_depth": [20.0, 60.0], "range_m": [200.0, 3000.0]}
    assert torch.equal(truncation_error(guide, 50.0, **place), torch.ones(1, 1, 1, 2).double())


def test_modes_over_a_solid_meet_the_full_field_far_out() -> None:
    case = load_case("elastic_hard")
    place = {"source_depth": case.source_depth, "receiver_depth": case.receiver_depth}
    error = truncation_error(case.environment, 50.0, **place, range_m=[300.0, 3000.0, 10000.0])
    assert error[0, 0, 0, 0] > 0.1
    assert error[0, 0, 0, 1:].max() < 1e-4


@pytest.mark.parametrize(("speed", "shear_speed"), [(1600.0, 350.0), (2300.0, 900.0)])
def test_leaky_modes_over_a_solid_add_up_to_the_full_field(
    speed: float, shear_speed: float
) -> None:
    """Of soft solids too, whose interface wave is many times slower than the water."""
    guide = Environment.from_layers(
        [Layer([0, 60], [1500, 1490]), Layer([60, 70], [1600, 1650], 1700.0, 0.2)],
        HalfSpace(speed, 1900.0, 0.1, shear_speed, 0.2),
    )
    place = {"source_depth": 20.0, "receiver_depth": [10.0, 20.1, 40.0, 65.0]}
    place["range_m"] = [600.0, 2000.0, 6000.0]
    full = spectral_pressure(guide, 150.0, **place)
    modes = pressure(guide, 150.0, **place, leaky=True, c_high=2 * speed)
    error = (modes - full).norm(dim=3) / full.norm(dim=3)
    assert (error[0, 0, 0] < torch.tensor([5e-3, 5e-4, 1e-4])).all()


def test_the_interface_wave_of_a_solid_is_in_the_full_field() -> None:
    """Near the seabed, at a frequency where nothing else but the branch cut is left far out."""
    guide = Environment.from_layers(
        [Layer([0, 100], [1500, 1500])], HalfSpace(3000.0, 2200.0, 0.0, 1400.0, 0.0)
    )
    slowest = solve_modes(guide, [5.0]).wavenumber[0, 0, 0].real
    assert slowest > 1.1 * 2 * math.pi * 5.0 / 1400.0
    place = {"source_depth": 99.0, "receiver_depth": [70.0, 90.0, 100.0]}
    error = truncation_error(guide, 5.0, **place, range_m=[4000.0, 16000.0, 64000.0])[0, 0, 0]
    assert (error < torch.tensor([0.05, 0.01, 0.002])).all()


def test_of_no_field_nothing_is_left_out() -> None:
    guide = Environment.from_layers(GUIDE, ROCK)
    place = {"receiver_depth": [30.0, 70.0], "range_m": [500.0, 2000.0]}
    error = truncation_error(guide, 50.0, source_depth=[0.0, 30.0], **place)
    assert (error[0, 0, 0] == 0).all()
    assert (error[0, 0, 1] > 0).all()


def test_batch_equals_loop() -> None:
    one = Environment.from_layers(GUIDE, ROCK)
    other = Environment.from_layers([Layer([0, 80], [1500, 1510])], HalfSpace(1700.0, 1500.0, 0.5))
    place = {"source_depth": [10.0, 50.0], "receiver_depth": [30.0, 70.0], "range_m": [500.0]}
    together = spectral_pressure(stack([one, other]), [50.0, 90.0], **place)
    apart = [spectral_pressure(e, f, **place) for e in (one, other) for f in (50.0, 90.0)]
    assert together.shape == (2, 2, 2, 2, 1)
    torch.testing.assert_close(together.flatten(0, 1), torch.cat(apart)[:, 0], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"source_depth": 120.0}, "source_depth: 120 m"),
        ({"receiver_depth": [-1.0]}, "receiver_depth: -1 m"),
        ({"range_m": [100.0, 0.0]}, "range: 0 m"),
        ({"frequency": 0.0}, "frequency"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], named: str) -> None:
    given = {
        "frequency": 50.0,
        "source_depth": 30.0,
        "receiver_depth": [40.0],
        "range_m": [100.0],
    }
    with pytest.raises(ModelInputError, match=named):
        spectral_pressure(Environment.from_layers(GUIDE, ROCK), **(given | change))


def test_receivers_in_a_solid_are_refused() -> None:
    guide = Environment.from_layers(GUIDE, replace(ROCK, shear_speed=900.0))
    with pytest.raises(ModelInputError, match="receiver_depth: 150 m lies in the elastic half-sp"):
        spectral_pressure(guide, 50.0, source_depth=20.0, receiver_depth=150.0, range_m=100.0)
