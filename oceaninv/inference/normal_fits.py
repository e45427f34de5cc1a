"""A normal fit to each measurement as the network's guess: Gauss-Newton on the exact physics.

With many unknowns no set of references is dense enough to lie where the posterior is, but a network
that has learned a normal posterior points near it. From there Gauss-Newton steps find the most
probable unknowns, and the curvature there says how far the data leave them free. The second
network then need only learn what this guess misses: where it went astray, and what is not normal.

Sources: A. Tarantola, Inverse Problem Theory (2005), sec. 3.2.1 (the steps); K. Levenberg, Q. Appl.
Math. 2, 164 (1944) (their damping).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from oceaninv.inference.estimator import Conditions, Estimator
from oceaninv.inference.guesses import guess_size, normal_guess
from oceaninv.measurement import scenario_noise
from oceaninv.measurement.noise import ComplexNoise
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import correlation_length, predict, predict_neighbours

_STEP = 1e-3  # of a normal score, for differences
_FURTHEST = 4.0  # normal scores: 1 in 30,000 of the prior is beyond
_DAMPING, _LESS, _MORE = 0.03, 0.3, 10.0
_SMALL = 0.05  # nats: a step that gains less is the last
_STUCK = 1e3  # damping under which nothing moves
_DRAWS_EACH = 10  # draws of the first network for each further fit
_AT_A_TIME = 512


@dataclass(frozen=True, eq=False)
class NormalFits:
    """Where Gauss-Newton begins and how long it goes on.

    Attributes:
        scenario: the physics and the noise model.
        first: a network whose most probable unknowns are the start.
        steps: largest number of steps, each with the derivatives by every unknown.
        others: further fits of the same data, of which the best is kept. They begin where draws of
            the first network are most probable.
    """

    scenario: Scenario
    first: Estimator
    steps: int
    others: int = 0

    @property
    def n_guesses(self) -> int:
        """How many guesses the features end with: the fit, and the prior."""
        return 2

    def seen(self, own: Tensor, data: Tensor, n_snapshots: int | None = None) -> Tensor:
        """What the second network sees of data (n, K, F, R) complex, whose own features are `own`.

        The data may be K columns that stand for other ``n_snapshots``, see `normal_fit`.

        Returns:
            (n, m) float32: where the fit began; how well it fits: its log posterior density, what
            that gained over the start, and the share of the power of each tone that it leaves; how
            wide and how correlated it is; and the two guesses of `normal_guess`.
        """
        parts = [
            self._seen(some, of_data, n_snapshots)
            for some, of_data in zip(own.split(_AT_A_TIME), data.split(_AT_A_TIME), strict=True)
        ]
        return torch.cat(parts)

    @torch.no_grad()
    def fitted(
        self, own: Tensor, data: Tensor, n_snapshots: int | None = None
    ) -> tuple[Tensor, Fit]:
        """Where the fits of data (n, K, F, R), of features `own`, begin (n, d), and the fits.

        The data may be K columns that stand for other ``n_snapshots``, see `normal_fit`.
        """
        conditions = self.first.condition(own)
        start = most_probable(self.first, conditions)
        if self.others:
            return start, self._best(data, start, conditions, n_snapshots)
        return start, normal_fit(self.scenario, data, start, self.steps, n_snapshots)

    def _seen(self, own: Tensor, data: Tensor, n_snapshots: int | None) -> Tensor:
        start, fit = self.fitted(own, data, n_snapshots)
        guess, _ = normal_guess(fit.mean, fit.covariance)
        prior = guess.new_zeros(len(guess), guess_size(start.shape[1]))
        sd = fit.covariance.diagonal(dim1=1, dim2=2).sqrt()
        rows, columns = torch.tril_indices(sd.shape[1], sd.shape[1], -1)
        # bounded, as what the guess has of it is not
        correlation = fit.covariance[:, rows, columns] / (sd[:, rows] * sd[:, columns])
        quality = [fit.density[:, None], fit.gain[:, None], fit.left.log()]
        told = [start, *quality, sd.log(), correlation]
        return torch.cat([part.float() for part in [*told, guess, prior]], -1)

    def _best(
        self, data: Tensor, start: Tensor, conditions: Conditions, n_snapshots: int | None
    ) -> Fit:
        """Of fits from `start` and from draws the one of highest density, its gain over `start`."""
        n, count = len(data), self.others * _DRAWS_EACH
        many = Conditions(*(part.expand(n, *part.shape[1:]) for part in conditions))
        many = Conditions(*(part.repeat_interleave(count, 0) for part in many))
        drawn = self.first.draw(many, torch.Generator().manual_seed(0)).double()
        drawn = drawn.clamp(-_FURTHEST, _FURTHEST).unflatten(0, (n, count))
        density = log_posterior_density(self.scenario, data, drawn, n_snapshots)
        index = density.topk(self.others).indices[..., None].expand(-1, -1, drawn.shape[-1])
        starts = torch.cat([start[:, None].double(), drawn.gather(1, index)], 1)
        fits = normal_fit(
            self.scenario,
            data.repeat_interleave(starts.shape[1], 0),
            starts.flatten(0, 1),
            self.steps,
            n_snapshots,
        )
        fits = Fit(*(part.unflatten(0, (n, -1)) for part in fits))
        best = torch.arange(n), fits.density.argmax(1)
        begun = fits.density[:, 0] - fits.gain[:, 0]
        fit = Fit(*(part[best] for part in fits))
        return fit._replace(gain=fit.density - begun)


class Fit(NamedTuple):
    """Normal fits of n measurements.

    Attributes:
        mean: (n, d) normal scores of the unknowns.
        covariance: (n, d, d).
        density: log posterior density at the mean (n,), but for a constant.
        gain: what was added to it since the start, (n,).
        left: share of the power of each tone that the fit does not explain, (n, F).
    """

    mean: Tensor
    covariance: Tensor
    density: Tensor
    gain: Tensor
    left: Tensor


def most_probable(network: Estimator, conditions: Conditions) -> Tensor:
    """Normal scores (n, d) at the middle of a network's posterior: those of the latent 0."""
    context = conditions.context
    middle = context.new_zeros(len(context), network.flow.dim)
    return conditions.colour(network.flow.inverse(middle, context)[0])


