"""Waveguides on which normal-mode programs are known to fail."""

import math
from typing import Any

import numpy as np
import pytest
from reference_cases import load_case
from scipy.integrate import solve_ivp

from forward_models import Environment, HalfSpace, Layer, pressure, solve_modes, stack
from forward_models.normal_modes.batch import make_problem


def newton_move(guide: dict[str, Any], frequency: float, k: complex) -> float:
    """|ΔX/X| of one Newton step on X = k² by scipy's integrator: small at a true root only."""
    omega, x = 2 * np.pi * frequency, k * k
    state = np.array([0, 1, 0, 0], complex)  # φ, ψ and their derivatives by x
    for z, c, rho, loss in guide["layers"]:
        speed = [v - 1j * loss / (8.685889638 * 2 * np.pi) * v for v in c]

        def slope(depth: float, y: Any, z: Any = z, speed: Any = speed, rho: float = rho) -> Any:
            here = speed[0] + (speed[1] - speed[0]) * (depth - z[0]) / (z[1] - z[0])
            q = (omega / here) ** 2
            f, g, fx, gx = y
            return [rho * g, (x - q) * f / rho, rho * gx, ((x - q) * fx + f) / rho]

        state = solve_ivp(slope, z, state, method="DOP853", rtol=1e-11, atol=1e-30).y[:, -1]
        state = state / np.abs(state).max()
    c, rho, loss = guide["half_space"]
    gamma = np.sqrt(x - (omega / (c - 1j * loss / (8.685889638 * 2 * np.pi) * c)) ** 2)
    f, g, fx, gx = state
    value = g + gamma / rho * f
    return float(abs(value / (gx + gamma / rho * fx + 0.5 / (gamma * rho) * f) / x))


def environment(guide: dict[str, Any]) -> Environment:
    layers = [Layer(z, c, 1000 * rho, loss) for z, c, rho, loss in guide["layers"]]
    c, rho, loss = guide["half_space"]
    return Environment.from_layers(layers, HalfSpace(c, 1000 * rho, loss))


# depth, sound speed, density (g/cm³), attenuation (dB/wavelength)
SLOW_GAS_MUD = {
    "layers": [([0, 60], [1500, 1500], 1.0, 0.0), ([60, 70], [1350, 1380], 1.35, 0.6)],
    "half_space": (1750, 1.9, 0.5),
}
LAMINAE = {
    "layers": [
        ([0, 80], [1510, 1495], 1.0, 0.0),
        ([80, 80.5], [1750, 1750], 2.0, 0.4),
        ([80.5, 83], [1480, 1490], 1.4, 0.2),
        ([83, 83.3], [1800, 1800], 2.1, 0.5),
    ],
    "half_space": (1650, 1.8, 0.6),
}
# Its slowest mode decays over water by exp(130), in steps for modes that oscillate there.
GAS = {
    "layers": [([0, 100], [1500, 1500], 1.0, 0.0), ([100, 102], [800, 800], 1.4, 0.2)],
    "half_space": (1700, 1.8, 0.0),
}


@pytest.mark.parametrize(
    ("guide", "frequency"),
    [(SLOW_GAS_MUD, 800.0), (LAMINAE, 50.0), (LAMINAE, 200.0), (LAMINAE, 600.0), (GAS, 250.0)],
)
def test_every_root_is_one_by_another_integrator(guide: dict[str, Any], frequency: float) -> None:
    k = solve_modes(environment(guide), [frequency]).wavenumber[0, 0].numpy()
    assert np.unique(np.round(k, 9)).size == k.size
    for root in k:
        assert newton_move(guide, frequency, root) < 2e-8


def test_a_guide_of_great_decay_changes_nothing_for_those_after_it() -> None:
    pekeris = Environment.from_layers([Layer([0, 100], [1500, 1490])], HalfSpace(1700, 1800, 0.5))
    tones = [250.0, 60.0]
    both = solve_modes(stack([environment(GAS), pekeris]), tones).wavenumber.numpy()
    for i, single in enumerate([environment(GAS), pekeris]):
        for f, tone in enumerate(tones):
            alone = solve_modes(single, [tone]).wavenumber[0, 0].numpy()
            assert np.array_equal(both[i, f][~np.isnan(both[i, f])], alone)


def test_ducts_over_a_layer_of_gas_have_their_own_modes() -> None:
    """Of the range of k² the gas takes nearly all; modes of the ducts are near each other."""
    depth = [0.0, 102.86, 121.72, 138.98, 162.62, 316.37]
    water = Layer(depth, [1475.17, 1513.84, 1484.77, 1501.13, 1515.58, 1496.19])
    gas = Layer([316.37, 320.07], [325.5, 358.1], 1289.0, 0.7)
    guide = Environment.from_layers([water, gas], HalfSpace(1686.7, 2544.0, 0.4))
    at = np.linspace(0.0, 320.0, 301)
    modes = solve_modes(guide, [897.8], depth=at, attenuation="perturbative", c_high=1530.0)
    n = int(modes.n_modes[0, 0])
    phi = modes.mode_function[0, 0, :n].numpy()
    shape = phi / np.linalg.norm(phi, axis=1, keepdims=True)
    alike = np.abs(shape.conj() @ shape.T) - np.eye(n)
    assert np.triu(alike, 1).max() < 0.99  # a mode found twice has 1


