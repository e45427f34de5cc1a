"""Where an ensemble starts: draws led to the posterior through tempered targets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oceaninv.ensemble.draws import Array, LogDensity
from oceaninv.ensemble.moves import ensemble_sampler
from oceaninv.weighted import effective_size, resample

_PRIOR_DRAWS = 20  # per walker: a far mode needs only one of them to be found
_STEPS = 15  # moves at each temperature
_KEEP = 0.5  # effective share of the walkers that survives a change of temperature


class OutOfTime(RuntimeError):
    """The time given was over before there was a posterior."""


@dataclass(frozen=True)
class Start:
    """Draws to begin with, better than those of the prior.

    Attributes:
        v: draws, (n, d).
        log_likelihood: ln L of each, (n,).
        log_density: log density of what they were drawn from, up to a constant; v (n, d) -> (n,).
    """

    v: Array
    log_likelihood: Array
    log_density: LogDensity


def anneal(
    log_likelihood: LogDensity,
    dim: int,
    *,
    ensembles: int,
    walkers: int,
    random: np.random.RandomState,
    start: Start | None = None,
    deadline: float = math.inf,
    progress: Callable[[float], None] | None = None,
) -> Array:
    r"""Starting points of `ensembles` independent ensembles, (ensembles * walkers, dim).

    Every ensemble has its own draws of a distribution $q$: 20 per walker of the prior N(0, I), or
    its part of `start`. They are resampled and moved through the targets
    $q(v)^{1-\beta}\, (N(v; 0, I)\, L(v))^\beta$, with $\beta$ rising from 0 to 1 so that half of
    the walkers survive each rise (tempered sequential Monte Carlo: Del Moral, Doucet & Jasra 2006,
    JRSS B 68, 411). A single fit to the best draws would miss modes; here each mode keeps about
    its share of walkers.

    Args:
        log_likelihood: ln L at v (n, dim), as (n,); -inf where the model fails.
        dim: number of unknowns.
        ensembles: number of independent ensembles.
        walkers: walkers of each.
        random: the source of all randomness.
        start: draws to begin with; None for the prior. Where fewer than one for each ensemble has
            a likelihood above zero, it is the prior too.
        deadline: by `time.monotonic`.
        progress: called with beta after each rise.

    Raises:
        RuntimeError: the likelihood is zero at every draw of the prior.
        OutOfTime: the deadline came first.
    """
    v, value, log_start = _first(log_likelihood, dim, ensembles, walkers, random, start)
    rng = np.random.default_rng(random.randint(2**31))
    beta = 0.0
    while beta < 1.0:
        if time.monotonic() > deadline:
            raise OutOfTime(f"time was over with the starting points {beta:.1%} of the way")
        rise = _rise(value, 1.0 - beta, _KEEP * walkers)
        beta += rise
        chosen = [resample(rise * row, len(row), walkers, rng) for row in value]
        v = np.concatenate([block[index] for block, index in zip(v, chosen, strict=True)])
        sampler = ensemble_sampler(
            tempered(log_likelihood, beta, log_start), blocks=ensembles, walkers=walkers, dim=dim
        )
        sampler.random_state = random.get_state()
        end = sampler.run_mcmc(v, _STEPS, store=False, skip_initial_state_check=True)
        random.set_state(sampler.random_state)
        value = ((end.log_prob - log_start(end.coords)) / beta).reshape(ensembles, -1)
        v = end.coords.reshape(ensembles, walkers, dim)
        if progress:
            progress(beta)
    return v.reshape(-1, dim)


def standard_normal(v: Array) -> Array:
    """Log density of the prior in v, up to a constant."""
    return -0.5 * np.sum(v**2, -1)


def tempered(
    log_likelihood: LogDensity, beta: float = 1.0, log_start: LogDensity = standard_normal
) -> LogDensity:
    r"""Log density $\beta (\ln L(v) - |v|^2/2) + (1 - \beta) \ln q(v)$, up to a constant."""

    def log_density(v: Array) -> Array:
        value = beta * log_likelihood(v)
        if log_start is standard_normal:
            return value + standard_normal(v)
        return value + beta * standard_normal(v) + (1 - beta) * log_start(v)

    return log_density


def _first(
    log_likelihood: LogDensity,
    dim: int,
    ensembles: int,
    walkers: int,
    random: np.random.RandomState,
    start: Start | None,
) -> tuple[Array, Array, LogDensity]:
    """Draws (ensembles, n, dim), the log of target over q at them (ensembles, n), and ln q."""
    if start is not None:
        possible = np.flatnonzero(np.isfinite(start.log_likelihood))
        each = len(possible) // ensembles
        if each:
            chosen = random.permutation(possible)[: each * ensembles]
            v = start.v[chosen]
            value = start.log_likelihood[chosen] + standard_normal(v) - start.log_density(v)
            shape = (ensembles, each)
            return v.reshape(*shape, dim), value.reshape(shape), start.log_density
    v = random.standard_normal((ensembles, _PRIOR_DRAWS * walkers, dim))
    value = log_likelihood(v.reshape(-1, dim)).reshape(ensembles, -1)
    if not np.isfinite(value).any(axis=1).all():
        raise RuntimeError("the likelihood is zero at every draw of the prior; check the scenario")
    return v, value, standard_normal


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
