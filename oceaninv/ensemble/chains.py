"""Several independent ensembles of walkers (emcee), until they agree."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from oceaninv.ensemble.annealing import Start, anneal, tempered
from oceaninv.ensemble.checkpoint import Checkpoint
from oceaninv.ensemble.convergence import Convergence, convergence
from oceaninv.ensemble.draws import Array, ChainSettings, Draws, LogDensity, Progress
from oceaninv.ensemble.moves import ensemble_sampler
from oceaninv.errors import InputError

RHAT_LIMIT = 1.01
_THIN = 5  # steps between stored ones: far below any autocorrelation time met so far
_SEGMENT = 20  # stored steps between checkpoints
_FEWEST = 8  # stored steps at the end: the half that is judged needs four


def sample_ensembles(
    log_likelihood: LogDensity,
    dim: int,
    settings: ChainSettings,
    seed: int,
    checkpoint: Checkpoint | None = None,
    identity: dict[str, Any] | None = None,
    progress: Progress | None = None,
    start: Start | None = None,
) -> Draws:
    """Several independent ensembles (emcee), as long as it takes.

    The ensembles start from annealed draws of the prior, or of `start` (`anneal`), and move by
    steps towards a fitted Student distribution, differential evolution and snooker moves. After
    every segment the first 5 autocorrelation times (at most half of the run) are left out as
    burn-in and the rest is judged: the run ends when every unknown has the effective samples asked
    for and R-hat is at most 1.01, or at the greatest number of steps (a multiple of 5 not above
    `max_steps`), then with a warning.

    Args:
        log_likelihood: ln L at v (n, dim), as (n,).
        dim: number of unknowns.
        settings: length and width of the run.
        seed: of all randomness.
        checkpoint: where to keep the run; one that exists is gone on with.
        identity: what must be the same for a checkpoint to be gone on with.
        progress: called with (steps done, steps at most, how it stands).
        start: draws that are nearer to the posterior than those of the prior.

    Raises:
        InputError: settings that make no sense, or a checkpoint of another problem.
        OutOfTime: `max_seconds` were over before the walkers had come to the posterior.
    """
    deadline = time.monotonic() + settings.max_seconds
    walkers, longest = _walkers(settings, dim), _longest(settings)
    total = settings.ensembles * walkers
    identity = {**(identity or {}), "ensembles": settings.ensembles, "walkers": walkers}
    sampler = ensemble_sampler(
        tempered(log_likelihood), blocks=settings.ensembles, walkers=walkers, dim=dim
    )
    if checkpoint:
        checkpoint.claim(identity)
    if checkpoint and checkpoint.exists:
        chain, log_prob, sampler.random_state = checkpoint.load(identity)
        position = chain[-1]
    else:
        chain, log_prob = np.empty((0, total, dim)), np.empty((0, total))
        random = np.random.RandomState(seed)
        position = anneal(
            log_likelihood,
            dim,
            ensembles=settings.ensembles,
            walkers=walkers,
            random=random,
            start=start,
            deadline=deadline,
            progress=_annealing(progress, settings),
        )
        sampler.random_state = random.get_state()
        if checkpoint:
            checkpoint.start(identity, total, dim)

    burn_in, state, next_check = 0, None, _next_check(len(chain))
    while True:
        late = len(chain) > 0 and time.monotonic() > deadline
        if late or len(chain) >= min(next_check, longest):
            burn_in, state = _judge(chain, settings.ensembles)
            if progress:
                stands = f"R-hat {state.worst_rhat:.3f}, ESS {state.least_ess:.0f}"
                progress(len(chain) * _THIN, settings.max_steps, stands)
            if late or _enough(state, settings) or len(chain) >= longest:
                break
            next_check = _next_check(len(chain) + 1)
        sampler.reset()
        # The density at the position is not passed on but computed anew: so a resumed run, which
        # knows the position only, takes the very same path.
        for _ in sampler.sample(
            position,
            iterations=min(_SEGMENT, longest - len(chain)),
            thin_by=_THIN,
            skip_initial_state_check=True,
        ):
            if time.monotonic() > deadline:
                break
        block, block_log_prob = sampler.get_chain(), sampler.get_log_prob()
        position = block[-1]
        chain = np.concatenate([chain, block])
        log_prob = np.concatenate([log_prob, block_log_prob])
        if checkpoint:
            checkpoint.append(block, block_log_prob, sampler.random_state)

    converged = _enough(state, settings)
    if not converged:
        warnings.warn(
            f"the chain has not converged after {len(chain) * _THIN} steps: R-hat "
            f"{state.worst_rhat:.3f}, ESS {state.least_ess:.0f}; give it more steps",
            RuntimeWarning,
            stacklevel=2,
        )
    v, value = _keep(chain[burn_in:], log_prob[burn_in:], settings)
    return Draws(
        v=v,
        log_likelihood=value + 0.5 * np.sum(v**2, -1),
        chains=settings.ensembles,
        attributes={
            "rhat": state.worst_rhat,
            "ess": state.least_ess,
            "converged": int(converged),
            "steps": len(chain) * _THIN,
            "burn_in": burn_in * _THIN,
            "autocorrelation_time": float(state.autocorrelation_time.max()) * _THIN,
            "walkers": walkers,
        },
    )


def _walkers(settings: ChainSettings, dim: int) -> int:
    walkers = settings.walkers or max(32, 8 * dim)
    if walkers % 2 or walkers < max(8, 2 * dim):
        raise InputError(
            f"walkers: {walkers} is not an even number of at least {max(8, 2 * dim)} "
            f"(twice the {dim} unknowns); give one"
        )
    if settings.ensembles < 2:
        raise InputError(f"ensembles: {settings.ensembles} cannot be compared; give 2 or more")
    return walkers


def _longest(settings: ChainSettings) -> int:
    """Stored steps at which the run ends at the latest."""
    if settings.max_steps < _FEWEST * _THIN:
        raise InputError(
            f"max_steps: {settings.max_steps} are too few to judge whether chains have converged; "
            f"give {_FEWEST * _THIN} or more"
        )
    return settings.max_steps // _THIN


def _next_check(steps: int) -> int:
    """Stored steps at the first judgement not before `steps`, wherever the run was stopped."""
    check = 2 * _SEGMENT
    while check < steps:
        check = (int(1.2 * check) // _SEGMENT + 1) * _SEGMENT  # the next but a fifth, in segments
    return check


def _judge(chain: Array, ensembles: int) -> tuple[int, Convergence]:
    """Stored steps to leave out as burn-in, and how the rest stands."""
    half = len(chain) // 2
    slowest = convergence(chain[half:], ensembles).autocorrelation_time.max()
    burn_in = int(min(half, np.ceil(5 * slowest))) if np.isfinite(slowest) else half
    return burn_in, convergence(chain[burn_in:], ensembles)


def _enough(state: Convergence, settings: ChainSettings) -> bool:
    return state.worst_rhat <= RHAT_LIMIT and state.least_ess >= settings.effective_samples


def _keep(chain: Array, log_prob: Array, settings: ChainSettings) -> tuple[Array, Array]:
    """Evenly spread draws (n, d) and log densities (n,), ensemble after ensemble."""
    steps, total, dim = chain.shape
    count = min(steps, max(1, settings.samples // total))
    rows = np.linspace(0, steps - 1, count).round().astype(int)
    blocks = chain[rows].reshape(count, settings.ensembles, -1, dim).swapaxes(0, 1)
    values = log_prob[rows].reshape(count, settings.ensembles, -1).swapaxes(0, 1)
    return np.ascontiguousarray(blocks.reshape(-1, dim)), values.ravel()


def _annealing(
    progress: Progress | None, settings: ChainSettings
) -> Callable[[float], None] | None:
    if progress is None:
        return None
    return lambda beta: progress(0, settings.max_steps, f"starting points, {100 * beta:.3g} %")
