"""Elastic half-spaces and leaky modes: complete, continuous with the fluid, differentiable."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor
from torch.autograd import gradcheck

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    pressure,
    solve_modes,
    stack,
)

Complex = NDArray[np.complex128]

WATER = Layer([0, 40, 100], [1500, 1492, 1495])
SAND = Layer([100, 112], [1550, 1620], 1700.0, 0.3)
CHALK = HalfSpace(2400, 2200, 0.1, 1000, 0.2)
BASALT = HalfSpace(4500, 2500, 0.1, 2400, 0.2)
FLUID = HalfSpace(1750, 1900, 0.5)


def guide(half_space: HalfSpace, *layers: Layer) -> Environment:
    return Environment.from_layers([WATER, *layers], half_space)


def random_guide(seed: int, *, elastic: bool) -> tuple[list[Layer], HalfSpace, float, float]:
    """Isovelocity layers, a half-space, a frequency and a limit of phase speed."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum([0.0, rng.uniform(40, 150), *rng.uniform(2, 20, 2)])
    layers = [Layer(edges[:2], [1500.0, 1500.0])]
    for top, bottom in pairwise(edges[1:]):
        c = rng.uniform(1450, 1900)
        layers.append(Layer([top, bottom], [c, c], rng.uniform(1300, 2100), rng.uniform(0, 1)))
    if elastic:
        c = rng.uniform(1800, 5000)
        loss = rng.uniform(0, 1, 2)
        half_space = HalfSpace(c, 2300.0, loss[0], rng.uniform(0.25, 0.65) * c, loss[1])
    else:
        half_space = HalfSpace(rng.uniform(1400, 2200), rng.uniform(1100, 2300), rng.uniform(0, 1))
    return layers, half_space, 10 ** rng.uniform(0.9, 2.1), rng.uniform(2000, 6000)


def k_squared(speed: float, loss: float, omega: float) -> complex:
    """(ω/c)² with loss in dB/wavelength: c - i α c²/ω, α in Np/m."""
    nepers = loss * omega / (2 * np.pi * speed) * np.log(10) / 20
    return (omega / (speed - 1j * nepers * speed**2 / omega)) ** 2


def characteristic(
    x: Complex, layers: list[Layer], below: HalfSpace, omega: float, leaks: tuple[bool, bool]
) -> Complex:
    """φψ' - φ'ψ at the seabed, by the matrices of isovelocity layers, up to a positive factor."""
    phi, psi = np.zeros_like(x), np.ones_like(x)
    for layer in layers:
        thickness, rho = layer.depth[1] - layer.depth[0], layer.density / 1000.0
        kappa = np.sqrt(k_squared(layer.sound_speed[0], layer.attenuation, omega) - x)
        cos, sin = np.cos(kappa * thickness), np.sin(kappa * thickness)
        phi, psi = cos * phi + rho * sin / kappa * psi, cos * psi - kappa / rho * sin * phi
        size = np.abs(phi) + np.abs(psi)
        phi, psi = phi / size, psi / size

    def decay(q: complex, leaky: bool) -> Complex:
        return -1j * np.sqrt(q - x) if leaky else np.sqrt(x - q)

    gamma = decay(k_squared(below.sound_speed, below.attenuation, omega), leaks[0])
    stiff = np.ones_like(x)
    if below.shear_speed:
        shear = k_squared(below.shear_speed, below.shear_attenuation, omega)
        product = 4 * x * gamma * decay(shear, leaks[1])
        stiff = ((2 * x - shear) ** 2 - product) / shear**2
    return -phi * gamma * 1000.0 / below.density - psi * stiff


def zeros_within(corners: list[complex], *arguments: object) -> int:
    """Turns of the characteristic function along a polygon, sampled until they settle."""
    for samples in (2000, 8000, 32000, 128000):
        sides = zip(corners, [*corners[1:], corners[0]], strict=True)
        # most of it happens near the ends of a side
        t = 0.5 - 0.5 * np.cos(np.pi * np.arange(samples) / samples)
        x = np.concatenate([a + (b - a) * t for a, b in sides])
        turns = np.angle(np.roll(values := characteristic(x, *arguments), -1) / values)  # type: ignore[arg-type]
        if np.abs(turns).max() < 1.0:
            return round(turns.sum() / (2 * np.pi))
    raise AssertionError("a root lies on the border")


