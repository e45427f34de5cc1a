"""`infer`: from a measurement to its posterior, re-weighted to the exact likelihood.

Where the weights are too uneven to be relied on, Markov chains go on from the draws. A posterior
that passed no check says so in its `warning`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from oceaninv.ensemble.draws import Draws, Progress
from oceaninv.errors import InputError
from oceaninv.inference.chain import LOW_EFFICIENCY, go_on_from, unreliable
from oceaninv.inference.importance import sample_importance
from oceaninv.inference.model import Model, list_models
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement, read_measurement
from oceaninv.posterior import Posterior, make_posterior
from oceaninv.weighted import psis, thin

_MEND = "give it more time by --max-seconds, or confirm it by mcmc"


class InferenceError(RuntimeError):
    """Sampling ran and found nothing that explains the data."""


def infer(
    measurement: Measurement | str | Path,
    *,
    model: Model | str | Path | None = None,
    samples: int = 10_000,
    raw: bool = False,
    seed: int = 0,
    effective_samples: float = 2000,
    max_seconds: float = 40.0,
    max_draws: int = 500_000,
    progress: Progress | None = None,
) -> Posterior:
    """Posterior of a measurement by a trained network and importance sampling.

    The network proposes, the exact likelihood weighs (`importance`): the result does not depend
    on how well the network was trained, only the number of likelihoods does. The largest weights
    are smoothed (`psis`). Where fewer than 200 effective draws or 1 % are left, or the
    largest weights have a heavy tail (Pareto k above 0.7), Markov chains go on from the draws and a
    mixture fitted to theirs is re-weighted, or, if that does not help either, they go on until
    R-hat is below 1.01 (`go_on_from`).

    Args:
        measurement: the data, or their netCDF file.
        model: a model, the name of a built-in one, or a directory of `train`; None: the built-in
            one of the scenario that the measurement names.
        samples: number of draws kept; with weights, about as many.
        raw: keep the network's draws as they are; no likelihood is computed.
        seed: of all randomness.
        effective_samples: effective sample size at which sampling ends.
        max_seconds: time after which it ends at the latest (not with `raw`), or twice that where
            chains go on.
        max_draws: number of likelihoods after which a re-weighting ends at the latest; chains may
            take more.
        progress: called with (effective sample size, its target, text).

    Returns:
        Posterior with attributes `reliable` (1 or 0), `sample_efficiency`,
        `effective_sample_size`, `log_evidence`, `log_evidence_error` (of the weights before
        smoothing), `network_efficiency` (of the network alone, or beside the normal fit of several
        snapshots), `pareto_k`, `n_draws`, `n_likelihoods`, `model`. The weights before smoothing
        are `log_weight_raw` in `sample_stats`. Where chains went on, `fallback` says why and what
        became of it; where the draws are theirs, these have no weights, `rhat`, `ess`, `steps`,
        `burn_in` and `walkers` are as of `mcmc`, `effective_sample_size` is `ess`, and efficiency,
        k and evidence remain those of the weights. `warning` is one sentence on why the result is
        not to be relied on, where `reliable` is 0. With `raw` there are no weights, nothing is
        checked and the log-likelihood is NaN.

    Raises:
        InputError: no model, or one that is not for this measurement; `samples` or `max_draws`
            below 1, or a seed that is not from 0 to 2**32 - 1.
        InferenceError: every draw has likelihood zero.
    """
    if not isinstance(measurement, Measurement):
        measurement = read_measurement(measurement)
    if not isinstance(model, Model):
        model = Model.load(_model_of(measurement) if model is None else model)
    if samples < 1:
        raise InputError(f"samples: {samples} is too few; ask for at least 1")
    if max_draws < 1:
        raise InputError(f"max_draws: {max_draws} is too few; allow at least 1")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed: {seed} is no seed; give one from 0 to 2**32 - 1")
    scenario, prior = model.scenario, model.scenario.prior
    generator = torch.Generator().manual_seed(seed)
    attributes: dict[str, str | float | int] = {"model": model.name}

    if raw:
        return make_posterior(
            scenario,
            measurement,
            model.sample(measurement, samples, generator)[0],
            log_likelihood=torch.full((samples,), math.nan, dtype=torch.float64),
            method=f"{model.family}, not re-weighted",
            seed=seed,
            attributes={**attributes, "n_draws": samples, "n_likelihoods": 0},
        )

    proposal = model.proposal(measurement)
    of_theta = log_likelihood(scenario, measurement)

    counted = 0

    def of_v(v: Tensor) -> Tensor:
        nonlocal counted
        counted += len(v)
        return of_theta(prior.from_normal(v))

    def report(n: int, size: float) -> None:
        if progress:
            done = int(min(size, effective_samples))
            progress(done, int(effective_samples), f"{n} likelihoods")

    begun = time.monotonic()
    draws = sample_importance(
        of_v,
        proposal,
        prior.dim,
        target=effective_samples,
        max_draws=max_draws,
        round_size=1024,  # small, so that a slow likelihood leaves time to learn
        max_seconds=max_seconds,
        least_efficiency=LOW_EFFICIENCY,
        generator=generator,
        report=report,
        fitted=model.fitted_proposal(measurement),
    )
    if draws.effective_sample_size == 0:
        raise InferenceError(
            f"{measurement.name}: none of {draws.n_likelihoods} draws has a likelihood above zero "
            f"under {scenario.name}; check the scenario against the data"
        )
    attributes["network_efficiency"] = draws.proposal_efficiency
    chain: Draws | str | None = None
    if reason := unreliable(draws):
        draws, chain = go_on_from(
            draws,
            of_v,
            proposal,
            samples=samples,
            effective_samples=effective_samples,
            seed=seed,
            max_draws=max_draws,
            max_seconds=begun + 2 * max_seconds - time.monotonic(),
            report=report,
            progress=progress,
        )
        told = reason[0].upper() + reason[1:]
        ended = ", and a mixture fitted to theirs was re-weighted" if chain is None else ""
        attributes["fallback"] = f"{told}: Markov chains went on from the draws{ended}."
        reason = unreliable(draws)
    raw_weight = draws.log_weight.numpy()
    smoothed, tail = psis(raw_weight)
    attributes |= {
        "sample_efficiency": draws.sample_efficiency,
        "effective_sample_size": draws.effective_sample_size,
        "log_evidence": draws.log_evidence,
        "log_evidence_error": draws.log_evidence_error,
        "pareto_k": tail,
        "n_draws": len(draws.v),
        "n_likelihoods": counted,
        "n_fits": draws.n_fits,
    }
    if isinstance(chain, Draws):
        attributes |= _of_chains(chain, str(reason))
        return make_posterior(
            scenario,
            measurement,
            prior.from_normal(torch.from_numpy(chain.v)),
            log_likelihood=chain.log_likelihood,
            method=f"{model.family} + MCMC (emcee)",
            seed=seed,
            chains=chain.chains,
            attributes=attributes,
        )
    attributes["reliable"] = int(reason is None)
    if reason:
        attributes["warning"] = (
            f"No reliable posterior: {reason}, and for the Markov chains that went on from them "
            f"{chain}; {_MEND}."
        )
    kept, log_weight = thin(smoothed, samples, np.random.default_rng([seed, 2]))
    # What smoothing took from a weight; where there is no weight it had nothing to take.
    taken = np.subtract(raw_weight, smoothed, out=np.zeros(len(smoothed)), where=smoothed > -np.inf)
    return make_posterior(
        scenario,
        measurement,
        prior.from_normal(draws.v[kept]),
        log_likelihood=draws.log_likelihood[kept],
        log_weight=log_weight,
        sample_stats={"log_weight_raw": log_weight + taken[kept]},
        method=f"{model.family} + importance re-weighting",
        seed=seed,
        attributes=attributes,
    )


def _of_chains(chain: Draws, reason: str) -> dict[str, str | float | int]:
    """What a posterior by chains says of itself, beyond what its weights said."""
    of = chain.attributes
    told: dict[str, str | float | int] = {k: v for k, v in of.items() if k != "converged"}
    told["effective_sample_size"] = of["ess"]
    told["reliable"] = of["converged"]
    if not of["converged"]:
        told["warning"] = (
            f"No reliable posterior: {reason}, and the Markov chains that went on from them had "
            f"not converged after {of['steps']} steps (R-hat {of['rhat']:.2f}, {of['ess']:.0f} "
            f"effective draws); {_MEND}."
        )
    return told


def _model_of(measurement: Measurement) -> str:
    """Name of the built-in model of the scenario that a measurement names."""
    known = list_models()
    named = measurement.attributes.get("scenario")
    if named in known:
        return str(named)
    said = f"'{named}' has no built-in model" if named else "is not stated"
    raise InputError(
        f"{measurement.name}: scenario: {said}; choose a model by --model: a directory of "
        f"`oceaninv train`, or a built-in one ({', '.join(known) or 'none'})"
    )
