"""Are these numbers uniform on [0, 1]? A test, and the band that goes with it in a plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

Array = NDArray[np.float64]

_POINTS = 99
_SIMULATIONS = 10_000


@dataclass(frozen=True)
class UniformityTest:
    r"""Simultaneous test of the empirical distribution function of n numbers.

    At each of K = 99 points $z_k$ the count of numbers below $z_k$ is binomial; the statistic is
    the smallest two-sided binomial probability over the points, and its distribution comes from
    10,000 simulated sets of uniform numbers. So the p-value accounts for all points at once, and
    the matching band contains the whole function with probability $1 - \alpha$ (Säilynoja, Bürkner
    & Vehtari 2022, Stat. Comput. 32, 32; more sensitive at the ends than Kolmogorov-Smirnov).

    Attributes:
        n: how many numbers.
        points: $z_k$, (K,).
        probability: two-sided probability of each count 0..n at each point, (n + 1, K).
        null: sorted statistics of the simulated sets.
    """

    n: int
    points: Array
    probability: Array
    null: Array

    @classmethod
    def of(cls, n: int, seed: int = 0) -> UniformityTest:
        """The test for n numbers."""
        points = np.arange(1, _POINTS + 1) / (_POINTS + 1)
        counts = np.arange(n + 1)[:, None]
        below, above = binom.cdf(counts, n, points), binom.sf(counts - 1, n, points)
        probability = np.minimum(1.0, 2.0 * np.minimum(below, above))
        rng = np.random.default_rng(seed)
        cells = rng.multinomial(n, np.full(_POINTS + 1, 1 / (_POINTS + 1)), size=_SIMULATIONS)
        counted = np.cumsum(cells, axis=1)[:, :-1]
        null = np.sort(probability[counted, np.arange(_POINTS)].min(axis=1))
        return cls(n, points, probability, null)

    def p_value(self, u: Array) -> float:
        """Probability that n uniform numbers stray as far as u (n,); at least 1/10,001."""
        counted = np.searchsorted(np.sort(u), self.points, side="right")
        statistic = self.probability[counted, np.arange(_POINTS)].min()
        as_far = np.searchsorted(self.null, statistic * (1 + 1e-12), side="right")
        return float((as_far + 1) / (len(self.null) + 1))

    def band(self, alpha: float) -> tuple[Array, Array]:
        """Lower and upper bound of the empirical distribution function at `points`."""
        limit = self.null[int(alpha * len(self.null))]
        inside = self.probability >= limit
        lowest = inside.argmax(axis=0)
        highest = self.n - inside[::-1].argmax(axis=0)
        return lowest / self.n, highest / self.n