@pytest.mark.parametrize("elastic", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_no_mode_is_missed_by_the_argument_principle(seed: int, elastic: bool) -> None:
    layers, below, frequency, c_high = random_guide(seed, elastic=elastic)
    omega = 2 * np.pi * frequency
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        modes = solve_modes(
            Environment.from_layers(layers, below), [frequency], c_high=c_high, leaky=True
        )
    roots = modes.wavenumber[0, 0].numpy() ** 2
    p = k_squared(below.sound_speed, below.attenuation, omega).real
    s = k_squared(below.shear_speed, below.shear_attenuation, omega).real if elastic else p
    slowest = min(layer.sound_speed[0] for layer in layers)
    x_min, x_max = (omega / c_high) ** 2, 1.02 * (omega / slowest) ** 2
    cuts = sorted({x_min, x_max, *(q for q in (p, s) if x_min < q < x_max)})
    regions = list(pairwise(cuts))
    if elastic:  # the interface wave, beyond
        regions.append((max(x_max, s), 4 * max(x_max, s)))
    for low, high in regions:
        middle = 0.5 * (low + high)
        below_axis = -0.01j * (x_max - x_min)
        top_left, top_right = low * (1 + 1j), high * (1 + 1j)
        corners = [low + below_axis, high + below_axis, top_right, top_left]
        leaks = (middle < p, middle < s)
        expected = zeros_within(corners, layers, below, omega, leaks)
        inside = roots[(roots.real > low) & (roots.real < high)]
        assert inside.size == expected, (low, high)
        # and each is one
        for x in inside:
            near = x * (1 + 1e-7 * np.exp(2j * np.pi * np.arange(16) / 16))
            at = np.array([x, *near])
            values = np.abs(characteristic(at, layers, below, omega, leaks))
            assert values[0] < 0.02 * values[1:].min()
    assert roots.size == sum(
        ((roots.real > low) & (roots.real < high)).sum() for low, high in regions
    )


@pytest.mark.parametrize("below", [CHALK, BASALT], ids=["chalk", "basalt"])
def test_the_slowest_mode_is_the_scholte_wave(below: HalfSpace) -> None:
    # short against the depth, the wave of two half-spaces: √(x - q) R/ρ + s² √(x - p)/ρ_b = 0
    lossless = replace(below, attenuation=0.0, shear_attenuation=0.0)
    water = Layer([0, 100], [1500, 1500])
    modes = solve_modes(Environment.from_layers([water], lossless), [0.05, 400.0])
    k = modes.wavenumber[0, 1, 0]
    assert float(k.imag) == pytest.approx(0.0, abs=1e-12)
    omega = 2 * np.pi * 400.0
    x = float(k.real) ** 2
    q, p, s = ((omega / c) ** 2 for c in (1500.0, below.sound_speed, below.shear_speed))
    rayleigh = (2 * x - s) ** 2 - 4 * x * np.sqrt((x - p) * (x - s))
    solid = s**2 * np.sqrt(x - p) * 1000.0 / below.density
    assert np.sqrt(x - q) * rayleigh == pytest.approx(-solid, rel=1e-8)
    # it has no cut-off: long against the depth it is the Rayleigh wave of the solid, R = 0
    p, s = ((2 * np.pi * 0.05 / c) ** 2 for c in (below.sound_speed, below.shear_speed))
    of_solid = brentq(
        lambda x: (2 * x - s) ** 2 - 4 * x * np.sqrt((x - p) * (x - s)), s, 2 * s, xtol=1e-18
    )
    k = float(modes.wavenumber[0, 0, 0].real)
    assert k == pytest.approx(np.sqrt(of_solid), rel=0.01)


def test_a_solid_of_no_stiffness_is_a_fluid() -> None:
    options = {"depth": [20.0, 95.0]}
    fluid = solve_modes(guide(FLUID, SAND), [120.0], **options)
    errors = []
    for speed in (40.0, 20.0, 10.0):
        solid = replace(FLUID, shear_speed=speed, shear_attenuation=0.5)
        modes = solve_modes(guide(solid, SAND), [120.0], **options)
        # the first one is the interface wave, as slow as the shear wave
        assert int(modes.n_modes) == int(fluid.n_modes) + 1
        assert 2 * np.pi * 120.0 / float(modes.wavenumber[0, 0, 0].real) < speed
        difference = modes.wavenumber[0, 0, 1:] - fluid.wavenumber[0, 0]
        errors.append(float((difference / fluid.wavenumber[0, 0]).abs().max()))
        torch.testing.assert_close(
            modes.mode_function[0, 0, 1:], fluid.mode_function[0, 0], rtol=0, atol=0.003
        )
    assert errors[2] < 1e-6
    assert errors[1] < 0.35 * errors[0]
    assert errors[2] < 0.35 * errors[1]


def test_a_shear_speed_of_zero_is_the_fluid_and_a_batch_may_mix_both() -> None:
    both = stack([guide(FLUID, SAND), guide(CHALK, SAND)])
    assert both.half_space_shear_speed is not None
    assert both.half_space_shear_speed.tolist() == [0.0, 1000.0]
    together = solve_modes(both, [80.0], depth=[30.0])
    for i, alone in enumerate((guide(FLUID, SAND), guide(CHALK, SAND))):
        modes = solve_modes(alone, [80.0], depth=[30.0])
        count = int(modes.n_modes)
        assert int(together.n_modes[i]) == count
        torch.testing.assert_close(
            together.wavenumber[i, 0, :count], modes.wavenumber[0, 0], rtol=1e-12, atol=0
        )
        torch.testing.assert_close(
            together.mode_function[i, 0, :count], modes.mode_function[0, 0], rtol=1e-8, atol=1e-10
        )


def test_the_trapped_modes_are_among_the_leaky_ones() -> None:
    trapped = solve_modes(guide(FLUID, SAND), [150.0], depth=[30.0, 90.0])
    modes = solve_modes(guide(FLUID, SAND), [150.0], depth=[30.0, 90.0], c_high=3000, leaky=True)
    count = int(trapped.n_modes)
    assert int(modes.n_modes) > count
    torch.testing.assert_close(
        modes.wavenumber[0, 0, :count], trapped.wavenumber[0, 0], rtol=1e-10, atol=0
    )
    torch.testing.assert_close(
        modes.mode_function[0, 0, :count], trapped.mode_function[0, 0], rtol=0, atol=1e-7
    )
    # without a half-space that radiates there is nothing to leak into
    rigid = Environment.from_layers([WATER], bottom="rigid")
    same = solve_modes(rigid, [150.0], c_high=3000.0)
    torch.testing.assert_close(
        solve_modes(rigid, [150.0], c_high=3000.0, leaky=True).wavenumber, same.wavenumber
    )


RELATIVE = ("thickness", "sound_speed_top", "density", "half_space_sound_speed")
RELATIVE += ("half_space_density", "half_space_shear_speed")
ABSOLUTE = ("attenuation_top", "half_space_attenuation", "half_space_shear_attenuation")


WATER_OVER_LOSSY_LAYERS = (
    (
        289.6,
        [
            Layer([0, 210.8], [1504.628, 1504.792], 1030.0, 0.0012366247),
            Layer([210.8, 218.49], [1736.422, 1736.422], 1588.0, [0.12030109, 0.11481229]),
            Layer([218.49, 240.47], [1756.968, 1756.968], 1332.0, 0.10872532),
            Layer([240.47, 275.02], [1622.935, 1624.847], 1941.0, [0.012622171, 0.01540401]),
        ],
        HalfSpace(1926.75, 2140.0, 0.040802189),
        "M",
    ),
    (
        243.6,
        [
            Layer([0, 213.4], [1503.04, 1502.317], 1030.0, 0.0059853603),
            Layer([213.4, 224.38], [1694.821, 1694.821], 2187.0, [0.091743957, 0.066380194]),
            Layer(
                [224.38, 227.047, 229.508, 232.642, 236.576, 239.36],
                [1618.509, 1621.872, 1624.271, 1634.317, 1642.219, 1665.072],
                1469.0,
                [0.37371823, 0.2870318, 0.26963971, 0.2905751, 0.27013412, 0.32311913],
            ),
            Layer(
                [239.36, 240.508, 242.475, 243.695, 245.128, 246.37],
                [1448.103] * 6,
                2195.0,
                [0.75932812, 0.86060288, 0.76517266, 0.63722441, 0.64272972, 0.80334531],
            ),
        ],
        HalfSpace(2010.22, 1930.0, 0.73918018),
        "W",
    ),
    (
        620.4,
        [
            Layer([0, 30, 60, 107.8], [1453.443, 1447.377, 1450.536, 1449.231]),
            Layer([107.8, 112.47], [1894.952, 1896.034], 1540.0, 0.0024776629),
            Layer([112.47, 115.12], [1705.774, 1705.774], 1736.0, 0.023949484),
            Layer([115.12, 146.05], [1543.617, 1543.617], 1707.0, [0.036012654, 0.036844869]),
        ],
        HalfSpace(3816.76, 2450.0, 0.001258052, 2010.86, 0.019326168),
        "N",
    ),
)


@pytest.mark.parametrize(("frequency", "layers", "below", "unit"), WATER_OVER_LOSSY_LAYERS)
def test_modes_of_the_water_are_found_beside_those_of_lossy_layers_below(
    frequency: float, layers: list[Layer], below: HalfSpace, unit: str
) -> None:
    """Those over a fluid are counted without the loss; slower than 1520 m/s none feels a solid."""
    fluid = replace(below, shear_speed=0.0, shear_attenuation=0.0)
    trapped, open_ = (
        solve_modes(
            Environment.from_layers(layers, half_space, attenuation_unit=unit),
            [frequency],
            c_high=below.shear_speed or 1.3 * below.sound_speed,
            leaky=leaky,
        )
        .wavenumber[0, 0]
        .numpy()
        for half_space, leaky in ((fluid, False), (below, True))
    )
    slow, open_ = (k[k.real > 2 * np.pi * frequency / 1520] for k in (trapped, open_))
    assert slow.size > 10
    interface_waves = 1 if below.shear_speed else 0
    np.testing.assert_allclose(open_[interface_waves:], slow, rtol=1e-10)


@pytest.mark.parametrize(
    ("below", "leaky"),
    [(CHALK, False), (BASALT, False), (FLUID, True)],
    ids=["chalk", "basalt", "leaky"],
)
def test_gradcheck_of_modes_that_leak(below: HalfSpace, leaky: bool) -> None:
    environment = guide(below, SAND)
    names = [n for n in (*RELATIVE, *ABSOLUTE) if getattr(environment, n) is not None]

    def solved(depth: Tensor, *by: Tensor) -> tuple[Tensor, ...]:
        fields = {}
        for name, change in zip(names, by, strict=True):
            value = getattr(environment, name)
            fields[name] = value * (1 + change) if name in RELATIVE else value + 0.05 + 0.1 * change
        changed = replace(environment, **fields)
        c_high = 3000.0 if leaky else below.sound_speed
        modes = solve_modes(changed, [30.0], depth=depth, c_high=c_high, leaky=leaky)
        p = pressure(
            changed,
            [30.0],
            source_depth=[31.0],
            receiver_depth=depth,
            range_m=[900.0],
            c_high=c_high,
            leaky=leaky,
        )
        return 100 * modes.wavenumber, modes.mode_function, 1e3 * p

    depth = torch.tensor([3.3, 111.5], dtype=torch.float64, requires_grad=True)
    zeros = [torch.zeros_like(getattr(environment, n)).requires_grad_() for n in names]
    assert gradcheck(solved, (depth, *zeros), eps=1e-6, atol=2e-5, rtol=1e-4)


def test_a_call_without_any_strip_has_the_interface_wave_alone() -> None:
    """No mode is slower than ``c_high`` or the seabed's waves, and no other guide is beside it."""
    water = Layer([0, 50], [1500, 1500])
    soft = Environment.from_layers([water], HalfSpace(1480, 1500, 0.2, 100, 0.5))
    alone = solve_modes(soft, [100.0]).wavenumber[0, 0]
    among_others = solve_modes(soft, [100.0], leaky=True, c_high=2000.0).wavenumber[0, 0]
    assert len(alone) == 1
    assert torch.allclose(alone[0], among_others[0], rtol=1e-12)

    sand = Environment.from_layers([water], HalfSpace(1700, 2000, 0.2))
    assert solve_modes(sand, [100.0], leaky=True, c_high=1400.0).wavenumber.shape[-1] == 0


def test_a_root_at_the_branch_point_is_found() -> None:
    half_space = HalfSpace(1510, 2600, 0.2, 1065, 0.0)
    guide = Environment.from_layers([Layer([0, 13], [1500, 1500])], half_space)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k = solve_modes(guide, [11.0]).wavenumber[0, 0].numpy()
    assert len(k) == 2
    assert k[1].real == pytest.approx(2 * np.pi * 11 / 1510, rel=1e-4)


def test_roots_near_a_branch_point_are_as_exact_as_others() -> None:
    """Where the vertical wavenumber of a wave nearly vanishes, k² changes as its square."""
    layers = [
        Layer([0, 70.2], [1500, 1500]),
        Layer([70.2, 108.2], [1670, 1670], 1994.0, 0.1),
        Layer([108.2, 160.3], [1560, 1560], 2146.0, 1.5),
    ]
    half_space = HalfSpace(4647, 2105, 1.0, 3322, 1.47)
    omega = 2 * np.pi * 25.77
    guide = Environment.from_layers(layers, half_space)
    k = solve_modes(guide, [25.77], leaky=True, c_high=7860.0).wavenumber[0, 0].numpy()
    branch = k_squared(4647, 1.0, omega)
    x = k[np.abs(k**2 / branch - 1).argmin()] ** 2
    assert abs(x / branch - 1) < 1e-6
    near = np.append(x, x * (1 + 1e-8 * np.exp(2j * np.pi * np.arange(16) / 16)))
    leaks = (x.real < branch.real, True)
    values = np.abs(characteristic(near, layers, half_space, omega, leaks))
    assert values[0] < 0.02 * values[1:].min()


def test_an_interface_wave_that_leaks_strongly_is_where_it_lives() -> None:
    """No shot through the layer above it can see it."""
    layers = [Layer([0, 28], [1490, 1490]), Layer([28, 52], [2060, 2060], 1190.0)]
    guide = Environment.from_layers(layers, HalfSpace(2386, 1466, 2.67, 965, 0.0))
    f = 666.0
    modes = solve_modes(guide, [0.9999 * f, f, 1.0001 * f], depth=[1.0, 26.0, 51.99])
    wave = int(modes.wavenumber[0, 1].imag.argmax())
    k = modes.wavenumber[0, :, wave].real
    shape = modes.mode_function[0, 1, wave].abs()
    assert shape[2] > 1
    assert shape[:2].max() < 1e-6
    quotient = 2 * np.pi * 2e-4 * f / (k[2] - k[0]).item()
    assert modes.group_speed[0, 1, wave].item() == pytest.approx(quotient, rel=1e-6)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: guide(HalfSpace(2000, 2000, 0.1, 1800)),
            "environment 0: half_space_shear_speed: 1800 must be below 1732.05",
        ),
        (
            lambda: guide(HalfSpace(2000, 2000, 0.1, -5)),
            "environment 0: half_space_shear_speed: -5 must be finite and zero or more",
        ),
        (
            lambda: solve_modes(
                replace(guide(FLUID), half_space_shear_speed=torch.tensor([500.0]).double()), [50.0]
            ),
            "environment: half_space_shear_speed: give it with half_space_shear_attenuation",
        ),
        (
            lambda: solve_modes(guide(CHALK), [50.0], attenuation="perturbative"),
            "attenuation: 'perturbative' has no leaky modes and no elastic half-space",
        ),
        (
            lambda: solve_modes(guide(FLUID), [50.0], leaky=True),
            "c_high: leaky modes have no limit of their own; give c_high in m/s",
        ),
        (
            lambda: solve_modes(guide(CHALK), [50.0], depth=[50.0, 130.0]),
            "environment 0: depth: 130 m lies in the elastic half-space below 100 m",
        ),
    ],
)
def test_what_cannot_be_is_one_line(act, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ModelInputError) as caught:
        act()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def under_a_film_of_gas(below: HalfSpace) -> Environment:
    """Its x = k² reach from 81 to 302 rad²/m², all but six of a hundred below 92."""
    water = Layer([0.79, 102.98], [1500.0, 1490.0], 1909.0)
    return Environment.from_layers([Layer([0, 0.79], [709.0, 709.0]), water], below)


