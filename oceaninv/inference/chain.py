"""Markov chains from where re-weighting gave up: what `infer` goes on to by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from oceaninv.ensemble.annealing import OutOfTime, Start
from oceaninv.ensemble.chains import sample_ensembles
from oceaninv.ensemble.draws import Array, ChainSettings, Draws, Progress
from oceaninv.inference.importance import WeightedDraws

ENOUGH = 1000  # effective draws of every unknown, at which a chain ends


def chain_from(
    draws: WeightedDraws,
    log_likelihood: Callable[[Tensor], Tensor],
    *,
    samples: int,
    effective_samples: float,
    seed: int,
    max_seconds: float,
    progress: Progress | None = None,
) -> Draws | str:
    r"""Chains of the exact posterior that start from importance draws.

    Each of four ensembles of walkers has its own quarter of the draws and leads them from what
    they were drawn from, q, to the posterior, through the targets
    $q(v)^{1-\beta} (N(v; 0, I)\, L(v))^\beta$ (`anneal`): weights so uneven that few draws carry
    them all are taken in steps that leave half of the walkers each. What q proposes rarely is thus
    found by the walkers' moves, where weights could only wait for a lucky draw.

    Args:
        draws: importance draws of at least one likelihood above zero.
        log_likelihood: ln L at v (n, d), as (n,); -inf or NaN where there is none.
        samples: number of draws kept, at most.
        effective_samples: the chain ends with as many, and at the latest with 1000.
        seed: of all randomness.
        max_seconds: it ends after this time at the latest.
        progress: called with (steps done, steps at most, how it stands).

    Returns:
        The draws, with `converged` 1 or 0, R-hat and `n_likelihoods`; or, where the time was over
        before the walkers had come to the posterior, a few words on how far they came.
    """
    counted = 0

    def of_v(v: Array) -> Array:
        nonlocal counted
        counted += len(v)
        value = log_likelihood(torch.from_numpy(v))
        return torch.where(torch.isnan(value), -torch.inf, value).numpy()

    start = Start(
        draws.v.numpy(),
        draws.log_likelihood.numpy(),
        lambda v: draws.log_proposal(torch.from_numpy(v)).numpy(),
    )
    settings = ChainSettings(
        effective_samples=int(min(effective_samples, ENOUGH)),
        samples=samples,
        max_seconds=max_seconds,
    )
    dim = draws.v.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # told by the caller
        try:
            chain = sample_ensembles(of_v, dim, settings, seed, progress=progress, start=start)
        except OutOfTime as error:
            return str(error)
    return replace(chain, attributes={**chain.attributes, "n_likelihoods": counted})
