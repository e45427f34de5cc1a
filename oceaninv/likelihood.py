"""The likelihood of a measurement under a scenario, and how well replicas fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from oceaninv.measurement.data import Measurement, match_scenario
from oceaninv.measurement.noise import ComplexNoise, LevelNoise, csdm_factor, scenario_noise
from oceaninv.scenario.predict import correlation_length, predict
from oceaninv.scenario.schema import Scenario

_CHUNK = 1024  # parameter vectors at a time, for memory
_STREAM = 0xF17CA  # keeps candidates apart from the truth of `synthesize` with the same seed
_FAR_BETTER = 8.0  # difference of log likelihoods, a factor of 3000
# Ratio of mismatches. Of 200 measurements drawn from swellex96-2p none was called conjugated, of
# their conjugates all were; of 1000 of another source or ocean than the scenario's none was.
_FAR_LESS = 0.6


@dataclass(frozen=True)
class Likelihood:
    """ln p(measurement | theta), source and noise level integrated out: see the noise models.

    Attributes:
        scenario: the physics and the noise model.
        noise: the noise model of the scenario.
        data: factor of the cross-spectral matrix (F, R, r) complex128, or levels (F, P) float64.
        n_snapshots: independent snapshots behind the data.
    """

    scenario: Scenario
    noise: ComplexNoise | LevelNoise
    data: Tensor
    n_snapshots: int

    def __call__(self, theta: Tensor) -> Tensor:
        """Log likelihood (n,) of theta (n, d); -inf where no mode propagates."""
        parts = [
            self.of_replica(predict(self.scenario, part), part)
            for part in theta.to(torch.float64).split(_CHUNK)
        ]
        return torch.cat(parts)

    def of_replica(self, replica: Tensor, theta: Tensor) -> Tensor:
        """The same from the noise-free data `predict(scenario, theta)`, where they are at hand."""
        length = correlation_length(self.scenario, theta)
        if isinstance(self.noise, ComplexNoise):
            return self.noise.log_likelihood(self.data, replica, length, self.n_snapshots)
        return self.noise.log_likelihood(self.data, replica, length)


def log_likelihood(scenario: Scenario, measurement: Measurement) -> Likelihood:
    """The log likelihood of a measurement as a function of theta (n, d), giving (n,).

    Raises:
        InputError: the measurement's tones, receivers or kind are not those of the scenario.
    """
    matched = match_scenario(measurement, scenario)
    if matched.kind == "pressure":
        data = matched.data.permute(1, 2, 0) / math.sqrt(len(matched.data))
    else:
        data = csdm_factor(matched.data) if matched.kind == "csdm" else matched.data
    return Likelihood(scenario, scenario_noise(scenario), data, matched.n_snapshots)


def log_posterior(scenario: Scenario, measurement: Measurement) -> Callable[[Tensor], Tensor]:
    """The unnormalised log posterior density of theta (n, d) as (n,); -inf outside the prior.

    Raises:
        InputError: as `log_likelihood`.
    """
    likelihood, prior = log_likelihood(scenario, measurement), scenario.prior

    def evaluate(theta: Tensor) -> Tensor:
        value = prior.log_prob(theta)
        inside = torch.isfinite(value)
        if inside.any():
            value[inside] += likelihood(theta[inside])
        return value

    return evaluate


def bartlett_mismatch(scenario: Scenario, measurement: Measurement, replica: Tensor) -> Tensor:
    r"""Bartlett mismatch per tone, $1 - g^\dagger \hat R g / (\|g\|^2 \mathrm{tr} \hat R)$.

    0 is a perfect fit in shape and 1 none; no noise model enters.

    Args:
        scenario: gives the order of tones and receivers.
        measurement: pressure or csdm.
        replica: (n, F, R) complex, from `predict`.

    Returns:
        (n, F).

    Source: A. B. Baggeroer, W. A. Kuperman and P. N. Mikhalevsky, IEEE J. Ocean. Eng. 18, 401
    (1993).
    """
    csdm = match_scenario(measurement, scenario).csdm
    power = torch.einsum("nfi,fij,nfj->nf", replica.conj(), csdm, replica).real
    trace = torch.diagonal(csdm, dim1=-2, dim2=-1).real.sum(-1)
    return 1 - power / (replica.abs().square().sum(-1) * trace)


def conjugate_hint(
    scenario: Scenario, measurement: Measurement, theta: Tensor, replica: Tensor | None = None
) -> str | None:
    """One sentence where the conjugate of the data fits far better, or None.

    A wrong `time_convention` gives a plausible, wrong posterior. The best fits among the same
    candidates, to the data and to their conjugate, are compared.

    Args:
        scenario: the physics and the noise model.
        measurement: the data; levels have no phase and get None.
        theta: (n, d) candidates fair to both readings: `fit_candidates`, or a network's draws
            given the data and given their conjugate.
        replica: (n, F, R), `predict(scenario, theta)` where it is at hand.
    """
    if measurement.kind == "transmission_loss":
        return None
    if replica is None:
        replica = predict(scenario, theta)
    likelihood = log_likelihood(scenario, measurement)
    conjugate = replace(likelihood, data=likelihood.data.conj().resolve_conj())
    as_declared = likelihood.of_replica(replica, theta)
    as_conjugate = conjugate.of_replica(replica, theta)
    gain = float(as_conjugate.max() - as_declared.max())
    if not gain > _FAR_BETTER:
        return None
    # Tones of low SNR, which neither reading fits, would rule the arithmetic mean.
    mismatch, other = (
        _geometric_mean(bartlett_mismatch(scenario, data, replica[best][None]))
        for data, best in (
            (measurement, int(as_declared.argmax())),
            (measurement.conjugate(), int(as_conjugate.argmax())),
        )
    )
    # Of two bad fits one is easily the better, by more with every phone and snapshot: the
    # conjugate has to explain the data, too.
    if other > _FAR_LESS * mismatch:
        return None
    return (
        f"{measurement.name}: the complex conjugate of the data fits far better (Bartlett mismatch "
        f"{other:.2f} instead of {mismatch:.2f}, log likelihood {gain:.0f} higher): "
        "time_convention is probably the other one"
    )


def _geometric_mean(mismatch: Tensor) -> float:
    """Of numbers that rounding may have made zero or less."""
    return float(mismatch.clamp_min(1e-12).log().mean().exp())


def fit_candidates(
    scenario: Scenario,
    measurement: Measurement,
    *,
    seed: int,
    n_prior: int = 1000,
    population: int = 64,
    generations: int = 15,
) -> Tensor:
    """Parameters (n, d) that fit the data or their conjugate well: a short search for each.

    Draws from the prior, and from the best of them differential evolution, in the space where
    the prior is standard normal.

    Source: R. Storn and K. Price, J. Global Optim. 11, 341 (1997), variant rand/1 without
    crossover.
    """
    rng = np.random.default_rng([seed, _STREAM])
    prior = scenario.prior
    theta = prior.sample(n_prior, rng)
    replica = predict(scenario, theta)
    found = [theta]
    for reading in (measurement, measurement.conjugate()):
        likelihood = log_likelihood(scenario, reading)
        fit = likelihood.of_replica(replica, theta)
        best = fit.argsort(descending=True)[:population]
        v, fit = prior.to_normal(theta[best]), fit[best]
        for _ in range(generations):
            a, b, c = (torch.from_numpy(rng.permutation(len(v))) for _ in range(3))
            step = torch.from_numpy(rng.uniform(0.4, 0.9, (len(v), 1)))
            trial = v[a] + step * (v[b] - v[c])
            trial_fit = likelihood(prior.from_normal(trial))
            better = trial_fit > fit
            v, fit = torch.where(better[:, None], trial, v), torch.where(better, trial_fit, fit)
        found.append(prior.from_normal(v))
    return torch.cat(found)
