"""Steps are fine wherever a mode is, and none of a profile is left out, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forward_models import Environment, HalfSpace, Layer, pressure, solve_modes, stack

WATER = Layer([0, 100], [1500, 1500])


@pytest.mark.parametrize(
    ("speed", "bottom", "frequency"),
    [
        ((600, 800), HalfSpace(900, 2000, 0.5), 300.0),
        ((1300, 1300), HalfSpace(1510, 2000, 0.2), 1000.0),
        ((1000, 1000), HalfSpace(1520, 2000, 0.2), 1000.0),
    ],
)
def test_modes_of_a_slow_layer_decay_upwards_into_the_water(
    speed: tuple[float, float], bottom: HalfSpace, frequency: float
) -> None:
    """As sinh γz there, with γ² = k² - (ω/c)²."""
    guide = Environment.from_layers([WATER, Layer([100, 105], list(speed), 1700, 0.5)], bottom)
    depth = np.append(np.linspace(80, 99.9, 25), 100.0)
    modes = solve_modes(guide, [frequency], depth=depth)
    k, phi = modes.wavenumber[0, 0, 0].item(), modes.mode_function[0, 0, 0].numpy()
    gamma = np.sqrt(k**2 - (2 * np.pi * frequency / 1500) ** 2)
    expected = phi[-1] * np.sinh(gamma * depth) / np.sinh(gamma * 100)
    assert np.abs(phi - expected).max() < 1e-8 * np.abs(phi).max()


@pytest.mark.parametrize(
    ("guide", "c_high"),
    [
        (
            Environment.from_layers(
                [WATER, Layer([100, 190], [1700, 1700], 1500)], HalfSpace(1700, 2200)
            ),
            None,
        ),
        (
            Environment.from_layers(
                [Layer([0, 50], [1500, 1500]), Layer([50, 90], [5000, 5000], 2000, 0.2)],
                HalfSpace(5500, 2100, 0.2),
            ),
            5000.0,
        ),
    ],
)
def test_mode_functions_decay_in_a_layer_as_fast_as_the_fastest_mode(
    guide: Environment, c_high: float | None
) -> None:
    """They turn in the water, at Re k² of the layer at the latest, and fall all the way below."""
    top, bottom = float(guide.water_depth), float(guide.bottom_depth)
    depth = np.linspace(top, bottom, 200)
    modes = solve_modes(guide, [1000.0], depth=depth, c_high=c_high)
    size = modes.mode_function[0, 0].abs().numpy()
    assert size.shape[0] > 50
    assert (np.diff(size, axis=1) <= 1e-9).all()
    assert size.max() < 0.3


@pytest.mark.parametrize("knot", [[], [900]])
def test_a_stretch_as_fast_as_the_fastest_mode_keeps_its_thickness(knot: list[int]) -> None:
    depth = [400, *knot, 1400]
    guide = Environment.from_layers(
        [
            Layer([0, 400], [1450, 1450]),
            Layer(depth, [1500] * len(depth)),
            Layer([1400, 1500], [1400, 1400]),
        ],
        HalfSpace(1600, 1800),
    )
    at = [200.0, 1300.0, 1450.0]
    exact, above = (
        solve_modes(guide, [100.0], depth=at, c_high=c).mode_function[0, 0, :6].abs()
        for c in (1500.0, 1500.001)
    )
    torch.testing.assert_close(exact, above, rtol=1e-6, atol=1e-9)
    assert exact[0, 2] > 0.1, "the first mode is at home in the lowest layer"


def test_a_guide_as_fast_throughout_as_the_fastest_mode_has_none() -> None:
    alike = Environment.from_layers([WATER], HalfSpace(1500, 1800))
    assert solve_modes(alike, [50.0]).n_modes.item() == 0
    other = Environment.from_layers([WATER], HalfSpace(1700, 1800))
    p = pressure(
        stack([other, alike]),
        [50.0],
        source_depth=[50.0],
        receiver_depth=[40.0],
        range_m=[3000.0],
    )
    alone = pressure(other, [50.0], source_depth=[50.0], receiver_depth=[40.0], range_m=[3000.0])
    torch.testing.assert_close(p[:1], alone, rtol=1e-12, atol=0)
    assert solve_modes(other, [50.0], c_high=1500.0).n_modes.item() == 0


def test_mode_functions_die_within_rock_between_water_and_mud() -> None:
    """Probes die within the rock between two samples of it; what they leave is coarse."""
    guide = Environment.from_layers(
        [
            Layer([0, 135.36], [1500, 1495]),
            Layer([135.36, 177.42], [2716.65, 2716.65], 1808.8),
            Layer([177.42, 185.62], [1350, 1450], 1253.2),
        ],
        HalfSpace(3322.2, 2152.9, 0.0049),
    )
    modes = solve_modes(guide, [1108.7], depth=np.linspace(0, 185.62, 400), c_high=2000.0)
    assert modes.mode_function.abs().max() < 1.0


def test_a_mode_that_its_search_leaves_below_the_branch_point_comes_back() -> None:
    """Its wavenumber became six times that of the water."""
    water = Layer([0, 68.09792877749473], [1500.1628537132326, 1500.1628537132326])
    guide = Environment.from_layers([water], HalfSpace(1907.4100659454575, 1819.5736690954946))
    frequency = 401.2818859666188
    k = solve_modes(guide, [frequency]).wavenumber[0, 0].real
    assert len(k) == 23
    assert k.max() < 2 * np.pi * frequency / 1500.1628
    assert k.min() == pytest.approx(2 * np.pi * frequency / 1907.4100659454575, rel=1e-6)