def test_a_mode_that_the_loss_leaves_on_no_sheet_is_not_another_one_twice() -> None:
    # A resonance of gas: without the loss one of 192 modes, with it beyond k² of the half-space on
    # one sheet and short of it on the other. Leaky modes, which are counted, say the same.
    knots = [0.0, 102.8637, 121.7199, 138.9811, 162.6164, 316.3671]
    speed = [1475.1702, 1513.8421, 1484.7741, 1501.1338, 1515.577, 1496.188]
    gas = Layer([316.3671, 320.0673], [325.5067, 358.0574], density=1289.1635, attenuation=0.6971)
    half_space = HalfSpace(1686.7039, density=2543.9727, attenuation=0.4002)
    guide = Environment.from_layers([Layer(knots, speed), gas], half_space)
    frequency = 897.8123920994582
    trapped = solve_modes(guide, [frequency])
    assert int(solve_modes(guide, [frequency], attenuation="perturbative").n_modes) == 192
    assert int(trapped.n_modes) == 191
    every = solve_modes(guide, [frequency], c_high=1800.0, leaky=True).wavenumber[0, 0].numpy()
    slow = every[(every**2).real > (2 * np.pi * frequency / 1686.7039) ** 2]
    np.testing.assert_allclose(trapped.wavenumber[0, 0].numpy(), slow, rtol=1e-8)


def test_a_layer_that_is_fast_at_its_bottom_and_slow_above() -> None:
    """One layer with a jump inside, of which the deepest speed tells nothing."""
    depth, speed = [0.0, 40.0, 40.01, 100.0], [1400.0, 1400.0, 1700.0, 1700.0]
    below = (1750, 1.9, 0.3)
    pieces = [
        (depth[i : i + 2], speed[i : i + 2], 1.0, 0.0) for i in range(len(depth) - 1)
    ]  # for the other integrator
    guide = Environment.from_layers([Layer(depth, speed)], HalfSpace(1750, 1900, 0.3))
    k = solve_modes(guide, [300.0]).wavenumber[0, 0].numpy()
    # ∫ sqrt(k²(z) - k_min²) dz / π, the number of half waves above the speed of the half-space
    upper, lower = (
        np.sqrt((600 * np.pi / c) ** 2 - (600 * np.pi / 1750) ** 2) for c in (1400, 1700)
    )
    assert abs(k.size - (40 * upper + 60 * lower) / np.pi) <= 1
    assert np.unique(np.round(k, 9)).size == k.size
    for root in k:
        assert newton_move({"layers": pieces, "half_space": below}, 300.0, root) < 2e-8


def test_tones_of_very_different_height_share_a_call() -> None:
    tones = [50.0, 200.0, 600.0]
    together = solve_modes(environment(LAMINAE), tones)
    for i, tone in enumerate(tones):
        alone = solve_modes(environment(LAMINAE), [tone])
        n = int(alone.n_modes[0, 0])
        assert int(together.n_modes[0, i]) == n > 0
        np.testing.assert_array_equal(
            together.wavenumber[0, i, :n].numpy(), alone.wavenumber[0, 0].numpy()
        )


def test_knots_of_a_noisy_cast_share_steps_and_change_nothing() -> None:
    rng = np.random.default_rng(4)
    knots = np.linspace(0.0, 217.0, 251)
    speed = 1522 - 34 * np.tanh(knots / 40) + rng.normal(0, 0.1, knots.size)
    sand = HalfSpace(1650, 1800, 0.4)
    cast = Environment.from_layers([Layer(knots.tolist(), speed.tolist())], sand)
    twice = np.linspace(0.0, 217.0, 501)
    fine = Environment.from_layers(
        [Layer(twice.tolist(), np.interp(twice, knots, speed).tolist())], sand
    )
    steps = [make_problem(e, [49.0], None).items(slice(0, 1)).steps.shape[0] for e in (cast, fine)]
    # A hundred knots of noise share each step that the vertical phase does not need.
    assert steps[0] < 0.5 * knots.size
    assert steps[1] < 1.2 * steps[0]
    fields = [
        pressure(e, [49.0], source_depth=9, receiver_depth=[60, 150], range_m=[900, 5000])
        for e in (cast, fine)
    ]
    np.testing.assert_allclose(fields[1].numpy(), fields[0].numpy(), rtol=3e-6)


