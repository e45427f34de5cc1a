"""Reference posteriors over the same likelihood and prior, by samplers that know no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from oceaninv.ensemble.chains import sample_ensembles
from oceaninv.ensemble.checkpoint import Checkpoint
from oceaninv.ensemble.draws import Array, ChainSettings, Progress, Sampler
from oceaninv.ensemble.nested import sample_nested
from oceaninv.errors import InputError
from oceaninv.likelihood import log_likelihood as make_log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.posterior import Posterior, data_hash, make_posterior, write_posterior
from oceaninv.scenario import Scenario

#: Samplers by name.
SAMPLERS: dict[str, Sampler] = {"emcee": sample_ensembles, "nautilus": sample_nested}
_METHODS = {"emcee": "MCMC (emcee)", "nautilus": "nested sampling (nautilus)"}


def mcmc(
    measurement: Measurement,
    scenario: Scenario,
    *,
    sampler: str = "emcee",
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    settings: ChainSettings | None = None,
    progress: Progress | None = None,
) -> Posterior:
    r"""Sample the exact posterior of a measurement.

    The samplers work in v, standard normal under the prior, where the target is
    $\ln L(\theta(v)) - |v|^2/2$; the prior's bounds need no care there.

    Args:
        measurement: the data.
        scenario: environment, prior and noise.
        sampler: a name in `SAMPLERS`.
        seed: of all randomness; equal seeds give equal draws.
        out: posterior file to write; a checkpoint `OUT.checkpoint/` lies beside it meanwhile.
        resume: go on with the checkpoint of `out`, if there is one.
        settings: length and width of the run.
        progress: called with (steps or effective samples done, those aimed at, how it stands).

    Returns:
        By "emcee" equally weighted draws with one chain for each ensemble, and attributes `rhat`
        (largest), `ess` (smallest), `converged` (1 or 0), `steps`, `burn_in`,
        `autocorrelation_time` (steps), `walkers` (of each ensemble), `n_likelihoods` (since the
        start, or the last resume). By "nautilus" weighted draws,
        with `log_evidence`, `log_evidence_error`, `ess`, `converged`, `n_likelihoods`,
        `live_points`, `shells`.

    Raises:
        InputError: an unknown sampler, settings that make no sense, or a checkpoint of another
            problem.
    """
    if sampler not in SAMPLERS:
        raise InputError(f"sampler: '{sampler}' is unknown; choose one of {', '.join(SAMPLERS)}")
    if resume and out is None:
        raise InputError("resume: there is no output file to go on with; give -o FILE")
    settings = settings or ChainSettings()
    of_theta = make_log_likelihood(scenario, measurement)
    prior = scenario.prior

    counted = 0

    def of_v(v: Array) -> Array:
        nonlocal counted
        counted += len(v)
        value = of_theta(prior.from_normal(torch.from_numpy(v))).numpy()
        return np.where(np.isnan(value), -np.inf, value)

    checkpoint = None if out is None else Checkpoint(Path(f"{out}.checkpoint"))
    identity = {
        "scenario": scenario.hash(),
        "measurement": data_hash(measurement),
        "sampler": sampler,
        "seed": seed,
    }
    if checkpoint and not resume:
        checkpoint.remove()
    draws = SAMPLERS[sampler](of_v, prior.dim, settings, seed, checkpoint, identity, progress)
    posterior = make_posterior(
        scenario,
        measurement,
        prior.from_normal(torch.from_numpy(draws.v)),
        log_likelihood=draws.log_likelihood,
        log_weight=draws.log_weight,
        method=_METHODS[sampler],
        seed=seed,
        chains=draws.chains,
        attributes={"n_likelihoods": counted, **draws.attributes},
    )
    if out is not None:
        write_posterior(posterior, out)
    if checkpoint:
        checkpoint.remove()
    return posterior
