"""Normal modes and pressure against closed forms, an independent discretisation, and symmetries."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh_tridiagonal

from forward_models import (
    Environment,
    FrancoisGarrison,
    HalfSpace,
    Layer,
    ModelInputError,
    Thorp,
    array_pressure,
    pressure,
    solve_modes,
    stack,
)
from forward_models.normal_modes.batch import in_parallel

WATER = Layer([0, 30, 100], [1520, 1500, 1490])
MUD = Layer([100, 108], [1460, 1475], 1500.0, 0.4)
SAND = HalfSpace(1700.0, 1900.0, 0.6)


def pekeris(attenuation: float = 0.5) -> Environment:
    return Environment.from_layers(
        [Layer([0, 100], [1500, 1500])], HalfSpace(1700.0, 1500.0, attenuation)
    )


def test_ideal_guide_wavenumbers_are_the_closed_form() -> None:
    guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], bottom="rigid")
    k = solve_modes(guide, [100.0]).wavenumber[0, 0].real
    omega = 2 * math.pi * 100
    vertical = (np.arange(k.numel()) + 0.5) * math.pi / 100
    assert vertical[-1] < omega / 1500 < vertical[-1] + math.pi / 100  # none is missing
    exact = np.sqrt((omega / 1500) ** 2 - vertical**2)
    np.testing.assert_allclose(k.numpy(), exact, rtol=1e-12)


@pytest.mark.parametrize("attenuation", [0.0, 0.5, 1.5])
def test_pekeris_wavenumbers_match_characteristic_equation(attenuation: float) -> None:
    k = solve_modes(pekeris(attenuation), [150.0]).wavenumber[0, 0].numpy()
    omega = 2 * math.pi * 150
    loss = attenuation * 150 / (1700 * 8.685889638065036)
    k_bottom = omega / (1700 - 1j * loss * 1700**2 / omega)
    assert k.size == 9
    for root in k:
        kz = cmath.sqrt((omega / 1500) ** 2 - root**2)
        gamma = cmath.sqrt(root**2 - k_bottom**2)
        residual = kz * cmath.cos(kz * 100) + gamma / 1.5 * cmath.sin(kz * 100)
        assert abs(residual) < 1e-9 * abs(kz) * 100


def test_count_and_wavenumbers_match_finite_differences() -> None:
    rng = np.random.default_rng(5)
    for _ in range(5):
        depth = np.linspace(0, 200, 12)
        speed = 1480 + 60 * rng.random(12)
        guide = Environment.from_layers([Layer(depth.tolist(), speed.tolist())], bottom="vacuum")
        k = solve_modes(guide, [60.0]).wavenumber[0, 0].real.numpy()
        n = 8000
        h = 200 / n
        z = np.arange(1, n) * h
        q = (2 * math.pi * 60 / np.interp(z, depth, speed)) ** 2
        x = eigh_tridiagonal(
            q - 2 / h**2, np.full(n - 2, 1 / h**2), select="v", select_range=(0.0, 1e9)
        )[0]
        assert k.size == x.size
        np.testing.assert_allclose(k, np.sqrt(x[::-1]), rtol=1e-4)


def test_modes_are_orthonormal_over_all_media() -> None:
    guide = Environment.from_layers([WATER, MUD], SAND)
    z = np.linspace(0, 500, 50001)
    modes = solve_modes(guide, [120.0], depth=z)
    phi = modes.mode_function[0, 0].numpy()
    # Midpoints: density is constant between the grid's points.
    middle = 0.5 * (z[1:] + z[:-1])
    rho = np.where(middle < 100, 1.0, np.where(middle < 108, 1.5, 1.9))
    phi = 0.5 * (phi[:, 1:] + phi[:, :-1])
    gram = (phi / rho) @ phi.T * (z[1] - z[0])
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=2e-4)


def test_group_speed_is_the_derivative_of_the_wavenumber() -> None:
    guide = Environment.from_layers([WATER, MUD], SAND)
    h = 1e-3
    below, above = (solve_modes(guide, [200 + s * h]).wavenumber[0, 0].real for s in (-1, 1))
    slope = 2 * math.pi * 2 * h / (above - below)
    speed = solve_modes(guide, [200.0]).group_speed[0, 0]
    torch.testing.assert_close(speed, slope, rtol=1e-6, atol=0)


@pytest.mark.parametrize("volume", [Thorp(), FrancoisGarrison(10.0, 35.0, 8.0, 50.0)])
def test_volume_attenuation_adds_to_that_of_every_medium(volume: Thorp | FrancoisGarrison) -> None:
    def guide(added: float, **options: Thorp | FrancoisGarrison) -> Environment:
        return Environment.from_layers(
            [
                Layer([0, 100], [1500, 1490], 1000.0, added),
                Layer([100, 108], [1600, 1600], 1500.0, 0.1 + added),
            ],
            HalfSpace(1700.0, 1900.0, 0.2 + added),
            attenuation_unit="M",
            **options,
        )

    for f in (100.0, 3000.0):
        added = float(volume.absorption(f))  # dB/m
        explicit = solve_modes(guide(added), [f]).wavenumber
        torch.testing.assert_close(
            solve_modes(guide(0.0, volume_attenuation=volume), [f]).wavenumber,
            explicit,
            rtol=1e-13,
            atol=0,
        )


def test_absorption_in_a_duct_is_the_papers_over_the_path_of_the_ray() -> None:
    duct = Environment.from_layers(
        [Layer([0, 100], [1500, 1500])], bottom="rigid", volume_attenuation=Thorp()
    )
    k = solve_modes(duct, [5000.0]).wavenumber[0, 0, :20].numpy()
    db_per_km = 3.3e-3 + 0.11 * 25 / 26 + 44 * 25 / 4125 + 3e-4 * 25
    cosine = k.real / (2 * math.pi * 5000 / 1500)
    np.testing.assert_allclose(8685.8896 * k.imag, db_per_km / cosine, rtol=1e-6)


def test_batch_of_unlike_environments_equals_one_by_one() -> None:
    guides = [pekeris(), Environment.from_layers([WATER, MUD], SAND), pekeris(0.0)]
    arguments = {"source_depth": [40.0], "receiver_depth": [10.0, 60.0], "range_m": [1500.0, 9e3]}
    together = pressure(stack(guides), [50.0, 220.0], **arguments)
    alone = torch.cat([pressure(guide, [50.0, 220.0], **arguments) for guide in guides])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-14)


def test_segments_of_no_thickness_change_nothing() -> None:
    guide = Environment.from_layers([WATER, MUD], SAND)
    padded = stack([guide, Environment.from_layers([WATER, MUD, Layer([108, 109], [1, 2])], SAND)])
    padded.thickness[1, -1] = 0.0
    k = solve_modes(padded, [180.0]).wavenumber
    torch.testing.assert_close(k[0], k[1], rtol=1e-14, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 99), st.floats(1, 99), st.floats(300, 2e4), st.floats(30, 300))
def test_source_and_receiver_are_reciprocal(a: float, b: float, r: float, f: float) -> None:
    guide = Environment.from_layers([WATER, MUD], SAND)
    there = pressure(guide, [f], source_depth=[a], receiver_depth=[b], range_m=[r])
    back = pressure(guide, [f], source_depth=[b], receiver_depth=[a], range_m=[r])
    torch.testing.assert_close(there, back, rtol=1e-9, atol=1e-15)


def test_array_pressure_is_the_grid_at_each_elements_own_place() -> None:
    guide = Environment.from_layers([WATER, MUD], SAND)
    depth, distance = [20.0, 50.0, 80.0], [1000.0, 1002.0, 1005.0]
    tilted = array_pressure(
        guide, [130.0], source_depth=[33.0], receiver_depth=[depth], range_m=[distance]
    )
    grid = pressure(guide, [130.0], source_depth=[33.0], receiver_depth=depth, range_m=distance)
    torch.testing.assert_close(tilted[0, 0], grid[0, 0, 0].diagonal(), rtol=1e-12, atol=0)


def test_two_ducts_keep_their_modes_apart() -> None:
    # Two like ducts, half a metre per second apart: the modes of each must live in their own.
    speed = [1540, 1480, 1520, 1540, 1520, 1480.5, 1540]
    guide = Environment.from_layers(
        [Layer([0, 250, 500, 750, 1000, 1250, 1500], speed)], bottom="vacuum"
    )
    modes = solve_modes(guide, [100.0], depth=[250.0, 1250.0], c_high=1500.0)
    upper, lower = modes.mode_function[0, 0].abs().unbind(-1)
    ratio = torch.maximum(upper, lower) / torch.minimum(upper, lower).clamp(min=1e-12)
    assert (ratio[:4] > 1e3).all()


def test_environment_without_modes_gives_nan_and_spares_the_others() -> None:
    none = Environment.from_layers([Layer([0, 5], [1500, 1500])], HalfSpace(1510, 1100))
    p = array_pressure(
        stack([none, pekeris()]),
        [20.0],
        source_depth=[3.0, 3.0],
        receiver_depth=[[4.0], [4.0]],
        range_m=[[1e3], [1e3]],
    )
    assert torch.isnan(p[0].real).all()
    assert torch.isfinite(p[1].real).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source_depth": [120.0]}, "source_depth: 120 m"),
        ({"range_m": [0.0]}, "range: 0 m"),
        ({"frequency": [0.0]}, "frequency"),
        ({"attenuation": "none"}, "attenuation: 'none'"),
        ({"c_high": -1.0}, "c_high: -1"),
    ],
)
def test_impossible_input_is_named(arguments: dict, words: str) -> None:
    good = {
        "frequency": [100.0],
        "source_depth": [50.0],
        "receiver_depth": [50.0],
        "range_m": [1000.0],
    }
    with pytest.raises(ModelInputError, match=words):
        pressure(pekeris(), **{**good, **arguments})


def test_layers_that_do_not_meet_are_named() -> None:
    with pytest.raises(ModelInputError, match="layer 2: depth: starts at 101 m"):
        Environment.from_layers([WATER, Layer([101, 110], [1600, 1600])], SAND)


@pytest.mark.parametrize("tone", [20.0, 50.0, 200.0])
def test_a_seabed_sampled_at_many_knots_is_that_of_few(tone: float) -> None:
    """Modes that decay in it all feel the half-space below, however its knots share steps."""

    def wavenumbers(knots: int) -> np.ndarray:
        depth = np.linspace(100, 140, knots)
        sediment = Layer(depth, 1600 + 0.5 * (depth - 100), density=1500.0, attenuation=0.1)
        layers = [Layer([0, 100], [1500, 1500]), sediment]
        guide = Environment.from_layers(layers, HalfSpace(3000, 1500, 0.5))
        return solve_modes(guide, tone, c_high=1590.0).wavenumber[0, 0].numpy()

    few = wavenumbers(2)
    assert few.size
    for knots in (41, 161):
        np.testing.assert_allclose(wavenumbers(knots), few, rtol=3e-8)


@pytest.mark.parametrize("cores", [1, 2])
def test_memory_is_that_of_a_slice_of_the_batch(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forward_models.normal_modes.batch._cores", lambda: cores)
    rows: list[range] = []
    in_parallel(lambda part: rows.append(range(part.start, part.stop)), 1000)
    assert max(map(len, rows)) <= 64
    assert sorted(row for part in rows for row in part) == list(range(1000))
