"""Kernels of a GPU against the compiled path; without one they run in Triton's interpreter."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest
import torch

from forward_models import Environment, HalfSpace, Layer, pressure, solve_modes
from forward_models.torch_modes import stream

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("triton") is None,
        reason="NO TRITON HERE: the kernels of a GPU are not tested; pip install triton",
    ),
    # numpy stands for the GPU, and speaks where that is silent.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")  # read when kernels are first imported
        kernels = importlib.import_module("forward_models.torch_modes.kernels")
        monkeypatch.setattr(stream, "_kernels_for", lambda device: kernels)


def random_guide(seed: int) -> tuple[Environment, float]:
    """A guide of up to two sediments, slow mud, gas or rock, and a frequency of a few modes."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(30.0, 120.0)
    knots = np.linspace(0.0, depth, rng.integers(2, 6))
    layers = [Layer(knots, 1500.0 + rng.normal(0.0, 15.0, knots.size))]
    for _ in range(rng.integers(0, 3)):
        thickness = rng.uniform(2.0, 20.0)
        c = rng.uniform(350.0, 1480.0) if seed % 5 == 0 else rng.uniform(1380.0, 1700.0)
        loss = rng.choice([0.0, 0.01, 0.3, 1.5])
        density = rng.uniform(1200.0, 1900.0)
        layers.append(Layer([depth, depth + thickness], [c, c + 30.0], density, loss))
        depth += thickness
    half_space = HalfSpace(rng.uniform(1600.0, 2000.0), 1800.0, rng.choice([0.0, 0.1, 0.8]))
    return Environment.from_layers(layers, half_space), rng.uniform(20.0, 120.0) * 50.0 / depth


GUIDES = {
    "lossless": Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500)),
    "alike": Environment.from_layers(
        [Layer([0, 100], [1500, 1500]), Layer([100, 110], [393, 393], 1600, 0.5)],
        HalfSpace(1700, 1800, 0.5),
    ),
    # The third mode at 50 Hz is at cut-off over half-spaces of 1618.1 m/s.
    **{
        f"cut-off {faster:g}": Environment.from_layers(
            [Layer([0, 100], [1500, 1500])],
            HalfSpace((1500.0**-2 - 0.0125**2 / 50.0**2) ** -0.5 + faster, 1800),
        )
        for faster in (1e-2, 1e-4, 1e-9)
    },
}


@pytest.mark.parametrize("attenuation", ["exact", "perturbative"])
@pytest.mark.parametrize("case", [*GUIDES, *range(10)])
def test_kernels_of_whole_shots_equal_the_compiled_ones(case: str | int, attenuation: str) -> None:
    guide, tone = random_guide(case) if isinstance(case, int) else (GUIDES[case], 50.0)
    where = {"depth": [10.0, 25.0], "attenuation": attenuation}
    compiled = solve_modes(guide, [tone], **where)
    found = solve_modes(guide, [tone], device=DEVICE, **where)
    assert int(compiled.n_modes) > 0
    torch.testing.assert_close(found.n_modes.cpu(), compiled.n_modes)
    torch.testing.assert_close(
        found.wavenumber.cpu(), compiled.wavenumber, rtol=1e-9, atol=0, equal_nan=True
    )
    torch.testing.assert_close(
        found.group_speed.cpu(), compiled.group_speed, rtol=1e-9, atol=0, equal_nan=True
    )
    place = {"source_depth": [20.0], "receiver_depth": [5.0, 28.0], "range_m": [500.0, 4000.0]}
    expected = pressure(guide, [tone], **place, attenuation=attenuation)
    p = pressure(guide, [tone], **place, attenuation=attenuation, device=DEVICE)
    # Rounding of k² is 2e-4 of γ² of the half-space at 1e-4 m/s above cut-off.
    rtol = 1e-3 if case == "cut-off 0.0001" else 1e-6
    assert float((p.cpu() - expected).norm()) < rtol * float(expected.norm())
