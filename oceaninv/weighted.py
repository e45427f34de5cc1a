"""Weighted samples: weights and their smoothing, effective size, resampling and quantiles."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_FEWEST_IN_TAIL = 25
_PRIOR_POINTS = 10


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
    """Shape of the tail of importance weights: the second result of `psis`."""
    return psis(log_weight)[1]


def psis(log_weight: Array) -> tuple[Array, float]:
    r"""Pareto-smoothed log weights (n,), and the shape $\hat k$ of their tail.

    A generalised Pareto distribution F is fitted to the largest $m = \min(n/5, 3\sqrt n)$ weights,
    above the one below them, $w_0$. The largest weights are noise: the i-th smallest of the m is
    replaced by $w_0 + F^{-1}((i - 1/2)/m)$, and at most the largest weight there was. All other
    weights, and the scale, stay. Beyond $\hat k = 0.7$ a mean over the draws settles too slowly to
    be trusted, whatever the effective sample size seems to be.

    Means are steadier with smoothed weights, at the price of a small bias; the evidence, which is
    the mean of the weights themselves, must be taken from the raw ones to stay unbiased.

    Args:
        log_weight: (n,), up to a constant; -inf for weights of zero.

    Returns:
        The smoothed log weights, and k: nan where there are too few draws (less than 25 in the
        tail) or none of weight, -inf where the largest weights are all alike; the weights are as
        given then.

    Source: A. Vehtari, D. Simpson, A. Gelman, Y. Yao and J. Gabry, Pareto smoothed importance
    sampling, J. Mach. Learn. Res. 25(72), 1 (2024).
    """
    n = len(log_weight)
    size = math.ceil(min(n / 5, 3 * math.sqrt(n)))
    if size < _FEWEST_IN_TAIL:
        return log_weight, math.nan
    order = np.argsort(log_weight, kind="stable")[-size - 1 :]
    largest = log_weight[order[-1]]
    if not np.isfinite(largest):
        return log_weight, math.nan
    weight = np.exp(log_weight[order] - largest)
    # Weights as large as the one below the tail are no part of it.
    tail = order[1:][weight[1:] > weight[0]]
    if len(tail) == 0:
        return log_weight, -math.inf
    k, scale = _fit_pareto(np.exp(log_weight[tail] - largest) - weight[0])
    probability = (np.arange(len(tail)) + 0.5) / len(tail)
    quantile = -np.log1p(-probability)
    if k != 0:
        quantile = np.expm1(k * quantile) / k
    smoothed = log_weight.copy()
    smoothed[tail] = largest + np.minimum(np.log(weight[0] + scale * quantile), 0.0)
    return smoothed, k


def thin(log_weight: Array, n: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], Array]:
    """At most n weighted draws that stand for all: their indices (m,) and log weights (m,).

    Rejection control (Liu, Chen & Wong 1998): draw i stays with probability min(1, w_i/c) and
    weight max(w_i, c). Here n stay, by systematic sampling, which c is chosen for. Expectations of
    sums over the draws do not change, and no heavy draw is lost.
    """
    index = np.flatnonzero(np.isfinite(log_weight))
    log_weight = log_weight[index]
    if len(index) <= n:
        return index, log_weight
    threshold = _threshold(log_weight, n)
    cumulated = np.cumsum(np.exp(np.minimum(log_weight - threshold, 0.0)))
    position = cumulated * (n / cumulated[-1]) + rng.random()
    kept = np.flatnonzero(np.diff(np.floor(position), prepend=0.0))
    return index[kept], np.maximum(log_weight[kept], threshold)


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
    $(x_{(i)}, \sum_{j<i} w_{(j)} + w_{(i)}/2)$ of those with weight, so equal weights give the
    usual median.

    Args:
        values: sample, (n,).
        weights: weights that sum to 1, (n,).
        q: probabilities, any shape.
    """
    order = np.argsort(values)
    order = order[weights[order] != 0]
    sorted_weights = weights[order]
    middle = np.cumsum(sorted_weights) - 0.5 * sorted_weights
    return np.asarray(np.interp(q, middle, values[order]))


def _fit_pareto(x: Array) -> tuple[float, float]:
    r"""Shape k and scale of a generalised Pareto distribution, from a sorted positive sample (m,).

    With $\theta = k/\sigma$ the likelihood is greatest at $k(\theta)$, the mean of
    $\ln(1 + \theta x)$; theta is its mean under that profile likelihood, over points that follow a
    prior which the lower quartile of x scales (J. Zhang and M. A. Stephens, Technometrics 51, 316
    (2009), section 3). The shape is drawn towards 1/2 as by 10 further observations (Vehtari et al.
    2024, app. C).
    """
    m = len(x)
    points = 30 + math.isqrt(m)
    j = np.arange(1, points + 1)
    quartile = x[max(int(m / 4 + 0.5) - 1, 0)]
    theta = -(1 / x[-1] + (1 - np.sqrt(points / (j - 0.5))) / (3 * quartile))
    shape = np.log1p(theta[:, None] * x).mean(1)
    log_profile = m * (np.log(theta / shape) - shape - 1)
    weight = normalised_weights(log_profile, points)
    theta_mean = float(weight @ theta)
    k = float(np.log1p(theta_mean * x).mean())
    scale = k / theta_mean
    return (k * m + 0.5 * _PRIOR_POINTS) / (m + _PRIOR_POINTS), scale


def _threshold(log_weight: Array, n: int) -> float:
    """Logarithm of the c with Σ min(1, w_i/c) = n, by bisection."""
    low, high = float(log_weight.min()), float(np.logaddexp.reduce(log_weight))
    for _ in range(60):
        middle = 0.5 * (low + high)
        expected = float(np.exp(np.minimum(log_weight - middle, 0.0)).sum())
        low, high = (middle, high) if expected > n else (low, middle)
    return high
