"""Rough interfaces against coherent reflection of plane waves, averaged over the roughness."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    pressure,
    solve_modes,
    stack,
)

OMEGA = 2 * math.pi * 150.0
SAND = (1700.0, 1.5)  # m/s, g/cm³
SILT = (1560.0, 1.3)
HEIGHT, THICKNESS = 100.0, 20.0


def guide(rough: dict[str, float], silt: bool = False, **options: object) -> Environment:
    """100 m of water over sand, or over 20 m of silt on sand; rms heights in m by interface."""
    layers = [Layer([0, HEIGHT], [1500, 1500], roughness=rough.get("surface", 0.0))]
    if silt:
        c, rho = SILT
        bottom = HEIGHT + THICKNESS
        layers.append(
            Layer([HEIGHT, bottom], [c, c], 1000 * rho, roughness=rough.get("seabed", 0.0))
        )
    below = rough.get("basement" if silt else "seabed", 0.0)
    sand = HalfSpace(SAND[0], 1000 * SAND[1], float(options.pop("attenuation", 0.0)))
    return Environment.from_layers(layers, sand, bottom_roughness=below, **options)


def vertical(c: float, k: complex) -> complex:
    eta2 = (OMEGA / c) ** 2 - k * k
    return cmath.sqrt(eta2) if eta2.real > 0 else 1j * cmath.sqrt(-eta2)


def root(equation: Callable[[complex], complex], k: complex) -> complex:
    """The root of an analytic function by secant steps from ``k``."""
    other = k * (1 + 1e-9)
    a, b = equation(k), equation(other)
    for _ in range(20):
        if a == b or abs(other - k) < 1e-15 * abs(k):
            break
        k, other, a = other, other - b * (other - k) / (b - a), b
        b = equation(other)
    return other


def coherent_equation(rough: dict[str, float], silt: bool) -> Callable[[complex], complex]:
    """1 - R_surface R_seabed exp(2iη₁H): zero at a mode.

    A plane wave that an interface displaced by h sends back has travelled 2h less, one that it
    lets through gains (η₁ - η₂)h; averaged over h to second order this is what Kirchhoff's theory
    makes of reflection and transmission.
    """
    surface, seabed, basement = (rough.get(n, 0.0) for n in ("surface", "seabed", "basement"))

    def bounce(eta: complex, sigma: float) -> complex:
        return 1 - 2 * (eta * sigma) ** 2

    def equation(k: complex) -> complex:
        eta1, eta3 = vertical(1500.0, k), vertical(SAND[0], k)
        r_surface = -bounce(eta1, surface)
        if not silt:
            r = (SAND[1] * eta1 - eta3) / (SAND[1] * eta1 + eta3) * bounce(eta1, seabed)
            return 1 - r_surface * r * cmath.exp(2j * eta1 * HEIGHT)
        c2, rho2 = SILT
        eta2 = vertical(c2, k)
        z1, z2, z3 = 1 / eta1, rho2 / eta2, SAND[1] / eta3
        r12, r23 = (z2 - z1) / (z2 + z1), (z3 - z2) / (z3 + z2) * bounce(eta2, basement)
        through = 1 - (eta1 - eta2) ** 2 * seabed**2 / 2
        down, up = (1 + r12) * through, (1 - r12) * through
        r12, r21 = r12 * bounce(eta1, seabed), -r12 * bounce(eta2, seabed)
        lap = cmath.exp(2j * eta2 * THICKNESS)
        r = r12 + down * up * r23 * lap / (1 - r21 * r23 * lap)
        return 1 - r_surface * r * cmath.exp(2j * eta1 * HEIGHT)

    return equation


@pytest.mark.parametrize(
    ("silt", "interface"),
    [
        (False, "surface"),
        (False, "seabed"),
        (True, "surface"),
        (True, "seabed"),
        (True, "basement"),
    ],
)
def test_loss_is_that_of_coherent_plane_waves(silt: bool, interface: str) -> None:
    smooth = solve_modes(guide({}, silt), [150.0]).wavenumber[0, 0].numpy()
    sigma = 0.05
    rough = {interface: sigma}
    k = solve_modes(guide(rough, silt), [150.0]).wavenumber[0, 0].numpy()
    assert k.size == smooth.size > 8
    equation = coherent_equation(rough, silt)
    for before, after in zip(smooth, k, strict=True):
        assert abs(coherent_equation({}, silt)(before)) < 1e-7
        exact = root(equation, before)
        # first order in σ²: (ησ)² is at most 8e-4
        assert abs((after - before) / (exact - before) - 1) < 2e-3
        assert (after - before).imag >= 0
    assert (k - smooth).imag.max() > 1e-9


def test_surface_loss_is_that_of_the_ray_cycle() -> None:
    """A ray of vertical wavenumber η loses 2η²σ² of its amplitude once in each cycle of a duct."""
    duct = [Layer([0, HEIGHT], [1500, 1500], roughness=0.4)]
    k = solve_modes(Environment.from_layers(duct, bottom="rigid"), [150.0]).wavenumber[0, 0].numpy()
    eta = (np.arange(k.size) + 0.5) * math.pi / HEIGHT
    cycle = 2 * HEIGHT * k.real / eta
    # of first order in σ²: δ(k²) is exact, δk is (δ(k²)/k)²/8k off
    np.testing.assert_allclose((k**2).imag, 4 * k.real * eta**2 * 0.4**2 / cycle, rtol=1e-9)


@pytest.mark.parametrize("bottom", ["rigid", "vacuum"])
def test_both_walls_of_a_duct_take_the_same(bottom: str) -> None:
    top = "rigid" if bottom == "rigid" else "vacuum"

    def shift(surface: float, below: float) -> np.ndarray:
        duct = Environment.from_layers(
            [Layer([0, HEIGHT], [1500, 1500], 1025.0, roughness=surface)],
            bottom=bottom,
            top=top,
            bottom_roughness=below,
        )
        return (solve_modes(duct, [150.0]).wavenumber[0, 0].numpy() ** 2).imag

    assert shift(0.3, 0.0).max() > 1e-5
    np.testing.assert_allclose(shift(0.0, 0.3), shift(0.3, 0.0), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(shift(0.3, 0.3), 2 * shift(0.3, 0.0), rtol=1e-9, atol=1e-15)


def test_nothing_is_lost_where_nothing_jumps() -> None:
    halves = [
        Layer([0, 40], [1520, 1510], roughness=0.2),
        Layer([40, 100], [1510, 1495], roughness=0.5),
    ]
    whole = [Layer([0, 40, 100], [1520, 1510, 1495], roughness=0.2)]
    sand = HalfSpace(1700, 1900, 0.5)
    k = [solve_modes(Environment.from_layers(g, sand), [150.0]).wavenumber for g in (halves, whole)]
    torch.testing.assert_close(k[0], k[1], rtol=1e-13, atol=0)


@pytest.mark.parametrize("attenuation", ["exact", "perturbative"])
def test_a_gradient_at_the_interface_is_allowed_for(attenuation: str) -> None:
    """The same loss however the profile next to the interface is cut into segments."""

    def k(depths: list[float]) -> torch.Tensor:
        speed = np.interp(depths, [0, 30, 100], [1530, 1500, 1490]).tolist()
        silt = Layer([100, 110, 115], [1480, 1540, 1570], 1400.0, 0.4, roughness=0.3)
        water = Layer(depths, speed, roughness=0.5)
        env = Environment.from_layers([water, silt], HalfSpace(1700, 1900, 0.5))
        return solve_modes(env, [400.0], attenuation=attenuation).wavenumber[0, 0]

    coarse, fine = k([0, 30, 100]), k([0, 0.01, 7, 30, 60, 99.98, 100])
    torch.testing.assert_close(fine, coarse, rtol=1e-9, atol=0)


def test_roughness_attenuates_the_field_of_a_batch_one_by_one() -> None:
    guides = [guide({}), guide({"surface": 0.5}), guide({"seabed": 0.8}, silt=True)]
    where = {"source_depth": [40.0], "receiver_depth": [30.0, 70.0], "range_m": [2e4]}
    together = pressure(stack(guides), [150.0, 300.0], **where)
    alone = torch.cat([pressure(g, [150.0, 300.0], **where) for g in guides])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-14)
    p = pressure(stack([guide({}), guide({"surface": 2.0})]), [150.0], **where).abs()
    assert (p[1] < p[0]).all()


def test_roughness_has_no_gradients_and_says_so() -> None:
    rough = guide({"surface": 0.5})
    rough.thickness.requires_grad_(True)
    with pytest.raises(ModelInputError, match="roughness: rough interfaces have no gradients"):
        solve_modes(rough, [150.0])


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_bad_roughness_is_named(value: float) -> None:
    with pytest.raises(ModelInputError, match=r"layer 1: roughness: .* zero or more"):
        guide({"surface": value})
    with pytest.raises(ModelInputError, match=r"bottom_roughness: .* zero or more"):
        guide({"seabed": value})
