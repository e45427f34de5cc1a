"""Attenuation units against values worked out by hand and against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forward_models.errors import ModelInputError
from forward_models.seabed import (
    UNIT_NAMES,
    attenuation_from_nepers,
    attenuation_to_nepers,
    sediment_of_grain_size,
)

NEPER = 8.685889638065037  # dB


@pytest.mark.parametrize(
    ("unit", "value", "nepers"),
    [
        ("N", 0.01, 0.01),
        ("M", 0.01, 0.01 / NEPER),
        ("m", 0.01, 0.01 * (250 / 1000) ** 1.8 / NEPER),
        ("F", 0.2, 0.2 * 0.25 / NEPER),
        ("W", 0.5, 0.5 * 250 / 1600 / NEPER),
        ("Q", 54.575, math.pi * 250 / (1600 * 54.575)),
        ("L", 0.00916, 0.00916 * 2 * math.pi * 250 / 1600),
    ],
)
def test_each_unit_gives_the_decay_worked_out_by_hand(
    unit: str, value: float, nepers: float
) -> None:
    got = attenuation_to_nepers(value, unit, 1600.0, 250.0, power_law=(1000.0, 1.8))
    assert float(got) == pytest.approx(nepers, rel=1e-14)


def test_the_textbook_relation_of_wavelength_loss_and_quality_factor() -> None:
    # alpha_W = 54.575 loss tangent = 27.29/Q dB/wavelength (Jensen et al. 2011, ch. 1)
    decay = attenuation_to_nepers(1.0, "W", 1500.0, 100.0)
    assert float(attenuation_from_nepers(decay, "Q", 1500.0, 100.0)) == pytest.approx(
        27.2875, rel=1e-5
    )
    assert 1 / float(attenuation_from_nepers(decay, "L", 1500.0, 100.0)) == pytest.approx(
        54.5751, rel=1e-5
    )


@given(
    st.sampled_from(sorted(UNIT_NAMES)),
    st.floats(1e-6, 1e3),
    st.floats(1000.0, 6000.0),
    st.floats(1.0, 1e5),
)
def test_there_and_back_is_the_same_value(unit: str, value: float, c: float, f: float) -> None:
    decay = attenuation_to_nepers(value, unit, c, f, power_law=(500.0, 1.3))
    back = attenuation_from_nepers(decay, unit, c, f, power_law=(500.0, 1.3))
    assert float(back) == pytest.approx(value, rel=1e-12)


def test_no_loss_is_no_loss_in_every_unit_and_has_a_gradient() -> None:
    for unit in UNIT_NAMES:
        c = torch.tensor([1500.0], dtype=torch.float64, requires_grad=True)
        decay = attenuation_to_nepers(0.0, unit, c, 100.0) + 0 * c
        decay.sum().backward()
        assert decay.tolist() == [0.0]
        assert c.grad is not None
        assert c.grad.tolist() == [0.0]


def test_arguments_broadcast() -> None:
    value = torch.rand(3, 4, dtype=torch.float64)
    frequency = torch.tensor([50.0, 100.0])[:, None, None]
    decay = attenuation_to_nepers(value, "W", torch.full((3, 1), 1600.0), frequency)
    assert decay.shape == (2, 3, 4)
    torch.testing.assert_close(decay[1], 2 * decay[0])


def test_an_unknown_unit_is_named() -> None:
    with pytest.raises(ModelInputError, match="attenuation_unit: 'X' is unknown; use one of N, M"):
        attenuation_to_nepers(0.1, "X", 1500.0, 100.0)


# Hamilton & Bachman (1982), tables I and II, continental terrace: mean grain size (phi), density
# (g/cm3) and speed ratio of the sediment classes, fine sand to silty clay.
CLASS_MEANS = [
    (2.61, 1.962, 1.152),
    (3.34, 1.878, 1.120),
    (4.24, 1.783, 1.086),
    (4.88, 1.769, 1.076),
    (5.40, 1.740, 1.057),
    (5.82, 1.575, 1.036),
    (7.13, 1.484, 1.006),
    (8.80, 1.480, 0.990),
]


def test_grain_size_gives_the_measured_class_means() -> None:
    found = [sediment_of_grain_size(phi) for phi, _, _ in CLASS_MEANS]
    density = np.array([s.density for s in found]) / 1000
    ratio = np.array([s.speed_ratio for s in found])
    # within one standard error of the regressions, and within a third of it on average
    off_density = density - [rho for _, rho, _ in CLASS_MEANS]
    off_ratio = ratio - [r for _, _, r in CLASS_MEANS]
    assert abs(off_density).max() < 0.11
    assert abs(off_ratio).max() < 29 / 1528 / 2
    assert abs(off_density.mean()) < 0.02
    assert abs(off_ratio.mean()) < 0.003


# APL-UW TR 9407 (1994), table 2: grain size, speed ratio and loss tangent, for which the report
# takes Hamilton's attenuation at 1528 m/s: delta = k_p c ln 10 / 40 pi, c in m/ms.
@pytest.mark.parametrize(
    ("phi", "ratio", "loss"),
    [
        (1.5, 1.1782, 0.01624),
        (2.5, 1.1073, 0.01602),
        (3.5, 1.0568, 0.01875),
        (4.0, 1.0364, 0.02019),
        (4.5, 1.0179, 0.02158),
        (5.0, 0.9999, 0.01261),
        (6.0, 0.9873, 0.00386),
        (7.0, 0.9849, 0.00242),
        (8.0, 0.9824, 0.00163),
        (9.0, 0.9800, 0.00148),
    ],
)
def test_attenuation_of_a_grain_size_is_the_tabulated_loss(
    phi: float, ratio: float, loss: float
) -> None:
    c = 1.528 * ratio
    delta = sediment_of_grain_size(phi).attenuation * c * math.log(10) / (40 * math.pi)
    assert delta == pytest.approx(loss, abs=6e-6)


@pytest.mark.parametrize("phi", [0.9, 9.1, math.nan])
def test_a_grain_size_outside_the_data_is_refused(phi: float) -> None:
    with pytest.raises(ModelInputError, match=r"mean_grain_size: .* must lie between 1 and 9"):
        sediment_of_grain_size(phi)
