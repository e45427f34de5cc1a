"""Figures of posteriors: marginals, pairs, the sound-speed profile, weights."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from oceaninv.posterior import Posterior, equal_weight, summarise
from oceaninv.report.density import joint_density, marginal_density, region_levels
from oceaninv.report.style import (
    COLOURS,
    GREY,
    INK,
    PALE,
    label,
    legend,
    look,
    names_of,
    prior_limits,
    quiet,
    save,
)
from oceaninv.scenario.predict import build, profile

Array = NDArray[np.float64]

_GROUPS = ("geometry", "water", "seabed", "noise")
_PROFILE_DRAWS = 400
_LEAST_MARGIN = 0.5  # m/s, beside a sound speed that is the same everywhere


def plot_marginals(posteriors: list[Posterior], path: str | Path) -> None:
    """Write `marginals` to a file; the suffix gives the format."""
    save(marginals(posteriors), path)


def marginals(posteriors: list[Posterior]) -> Figure:
    """One panel for each unknown over the whole prior: prior, posteriors, best draw, truth.

    The 95 % interval of the first posterior is shaded; ticks below mark the draw of highest
    density of each; a dotted line is the truth of a synthetic measurement.
    """
    first = posteriors[0]
    order = sorted(range(len(first.names)), key=lambda i: (_GROUPS.index(_group(first, i)), i))
    columns = min(4, len(order))
    rows = -(-len(order) // columns)
    width = max(3.1 * columns, 4.5)  # room for the legend
    figure = Figure(figsize=(width, 2.4 * rows + 0.5), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, i in zip(panels, order, strict=False):
        _marginal(axes, posteriors, i)
    for axes in panels[len(order) :]:
        axes.set_visible(False)
    legend(figure, panels[0], "outside upper left", columns=5)
    return figure


def corner(posteriors: list[Posterior]) -> Figure:
    """Pairs of unknowns: regions of 50 and 90 % of the probability, and correlations.

    The first posterior is filled, others are outlines; above the diagonal is the correlation of
    the first. Axes show where the posteriors lie, not the whole prior.
    """
    first = posteriors[0]
    d = len(first.names)
    side = float(np.clip(1.15 * d, 4.5, 13.0))
    small = 8 if d > 5 else 9
    figure = Figure(figsize=(side, side))
    # Placed by hand: a hundred panels keep an automatic layout busy for seconds.
    left, cell = 0.95 / side, (1.0 - 1.1 / side) / d
    _correlations(figure.add_axes((left, left, d * cell, d * cell)), first, small + 1)
    limits = [_zoom(posteriors, i) for i in range(d)]
    for row in range(d):
        for column in range(row + 1):
            place = (left + column * cell, left + (d - 1 - row) * cell, 0.95 * cell, 0.95 * cell)
            axes = figure.add_axes(place)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("#bbbbbb")
            if column == row:
                _diagonal(axes, posteriors, row, limits[row])
            else:
                axes.set_ylim(limits[row])
                _pair(axes, posteriors, column, row, limits)
            axes.set_xlim(limits[column])
            if row == d - 1:
                axes.set_xticks(_inner_ticks(limits[column]))
                axes.tick_params(axis="x", labelsize=small, rotation=45)
                axes.ticklabel_format(axis="x", useOffset=False)
                axes.set_xlabel(_wrapped(label(*_named(first, column)), 14), fontsize=small)
            if column == 0 and row > 0:
                axes.set_yticks(_inner_ticks(limits[row]))
                axes.tick_params(axis="y", labelsize=small)
                axes.ticklabel_format(axis="y", useOffset=False)
                axes.set_ylabel(_wrapped(label(*_named(first, row)), 14), fontsize=small)
                axes.yaxis.set_label_coords(-0.65 / (side * cell), 0.5)
    return figure


def sound_speed(posteriors: list[Posterior]) -> Figure:
    """Sound speed against depth, down: median with bands of 50, 90 and 95 %, and the prior.

    Right the seabed alone. Others than the first posterior are shown by their median and 90 %.
    """
    rng = np.random.default_rng(0)
    first = posteriors[0]
    depth, seafloor = _depths(first)
    grid = torch.from_numpy(depth)
    prior = profile(first.scenario, torch.from_numpy(first.prior_samples[:_PROFILE_DRAWS]), grid)
    speeds = [
        profile(p.scenario, torch.from_numpy(equal_weight(p, _PROFILE_DRAWS, rng)), grid).numpy()
        for p in posteriors
    ]
    figure = Figure(figsize=(9.5, 5.6), layout="constrained")
    panels = figure.subplots(1, 2)
    below = depth > seafloor
    for axes, shown in zip(panels, (np.ones_like(below), below), strict=True):
        _profile_bands(axes, depth, prior.numpy(), speeds, names_of(posteriors))
        low = np.nanquantile(prior.numpy()[:, shown], 0.001)
        high = np.nanquantile(prior.numpy()[:, shown], 0.999)
        margin = max(0.04 * (high - low), _LEAST_MARGIN)
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(depth[shown].max(), depth[shown].min())
        axes.set(xlabel="Sound speed (m/s)", ylabel="Depth (m)")
        axes.ticklabel_format(axis="x", useOffset=False)
        quiet(axes)
    panels[0].set_title("Water and seabed", loc="left", fontsize=11)
    panels[1].set_title("Around and below the seafloor", loc="left", fontsize=11)
    legend(figure, panels[0], "outside lower center", columns=3)
    return figure


def weights(posteriors: list[Posterior]) -> Figure | None:
    """How evenly the draws are weighted, and the log likelihood of the draws.

    None where there is neither, as of a network alone.
    """
    weighted = [p.log_weight is not None for p in posteriors]
    likely = [np.isfinite(p.log_likelihood) for p in posteriors]
    if not any(weighted) and not any(finite.any() for finite in likely):
        return None
    figure = Figure(figsize=(9.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="equal weights")
    for k, (p, name) in enumerate(zip(posteriors, names_of(posteriors), strict=True)):
        colour, line = look(k)
        # Draws of equal weight lie on the dashed line: a name alone, for the panel on the right.
        share = np.cumsum(np.sort(p.weights)[::-1]) if weighted[k] else np.zeros(0)
        left.plot(np.linspace(0, 1, len(share)), share, line, color=colour, lw=2, label=name)
        if likely[k].any():
            value, w = p.log_likelihood[likely[k]], p.weights[likely[k]]
            low = np.quantile(value[w > 0.01 * w.max()], 0.001)
            x, y = marginal_density(value, w, float(low), float(value.max()))
            right.plot(x, y, line, color=colour, lw=2)
    left.set(xlabel="Share of draws, heaviest first", ylabel="Share of weight", ylim=(0, 1.02))
    right.set(xlabel="Log likelihood", ylabel="Density", ylim=(0, None))
    legend(figure, left, "outside upper left", columns=3)
    quiet(left)
    quiet(right)
    return figure


def _marginal(axes: Axes, posteriors: list[Posterior], i: int) -> None:
    first = posteriors[0]
    lower, upper = prior_limits(first, i)
    grid = torch.linspace(lower, upper, 300, dtype=torch.float64)
    prior = first.scenario.prior.marginals[i].log_prob(grid).exp().numpy()
    axes.fill_between(grid.numpy(), prior, color=PALE, lw=0, label="prior")
    axes.plot(grid.numpy(), prior, color=GREY, lw=1)
    top = prior.max()
    for k, (p, name) in enumerate(zip(posteriors, names_of(posteriors), strict=True)):
        colour, line = look(k)
        x, y = marginal_density(p.samples[:, i], p.weights, lower, upper)
        axes.plot(x, y, line, color=colour, lw=2, label=name)
        top = max(top, y.max())
        if p is first:
            row = summarise(p)[i]
            inside = (x >= row.lower) & (x <= row.upper)
            axes.fill_between(x[inside], y[inside], color=colour, alpha=0.2, lw=0)
        axes.plot(p.best[i], -0.035 * top, marker="^", ms=7, color=colour, clip_on=False)
    truth = _truth(first).get(first.names[i])
    if truth is not None:
        axes.axvline(truth, color=INK, lw=1.3, ls=":", label="truth")
    margin = 0.015 * (upper - lower)
    axes.set_xlim(lower - margin, upper + margin)
    axes.set_ylim(-0.07 * top, 1.08 * top)
    axes.set_xlabel(_wrapped(label(*_named(first, i)), 26), fontsize=10)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    quiet(axes, y_axis=False)


def _diagonal(axes: Axes, posteriors: list[Posterior], i: int, limits: tuple[float, float]) -> None:
    for k, p in enumerate(posteriors):
        colour, line = look(k)
        x, y = marginal_density(p.samples[:, i], p.weights, *limits)
        axes.plot(x, y, line, color=colour, lw=1.5)
        if k == 0:
            axes.fill_between(x, y, color=colour, alpha=0.2, lw=0)
    axes.set_ylim(0, None)
    quiet(axes)
    axes.spines["left"].set_visible(False)


def _pair(
    axes: Axes,
    posteriors: list[Posterior],
    column: int,
    row: int,
    limits: list[tuple[float, float]],
) -> None:
    for k, p in enumerate(posteriors):
        colour, line = look(k)
        x, y, density = joint_density(
            p.samples[:, column], p.samples[:, row], p.weights, limits[column], limits[row]
        )
        outer, inner = region_levels(density, (0.5, 0.9))
        if not outer < inner < density.max():
            continue  # all in one cell: no region to draw
        if k == 0:
            fills = [to_rgba(colour, 0.3), to_rgba(colour, 0.65)]
            axes.contourf(x, y, density, levels=[outer, inner, density.max()], colors=fills)
        else:
            axes.contour(
                x,
                y,
                density,
                levels=[outer, inner],
                colors=[colour],
                linestyles=[line],
                linewidths=1,
            )


def _correlations(axes: Axes, posterior: Posterior, size: int) -> None:
    correlation = _correlation(posterior)
    d = len(correlation)
    axes.set(xlim=(0, d), ylim=(d, 0))
    axes.set_axis_off()
    for row in range(d):
        for column in range(row + 1, d):
            value = correlation[row, column]
            if np.isnan(value):  # one of the two is constant
                continue
            colour = to_rgba(COLOURS[0] if value > 0 else COLOURS[1], 0.55 * abs(value))
            axes.add_patch(Rectangle((column, row), 0.95, 0.95, facecolor=colour, lw=0))
            axes.text(column + 0.475, row + 0.475, f"{value:+.2f}", ha="center", va="center",
                      fontsize=size, color=INK)  # fmt: skip


def _profile_bands(
    axes: Axes, depth: Array, prior: Array, speeds: list[Array], names: list[str]
) -> None:
    low, high = _by_depth(prior, [0.025, 0.975])
    axes.fill_betweenx(depth, low, high, color=PALE, lw=0, label="prior, 95 %")
    for k, (speed, name) in enumerate(zip(speeds, names, strict=True)):
        colour, line = look(k)
        q = _by_depth(speed, [0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975])
        if k == 0:
            # Opaque: one over the other they would be darker than in the legend.
            for (a, b), opacity, share in (((0, 6), 0.2, 95), ((1, 5), 0.4, 90), ((2, 4), 0.7, 50)):
                text, shade = f"{name}, {share} %", _on_white(colour, opacity)
                axes.fill_betweenx(depth, q[a], q[b], color=shade, lw=0, label=text)
            axes.plot(q[3], depth, color=INK, lw=1.3, label="median")
        else:
            axes.plot(q[3], depth, line, color=colour, lw=1.3, label=f"{name}, median and 90 %")
            axes.plot(q[1], depth, color=colour, lw=1, ls="--")
            axes.plot(q[5], depth, color=colour, lw=1, ls="--")


def _on_white(colour: str, opacity: float) -> tuple[float, ...]:
    """The colour that one of this opacity has on white paper."""
    return tuple(1 - opacity * (1 - part) for part in to_rgb(colour))


def _by_depth(speed: Array, q: list[float]) -> Array:
    """Quantiles over the draws at each depth, (q, D); NaN below the bottom of all of them."""
    quantiles = np.full((len(q), speed.shape[1]), np.nan)
    inside = ~np.isnan(speed).all(axis=0)
    quantiles[:, inside] = np.nanquantile(speed[:, inside], q, axis=0)
    return quantiles


def _depths(posterior: Posterior) -> tuple[Array, float]:
    """Depths to show, down to the last layer that the prior leaves open; where the zoom begins."""
    theta = torch.from_numpy(posterior.prior_samples[:_PROFILE_DRAWS])
    environment, _ = build(posterior.scenario, theta)
    bottom = environment.thickness.cumsum(-1)
    seafloor = float(environment.water_depth.min())
    segment = (environment.thickness, environment.sound_speed_top, environment.sound_speed_bottom)
    is_open = torch.stack([(x != x[:1]).any(0) for x in segment]).any(0)
    below = environment.half_space_sound_speed
    if is_open.any() and (below is None or bool((below == below[0]).all())):
        bottom = bottom[:, : int(is_open.nonzero().max()) + 1]
    last = float(bottom[:, -1].max())
    end = last + max(0.2 * (last - seafloor), 2.0)
    zoom = max(seafloor - 0.15 * (end - seafloor), 0.0)
    return np.union1d(np.linspace(0.0, end, 250), np.linspace(zoom, end, 250)), zoom


def _zoom(posteriors: list[Posterior], i: int) -> tuple[float, float]:
    """Range that holds what the posteriors have of unknown i, within the prior."""
    lower, upper = prior_limits(posteriors[0], i)
    ends = []
    for p in posteriors:
        order = np.argsort(p.samples[:, i])
        cumulated = np.cumsum(p.weights[order])
        ends.append(np.interp([0.002, 0.998], cumulated, p.samples[order, i]))
    low, high = min(e[0] for e in ends), max(e[1] for e in ends)
    margin = 0.1 * (high - low) or 0.02 * (upper - lower)
    return max(lower, low - margin), min(upper, high + margin)


def _correlation(posterior: Posterior) -> Array:
    covariance = np.cov(posterior.samples.T, aweights=posterior.weights, ddof=0)
    sd = np.sqrt(np.diag(np.atleast_2d(covariance)))
    sd[np.ptp(posterior.samples, axis=0) == 0] = np.nan  # but for rounding of the mean it is 0
    return np.atleast_2d(covariance) / np.outer(sd, sd)


def _inner_ticks(limits: tuple[float, float]) -> list[float]:
    """Few ticks, none so close to an end that its label meets that of the next panel."""
    low, high = limits
    margin = 0.08 * (high - low)
    for most in (3, 4, 5, 6):
        ticks = MaxNLocator(most).tick_values(low, high)
        inner = [float(t) for t in ticks if low + margin <= t <= high - margin]
        if len(inner) > 1:
            break
    return inner


def _named(posterior: Posterior, i: int) -> tuple[str, str]:
    return posterior.long_names[i], posterior.units[i]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False))


def _group(posterior: Posterior, i: int) -> str:
    return posterior.scenario.unknowns[posterior.names[i]].group


def _truth(posterior: Posterior) -> dict[str, float]:
    """True parameters of a synthetic measurement; none for a measured one."""
    return json.loads(str(posterior.observed.attributes.get("true_parameters", "{}")))
