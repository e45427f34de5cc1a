"""The fit to propagation loss: lines that follow the range, and errors that hide nothing."""

from dataclasses import replace

import numpy as np

from oceaninv.posterior import Posterior
from oceaninv.report.data_fit import data_fit


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
