"""Matched-field processing as the network's first guess of the posterior.

The data are compared with K reference replicas that fill the prior evenly. Their likelihoods,
tempered, give a mean and a spread of each unknown without any training; the network starts from
these and learns what they miss. All of it is a fixed function of the data, and does not depend on
the amplitude and phase of the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.measurement import scenario_noise
from oceaninv.measurement.noise import ComplexNoise, LevelNoise
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import correlation_length, predict

# A likelihood raised to 1/T is wider by sqrt(T): with many unknowns no reference is near the
# truth, and only a high temperature finds several.
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
MAP_TEMPERATURE = 4.0
_MAP_POINTS = 1024  # references whose likelihoods the network sees one by one
_MIN_SPREAD = 3e-3  # of a guess; 1 is the prior's


@dataclass(frozen=True, eq=False)
class MatchedField:
    """References and how to compare data with them.

    Attributes:
        points: normal scores of the references, (K, d) float32.
        replica: their noise-free data, (K, F, R) complex64, or (K, F, P) float32 levels.
        compare: data (n, snapshots, F, R), or levels (n, F, P), to log likelihoods (n, K) but
            for a constant, at the median of the prior of the noise.
    """

    points: Tensor
    replica: Tensor
    compare: Callable[[Tensor], Tensor]

    @property
    def n_guesses(self) -> int:
        """How many guesses `features` ends with: one for each temperature, and the prior."""
        return len(TEMPERATURES) + 1

    def features(self, data: Tensor) -> Tensor:
        """What the references say, as numbers for the network.

        Returns:
            (n, m) float32: the tempered likelihoods of the first references, relative to the
            best; correlations at each temperature; last the guesses, (n_guesses, 2, d) flattened:
            mean and logarithm of the standard deviation of the normal scores.
        """
        log_likelihood = self.compare(data)
        log_likelihood = log_likelihood - log_likelihood.amax(-1, keepdim=True)
        n, d = len(log_likelihood), self.points.shape[1]
        rows, columns = torch.triu_indices(d, d, 1)
        values = torch.cat(
            [
                self.points,
                self.points.square(),
                self.points[:, rows] * self.points[:, columns],
            ],
            -1,
        )
        correlations, guesses = [], []
        for temperature in TEMPERATURES:
            weight = (log_likelihood / temperature).softmax(-1)
            mean, square, product = (weight @ values).split([d, d, len(rows)], -1)
            spread = (square - mean.square()).clamp_min(_MIN_SPREAD**2).sqrt()
            covariance = product - mean[:, rows] * mean[:, columns]
            correlations.append(covariance / (spread[:, rows] * spread[:, columns]))
            guesses += [mean, spread.log()]
        fit = (log_likelihood[:, :_MAP_POINTS] / MAP_TEMPERATURE).exp()
        return torch.cat([fit, *correlations, *guesses, fit.new_zeros(n, 2 * d)], -1)


def simulate_references(
    scenario: Scenario, count: int, progress: Callable[[int, int], None] | None = None
) -> MatchedField:
    """References at `count` points that fill the prior evenly; those without data are left out.

    Raises:
        InputError: hardly any point of the prior has a propagating mode.
    """
    points = torch.special.ndtri(kronecker(count, scenario.prior.dim))
    parts = []
    for part in points.split(512):
        parts.append(predict(scenario, scenario.prior.from_normal(part)))
        if progress:
            progress(sum(map(len, parts)), count)
    replica = torch.cat(parts)
    good = torch.isfinite(replica.abs()).all(-1).all(-1)
    if good.sum() < count / 10:
        raise InputError(
            f"{scenario.name}: unknowns: most draws from the prior have no propagating mode; "
            "narrow the priors"
        )
    kind = torch.complex64 if replica.is_complex() else torch.float32
    return matched_field(scenario, points[good].float(), replica[good].to(kind))


def kronecker(n: int, dim: int) -> Tensor:
    """Even points of the unit cube, (n, dim) float64: the Kronecker sequence, a lattice.

    A lattice, unlike random points, integrates a smooth bump that is hardly wider than its
    spacing almost exactly.

    Source: M. Roberts, The unreasonable effectiveness of quasirandom sequences (2018): steps of
    powers of the root of x^(d+1) = x + 1.
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dim + 1))
    step = root ** -torch.arange(1, dim + 1, dtype=torch.float64)
    return (0.5 + torch.arange(1, n + 1, dtype=torch.float64)[:, None] * step) % 1


