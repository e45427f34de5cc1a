"""From where re-weighting gave up: Markov chains, which `infer` goes on to by itself."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from oceaninv.ensemble.annealing import OutOfTime, Start
from oceaninv.ensemble.chains import sample_ensembles
from oceaninv.ensemble.draws import Array, ChainSettings, Draws, Progress
from oceaninv.inference.importance import Proposal, Report, WeightedDraws, sample_importance
from oceaninv.inference.mixture import fit_mixture
from oceaninv.weighted import psis

ENOUGH = 1000  # effective draws of every unknown, at which a chain ends
LOW_EFFICIENCY = 0.01
FEW_DRAWS = 200
HEAVY_TAIL = 0.7
_WALKERS = 16  # by unknown: walkers of far modes hardly mix, and are then an effective draw each
# Steps of a chain that a mixture is fitted to: by unknown, and at least.
_SHORT, _SHORTEST = 8, 40
_FITTED_TO = 10_000  # draws at most
_LONG = 20_000


def unreliable(draws: WeightedDraws) -> str | None:
    """Why weighted draws are not to be relied on, in words; None if they are."""
    size = draws.effective_sample_size
    if draws.sample_efficiency < LOW_EFFICIENCY or size < FEW_DRAWS:
        return (
            f"re-weighting left {size:.0f} effective draws out of {len(draws.v)} "
            f"({draws.sample_efficiency:.2%})"
        )
    # Of weights that are nearly alike k may be as large, for it tells of the last few per cent
    # alone. How far it could be overlooked there nobody has shown, and to go on costs seconds.
    _, tail = psis(draws.log_weight.numpy())
    if tail > HEAVY_TAIL:
        return f"the largest weights have a heavy tail (Pareto k {tail:.2f}, above {HEAVY_TAIL})"
    return None


def go_on_from(
    draws: WeightedDraws,
    log_likelihood: Callable[[Tensor], Tensor],
    proposal: Proposal,
    *,
    samples: int,
    effective_samples: float,
    seed: int,
    max_draws: int,
    max_seconds: float,
    report: Report,
    progress: Progress | None = None,
) -> tuple[WeightedDraws, Draws | str | None]:
    """The posterior where importance draws are not to be relied on.

    Walkers are led from the draws to the posterior and move there for a few steps. A mixture fitted
    to theirs is then re-weighted: the walkers find what few draws ever hit, and the weights correct
    what so short a chain gets wrong, and tell the evidence. Where these weights are not to be
    relied on either, longer chains go on from them.

    Args:
        draws: importance draws of at least one likelihood above zero.
        log_likelihood: ln L at v (n, d), as (n,); -inf or NaN where there is none.
        proposal: what the draws came from; the mixture has it beside it.
        samples: number of draws of chains kept, at most.
        effective_samples: aimed at.
        seed: of all randomness.
        max_draws: likelihoods of the re-weighting, at most.
        max_seconds: it ends after this time at the latest.
        report: called after each round of the re-weighting.
        progress: called with (steps done, steps at most, how it stands) of chains.

    Returns:
        The last weighted draws, and None where they can be relied on; if not, what `chain_from`
        returned.
    """
    deadline = time.monotonic() + max_seconds

    def chain(start: WeightedDraws, max_steps: int, kept: int) -> Draws | str:
        return chain_from(
            start,
            log_likelihood,
            samples=kept,
            effective_samples=effective_samples,
            seed=seed,
            max_seconds=deadline - time.monotonic(),
            max_steps=max_steps,
            progress=progress,
        )

    short = chain(draws, max(_SHORT * draws.v.shape[1], _SHORTEST), _FITTED_TO)
    if isinstance(short, str):
        return draws, short
    generator = torch.Generator().manual_seed(seed + 1)
    v = torch.from_numpy(short.v)
    again = sample_importance(
        log_likelihood,
        fit_mixture(v, v.new_zeros(len(v)), generator),
        v.shape[1],
        target=effective_samples,
        round_size=1024,
        max_draws=max_draws,
        max_fits=0,
        max_seconds=0.5 * (deadline - time.monotonic()),
        least_efficiency=LOW_EFFICIENCY,
        generator=generator,
        report=report,
        fitted=proposal,
    )
    if unreliable(again) is None:
        return again, None
    return again, chain(again, _LONG, samples)


def chain_from(
    draws: WeightedDraws,
    log_likelihood: Callable[[Tensor], Tensor],
    *,
    samples: int,
    effective_samples: float,
    seed: int,
    max_seconds: float,
    max_steps: int,
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
        max_steps: and after as many steps.
        progress: called with (steps done, steps at most, how it stands).

    Returns:
        The draws, with `converged` 1 or 0 and R-hat; or, where the time was over before the
        walkers had come to the posterior, a few words on how far they came.
    """

    def of_v(v: Array) -> Array:
        value = log_likelihood(torch.from_numpy(v))
        return torch.where(torch.isnan(value), -torch.inf, value).numpy()

    start = Start(
        draws.v.numpy(),
        draws.log_likelihood.numpy(),
        lambda v: draws.log_proposal(torch.from_numpy(v)).numpy(),
    )
    settings = ChainSettings(
        walkers=max(32, _WALKERS * draws.v.shape[1]),
        effective_samples=int(min(effective_samples, ENOUGH)),
        samples=samples,
        max_steps=max_steps,
        max_seconds=max_seconds,
    )
    dim = draws.v.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # told by the caller
        try:
            return sample_ensembles(of_v, dim, settings, seed, progress=progress, start=start)
        except OutOfTime as error:
            return str(error)
