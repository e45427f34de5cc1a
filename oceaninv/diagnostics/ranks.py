"""Where the truth lies among the draws of a posterior: the numbers behind every calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rank(truth: Array, draws: Array, weights: Array, rng: np.random.Generator) -> Array:
    r"""Rank of the truth in each marginal, as a number in [0, 1].

    $u = (1 - \epsilon) \sum_i w_i [x_i < x^*] + \epsilon U$ with $U$ uniform and
    $\epsilon = 1/(n_e + 1)$, $n_e = 1/\sum w_i^2$. For L draws of equal weight it is
    $(r + U) / (L + 1)$, exactly uniform if the posterior is exact (Talts et al. 2018,
    arXiv 1804.06788); for weighted draws it is so up to the noise of the weights.

    Args:
        truth: (d,).
        draws: (L, d).
        weights: (L,), summing to 1.
        rng: for U.

    Returns:
        (d,).
    """
    share = 1.0 / (1.0 / np.sum(weights**2) + 1.0)
    return (1 - share) * (weights @ (draws < truth)) + share * rng.random(len(truth))


def tarp_rank(
    truth: Array, draws: Array, weights: Array, reference: Array, rng: np.random.Generator
) -> float:
    r"""Credibility of the ball around a reference point that just holds the truth.

    The rank of $|x^* - r|$ among $|x_i - r|$, uniform for every choice of r that does not look at
    the truth if the joint posterior is exact ("tests of accuracy with random points": Lemos,
    Coogan, Hezaveh & Perreault-Levasseur 2023, ICML, arXiv 2302.03026).

    Args:
        truth: (d,), in units in which distances mean something.
        draws: (L, d).
        weights: (L,), summing to 1.
        reference: r, (d,).
        rng: for the random part of the rank.
    """
    distance = np.linalg.norm(draws - reference, axis=1)[:, None]
    of_truth = np.array([np.linalg.norm(truth - reference)])
    return float(rank(of_truth, distance, weights, rng)[0])


def region_rank(truth: Array, draws: Array, weights: Array, rng: np.random.Generator) -> float:
    r"""Credibility of the ellipsoid about the posterior mean that just holds the truth.

    The rank of $(x - m)^T S^{-1} (x - m)$, with the mean m and covariance S of one half of the
    draws that have weight, among the other half. Any function of the unknowns and of the data may
    be ranked so (Modrák et al. 2023, Bayesian Anal., arXiv 2211.02383); this one is the credibility
    of the highest-density region of a normal posterior, and it sees wrong correlations, to which
    TARP is almost blind because its random points look from all sides.

    Args:
        truth: (d,).
        draws: (L, d), in random order.
        weights: (L,), summing to 1.
        rng: for the random part of the rank.
    """
    draws, weights = draws[weights > 0], weights[weights > 0]
    half = len(draws) // 2
    first = slice(max(half, 1))  # a collapsed sampler has one draw only
    share = weights[first] / weights[first].sum()
    mean = share @ draws[first]
    residual = draws[first] - mean
    covariance = residual.T @ (share[:, None] * residual)
    # A collapsed direction would make the covariance singular: its scale is that of the prior, 1.
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(truth)))

    def size(x: Array) -> Array:
        return np.sum(np.linalg.solve(root, (x - mean).T) ** 2, axis=0)[:, None]

    others = weights[half:] / weights[half:].sum()
    return float(rank(size(truth[None])[0], size(draws[half:]), others, rng)[0])


def coverage(u: Array, levels: Array) -> Array:
    r"""Share of simulations whose central interval holds the truth, $|u - 1/2| \le l/2$.

    Args:
        u: ranks, (n, ...).
        levels: probabilities, (m,).

    Returns:
        (..., m).
    """
    inside = np.abs(u - 0.5)[..., None] <= 0.5 * levels
    return inside.mean(axis=0)
