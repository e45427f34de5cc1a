"""Matched-field processing as the network's first guess of the posterior.

The data are compared with K reference replicas that fill the prior evenly. Their likelihoods,
tempered, give mean and covariance of the unknowns without any training; the network starts from
these and learns what they miss. All of it is a fixed function of the data, and does not depend on
the amplitude and phase of the source.

Where references lie denser than the posterior is wide, the guess at temperature 1 is the
posterior's own mean and covariance, and its third moments say most of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.inference.guesses import guess_size, normal_guess
from oceaninv.measurement import scenario_noise
from oceaninv.measurement.noise import ComplexNoise, LevelNoise
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import correlation_length, predict

# A likelihood raised to 1/T is wider by sqrt(T): with many unknowns no reference is near the
# truth, and only a high temperature finds several.
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
MAP_TEMPERATURE = 4.0
_MAP_POINTS = 1024  # references whose likelihoods the network sees one by one
_MIN_SPREAD = 1e-3  # of a guess; 1 is the prior's
_FEWEST = 4096  # references behind a guess, where there are so many
# references, and data, that are compared at a time, so that all stays in the processor's cache
_BLOCK = 1024
_AT_A_TIME = 64


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

    def seen(self, own: Tensor, data: Tensor) -> Tensor:
        """What the network sees of data: their `own` features, and then `features`."""
        return torch.cat([own, self.features(data)], -1)

    def features(self, data: Tensor) -> Tensor:
        """What the references say, as numbers for the network.

        Returns:
            (n, m) float32: the tempered likelihoods of the first references, relative to the
            best; at each temperature the third moments of the whitened unknowns; last the
            `n_guesses` guesses of `normal_guess`, flattened.
        """
        d = self.points.shape[1]
        products = _products(self.points)
        parts = []
        for some in data.split(_AT_A_TIME):
            log_likelihood = self._compare_to_best(some)
            fit = (log_likelihood[:, :_MAP_POINTS] / MAP_TEMPERATURE).exp()
            thirds, guesses = [], []
            for weight in _tempered(log_likelihood):
                mean, covariance, third = _moments(weight @ products[: weight.shape[1]], d)
                guess, matrix = normal_guess(mean, covariance)
                for _ in range(3):  # each turn whitens the last index and moves it to the front
                    third = torch.einsum("nijk,nak->naij", third, matrix)
                guesses.append(guess)
                thirds.append(third.flatten(1))
            prior = fit.new_zeros(len(fit), guess_size(d))
            parts.append(torch.cat([fit, *(m.float() for m in thirds + guesses), prior], -1))
        return torch.cat(parts)

    def means(self, data: Tensor) -> Tensor:
        """The means alone, (n, temperatures, d) float64."""
        points = self.points.double()
        log_likelihood = self._compare_to_best(data)
        return torch.stack([w @ points[: w.shape[1]] for w in _tempered(log_likelihood)], 1)

    def _compare_to_best(self, data: Tensor) -> Tensor:
        log_likelihood = self.compare(data)
        return log_likelihood.sub_(log_likelihood.amax(-1, keepdim=True))


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
    n_phones = replica.shape[-1]
    snr_db = noise.snr_db
    rho = 10 ** (_median(snr_db) / 10)
    unit = replica / torch.linalg.vector_norm(replica, dim=-1, keepdim=True)
    white = noise.covariance.whiten(unit, length) * n_phones**0.5
    gain = 1 + rho * white.abs().square().sum(-1)
    bias = -gain.log().sum(-1)
    # â†d as real products: [Re d, Im d] times (2N, 2K) gives real and imaginary parts side by side
    template = (white * (rho / gain).sqrt()[..., None]).permute(1, 2, 0)
    blocks = []
    for part in template.split(_BLOCK, -1):
        re, im = part.real, part.imag
        blocks.append(torch.cat([torch.cat([re, -im], -1), torch.cat([im, re], -1)], 1))

    def compare(data: Tensor) -> Tensor:
        d = noise.covariance.whiten(data, length[None])
        # Single precision rounds every phase differently, and a replica that leaves little
        # magnifies that: data are given one phase and unit power before they are rounded.
        strongest = d.gather(-1, d.abs().argmax(-1, keepdim=True))
        power = torch.view_as_real(d).square().sum((1, -1, -2), keepdim=True)[..., 0]
        d = d * strongest.sgn().conj() / power.sqrt()
        x = torch.cat([d.real, d.imag], -1).float()  # (n, snapshots, F, 2N)
        left = torch.cat([_unexplained(x, block) for block in blocks], -1)
        return bias - n_phones * left.log_()

    return compare


def _unexplained(x: Tensor, matrix: Tensor) -> Tensor:
    """Share of the power of x (n, K, F, 2N) that k references leave, times over tones: (n, k).

    The misfit is a product over tones: one logarithm for all of them.
    """
    count = matrix.shape[-1] // 2
    left = x.new_ones(len(x), count)
    for f, of_tone in enumerate(matrix):
        rest = x.new_ones(len(x), count)
        for k in range(x.shape[1]):
            overlap = (x[:, k, f] @ of_tone).square_()
            rest.sub_(overlap[:, :count]).sub_(overlap[:, count:])
        left.mul_(rest.clamp_min_(1e-4))
    return left.clamp_min_(1e-37)


def _tempered(log_likelihood: Tensor) -> Iterator[Tensor]:
    """Normalised weights (n, k) float64 of the first k references, at each temperature.

    A wider posterior needs fewer points, and the first of a lattice are a lattice too.
    """
    count = log_likelihood.shape[1]
    for temperature in TEMPERATURES:
        some = log_likelihood[:, : max(_FEWEST, round(count / temperature))]
        yield (some / temperature).softmax(-1).double()


def _products(points: Tensor) -> Tensor:
    """Points (k, d), their products by two and by three, (k, d + d² + d³).

    In double precision, because the moments of a narrow posterior are small differences.
    """
    v = points.double()
    pairs = torch.einsum("ki,kj->kij", v, v)
    triples = torch.einsum("kij,kl->kijl", pairs, v)
    return torch.cat([v, pairs.flatten(1), triples.flatten(1)], -1)


def _moments(raw: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (n, d), covariance (n, d, d) and central third moments (n, d, d, d) of raw moments."""
    mean, pairs, triples = raw.split([d, d**2, d**3], -1)
    covariance = pairs.unflatten(-1, (d, d)) - mean[:, :, None] * mean[:, None]
    cross = torch.einsum("ni,njk->nijk", mean, covariance)
    cross = cross + cross.permute(0, 2, 1, 3) + cross.permute(0, 2, 3, 1)
    third = triples.unflatten(-1, (d, d, d)) - cross
    third = third - torch.einsum("ni,nj,nk->nijk", mean, mean, mean)
    return mean, covariance + _MIN_SPREAD**2 * torch.eye(d, dtype=raw.dtype), third


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
