"""Distances between the marginals of two weighted samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

Array = NDArray[np.float64]


def wasserstein(a: Array, weights_a: Array, b: Array, weights_b: Array) -> Array:
    r"""Wasserstein-1 distance of each marginal, in standard deviations of the reference b.

    $W_1 = \int |F_a(x) - F_b(x)|\, dx \,/\, \sigma_b$: a shift by one standard deviation is 1. Two
    samples of n effective draws of one normal distribution are about $0.9 / \sqrt{n}$ apart.

    Args:
        a: sample, (n, d).
        weights_a: weights of a, (n,), up to a factor.
        b: reference sample, (m, d).
        weights_b: weights of b, (m,), up to a factor.

    Returns:
        (d,).
    """
    share = weights_b / weights_b.sum()
    sd = np.sqrt(share @ (b - share @ b) ** 2)
    distance = [
        wasserstein_distance(x, y, weights_a, weights_b) for x, y in zip(a.T, b.T, strict=True)
    ]
    return np.array(distance) / sd
