"""Densities of weighted draws for figures: smooth curves and highest-density regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

Array = NDArray[np.float64]

_BINS = 1000
_BINS_2D = 80


def marginal_density(x: Array, weights: Array, lower: float, upper: float) -> tuple[Array, Array]:
    """Density of weighted draws on [lower, upper], as (points, density).

    A Gaussian kernel of Silverman's width, reflected at the bounds, so that a density that is
    high at the bound of the prior does not appear to fall off there.
    """
    counts, edges = np.histogram(x, _BINS, (lower, upper), weights=weights)
    step = edges[1] - edges[0]
    width = _bandwidth(x, weights, 0.2) / step
    density = gaussian_filter1d(counts, max(width, 1.0), mode="reflect", truncate=5.0) / step
    return 0.5 * (edges[1:] + edges[:-1]), density


def joint_density(
    x: Array, y: Array, weights: Array, x_limits: tuple[float, float], y_limits: tuple[float, float]
) -> tuple[Array, Array, Array]:
    """Density of weighted pairs, as (x points, y points, density (y, x))."""
    counts, x_edges, y_edges = np.histogram2d(x, y, _BINS_2D, (x_limits, y_limits), weights=weights)
    widths = [
        max(1.0, _bandwidth(values, weights, 1 / 6) / (edges[1] - edges[0]))
        for values, edges in ((x, x_edges), (y, y_edges))
    ]
    density = gaussian_filter(counts, widths, mode="reflect").T
    return 0.5 * (x_edges[1:] + x_edges[:-1]), 0.5 * (y_edges[1:] + y_edges[:-1]), density


def region_levels(density: Array, shares: tuple[float, ...]) -> list[float]:
    """Densities above which lie the given shares of the whole, in increasing order of density."""
    ordered = np.sort(density.ravel())[::-1]
    cumulated = np.cumsum(ordered) / ordered.sum()
    index = np.searchsorted(cumulated, sorted(shares, reverse=True))
    return [float(level) for level in ordered[np.minimum(index, len(ordered) - 1)]]


def _bandwidth(x: Array, weights: Array, power: float) -> float:
    """Silverman's rule with the effective number of draws; robust to far modes."""
    order = np.argsort(x)
    cumulated = np.cumsum(weights[order])
    quarter, three = np.interp([0.25, 0.75], cumulated, x[order])
    mean = weights @ x
    sd = np.sqrt(weights @ (x - mean) ** 2)
    spread = min(float(sd), float(three - quarter) / 1.34) or float(sd)
    return float(0.9 * spread * np.sum(weights**2) ** power)
