"""Whether chains have converged. The only module that calls ArviZ."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_OF = ("bulk", "tail", "mean", "sd")
_FEWEST = 20  # steps of a walker with lags enough to see its correlation die away


@dataclass(frozen=True)
class Convergence:
    """R-hat, effective sample size and autocorrelation time (in steps) of each unknown."""

    rhat: Array
    ess: Array
    autocorrelation_time: Array

    @property
    def worst_rhat(self) -> float:
        """Largest R-hat; infinite where it is not defined."""
        return float(np.nan_to_num(self.rhat, nan=math.inf).max())

    @property
    def least_ess(self) -> float:
        """Smallest effective sample size."""
        return float(np.nan_to_num(self.ess, nan=0.0).min())


def convergence(chain: Array, ensembles: int) -> Convergence:
    r"""R-hat across ensembles and effective sample size over walkers.

    Rank-normalised split R-hat (Vehtari et al. 2021, Bayesian Anal. 16, 667) takes each ensemble,
    all of its walkers together, as one chain: the ensembles are independent, walkers within one
    are not. The effective size takes each walker as a chain, because the autocorrelation that
    counts is along a walker; walkers that never leave a mode lower it. It is the least of those
    for the bulk, the tails (quantiles of 5 and 95 %), the mean and the standard deviation: the
    first two are of ranks, to which a small mode far away is no further than the next draw. In
    fewer than 20 steps a sum over lags ends before the correlation does, and would tell of more
    effective draws than there are draws; there the scatter of the walkers' means limits the size.

    Args:
        chain: (steps, ensembles * walkers, d), walkers of an ensemble next to each other.
        ensembles: number of independent ensembles, 2 or more.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its notice of a coming rewrite
        import arviz

    steps, walkers, d = chain.shape
    grouped = chain.reshape(steps, ensembles, -1, d).swapaxes(0, 1).reshape(ensembles, -1, d)
    rhat = np.array([float(arviz.rhat(grouped[..., i])) for i in range(d)])
    ess = np.array(
        [min(float(arviz.ess(chain[..., i].T, method=m)) for m in _OF) for i in range(d)]
    )
    if steps < _FEWEST:
        ess = np.minimum(ess, [_size_by_walkers(chain[..., i]) for i in range(d)])
    with np.errstate(divide="ignore"):
        return Convergence(rhat, ess, steps * walkers / ess)


def _size_by_walkers(x: Array) -> float:
    r"""Effective size for the mean and the standard deviation of x, (steps, walkers).

    With $m_w$ the mean of walker w, of W, it is $W\, \mathrm{Var}(x) / \mathrm{Var}(m_w)$.
    """
    sizes = [math.inf]
    for of in (x, (x - x.mean()) ** 2):
        spread = of.mean(0).var(ddof=1)
        if spread > 0:
            sizes.append(float(of.shape[1] * of.var() / spread))
    return min(sizes)