def at_cut_off(faster: float) -> Environment:
    """A guide whose third mode at 50 Hz is at cut-off over a half-space slower by that, m/s."""
    speed = (1500.0**-2 - 0.0125**2 / 50.0**2) ** -0.5 + faster
    return Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(speed, 1800.0))


@pytest.mark.parametrize(
    ("guide", "frequency", "fastest"),
    [
        (under_a_film_of_gas(HalfSpace(2182.0, 2000.0, 0.47)), 2291.5, 2400.0),
        (at_cut_off(1e-3), 50.0, 1900.0),
        (at_cut_off(1e-4), 50.0, 1900.0),
        (at_cut_off(1e-6), 50.0, 1900.0),
    ],
)
def test_modes_that_crowd_or_hardly_decay_are_found_if_they_may_leak(
    guide: Environment, frequency: float, fastest: float
) -> None:
    trapped = solve_modes(guide, [frequency]).wavenumber[0, 0].numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        leaky = solve_modes(guide, [frequency], c_high=fastest, leaky=True).wavenumber[0, 0].numpy()
    assert leaky.size > trapped.size > 2
    nearest = np.abs(trapped[:, None] - leaky).min(axis=1)
    assert nearest.max() < 1e-9 * trapped.real.max()


def test_modes_that_crowd_over_a_solid_are_all_found() -> None:
    """As many as the argument principle counts: it warns otherwise."""
    guide = under_a_film_of_gas(HalfSpace(2182.0, 2000.0, 0.47, 828.0, 0.47))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k = solve_modes(guide, [2291.5], c_high=2400.0).wavenumber[0, 0].numpy()
    assert np.abs(np.diff(k)).min() > 1e-5 * k.real.max()
    assert k.size > 230
