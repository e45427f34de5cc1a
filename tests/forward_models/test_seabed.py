"""Attenuation units against values worked out by hand and against each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forward_models.errors import ModelInputError
from forward_models.seabed import UNIT_NAMES, attenuation_from_nepers, attenuation_to_nepers

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