def matched_field(scenario: Scenario, points: Tensor, replica: Tensor) -> MatchedField:
    """The comparison of data with references, for the noise model of a scenario."""
    noise = scenario_noise(scenario)
    theta = scenario.prior.from_normal(points.double())
    length = correlation_length(scenario, theta).median().reshape(1, 1).float()
    if isinstance(noise, ComplexNoise):
        compare = _compare_pressure(noise, replica, length)
    else:
        compare = _compare_levels(noise, replica, length)
    return MatchedField(points, replica, compare)


def _compare_pressure(
    noise: ComplexNoise, replica: Tensor, length: Tensor
) -> Callable[[Tensor], Tensor]:
    """As `ComplexNoise.log_likelihood` of one snapshot, all data with all references at once."""
    n_tones, n_phones = replica.shape[1:]
    snr_db = noise.snr_db
    rho = 10 ** (_median(snr_db) / 10)
    unit = replica / torch.linalg.vector_norm(replica, dim=-1, keepdim=True)
    white = noise.covariance.whiten(unit, length) * n_phones**0.5
    gain = 1 + rho * white.abs().square().sum(-1)
    bias = -gain.log().sum(-1)
    # â†d as real products: [Re d, Im d] times (2N, 2K) gives real and imaginary parts side by side
    template = (white * (rho / gain).sqrt()[..., None]).permute(1, 2, 0)
    re, im = template.real, template.imag
    matrix = torch.cat([torch.cat([re, -im], -1), torch.cat([im, re], -1)], 1).contiguous()
    count = len(replica)

    def compare(data: Tensor) -> Tensor:
        n, snapshots = data.shape[:2]
        d = noise.covariance.whiten(data, length[None]).to(torch.complex64)
        power = torch.view_as_real(d).square().sum((1, -1, -2))  # (n, F)
        # the misfit is a product over tones: one logarithm for all of them
        left = d.real.new_ones(n, count)
        for f in range(n_tones):
            rest = d.real.new_ones(n, count)
            for k in range(snapshots):
                x = torch.cat([d[:, k, f].real, d[:, k, f].imag], -1) / power[:, f, None].sqrt()
                overlap = (x @ matrix[f]).square_()
                rest.sub_(overlap[:, :count]).sub_(overlap[:, count:])
            left.mul_(rest.clamp_min_(1e-4))
        return bias - n_phones * left.clamp_min_(1e-37).log_()

    return compare


def _compare_levels(
    noise: LevelNoise, replica: Tensor, length: Tensor
) -> Callable[[Tensor], Tensor]:
    """Gaussian errors of the median sigma, the offset of each tone integrated out."""
    points = replica.shape[-1]
    sd = _median(noise.sd_db)
    error = noise.covariance.correlate(torch.eye(points), length.expand(points, 1)[:, 0]) * sd
    covariance = error.mT @ error + noise.offset_sd_db**2
    root = torch.linalg.cholesky(torch.linalg.inv(covariance.double())).float()

    def whiten(level: Tensor) -> Tensor:
        return (level.float() @ root).flatten(1)

    template = whiten(replica)
    bias = -0.5 * template.square().sum(-1)
    matrix = template.mT.contiguous()

    def compare(data: Tensor) -> Tensor:
        return whiten(data) @ matrix + bias

    return compare


def _median(prior: object) -> float:
    if isinstance(prior, int | float):
        return float(prior)
    return float(prior.from_normal(torch.zeros(1, dtype=torch.float64)))  # type: ignore[attr-defined]
