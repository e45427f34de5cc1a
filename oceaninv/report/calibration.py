"""The figure of a calibration: ranks with their bands, coverage, and the classifier's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import binom

from oceaninv.diagnostics.ranks import coverage
from oceaninv.diagnostics.uniformity import UniformityTest
from oceaninv.report.style import COLOURS, GREY, PALE, look, quiet, save

Array = NDArray[np.float64]

_LEVELS = np.linspace(0.01, 0.99, 99)


def plot_calibration(result: xr.Dataset, path: str | Path) -> None:
    """Write `calibration` to a file; the suffix (.png, .pdf, .svg) gives the format."""
    save(calibration(result), path)


def calibration(result: xr.Dataset) -> Figure:
    """Calibration of a model: distribution of ranks with its band, coverage, and classifier.

    A curve of ranks is their empirical distribution function less that of uniform ones; it stays
    in the band where the test passes. An arch means a shift, an S a wrong width. Coverage of
    intervals, and of the joint regions of TARP and of the ellipsoids, is shown less its level,
    over binomial 95 % bounds that hold for one level at a time.
    """
    kinds = [(str(p), result["rank"].sel(parameter=p).values) for p in result["parameter"].values]
    kinds += [(f"joint: {j}", result["joint_rank"].sel(joint=j).values) for j in ("tarp", "region")]
    extra = 3 if "c2st" in result else 2
    columns = min(4, max(len(kinds), extra))
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.4 * rows + 3.2), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.4 * rows + 0.4, 2.8])
    above, below = parts[:, 0]
    panels = above.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, (name, ranks) in zip(panels, kinds, strict=False):
        _ranks(axes, name, ranks, float(result.attrs["alpha"]))
    for axes in panels[len(kinds) :]:
        axes.set_visible(False)
    for axes in panels[len(kinds) - columns : len(kinds)]:  # the lowest of each column
        axes.tick_params(labelbottom=True)
    above.supxlabel("Rank of the truth (grey: the test passes)", fontsize=10)
    above.supylabel("Distribution function less uniform", fontsize=10)
    summaries = below.subplots(1, extra)
    n, names = result.sizes["simulation"], [str(p) for p in result["parameter"].values]
    _coverage(summaries[0], n, coverage(result["rank"].values, _LEVELS), "Intervals", names)
    joint = (result["joint_rank"].values[..., None] <= _LEVELS).mean(0)
    _coverage(summaries[1], n, joint, "Joint regions", ["TARP", "region"])
    if extra == 3:
        _classifier(summaries[2], result)
    return figure


def _ranks(axes: Axes, name: str, ranks: Array, alpha: float) -> None:
    test = UniformityTest.of(len(ranks))
    lower, upper = test.band(alpha)
    ecdf = np.searchsorted(np.sort(ranks), test.points, side="right") / len(ranks)
    passes = test.p_value(ranks) >= alpha
    axes.fill_between(test.points, lower - test.points, upper - test.points, color=PALE, lw=0)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.plot(test.points, ecdf - test.points, color=COLOURS[0 if passes else 1], lw=2)
    axes.set_title(f"{name}{'' if passes else ': fails'}", loc="left", fontsize=10)
    quiet(axes)


def _coverage(axes: Axes, n: int, covered: Array, title: str, names: list[str]) -> None:
    """Coverage (k, levels) less the level."""
    bounds = binom.ppf([[0.025], [0.975]], n, _LEVELS) / n - _LEVELS
    axes.fill_between(_LEVELS, *bounds, color=PALE, lw=0)
    axes.axhline(0, color=GREY, lw=0.8)
    for i, (curve, name) in enumerate(zip(covered, names, strict=True)):
        colour, line = look(i)
        axes.plot(_LEVELS, curve - _LEVELS, line, color=colour, lw=1.3, label=name)
    axes.set_title(f"{title}: coverage less level", loc="left", fontsize=10)
    axes.set_xlabel("Level (grey: 95 % bounds at one level)", fontsize=9)
    if len(covered) <= 4:
        axes.legend(fontsize=7, frameon=False)
    quiet(axes)


def _classifier(axes: Axes, result: xr.Dataset) -> None:
    names, accuracy = [str(t) for t in result["told"].values], result["c2st"].values
    passes, error = result["c2st_passes"].values, float(result.attrs["c2st_error"])
    place = np.arange(len(names))[::-1]
    axes.axvspan(0.5 - 1.96 * error, 0.5 + 1.96 * error, color=PALE, lw=0)
    axes.axvline(0.5, color=GREY, lw=0.8)
    axes.scatter(accuracy, place, c=[COLOURS[0 if ok else 1] for ok in passes], s=25, zorder=2)
    axes.set_yticks(place, names, fontsize=8)
    axes.set_title("Truth told from draws (C2ST)", loc="left", fontsize=10)
    axes.set_xlabel("Accuracy (grey: 95 % bounds)", fontsize=9)
    quiet(axes)
