"""One look for all figures: colours that colour-blind readers can tell apart, quiet axes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oceaninv.posterior import Posterior

#: Okabe & Ito's colours, those with enough contrast on white, in the order of use.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
Place = Literal["outside upper left", "outside upper center", "outside lower center"]
_LINES = ("-", "-.", ":")
#: How many curves `look` can tell apart.
MOST_LOOKS = len(COLOURS) * len(_LINES)
INK, GREY, PALE = "#222222", "#767676", "#e8e8e8"


def look(k: int) -> tuple[str, str]:
    """Colour and line style of the k-th of several curves: all colours, then the next style."""
    return COLOURS[k % len(COLOURS)], _LINES[k // len(COLOURS) % len(_LINES)]


def save(figure: Figure, target: str | Path | IO[bytes], *, dpi: float = 150, **how: Any) -> None:
    """Writes a figure, the page cut to what is drawn: no name is too long for it."""
    figure.savefig(target, dpi=dpi, bbox_inches="tight", pad_inches=0.1, **how)


def legend(figure: Figure, source: Axes, place: Place, *, columns: int) -> None:
    """Legend outside of all panels, in as many columns, up to ``columns``, as fit the figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    handles, names = source.get_legend_handles_labels()
    for n in range(min(columns, len(names)), 0, -1):
        drawn = figure.legend(handles, names, loc=place, ncols=n, frameon=False)
        if n == 1 or drawn.get_window_extent(renderer).width < figure.bbox.width:
            return
        drawn.remove()


def quiet(axes: Axes, *, y_axis: bool = True) -> None:
    """Leave out what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    if not y_axis:
        axes.spines["left"].set_visible(False)
        axes.yaxis.set_visible(False)


def pretty_unit(unit: str) -> str:
    """A unit as it is set in print."""
    return {"deg": "°", "dB/wavelength": "dB/λ", "g/cm3": "g/cm³"}.get(unit, unit)


def label(long_name: str, unit: str) -> str:
    """Label of an axis: name and unit."""
    name = long_name[:1].upper() + long_name[1:]
    return name if unit in ("", "1") else f"{name} ({pretty_unit(unit)})"


def rounded(value: float, spread: float) -> str:
    """A number with as many decimals as its spread gives meaning to (two digits of it)."""
    if not math.isfinite(value):
        return "–"
    if not math.isfinite(spread) or spread <= 0:
        return f"{value:.6g}"
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    return f"{value:.{min(decimals, 9)}f}"


def prior_in_words(posterior: Posterior, name: str) -> str:
    """The prior of an unknown, short."""
    ((kind, numbers),) = posterior.scenario.unknowns[name].prior.items()
    match kind, [f"{x:g}" for x in numbers]:
        case "normal", [mean, sd]:
            return f"{mean} ± {sd}"
        case "truncated_normal", [mean, sd, lower, upper]:
            return f"{mean} ± {sd}, in {lower} to {upper}"
        case "log_uniform", [lower, upper]:
            return f"{lower} to {upper}, logarithmic"
        case _, [lower, upper]:
            return f"{lower} to {upper}"
    raise ValueError(f"prior of {name}: {kind} has no words")


def names_of(posteriors: list[Posterior]) -> list[str]:
    """A name for each posterior: its method, numbered where two have the same."""
    methods = [str(p.attributes.get("method", "posterior")) for p in posteriors]
    return [
        method if methods.count(method) == 1 else f"{method} ({methods[: i + 1].count(method)})"
        for i, method in enumerate(methods)
    ]


def prior_limits(posterior: Posterior, i: int) -> tuple[float, float]:
    """Where the prior of unknown i lies: its bounds, or all but 0.1 % where it has none."""
    prior, x = posterior.scenario.prior, posterior.prior_samples[:, i]
    lower, upper = float(prior.lower[i]), float(prior.upper[i])
    if not math.isfinite(lower):
        lower = float(min(np.quantile(x, 0.001), posterior.samples[:, i].min()))
    if not math.isfinite(upper):
        upper = float(max(np.quantile(x, 0.999), posterior.samples[:, i].max()))
    return lower, upper