def normal_fit(
    scenario: Scenario,
    data: Tensor,
    start: Tensor,
    steps: int,
    n_snapshots: int | None = None,
) -> Fit:
    """Gauss-Newton from `start`, damped where it overshoots, under the prior N(0, I) of v.

    The amplitude of each tone and snapshot is projected out. Its noise is taken for what is left at
    the last point, so that a poor fit trusts the data less and goes less far.

    Args:
        scenario: of complex pressure.
        data: (n, K, F, R) complex.
        start: (n, d) normal scores of the unknowns.
        steps: largest number of steps; a fit that gains no more takes fewer.
        n_snapshots: how many the data stand for, where they are the columns of a factor of a
            cross-spectral matrix; None: K.
    """
    v = start.double().clamp(-_FURTHEST, _FURTHEST)
    eye = torch.eye(v.shape[1], dtype=v.dtype)
    here = _linear(scenario, data, v, n_snapshots)
    begun = here.density.clone()
    damping = v.new_full((len(v),), _DAMPING)
    going = torch.arange(len(v))
    for _ in range(steps):
        if not len(going):
            break
        now = _Linear(*(values[going] for values in here))
        precision = now.information + eye
        extra = damping[going, None, None] * torch.diag_embed(precision.diagonal(dim1=1, dim2=2))
        move = torch.linalg.solve(precision + extra, (now.score - v[going])[..., None])[..., 0]
        trial = (v[going] + move).clamp(-_FURTHEST, _FURTHEST)
        there = _linear(scenario, data[going], trial, n_snapshots)
        better = there.density > now.density
        gained = going[better]
        v[gained] = trial[better]
        for old, new in zip(here, there, strict=True):
            old[gained] = new[better]
        damping[going] *= torch.where(better, _LESS, _MORE).to(v.dtype)
        small = torch.where(better, there.density - now.density < _SMALL, damping[going] > _STUCK)
        going = going[~small]
    covariance = torch.linalg.inv(here.information + eye)
    covariance = 0.5 * (covariance + covariance.mT)
    return Fit(v, covariance, here.density, here.density - begun, here.left)


