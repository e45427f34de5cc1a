"""`infer`: from a measurement to its posterior, re-weighted to the exact likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.inference.importance import sample_importance, thin
from oceaninv.inference.model import Model, list_models
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement, read_measurement
from oceaninv.posterior import Posterior, make_posterior
from oceaninv.weighted import pareto_k

Progress = Callable[[int, int, str], None]

LOW_EFFICIENCY = 0.01
FEW_DRAWS = 200
HEAVY_TAIL = 0.7


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
    on how well the network was trained, only the number of likelihoods does.

    Args:
        measurement: the data, or their netCDF file.
        model: a model, the name of a built-in one, or a directory of `train`; None: the built-in
            one of the scenario that the measurement names.
        samples: number of draws kept; with weights, about as many.
        raw: keep the network's draws as they are; no likelihood is computed.
        seed: of all randomness.
        effective_samples: effective sample size at which sampling ends.
        max_seconds: time after which it ends at the latest (not with `raw`).
        max_draws: number of likelihoods after which it ends at the latest.
        progress: called with (effective sample size, its target, text).

    Returns:
        Posterior with attributes `sample_efficiency`, `effective_sample_size`, `log_evidence`,
        `log_evidence_error`, `network_efficiency` (of the network alone), `pareto_k`, `n_draws`,
        `n_likelihoods`, `model`, and `warning` where the result is not to be relied on. With
        `raw` there are no weights and the log-likelihood is NaN.

    Raises:
        InputError: no model, or one that is not for this measurement.
        InferenceError: every draw has likelihood zero.
    """
    if not isinstance(measurement, Measurement):
        measurement = read_measurement(measurement)
    if not isinstance(model, Model):
        model = Model.load(_model_of(measurement) if model is None else model)
    if samples < 1:
        raise InputError(f"samples: {samples} is too few; ask for at least 1")
    scenario, prior = model.scenario, model.scenario.prior
    generator = torch.Generator().manual_seed(seed)
    proposal = model.proposal(measurement)
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

    of_theta = log_likelihood(scenario, measurement)

    def of_v(v: Tensor) -> Tensor:
        return of_theta(prior.from_normal(v))

    def report(n: int, size: float) -> None:
        if progress:
            done = int(min(size, effective_samples))
            progress(done, int(effective_samples), f"{n} likelihoods")

    draws = sample_importance(
        of_v,
        proposal,
        prior.dim,
        target=effective_samples,
        max_draws=max_draws,
        round_size=1024,  # small, so that a slow likelihood leaves time to learn
        max_seconds=max_seconds,
        generator=generator,
        report=report,
    )
    size = draws.effective_sample_size
    if size == 0:
        raise InferenceError(
            f"{measurement.name}: none of {draws.n_likelihoods} draws has a likelihood above zero "
            f"under {scenario.name}; check the scenario against the data"
        )
    attributes |= {
        "sample_efficiency": draws.sample_efficiency,
        "effective_sample_size": size,
        "log_evidence": draws.log_evidence,
        "log_evidence_error": draws.log_evidence_error,
        "network_efficiency": draws.proposal_efficiency,
        "pareto_k": pareto_k(draws.log_weight.numpy()),
        "n_draws": len(draws.v),
        "n_likelihoods": draws.n_likelihoods,
        "n_fits": draws.n_fits,
    }
    if draws.sample_efficiency < LOW_EFFICIENCY or size < FEW_DRAWS:
        attributes["warning"] = (
            f"Only {size:.0f} effective draws out of {len(draws.v)} "
            f"({draws.sample_efficiency:.2%}): the posterior and its evidence are rough, and "
            "parts of it may be missing; confirm it by mcmc."
        )
    elif float(attributes["pareto_k"]) > HEAVY_TAIL:
        attributes["warning"] = (
            f"A few draws carry most of the weight (Pareto k {attributes['pareto_k']:.2f}, above "
            f"{HEAVY_TAIL}): what the network rarely proposes may be missing; confirm it by mcmc."
        )
    kept, log_weight = thin(draws.log_weight, samples, generator)
    return make_posterior(
        scenario,
        measurement,
        prior.from_normal(draws.v[kept]),
        log_likelihood=draws.log_likelihood[kept],
        log_weight=log_weight,
        method=f"{model.family} + importance re-weighting",
        seed=seed,
        attributes=attributes,
    )


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
