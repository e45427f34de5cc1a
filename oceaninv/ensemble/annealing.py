"""Where an ensemble starts: prior draws led to the posterior through tempered targets."""

from __future__ import annotations

from collections.abc import Callable

import emcee
import numpy as np
from numpy.typing import NDArray

from oceaninv.ensemble.moves import moves
from oceaninv.weighted import effective_size, resample

Array = NDArray[np.float64]
LogLikelihood = Callable[[Array], Array]

_PRIOR_DRAWS = 20  # per walker: a far mode needs only one of them to be found
_STEPS = 15  # moves at each temperature
_KEEP = 0.5  # effective share of the walkers that survives a change of temperature


def anneal(
    log_likelihood: LogLikelihood,
    dim: int,
    *,
    ensembles: int,
    walkers: int,
    random: np.random.RandomState,
    progress: Callable[[float], None] | None = None,
) -> Array:
    r"""Starting points of `ensembles` independent ensembles, (ensembles * walkers, dim).

    Every ensemble draws 20 points per walker from the prior N(0, I) and is then resampled and
    moved through the targets $N(v; 0, I)\, L(v)^\beta$, with $\beta$ rising from 0 to 1 so that
    half of the walkers survive each rise (tempered sequential Monte Carlo: Del Moral, Doucet &
    Jasra 2006, JRSS B 68, 411). A single fit to the best prior draws would miss modes; here each
    mode keeps about its share of walkers.

    Args:
        log_likelihood: ln L at v (n, dim), as (n,); -inf where the model fails.
        dim: number of unknowns.
        ensembles: number of independent ensembles.
        walkers: walkers of each.
        random: the source of all randomness.
        progress: called with beta after each rise.

    Raises:
        RuntimeError: the likelihood is zero at every draw of the prior.
    """
    v = random.standard_normal((ensembles, _PRIOR_DRAWS * walkers, dim))
    value = log_likelihood(v.reshape(-1, dim)).reshape(ensembles, -1)
    if not np.isfinite(value).any(axis=1).all():
        raise RuntimeError("the likelihood is zero at every draw of the prior; check the scenario")
    rng = np.random.default_rng(random.randint(2**31))
    beta = 0.0
    while beta < 1.0:
        rise = _rise(value, 1.0 - beta, _KEEP * walkers)
        beta += rise
        chosen = [resample(rise * row, len(row), walkers, rng) for row in value]
        v = np.concatenate([block[index] for block, index in zip(v, chosen, strict=True)])
        sampler = emcee.EnsembleSampler(
            ensembles * walkers,
            dim,
            tempered(log_likelihood, beta),
            moves=moves(ensembles),
            vectorize=True,
        )
        sampler.random_state = random.get_state()
        end = sampler.run_mcmc(v, _STEPS, store=False, skip_initial_state_check=True)
        random.set_state(sampler.random_state)
        value = ((end.log_prob + 0.5 * np.sum(end.coords**2, -1)) / beta).reshape(ensembles, -1)
        v = end.coords.reshape(ensembles, walkers, dim)
        if progress:
            progress(beta)
    return v.reshape(-1, dim)


def tempered(log_likelihood: LogLikelihood, beta: float = 1.0) -> LogLikelihood:
    r"""Log density $\beta \ln L(v) - |v|^2/2$, up to a constant."""

    def log_density(v: Array) -> Array:
        return beta * log_likelihood(v) - 0.5 * np.sum(v**2, -1)

    return log_density


def _rise(value: Array, largest: float, wanted: float) -> float:
    """The largest rise of beta that leaves `wanted` effective draws in every ensemble."""

    def remaining(rise: float) -> float:
        return min(effective_size(rise * row) for row in value)

    if remaining(largest) >= wanted:
        return largest
    low, high = 0.0, largest
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if remaining(middle) >= wanted else (low, middle)
    # Where fewer draws than wanted have any likelihood at all, no rise leaves enough: the
    # smallest step still removes those without, and the next one is free.
    return max(low, 1e-6 * largest)