def log_posterior_density(
    scenario: Scenario, data: Tensor, v: Tensor, n_snapshots: int | None = None
) -> Tensor:
    """Log posterior density (n, k), but for a constant of each row, of v (n, k, d).

    Args:
        scenario: of complex pressure.
        data: (n, K, F, R) complex.
        v: normal scores of the unknowns, float64.
        n_snapshots: as of `normal_fit`.
    """
    n, k = v.shape[:2]
    theta = scenario.prior.from_normal(v.flatten(0, 1))
    replica = predict(scenario, theta)
    length = correlation_length(scenario, theta)
    factor, snapshots = _factor(data, n_snapshots)
    factor = factor.to(replica.dtype).repeat_interleave(k, 0)
    likelihood = _noise_of(scenario).log_likelihood(factor, replica, length, snapshots)
    return likelihood.view(n, k) - 0.5 * v.square().sum(-1)


class _Linear(NamedTuple):
    """Log posterior density (n,); score (n, d), information (n, d, d) and left (n, F) of data."""

    density: Tensor
    score: Tensor
    information: Tensor
    left: Tensor


def _linear(scenario: Scenario, data: Tensor, v: Tensor, n_snapshots: int | None) -> _Linear:
    """The data about v (n, d), from the replicas there and their differences."""
    noise, prior = _noise_of(scenario), scenario.prior
    n, d = v.shape
    near = v[:, None] + torch.cat([v.new_zeros(1, d), _STEP * torch.eye(d, dtype=v.dtype)])
    theta = prior.from_normal(near.flatten(0, 1)).unflatten(0, (n, d + 1))
    replica = predict_neighbours(scenario, theta)
    length = correlation_length(scenario, theta[:, 0])
    factor, k = _factor(data, n_snapshots)
    factor = factor.to(replica.dtype)
    density = noise.log_likelihood(factor, replica[:, 0], length, k) - 0.5 * v.square().sum(-1)

    finite = torch.isfinite(replica.abs()).flatten(1).all(1)
    replica = torch.where(finite[:, None, None, None], replica, 1.0)
    white = noise.covariance.whiten(replica[:, 0], length[:, None])[:, None]  # (n, 1, F, R)
    change = (replica[:, 1:] - replica[:, :1]) / _STEP
    change = noise.covariance.whiten(change, length[:, None, None])  # (n, d, F, R)
    x = k**0.5 * factor.permute(0, 3, 1, 2)
    x = noise.covariance.whiten(x, length[:, None, None])  # (n, K, F, R)
    power = white.abs().square().sum(-1, keepdim=True)
    amplitude = (white.conj() * x).sum(-1, keepdim=True) / power
    residual = x - amplitude * white
    left = residual.abs().square().sum((1, -1))
    variance = left / (k * (x.shape[-1] - 1))
    across = change - white * (white.conj() * change).sum(-1, keepdim=True) / power
    scale = variance.sqrt()[:, None, None, :, None]
    slope = across[:, :, None] * amplitude[:, None] / scale  # (n, d, K, F, R)
    slope = torch.view_as_real(slope).flatten(2)
    rest = torch.view_as_real(residual / scale[:, 0]).flatten(1)
    information = 2 * slope @ slope.mT
    score = 2 * (slope @ rest[..., None])[..., 0]
    finite &= torch.isfinite(information).all(-1).all(-1) & torch.isfinite(score).all(-1)
    return _Linear(
        torch.where(finite, density, -torch.inf),
        torch.where(finite[:, None], score, 0.0),
        torch.where(finite[:, None, None], information, 0.0),
        left / x.abs().square().sum((1, -1)),
    )


def _noise_of(scenario: Scenario) -> ComplexNoise:
    noise = scenario_noise(scenario)
    assert isinstance(noise, ComplexNoise)  # `first_network` has refused levels
    return noise


def _factor(data: Tensor, n_snapshots: int | None) -> tuple[Tensor, int]:
    """(n, F, R, K) whose square is the sample cross-spectral matrix, and of how many snapshots.

    Snapshots (n, K, F, R) are K; columns that stand for ``n_snapshots`` are that factor already.
    """
    factor = data.permute(0, 2, 3, 1)
    if n_snapshots is None:
        return factor / data.shape[1] ** 0.5, data.shape[1]
    return factor, n_snapshots
