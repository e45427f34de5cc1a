"""The density at the source, by which pressure is normalised, where the water has several."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from forward_models import (
    Environment,
    Layer,
    adiabatic_pressure,
    array_pressure,
    neighbouring_pressure,
    pressure,
    spectral_pressure,
    stack,
)
from forward_models.places import density_at_source

# Segments of 1, 1.1 and 1.2 g/cm³; with a rigid bottom no part of the field is left out.
WATER = Layer([0, 40, 41, 100], [1500] * 4, [1000.0, 1000.0, 1200.0, 1200.0], attenuation=0.2)
GUIDE = Environment.from_layers([WATER], bottom="rigid")
SOURCES = [5.0, 40.0, 40.5, 41.0, 80.0, 100.0]
DENSITY = [1.0, 1.0, 1.1, 1.1, 1.2, 1.2]
RECEIVERS = [20.0, 60.0]
FAR = 2000.0
TONES = [50.0, 90.0]


def field(kind: str, source: list[float], receiver: list[float]) -> Tensor:
    """(F, S, R) pressure in the guide by one of the sums of modes."""
    grid: dict[str, Any] = {"source_depth": source, "receiver_depth": receiver, "range_m": [FAR]}
    shape = (1, len(source), len(receiver))
    arrays = {
        "source_depth": torch.tensor([source], dtype=torch.float64),
        "receiver_depth": torch.tensor(receiver, dtype=torch.float64).expand(shape),
        "range_m": torch.full(shape, FAR, dtype=torch.float64),
    }
    if kind in ("coherent", "incoherent"):
        return pressure(GUIDE, TONES, **grid, coherence=kind)[0, ..., 0]  # type: ignore[arg-type]
    if kind == "device":
        return pressure(GUIDE, TONES, **grid, device="cpu")[0, ..., 0]
    if kind == "adiabatic":
        return adiabatic_pressure(stack([GUIDE] * 2), [0.0, 900.0], TONES, **grid)[..., 0]
    if kind == "array":
        return array_pressure(GUIDE, TONES, **arrays)[0]
    if kind == "array on a device":
        return array_pressure(GUIDE, TONES, **arrays, device="cpu")[0]
    others = stack([GUIDE] * (len(source) - 1))
    return neighbouring_pressure(GUIDE, others, TONES, **arrays)[0].movedim(0, 1)


KINDS = ["coherent", "device", "adiabatic", "array", "array on a device", "neighbours"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_sum_of_modes_is_the_full_field_whatever_the_density_at_the_source(kind: str) -> None:
    full = spectral_pressure(
        GUIDE, TONES, source_depth=SOURCES, receiver_depth=RECEIVERS, range_m=[FAR]
    )[0, ..., 0]
    p = field(kind, SOURCES, RECEIVERS)
    assert p.shape == full.shape
    assert (p - full).abs().max() < 1e-3 * full.abs().max()


@pytest.mark.parametrize("kind", [*KINDS, "incoherent"])
def test_reciprocity_holds_for_density_times_pressure(kind: str) -> None:
    p = field(kind, SOURCES, SOURCES) * torch.tensor(DENSITY)[:, None]
    torch.testing.assert_close(p, p.mT, rtol=1e-6, atol=1e-9)


def test_a_source_on_an_interface_lies_above_it_and_padding_is_nowhere() -> None:
    per_segment = [f.name for f in fields(GUIDE) if getattr(GUIDE, f.name, None) is not None]
    per_segment = [n for n in per_segment if getattr(getattr(GUIDE, n), "ndim", 0) == 2]
    # padding above, between and below the segments: 0 is one of no thickness
    order = torch.tensor([0, 1, 0, 2, 3, 0])
    padded = {}
    for name in per_segment:
        value = getattr(GUIDE, name)
        filler = 0.0 if name == "thickness" else 7777.0
        padded[name] = torch.nn.functional.pad(value, (1, 0), value=filler)[:, order]
    both = stack([GUIDE, replace(GUIDE, **padded)])
    depth = torch.tensor([[0.0, *SOURCES, 40.0 + 1e-9, 40.001]], dtype=torch.float64).expand(2, -1)
    expected = torch.tensor([1.0, *DENSITY, 1.0, 1.1], dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(density_at_source(both, depth), expected)


@pytest.mark.parametrize("coherence", ["coherent", "incoherent"])
def test_gradcheck_by_the_densities_of_the_water(coherence: str) -> None:
    def scaled(density: Tensor) -> Tensor:
        return 1e3 * pressure(
            replace(GUIDE, density=1000.0 * density),
            TONES,
            source_depth=[80.0, 20.0, 40.5],
            receiver_depth=[30.0],
            range_m=[FAR],
            coherence=coherence,  # type: ignore[arg-type]
        )

    density = (GUIDE.density / 1000.0).requires_grad_()
    assert gradcheck(scaled, (density,), eps=1e-6, atol=1e-5, rtol=1e-4)