def test_degenerate_pairs_are_orthonormal() -> None:
    case = load_case("twin_duct")
    depth = np.linspace(0, 1500, 6001)
    modes = solve_modes(case.environment, [100.0], depth=depth, c_high=case.env["c_high"])
    phi = modes.mode_function[0, 0].numpy().real
    overlap = phi @ phi.T * (depth[1] - depth[0])
    np.testing.assert_allclose(overlap, np.eye(len(phi)), atol=1e-5)


def norms(guide: Environment, tone: float, **how: Any) -> np.ndarray:
    """(mode,) ∫φ²/ρ dz by quadrature, over a lossy fluid half-space in closed form."""
    node, weight = np.polynomial.legendre.leggauss(16)
    omega = 2.0 * np.pi * tone
    slowest = min(guide.sound_speed_top.min().item(), guide.sound_speed_bottom.min().item())
    z, w, top = [], [], 0.0
    for h, rho in zip(guide.thickness[0].tolist(), guide.density[0].tolist(), strict=True):
        edge = np.linspace(top, top + h, 1 + math.ceil(h * omega / slowest / 4.0))
        half = 0.5 * np.diff(edge)[:, None]
        z.append((0.5 * (edge[1:] + edge[:-1])[:, None] + half * node).ravel())
        w.append((half * weight / (rho / 1000.0)).ravel())
        top += h
    modes = solve_modes(guide, [tone], depth=[*np.concatenate(z), top], **how)
    n = int(modes.n_modes[0, 0])
    phi, k = modes.mode_function[0, 0, :n].numpy(), modes.wavenumber[0, 0, :n].numpy()
    assert guide.half_space_sound_speed is not None
    assert guide.half_space_attenuation is not None
    assert guide.half_space_density is not None
    loss = guide.half_space_attenuation.item() / (40.0 * np.pi / np.log(10.0))
    q = (omega / (guide.half_space_sound_speed.item() * (1.0 - 1j * loss))) ** 2
    tail = phi[:, -1] ** 2 / (2.0 * np.sqrt(k**2 - q) * guide.half_space_density.item() / 1000.0)
    return phi[:, :-1] ** 2 @ np.concatenate(w) + tail


MUD_AND_DUCT = Environment.from_layers(
    [
        Layer([0.0, 3.9, 13.3, 26.1], [1486.0, 1525.0, 1480.0, 1478.0]),
        Layer([26.1, 50.1], [1452.0, 1467.0], density=2160.0, attenuation=0.9),
    ],
    HalfSpace(1650.0, density=1950.0, attenuation=0.26),
)
MUD_UNDER_ROCK = Environment.from_layers(
    [
        Layer([0.0, 137.237525], [1500.0, 1495.0]),
        Layer([137.237525, 332.332174], [2479.637993] * 2, 1710.820012, 0.716007),
        Layer([332.332174, 334.662068], [1350.0, 1450.0], 1215.284864),
    ],
    HalfSpace(2557.561403, 2157.614046, 0.758368),
)
GAS_UNDER_DUCTS = Environment.from_layers(
    [
        Layer(
            [0.0, 74.69731, 76.840895, 148.558378, 231.027985, 278.062048],
            [1488.227445, 1493.061163, 1524.990444, 1501.256856, 1482.652525, 1514.929932],
        ),
        Layer([278.062048, 279.60111], [698.501301, 768.351432], 1521.925336),
    ],
    HalfSpace(1901.974018, 2119.802874, 0.095624),
)


@pytest.mark.parametrize(
    ("guide", "tone", "c_high", "device"),
    [
        (MUD_AND_DUCT, 4651.0, 1530.0, None),
        (MUD_UNDER_ROCK, 761.196314162286, None, None),
        (MUD_UNDER_ROCK, 761.196314162286, None, "cpu"),
        (GAS_UNDER_DUCTS, 430.3860488181848, 1600.0, None),
        (GAS_UNDER_DUCTS, 430.3860488181848, 1600.0, "cpu"),
    ],
)
def test_modes_that_two_ducts_all_but_share_are_normalised(
    guide: Environment, tone: float, c_high: float | None, device: str | None
) -> None:
    """Without the loss both are in both, with it one in each; or they differ by little."""
    np.testing.assert_allclose(norms(guide, tone, c_high=c_high, device=device), 1.0, atol=1e-6)


@pytest.mark.parametrize("frequency", [39.84 * (1 + 1e-9), 103.59, 103.65])
def test_a_mode_at_its_cut_off_is_finite(frequency: float) -> None:
    modes = solve_modes(load_case("near_cutoff").environment, [frequency], depth=[30.0])
    n = int(modes.n_modes[0, 0])
    assert np.isfinite(modes.wavenumber[0, 0, :n].numpy()).all()
    assert np.isfinite(modes.mode_function[0, 0, :n].numpy()).all()
