"""Weighted samples: their weights, effective size, resampling and quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_FEWEST_IN_TAIL = 25


def normalised_weights(log_weight: Array | None, n: int) -> Array:
    """Weights that sum to 1, (n,), of log weights up to a constant; equal weights for None."""
    if log_weight is None:
        return np.full(n, 1.0 / n)
    weights = np.exp(log_weight - np.max(log_weight))
    return weights / weights.sum()


def effective_size(log_weight: Array) -> float:
    r"""Effective sample size of weighted draws, $(\sum w)^2 / \sum w^2$ (Kish)."""
    weights = normalised_weights(log_weight, len(log_weight))
    return float(1.0 / np.sum(weights**2))


def pareto_k(log_weight: Array) -> float:
    r"""Shape $\hat k$ of the tail of importance weights, nan where there are too few.

    A generalised Pareto distribution is fitted to the largest $\min(n/5, 3\sqrt{n})$ weights
    above the one below them. Beyond 0.7 a mean over the draws settles too slowly to be trusted,
    whatever the effective sample size seems to be.

    Source: A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, Pareto smoothed importance
    sampling, J. Mach. Learn. Res. 25(72), 1 (2024).
    """
    n = len(log_weight)
    size = int(min(n / 5, 3 * np.sqrt(n)))
    if size < _FEWEST_IN_TAIL:
        return float("nan")
    tail = np.sort(normalised_weights(log_weight, n))[-size - 1 :]
    excess = tail[1:] - tail[0]
    if excess[-1] <= 0:
        return float("-inf")  # all alike: no tail
    # imported here: only re-weighting needs it, and every command imports this module
    from scipy.stats import genpareto

    return float(genpareto.fit(excess / excess.mean(), floc=0)[0])


def resample(
    log_weight: Array | None, n_draws: int, n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices (n,), in random order, of equally weighted draws out of `n_draws` weighted ones.

    Weighted draws are chosen by systematic resampling, which copies draw i either
    floor(n w_i) or ceil(n w_i) times; equally weighted ones without repetition while they last.
    """
    if log_weight is None:
        whole, rest = divmod(n, n_draws)
        index = np.concatenate(
            [np.tile(np.arange(n_draws), whole), rng.permutation(n_draws)[:rest]]
        )
    else:
        cumulated = np.cumsum(normalised_weights(log_weight, n_draws))
        position = (np.arange(n) + rng.random()) / n
        index = np.minimum(np.searchsorted(cumulated, position), n_draws - 1)
    return rng.permutation(index).astype(np.int64)


def weighted_quantile(values: Array, weights: Array, q: Array) -> Array:
    r"""Quantiles of a weighted sample.

    The distribution function is interpolated through the points
    $(x_{(i)}, \sum_{j<i} w_{(j)} + w_{(i)}/2)$, so equal weights give the usual median.

    Args:
        values: sample, (n,).
        weights: weights that sum to 1, (n,).
        q: probabilities, any shape.
    """
    order = np.argsort(values)
    sorted_weights = weights[order]
    middle = np.cumsum(sorted_weights) - 0.5 * sorted_weights
    return np.asarray(np.interp(q, middle, values[order]))
