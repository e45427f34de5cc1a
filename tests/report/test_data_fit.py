"""The fit to propagation loss: lines that follow the range, and errors that hide nothing."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from oceaninv.posterior import Posterior
from oceaninv.report.content import Picture, sections
from oceaninv.report.data_fit import data_fit, left_out


def test_predictions_follow_the_range_whatever_its_order_in_the_file(loss: Posterior) -> None:
    order = np.random.default_rng(0).permutation(len(loss.observed.range_m))
    observed = replace(
        loss.observed,
        range_m=loss.observed.range_m[order],
        data=loss.observed.data[:, order],
    )
    shuffled = replace(
        loss, observed=observed, posterior_predictive=loss.posterior_predictive[..., order]
    )
    for axes, expected in zip(data_fit(shuffled).axes, data_fit(loss).axes, strict=True):
        line, sorted_line = axes.lines[0].get_xydata(), expected.lines[0].get_xydata()
        np.testing.assert_allclose(line, sorted_line)
        band, sorted_band = (a.collections[0].get_paths()[0].vertices for a in (axes, expected))
        np.testing.assert_allclose(band, sorted_band)
        assert axes.get_title("left") == expected.get_title("left")


def test_the_error_at_a_receiver_counts_what_the_offset_of_its_tone_leaves(loss: Posterior) -> None:
    half = len(loss.observed.range_m) // 2
    predicted = loss.posterior_predictive[:1].repeat(2, axis=0)
    apart = torch.tensor([6.0, -6.0], dtype=torch.float64).repeat_interleave(half)
    observed = replace(
        loss.observed,
        receiver_depth=torch.tensor([30.0, 90.0], dtype=torch.float64),
        range_m=loss.observed.range_m[:half],
        data=torch.from_numpy(predicted[0]) + 10.0 + apart,
    )
    figure = data_fit(replace(loss, observed=observed, posterior_predictive=predicted))
    for axes in figure.axes:
        found = re.search(r"offset \+([\d.]+) dB, error ([\d.]+) dB", axes.get_title("left"))
        assert found is not None
        assert [float(x) for x in found.groups()] == pytest.approx([10.0, 6.0])


@pytest.mark.parametrize(
    ("tones", "shown", "columns"), [(1, 1, 1), (7, 7, 4), (13, 13, 5), (23, 20, 5)]
)
def test_many_tones_go_on_in_further_rows(
    pressure: Posterior, tones: int, shown: int, columns: int
) -> None:
    """In one row they would be too small to be read; those without room are told of."""
    some = np.arange(tones) % len(pressure.observed.frequency)
    observed = replace(
        pressure.observed,
        frequency=torch.arange(1.0, tones + 1, dtype=torch.float64),
        data=pressure.observed.data[:, some],
    )
    many = replace(
        pressure, observed=observed, posterior_predictive=pressure.posterior_predictive[:, some]
    )
    figure = data_fit(many)
    visible = [axes for axes in figure.axes if axes.get_visible()]
    titles = [axes.get_title() for axes in visible if axes.get_title()]
    assert [title.split()[0] for title in titles] == [str(f + 1) for f in range(shown)]
    assert len(visible) == 2 * shown
    spec = visible[0].get_subplotspec()
    assert spec is not None
    assert spec.get_gridspec().ncols == max(columns, 2 if tones == 1 else 0)
    told = f"The first 20 of {tones} tones are shown." if tones > shown else ""
    assert left_out(many) == told
    (fit,) = [s for s in sections([many]) if s.title == "Fit to the data"]
    (picture,) = fit.parts
    assert isinstance(picture, Picture)
    assert picture.caption.endswith(told or "perfect fit.")


def test_pairs_of_tone_and_receiver_without_room_are_told_of(loss: Posterior) -> None:
    depths = torch.arange(1.0, 7.0, dtype=torch.float64)
    assert left_out(loss) == ""
    many = replace(loss, observed=replace(loss.observed, receiver_depth=depths))
    assert left_out(many) == "The first 20 of 24 pairs of tone and receiver are shown."
