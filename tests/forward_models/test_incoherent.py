"""The incoherent sum of modes: what the interference of modes averages out to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from forward_models import Environment, HalfSpace, Layer, ModelInputError, pressure, stack

SAND = HalfSpace(1700.0, 1900.0, 0.3)


def test_rigid_bottom_against_the_closed_form() -> None:
    # φ = √(2ρ/h) sin γz, γ = (m + 1/2) π / h; |p|² = (2π/r) Σ (2/h)² sin²γz_s sin²γz / k.
    h, c, f, r = 80.0, 1500.0, 75.0, np.array([500.0, 4000.0])
    guide = Environment.from_layers([Layer([0, h], [c, c], 1030.0)])
    source, receiver = np.array([11.0, 40.0]), np.array([25.0, 60.0, 79.0])
    squares = np.zeros((2, 3, 2))
    for m in range(100):
        gamma = (m + 0.5) * np.pi / h
        k = np.sqrt(complex((2 * np.pi * f / c) ** 2 - gamma**2))
        if k.imag == 0:
            both = np.outer(np.sin(gamma * source) ** 2, np.sin(gamma * receiver) ** 2)
            squares += (2 / h) ** 2 * both[..., None] / k.real * (2 * np.pi / r)
    p = pressure(
        guide, f, source_depth=source, receiver_depth=receiver, range_m=r, coherence="incoherent"
    )
    np.testing.assert_allclose(p[0, 0], np.sqrt(squares), rtol=1e-6)


def test_it_is_the_mean_square_of_the_coherent_field_over_range() -> None:
    guides = stack(
        [Environment.from_layers([Layer([0, h], [1500, 1480])], SAND) for h in (90.0, 120.0)]
    )
    ranges = np.linspace(10e3, 14e3, 4001)
    where = {"source_depth": [30.0, 50.0], "receiver_depth": [20.0, 70.0, 125.0], "range_m": ranges}
    coherent, incoherent = (
        pressure(guides, [60.0, 150.0], coherence=kind, **where)  # type: ignore[arg-type]
        for kind in ("coherent", "incoherent")
    )
    assert not incoherent.is_complex()
    ratio = (coherent.abs() ** 2).mean(-1) / (incoherent**2).mean(-1)
    assert (10.0 * torch.log10(ratio)).abs().max() < 0.5
    # and has none of its interference
    assert (incoherent.diff(dim=-1) < 0).all()


def test_gradcheck_of_the_incoherent_sum() -> None:
    base = Environment.from_layers([Layer([0, 100], [1500, 1490])], SAND)

    def scaled(
        stretch: Tensor, speed: Tensor, sand: Tensor, receiver: Tensor, km: Tensor
    ) -> Tensor:
        assert base.half_space_sound_speed is not None
        changed = replace(
            base,
            thickness=base.thickness * (1 + stretch),
            sound_speed_bottom=base.sound_speed_bottom * (1 + speed),
            half_space_sound_speed=base.half_space_sound_speed * (1 + sand),
        )
        return 1e3 * pressure(
            changed,
            [60.0],
            source_depth=[30.0],
            receiver_depth=receiver,
            range_m=1e3 * km,
            coherence="incoherent",
        )

    zero = torch.zeros(1, 1, dtype=torch.float64)
    places = (torch.tensor(v, dtype=torch.float64) for v in ([12.3, 35.5, 70.1], [0.9, 4.1]))
    inputs = tuple(v.clone().requires_grad_() for v in (zero, zero, zero[0], *places))
    assert gradcheck(scaled, inputs, eps=1e-6, atol=1e-4, rtol=1e-4)
    at_surface = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    scaled(*inputs[:3], at_surface, inputs[-1]).sum().backward()
    assert at_surface.grad is not None
    assert at_surface.grad.isfinite().all()


def test_a_source_below_one_seabed_of_many_is_named() -> None:
    guides = stack([Environment.from_layers([Layer([0, h], [1500] * 2)], SAND) for h in (90, 40)])
    with pytest.raises(ModelInputError, match="environment 1: source_depth: 50 m must be between"):
        pressure(
            guides, 60.0, source_depth=50, receiver_depth=9, range_m=1e3, coherence="incoherent"
        )
