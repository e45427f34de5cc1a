"""The picture of a computed field: what stands where, and that a null does not hide the rest."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oceaninv.report.field import plot_field

Draw = Callable[[np.ndarray, list[float], list[float]], list[Axes]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Draw:
    """Draws propagation loss (depth, range) and gives the axes, a colour bar's last."""
    kept: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *a, **k: (kept.append(figure), save(figure, *a, **k))
    )

    def draw(loss: np.ndarray, depth: list[float], range_m: list[float]) -> list[Axes]:
        field = xr.Dataset(
            {
                "transmission_loss": (
                    ("frequency", "source_depth", "receiver_depth", "range"),
                    loss[np.newaxis, np.newaxis],
                )
            },
            coords={
                "frequency": [100.0],
                "source_depth": [36.0],
                "receiver_depth": depth,
                "range": range_m,
            },
        )
        plot_field(field, tmp_path / "f.png")
        return kept[-1].axes

    return draw


def test_the_order_of_ranges_and_depths_does_not_change_the_picture(drawn: Draw) -> None:
    loss = 60 + np.arange(12.0).reshape(3, 4)
    sorted_ = drawn(loss, [10.0, 20.0, 40.0], [1e3, 2e3, 3e3, 5e3])[0].collections[0]
    rows, columns = [2, 0, 1], [1, 3, 0, 2]
    mixed = drawn(
        loss[np.ix_(rows, columns)],
        [[10.0, 20.0, 40.0][i] for i in rows],
        [[1e3, 2e3, 3e3, 5e3][i] for i in columns],
    )[0].collections[0]
    assert np.array_equal(mixed.get_array(), sorted_.get_array())
    assert np.array_equal(mixed.get_coordinates(), sorted_.get_coordinates())


@pytest.mark.parametrize("depths", [21, 4])
def test_a_receiver_at_the_surface_leaves_the_colours_to_the_water(
    drawn: Draw, depths: int
) -> None:
    loss = np.random.default_rng(0).uniform(50, 80, (depths, 50))
    loss[0] = 330.0
    image = drawn(loss, list(np.linspace(0, 100, depths)), list(np.linspace(1e3, 1e4, 50)))[0]
    low, high = image.collections[0].get_clim()
    assert 50 <= low < 52
    assert 80 < high < 110


def test_a_receiver_at_the_surface_leaves_the_axis_to_the_water(drawn: Draw) -> None:
    loss = np.random.default_rng(0).uniform(50, 80, (21, 1))
    loss[0] = 330.0
    axes = drawn(loss, list(np.linspace(0, 100, 21)), [1e3])[0]
    assert 80 < axes.get_xlim()[1] < 110
    axes = drawn(np.repeat(loss[:2], 3, axis=1), [0.0, 5.0], [1e3, 2e3, 3e3])[0]
    assert 80 < max(axes.get_ylim()) < 140
    assert axes.yaxis_inverted()


def test_a_field_without_modes_says_so(drawn: Draw) -> None:
    axes = drawn(np.full((3, 4), np.nan), [1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert [text.get_text() for text in axes[0].texts] == ["no mode propagates"]
    assert len(axes) == 1  # no colour bar of nothing
