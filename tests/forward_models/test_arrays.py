"""Where elements are, and several sources to one array."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    array_pressure,
    horizontal_array,
    pressure,
    stack,
    vertical_array,
)

NOMINAL = [94.125, 120.0, 150.5, 212.25]


def test_an_upright_array_stays_where_it_is() -> None:
    depth, distance = vertical_array(NOMINAL, 3000.0)
    assert depth.tolist() == NOMINAL
    assert distance.tolist() == [3000.0] * 4


@given(tilt=st.floats(-40, 40), bow=st.floats(-8, 8), pivot=st.floats(50, 250))
def test_a_bowed_array_is_a_parabola_turned_about_its_pivot(
    tilt: float, bow: float, pivot: float
) -> None:
    depth, distance = (
        v.numpy() for v in vertical_array(NOMINAL, 3e3, tilt=tilt, bow=bow, pivot=pivot)
    )
    # In complex numbers: up is imaginary, away from the source real; a rotation is a product.
    place = (distance - 3e3) + 1j * (pivot - depth)
    upright = place * np.exp(1j * np.deg2rad(tilt))
    np.testing.assert_allclose(upright.imag, pivot - np.array(NOMINAL), atol=1e-9)
    middle, half = 0.5 * (NOMINAL[0] + NOMINAL[-1]), 0.5 * (NOMINAL[-1] - NOMINAL[0])
    expected = bow * (1 - ((np.array(NOMINAL) - middle) / half) ** 2)
    np.testing.assert_allclose(upright.real, expected, atol=1e-9)


def test_signs_of_tilt_and_bow_lead_away_from_the_source() -> None:
    depth, distance = vertical_array(
        [0.0, 50.0, 100.0], [1000.0, 2000.0], tilt=[30.0, 0.0], bow=[0.0, 2.0]
    )
    np.testing.assert_allclose(distance[0], [1050.0, 1025.0, 1000.0])
    np.testing.assert_allclose(depth[0], 100.0 - np.sqrt(0.75) * np.array([100.0, 50.0, 0.0]))
    np.testing.assert_allclose(distance[1], [2000.0, 2002.0, 2000.0])


def test_a_single_element_can_be_bowed_no_way() -> None:
    depth, distance = vertical_array([50.0], 1000.0, tilt=5.0, bow=4.0)
    assert (depth.item(), distance.item()) == (50.0, 1000.0)


@given(
    heading=st.floats(-180, 180),
    distance=st.floats(10.0, 1e4),
    offset=st.lists(st.floats(-500, 500), min_size=1, max_size=5),
)
def test_ranges_of_a_horizontal_array_are_distances_on_a_map(
    heading: float, distance: float, offset: list[float]
) -> None:
    depth, ranges = horizontal_array(offset, distance, depth=77.0, heading=heading)
    on_map = abs(distance + np.array(offset) * np.exp(1j * np.deg2rad(heading)))
    np.testing.assert_allclose(ranges, on_map, atol=1e-9)
    assert depth.tolist() == [77.0] * len(offset)


def test_headings_of_many_environments() -> None:
    depth, ranges = horizontal_array(
        [0.0, 30.0], 40.0, depth=[10.0, 20.0, 5.0], heading=[0.0, 90.0, 180.0]
    )
    np.testing.assert_allclose(ranges, [[40, 70], [40, 50], [40, 10]])
    np.testing.assert_allclose(depth, [[10, 10], [20, 20], [5, 5]])


def guides() -> Environment:
    return stack(
        [
            Environment.from_layers([Layer([0, h], [1500, 1490])], HalfSpace(1700, 1900, 0.5))
            for h in (100.0, 120.0)
        ]
    )


def test_several_sources_are_each_source_by_itself() -> None:
    sources = torch.tensor([[10.0, 40.0, 90.0], [20.0, 50.0, 60.0]], dtype=torch.float64)
    depth, ranges = vertical_array([20.0, 50.0, 80.0, 95.0], [3e3, 4e3], tilt=[2.0, -1.0])
    together = array_pressure(
        guides(), [50.0, 90.0], source_depth=sources, receiver_depth=depth, range_m=ranges
    )
    assert together.shape == (2, 2, 3, 4)
    apart = ranges[:, None] + torch.tensor([0.0, 100.0, 250.0], dtype=torch.float64)[:, None]
    moved = array_pressure(
        guides(), [50.0, 90.0], source_depth=sources, receiver_depth=depth, range_m=apart
    )
    for s in range(3):
        for result, where in ((together, ranges), (moved, apart[:, s])):
            alone = array_pressure(
                guides(),
                [50.0, 90.0],
                source_depth=sources[:, s],
                receiver_depth=depth,
                range_m=where,
            )
            torch.testing.assert_close(result[:, :, s], alone, rtol=1e-12, atol=0)
    grid = pressure(
        guides()[0], [50.0], source_depth=sources[0], receiver_depth=[20.0, 50.0], range_m=[3e3]
    )
    upright = array_pressure(
        guides()[0],
        [50.0],
        source_depth=sources[:1],
        receiver_depth=[[20.0, 50.0]],
        range_m=[[3e3, 3e3]],
    )
    torch.testing.assert_close(upright, grid[..., 0], rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", ["vertical", "horizontal"])
def test_gradcheck_through_the_shape_of_the_array(kind: str) -> None:
    def scaled(a: torch.Tensor, b: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if kind == "vertical":
            depth, ranges = vertical_array([20.0, 50.0, 80.0], 2e3 + 100.0 * a, tilt=b, bow=a)
        else:
            depth, ranges = horizontal_array([0.0, 50.0, 90.0], 2e3, depth=50.0 + a, heading=30 * b)
        return 1e3 * array_pressure(
            guides(), [50.0], source_depth=source, receiver_depth=depth, range_m=ranges
        )

    places = ([0.3, -0.4], [1.1, 2.2], [[10.3, 40.1], [21.7, 50.2]])
    inputs = tuple(torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in places)
    assert gradcheck(scaled, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("coherence", ["coherent", "incoherent"])
def test_each_environment_may_have_its_own_source_receivers_and_ranges(coherence: str) -> None:
    guides = [
        Environment.from_layers([Layer([0, depth], [1500, 1490])], HalfSpace(1700, 1800, 0.5))
        for depth in (80.0, 120.0)
    ]
    source = torch.tensor([[20.0, 30.0], [40.0, 50.0]])
    receiver = torch.tensor([[10.0, 50.0, 70.0], [60.0, 20.0, 110.0]])
    ranges = torch.tensor([[500.0], [4000.0]])

    def field(environment: Environment, rows: slice | int) -> torch.Tensor:
        return pressure(
            environment,
            [60.0, 150.0],
            source_depth=source[rows],
            receiver_depth=receiver[rows],
            range_m=ranges[rows],
            coherence=coherence,
        )

    together = field(stack(guides), slice(None))
    alone = torch.cat([field(guide, row) for row, guide in enumerate(guides)])
    assert together.shape == (2, 2, 2, 3, 1)
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-15)
