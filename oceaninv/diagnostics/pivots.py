r"""What of a measurement is left at given unknowns, as numbers whose distribution is known.

If the scenario is right, unknowns $\tilde\theta$ drawn from the posterior and the data are
distributed together as the true unknowns and the data are (both are draws of $p(\theta \mid d)$).
A number whose distribution at the true unknowns is known whatever they are, a pivot, therefore
has the same distribution at one draw of the posterior: nothing is lost to the fit, and no second
simulation is needed (V. E. Johnson, Ann. Stat. 32, 2361 (2004); Y. Yuan and V. E. Johnson,
Biometrics 68, 156 (2012)). The ratio of signal to noise, or the error of a level, is drawn from
its posterior too; source and noise power cancel in the ratios below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from oceaninv.likelihood import Likelihood
from oceaninv.measurement.noise import ComplexNoise, LevelNoise
from oceaninv.scenario.predict import correlation_length

Array = NDArray[np.float64]

_DIRECTIONS = 4000  # random residuals that a tone's pattern is compared with
_REPLICAS = 24  # noise drawn again for each draw of the unknowns, for `spread`
_STREAM = 0x91F07  # keeps noise drawn again apart from that of `synthesize` with the same seed
_SMALLEST = 1e-300
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Pivots:
    """P-values at each of m draws of the unknowns, uniform if the scenario is right.

    Attributes:
        size: (m, F), the residual of a tone is large beside its signal, or its known error.
        pattern: (m, F), the residual of a tone looks like sound: `_pattern`. Independent of `size`;
            None where it can have one direction only.
        receiver: (m, F, R), a receiver does not fit what the others predict there.
        spread: (m,), single values stand out of the noise more than they should; not below 1 in
            24 m.
        gain: (R,) complex factor between a receiver and what the others predict there; 1 where
            all is well, 0 for a dead and -1 for a reversed one. NaN for levels.
        worst: index of the tone and of the receiver of the value that stands out most.
    """

    size: Array
    pattern: Array | None
    receiver: Array
    spread: Array
    gain: NDArray[np.complex128]
    worst: tuple[int, int]


@dataclass(frozen=True)
class Candidates:
    """Draws of the posterior, with what is to be computed once for all tests.

    Attributes:
        theta: (m, d).
        replica: noise-free data at theta, (m, F, N).
        prior_replica: noise-free data at draws of the prior, (p, F, N): what sound looks like.
    """

    theta: Tensor
    replica: Tensor
    prior_replica: Tensor


def pivots(likelihood: Likelihood, drawn: Candidates, *, without: list[int], seed: int) -> Pivots:
    """The pivots of a measurement, some receivers left out (complex data only).

    Args:
        likelihood: of the measurement.
        drawn: draws of the posterior.
        without: receivers that do not count.
        seed: of the draws of noise levels, directions and replicas.
    """
    rng = np.random.default_rng([seed, _STREAM])
    if isinstance(likelihood.noise, ComplexNoise):
        return _of_pressure(likelihood, likelihood.noise, drawn, without, rng)
    return _of_levels(likelihood, likelihood.noise, drawn, rng)


def _of_pressure(
    likelihood: Likelihood,
    noise: ComplexNoise,
    drawn: Candidates,
    without: list[int],
    rng: np.random.Generator,
) -> Pivots:
    r"""At unknowns and $\rho$, $d = M^{1/2} \sqrt{\nu} u$, $u \sim CN(0, I)$.

    $M = C + \rho N \hat g \hat g^\dagger$. Of K snapshots, power in the direction of the signal
    after whitening by M is the share Beta(K, K(N-1)) of the whole; and the residual
    $e_r = (M^{-1} d)_r / (M^{-1})_{rr}$ of phone r from what the others predict there has power
    $|e_r|^2 (M^{-1})_{rr}$, the same share. $\nu$ cancels.
    """
    k, n_phones = likelihood.n_snapshots, drawn.replica.shape[-1]
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    length = correlation_length(likelihood.scenario, drawn.theta)
    keep = torch.tensor([r for r in range(n_phones) if r not in without])
    n = len(keep)
    if n == 1:  # is all signal, and fits whatever it hears
        tones = np.ones(drawn.replica.shape[:2])
        everywhere = np.ones(drawn.replica.shape)
        gain_of_one = np.ones(n_phones, dtype=np.complex128)
        return Pivots(tones, None, everywhere, tones[:, 0], gain_of_one, (0, int(keep[0])))

    rho = noise.draw_snr(likelihood.data, drawn.replica, length, generator, k)[..., None]
    data = likelihood.data[:, keep]
    unit = drawn.replica / torch.linalg.vector_norm(drawn.replica, dim=-1, keepdim=True)
    a = n_phones**0.5 * unit[..., keep]
    covariance = _correlation(noise, n_phones, length)[:, keep][:, :, keep]
    root = torch.linalg.cholesky(covariance)[:, None].to(a.dtype)

    white, a_white = _solve(root, data), _solve(root, a[..., None])[..., 0]
    gain = 1 + rho[..., 0] * a_white.abs().square().sum(-1)
    direction = a_white / torch.linalg.vector_norm(a_white, dim=-1, keepdim=True)
    along = torch.einsum("mfi,mfir->mfr", direction.conj(), white)
    signal = along.abs().square().sum(-1) / gain
    residual = white - direction[..., None] * along[..., None, :]
    left = residual.abs().square().sum((-2, -1))
    size = special.betainc(k, k * (n - 1), (signal / (signal + left)).numpy())

    sound = drawn.prior_replica[..., keep]
    sound = sound / torch.linalg.vector_norm(sound, dim=-1, keepdim=True)
    likeness = _solve(root, torch.einsum("pfi,pfj->fij", sound, sound.conj()) / len(sound))
    likeness = _solve(root, likeness.mH)
    beside = torch.eye(n, dtype=a.dtype) - direction[..., :, None] * direction[..., None, :].conj()
    pattern = _pattern(residual, beside @ likeness @ beside, n - 1, float(k), rng)

    # M = L (1 + rho a a') L' in whitened terms; its inverse by Sherman-Morrison
    whole = torch.linalg.inv(
        covariance[:, None] + rho[..., None] * a[..., :, None] * a[..., None, :].conj()
    )
    precision = torch.diagonal(whole, dim1=-2, dim2=-1).real
    filtered = whole @ data
    power = (signal + left)[..., None]
    share = filtered.abs().square().sum(-1) / precision / power
    receiver = special.betainc(k * (n - 1), k, (1 - share).clamp(0, 1).numpy())

    predicted = data - filtered / precision[..., None]
    weight = (precision / power)[..., None]
    cross = (weight * predicted.conj() * data).sum((1, 3)).mean(0)
    gains = cross / (weight * predicted.abs().square()).sum((1, 3)).mean(0)

    shape = (*whole.shape[:3], _REPLICAS, k)
    noise_again = torch.randn(shape, generator=generator, dtype=a.dtype)
    again = torch.linalg.cholesky(whole) @ noise_again.flatten(3)
    share = again.reshape(shape).abs().square().sum(-1) / precision[..., None]
    share = share / noise_again.abs().square().sum((2, 4))[:, :, None]
    null = special.betainc(k * (n - 1), k, (1 - share).clamp(0, 1).numpy())
    everywhere = np.ones((*receiver.shape[:2], n_phones))
    everywhere[..., keep] = receiver
    all_gains = np.ones(n_phones, dtype=np.complex128)
    all_gains[keep] = gains.numpy()
    return Pivots(size, pattern, everywhere, _spread(receiver, null), all_gains, _worst(everywhere))


def _of_levels(
    likelihood: Likelihood, noise: LevelNoise, drawn: Candidates, rng: np.random.Generator
) -> Pivots:
    r"""At unknowns and $\sigma$, levels differ from the prediction by $N(0, \Sigma)$.

    $\Sigma = \sigma^2 C + \tau^2 1 1'$. The squared residual $r' \Sigma^{-1} r$ of P points is
    $\chi^2_P$; so is that of a receiver's points given all others, by the block of
    $\Sigma^{-1}$.
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    length = correlation_length(likelihood.scenario, drawn.theta)
    points = drawn.replica.shape[-1]
    n_receivers = len(likelihood.scenario.receiver_depth)
    sd = noise.draw_sd(likelihood.data, drawn.replica, length, generator)
    correlation = _correlation(noise, points, length)[:, None]
    covariance = sd[..., None, None] ** 2 * correlation + noise.offset_sd_db**2
    root = torch.linalg.cholesky(covariance)
    residual = (likelihood.data - drawn.replica)[..., None]
    white = _solve(root, residual)
    total = white.square().sum((-2, -1))
    size = special.gammaincc(points / 2, 0.5 * total.numpy())

    sound = drawn.prior_replica - drawn.prior_replica.mean(0)
    likeness = _solve(root, torch.einsum("pfi,pfj->fij", sound, sound) / len(sound))
    pattern = _pattern(white, _solve(root, likeness.mH), points, 0.5, rng)

    inverse = torch.cholesky_inverse(root)
    precision = torch.diagonal(inverse, dim1=-2, dim2=-1)
    filtered = (inverse @ residual)[..., 0]
    each = points // n_receivers
    blocks = [slice(r * each, (r + 1) * each) for r in range(n_receivers)]
    misfits = [
        (filtered[..., b] * torch.linalg.solve(inverse[..., b, b], filtered[..., b])).sum(-1)
        for b in blocks
    ]
    receiver = special.gammaincc(each / 2, 0.5 * torch.stack(misfits, -1).numpy())
    one = 2 * special.ndtr(-(filtered.abs() / precision.sqrt()).numpy())
    white_again = torch.randn(
        (*precision.shape, _REPLICAS), generator=generator, dtype=torch.float64
    )
    again = torch.linalg.solve_triangular(root.mT, white_again, upper=True)
    null = 2 * special.ndtr(-(again.abs() / precision.sqrt()[..., None]).numpy())
    tone, point = _worst(one)
    return Pivots(
        size,
        pattern,
        receiver,
        _spread(one, null),
        np.full(n_receivers, np.nan + 0j),
        (tone, point // each),
    )


def _pattern(
    residual: Tensor, likeness: Tensor, rank: int, shape: float, rng: np.random.Generator
) -> Array | None:
    r"""P-value (m, F) of $r^\dagger S r / r^\dagger r$: does what is left look like sound?

    S is the mean of $g g^\dagger$ over replicas of the prior. Against a second field drawn from
    the prior and weak beside the noise this is the locally most powerful statistic. The whitened
    residual of noise alone has a random direction, so that the statistic is
    $\sum_j \lambda_j D_j$ with the eigenvalues of S and a Dirichlet vector D.

    Args:
        residual: whitened, (m, F, N, r).
        likeness: S whitened, and projected where the residual was, (m, F, N, N).
        rank: dimension of the space where residuals lie.
        shape: parameter of the Dirichlet distribution, K (complex) or 1/2 (real).
        rng: of the Dirichlet vectors.

    Returns:
        None where all residuals have one direction, as those of two receivers.
    """
    if rank < 2:
        return None
    power = residual.abs().square().sum((-2, -1))
    statistic = (residual.conj() * (likeness @ residual)).real.sum((-2, -1)) / power
    value = torch.linalg.eigvalsh(likeness)[..., -rank:].numpy()
    share = rng.dirichlet(np.full(rank, shape), _DIRECTIONS)
    flat = value.reshape(-1, rank) @ share.T
    # where sound has no direction either, all are equal but for rounding
    least = statistic.numpy().reshape(-1, 1) - _ROUNDING * np.abs(flat)
    above = (flat >= least).sum(-1)
    return ((above + 1) / (_DIRECTIONS + 1)).reshape(value.shape[:-1])


def _spread(p: Array, null: Array) -> Array:
    """P-value (m,) of the sum of squared surprises of p (m, F, N) among null (m, F, N, s)."""
    observed = np.square(np.log(np.maximum(p, _SMALLEST))).sum((1, 2))
    simulated = np.sort(np.square(np.log(np.maximum(null, _SMALLEST))).sum((1, 2)).ravel())
    above = len(simulated) - np.searchsorted(simulated, observed, side="left")
    return (above + 1) / (len(simulated) + 1)


def _worst(p: Array) -> tuple[int, int]:
    surprise = -np.log(np.maximum(p, _SMALLEST)).mean(0)
    tone, place = np.unravel_index(int(surprise.argmax()), surprise.shape)
    return int(tone), int(place)


def _correlation(noise: ComplexNoise | LevelNoise, n: int, length: Tensor) -> Tensor:
    """C as a matrix, (m, n, n)."""
    columns = noise.covariance.correlate(
        torch.eye(n, dtype=torch.float64).expand(len(length), n, n), length[:, None]
    )
    return columns.mT @ columns


def _solve(root: Tensor, x: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(root, x.to(root.dtype), upper=False)
