"""Are these numbers uniform on [0, 1]? A test, and the band that goes with it in a plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, poisson

Array = NDArray[np.float64]

_POINTS = 99
_LEAST = 1e-10  # what is below is lost in rounding


@dataclass(frozen=True)
class UniformityTest:
    r"""Simultaneous test of the empirical distribution function of n numbers.

    At each of K = 99 points $z_k$ the count of numbers below $z_k$ is binomial; the statistic is
    the smallest two-sided binomial probability over the points. Its p-value accounts for all
    points at once, and the matching band contains the whole function with probability
    $1 - \alpha$ (Säilynoja, Bürkner & Vehtari 2022, Stat. Comput. 32, 32; more sensitive at the
    ends than Kolmogorov-Smirnov).

    Attributes:
        n: how many numbers.
        points: $z_k$, (K,).
        probability: two-sided probability of each count 0..n at each point, (n + 1, K).
    """

    n: int
    points: Array
    probability: Array

    @classmethod
    def of(cls, n: int) -> UniformityTest:
        """The test for n numbers."""
        points = np.arange(1, _POINTS + 1) / (_POINTS + 1)
        counts = np.arange(n + 1)[:, None]
        below, above = binom.cdf(counts, n, points), binom.sf(counts - 1, n, points)
        return cls(n, points, np.minimum(1.0, 2.0 * np.minimum(below, above)))

    def p_value(self, u: Array) -> float:
        """Probability that n uniform numbers stray as far as u (n,); at least 1e-10."""
        counted = np.searchsorted(np.sort(u), self.points, side="right")
        return self._as_far(self.probability[counted, np.arange(_POINTS)].min())

    def band(self, alpha: float) -> tuple[Array, Array]:
        """Lower and upper bound of the empirical distribution function at `points`."""
        statistics = np.unique(self.probability)
        kept, out = -1, len(statistics) - 1  # that of the last, 1, is as far as any
        while out - kept > 1:
            middle = (kept + out) // 2
            kept, out = (
                (middle, out) if self._as_far(statistics[middle]) <= alpha else (kept, middle)
            )
        lowest, highest = self._inside(statistics[kept] if kept >= 0 else 0.0)
        return lowest / self.n, highest / self.n

    def _inside(self, statistic: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Least and greatest count at each point of sets that do not stray as far."""
        inside = self.probability > statistic * (1 + 1e-12)
        return inside.argmax(axis=0), self.n - inside[::-1].argmax(axis=0)

    def _as_far(self, statistic: float) -> float:
        r"""Probability that the statistic of uniform numbers is at most this.

        Counts of n uniform numbers are those of a Poisson process of n expected events that has n,
        and the probability that its path stays between limits is carried from point to point
        (A. Moscovich & B. Nadler 2017, Stat. Probab. Lett. 123, 177).
        """
        if statistic * (1 + 1e-12) >= self.probability.max(axis=0).min():
            return 1.0  # at some point no count is left inside
        step = poisson.pmf(np.arange(self.n + 1), self.n / (_POINTS + 1))
        path, least = np.ones(1), 0  # of counts from `least` on
        for low, high in zip(*self._inside(statistic), strict=True):
            path = np.convolve(path, step[: high - least + 1])[low - least : high - least + 1]
            least = low
        counts = least + np.arange(len(path))
        stays = path @ step[self.n - counts] / poisson.pmf(self.n, self.n)
        return float(max(1.0 - stays, _LEAST))
