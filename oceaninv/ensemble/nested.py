"""Importance nested sampling (nautilus): an independent second way to a posterior.

Where an ensemble of walkers may miss a mode that its starting points missed, nested sampling
closes in on the posterior from the whole prior, through shells of rising likelihood, and measures
the evidence on its way.

Source: J. U. Lange, nautilus: boosting Bayesian importance nested sampling with deep learning,
Mon. Not. R. Astron. Soc. 525, 3181 (2023).
"""

from __future__ import annotations

import math
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from oceaninv.ensemble.checkpoint import Checkpoint
from oceaninv.ensemble.draws import Array, ChainSettings, Draws, LogDensity, Progress
from oceaninv.errors import InputError
from oceaninv.weighted import thin

LIVE_POINTS = 2000  # nautilus' own default
NETWORKS = 1  # that bounds a shell within its ellipsoids; nautilus' 4 cost four times as much
BATCH = 100  # likelihoods in a step
_SEGMENT = 20  # steps between reports
_CHECKPOINT_SECONDS = 20.0
_V_MAX = 8.2  # as far as the normal distribution function can tell numbers from 0 and 1


def sample_nested(
    log_likelihood: LogDensity,
    dim: int,
    settings: ChainSettings,
    seed: int,
    checkpoint: Checkpoint | None = None,
    identity: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Draws:
    r"""Weighted draws of the posterior, and the evidence, by nautilus.

    Nautilus draws u evenly in the unit cube, $v = \Phi^{-1}(u)$. Once its shells $k$ of volume
    $V_k$ are built, the draws that they were built with are given up, because bounds that follow
    them bias the volumes, and each shell is drawn from anew until

    $$\mathrm{ESS} = \Big(\sum w\Big)^2 \Big/ \sum w^2, \quad w_i = L(v_i)\, V_{k(i)} / n_{k(i)}$$

    is met. The evidence is $Z = \sum w_i$ and the standard error of $\ln Z$ is
    $1/\sqrt{\mathrm{ESS}}$ (Lange 2023).

    Args:
        log_likelihood: ln L at v (n, dim), as (n,); -inf where the model fails.
        dim: number of unknowns, 2 or more.
        settings: `walkers` is the number of live points, `max_steps` counts batches of 100.
        seed: of all randomness.
        checkpoint: where to keep the run; one that exists is gone on with. It is nautilus' own
            HDF5 file of plain arrays, replaced in one step.
        identity: what must be the same for a checkpoint to be gone on with.
        progress: called with (effective sample size, that aimed at, how it stands).

    Returns:
        Draws with log weights, whose mean is the evidence where `samples` keeps them all, and
        attributes `log_evidence`, `log_evidence_error`, `effective_sample_size`, `ess` (the
        same), `sample_efficiency`, `converged`, `n_likelihoods`, `live_points`, `shells`.

    Raises:
        InputError: one unknown only, too few live points, or a checkpoint of another problem.
        RuntimeError: the likelihood is zero at every draw of the prior.
    """
    live = _live_points(settings, dim)
    identity = {**(identity or {}), "live_points": live}
    path = None if checkpoint is None else checkpoint.path / "nautilus.h5"
    if checkpoint:
        checkpoint.claim(identity)
    sampler = _sampler(log_likelihood, dim, live, seed, path)
    begun = saved = time.monotonic()
    last = settings.max_steps * BATCH
    done = False
    while not done and sampler.n_like < last and time.monotonic() - begun < settings.max_seconds:
        with np.errstate(invalid="ignore"):  # all of its first draws may have likelihood zero
            done = sampler.run(
                n_eff=settings.effective_samples,
                n_like_max=min(sampler.n_like + _SEGMENT * BATCH, last),
                timeout=max(settings.max_seconds - (time.monotonic() - begun), 0.0),
                discard_exploration=True,
            )
        # Its exploration is over, whose draws are given up, and those that count have not begun.
        begins = sampler.explored and sampler.log_z is None
        if not begins and not math.isfinite(-math.inf if sampler.log_z is None else sampler.log_z):
            raise RuntimeError(
                "the likelihood is zero at every draw of the prior; check the scenario"
            )
        if progress and not begins:
            size = int(min(_size(sampler), settings.effective_samples))
            progress(size, settings.effective_samples, _stands(sampler))
        if path and (done or time.monotonic() - saved > _CHECKPOINT_SECONDS):
            _write(sampler, path)
            saved = time.monotonic()
    if sampler.log_z is None:
        raise RuntimeError(
            f"nested sampling had only explored the prior after {sampler.n_like} likelihoods; give "
            "it more steps"
        )
    if not done:
        warnings.warn(
            f"nested sampling has not come to its end after {sampler.n_like} likelihoods: "
            f"{_stands(sampler)}; give it more steps",
            RuntimeWarning,
            stacklevel=2,
        )
    v, log_weight, value = sampler.posterior()
    # Their mean is the evidence, as with importance sampling.
    log_weight = log_weight + sampler.log_z + math.log(len(v))
    kept, thinned = thin(log_weight, settings.samples, np.random.default_rng([seed, 1]))
    return Draws(
        v=v[kept],
        log_likelihood=value[kept],
        log_weight=thinned,
        chains=1,
        attributes={
            "log_evidence": float(sampler.log_z),
            "log_evidence_error": 1 / math.sqrt(sampler.n_eff),
            "effective_sample_size": float(sampler.n_eff),
            "ess": float(sampler.n_eff),
            "sample_efficiency": float(sampler.n_eff) / len(v),
            "converged": int(done),
            "n_likelihoods": int(sampler.n_like),
            "live_points": live,
            "shells": len(sampler.bounds),
        },
    )


def _live_points(settings: ChainSettings, dim: int) -> int:
    live = settings.walkers or LIVE_POINTS
    if dim < 2:
        raise InputError("sampler: nautilus needs two unknowns or more; take emcee for one")
    if live < 2 * (dim + 50):
        raise InputError(
            f"walkers: {live} live points are too few for {dim} unknowns; give {2 * (dim + 50)} or "
            "more"
        )
    return live


def _sampler(log_likelihood: LogDensity, dim: int, live: int, seed: int, path: Path | None) -> Any:
    """A nautilus sampler; if there is a file, where that one stopped."""
    import nautilus  # brings scikit-learn with it, which takes a second

    try:
        sampler = nautilus.Sampler(
            _normal,
            log_likelihood,
            n_dim=dim,
            n_live=live,
            n_batch=BATCH,
            n_networks=NETWORKS,
            vectorized=True,
            seed=seed,
            filepath=path,
            resume=True,
        )
    except (LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read; start anew without --resume") from error
    # Nautilus would write into the file as it goes, and a kill in between leaves half of one.
    sampler.filepath = None
    return sampler


def _write(sampler: Any, path: Path) -> None:
    temporary = path.with_suffix(".tmp.h5")
    sampler.write(temporary, overwrite=True)
    os.replace(temporary, path)


def _normal(u: Array) -> Array:
    """The unit cube in normal scores."""
    return np.clip(ndtri(u), -_V_MAX, _V_MAX)


def _size(sampler: Any) -> float:
    """Effective sample size; 0 while the shells are being built."""
    return float(sampler.n_eff) if sampler.explored else 0.0


def _stands(sampler: Any) -> str:
    if sampler.explored:
        return f"log evidence {sampler.log_z:.2f}, ESS {sampler.n_eff:.0f}"
    return f"exploring, {sampler.f_live:.1%} of the evidence still among the live points"
