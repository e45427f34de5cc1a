"""What modes do as a half-space moves them through their cut-off."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    pressure,
    solve_modes,
    spectral_pressure,
    truncation_error,
)

TONE, DEPTH = 40.0, 100.0
OMEGA = 2 * math.pi * TONE
# Vertical wavenumber (3 - 1/2)π/D in the water, and none in the half-space.
CUT_OFF = 1 / math.sqrt(1 / 1500**2 - (2.5 * math.pi / (DEPTH * OMEGA)) ** 2)
PLACE = {
    "source_depth": 36.0,
    "receiver_depth": np.linspace(5, 95, 19),
    "range_m": [500.0, 2000.0, 10000.0],
}


def guide(speed: float, attenuation: float) -> Environment:
    return Environment.from_layers(
        [Layer([0, DEPTH], [1500, 1500])], HalfSpace(speed, 1500.0, attenuation)
    )


def entry(attenuation: float) -> tuple[float, float]:
    """Half-space speeds 1e-9 m/s apart between which the third mode comes in."""
    without, having = 1650.0, 1750.0
    while having - without > 1e-9:
        middle = 0.5 * (without + having)
        if int(solve_modes(guide(middle, attenuation), TONE).n_modes) == 3:
            having = middle
        else:
            without = middle
    return without, having


def norm(p: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(p[0, 0, 0], dim=0)


@pytest.mark.parametrize("beyond", [1e-6, 1e-3, 0.03, 0.1, 0.3, 1.0, 10.0])
def test_wavenumbers_next_to_a_cut_off_match_the_characteristic_equation(beyond: float) -> None:
    speed = CUT_OFF + beyond

    def characteristic(gamma: float) -> float:
        kz = math.sqrt((OMEGA / 1500) ** 2 - (OMEGA / speed) ** 2 - gamma**2)
        return kz * math.cos(kz * DEPTH) + gamma / 1.5 * math.sin(kz * DEPTH)

    gamma = brentq(characteristic, 0.0, 0.03, xtol=1e-14, rtol=1e-14)
    modes = solve_modes(guide(speed, 0.0), TONE)
    assert int(modes.n_modes) == 3
    k = float(modes.wavenumber[0, 0, 2].real)
    assert abs(k - math.hypot(OMEGA / speed, gamma)) < 1e-8 * k
    assert k > OMEGA / speed  # trapped, however little


def test_over_a_lossless_half_space_a_mode_comes_in_with_nothing() -> None:
    without, having = entry(0.0)
    assert abs(having - CUT_OFF) < 1e-8
    jump = pressure(guide(having, 0.0), TONE, **PLACE) - pressure(
        guide(without, 0.0), TONE, **PLACE
    )
    full = spectral_pressure(guide(having, 0.0), TONE, **PLACE)
    assert (norm(jump) < 2e-4 * norm(full)).all()


def test_over_a_lossy_half_space_a_mode_comes_in_with_what_the_sum_lacked() -> None:
    without, having = entry(0.5)
    jump = pressure(guide(having, 0.5), TONE, **PLACE) - pressure(
        guide(without, 0.5), TONE, **PLACE
    )
    full = spectral_pressure(guide(having, 0.5), TONE, **PLACE)
    lacking = truncation_error(guide(without, 0.5), TONE, **PLACE)[0, 0, 0]
    left = truncation_error(guide(having, 0.5), TONE, **PLACE)[0, 0, 0]
    share = norm(jump) / norm(full)
    assert (left < lacking).all()
    assert left[1] < 1e-3 < 5e-2 < lacking[1]
    assert abs(share[1] - lacking[1]) < 1e-3
    assert share[2] < 5e-3  # exp(-r Im k): gone at long range


@pytest.mark.parametrize("attenuation", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("beyond", [-1.0, -0.01, 0.01, 1.0])
def test_gradients_next_to_a_cut_off_are_those_of_the_modes_there(
    attenuation: float, beyond: float
) -> None:
    speed = entry(attenuation)[beyond > 0] + beyond
    place = PLACE | {"receiver_depth": [50.0], "range_m": [1000.0]}

    def loss(c: torch.Tensor) -> torch.Tensor:
        ground = replace(guide(speed, attenuation), half_space_sound_speed=c)
        return -20 * torch.log10(pressure(ground, TONE, **place).abs()).sum()

    c = torch.tensor([speed], dtype=torch.float64, requires_grad=True)
    loss(c).backward()
    h = 2e-3
    difference = (loss(c.detach() + h) - loss(c.detach() - h)) / (2 * h)
    assert c.grad is not None
    assert torch.isfinite(c.grad).all()
    assert abs(float(c.grad) - float(difference)) < 1e-3 * abs(float(difference))


@pytest.mark.parametrize("attenuation", ["exact", "perturbative"])
@pytest.mark.parametrize("beyond", [3e-5, 1e-4, 1e-3, 0.03, 1.0])
def test_mode_functions_next_to_a_cut_off_match_the_closed_form(
    beyond: float, attenuation: str
) -> None:
    speed = CUT_OFF + beyond
    square = (OMEGA / 1500) ** 2 - (OMEGA / speed) ** 2

    def characteristic(gamma: float) -> float:
        kz = math.sqrt(square - gamma**2)
        return kz * math.cos(kz * DEPTH) + gamma / 1.5 * math.sin(kz * DEPTH)

    gamma = brentq(characteristic, 0.0, 0.03, xtol=1e-16, rtol=1e-14)
    kz = math.sqrt(square - gamma**2)
    in_water = DEPTH / 2 - math.sin(2 * kz * DEPTH) / (4 * kz)
    size = (in_water + math.sin(kz * DEPTH) ** 2 / (2 * 1.5 * gamma)) ** -0.5
    modes = solve_modes(guide(speed, 0.0), TONE, depth=[30.0], attenuation=attenuation)
    phi = float(modes.mode_function[0, 0, 2, 0].real)
    # k² holds γ² with an error of about 2e-16 k².
    rounding = 1e-16 * (OMEGA / speed / gamma) ** 2
    assert phi == pytest.approx(size * math.sin(kz * 30.0), rel=1e-8 + rounding)
