"""The noise models: one object draws noise for the simulator and evaluates the likelihood.

Both work on batches of n replicas, and both integrate what is not of interest, source amplitudes
and noise levels, under the scenario's noise prior, so that networks, importance weights and
Markov chains have the same posterior as their target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from oceaninv.measurement.covariance import ExponentialCovariance
from oceaninv.scenario.prior import Marginal
from oceaninv.scenario.schema import Scenario, noise_marginal

_NODES, _MOST_NODES = 64, 1024  # of a quadrature over a noise level
_NODES_OF_SD = 1.7  # in a standard deviation of what is integrated: 1e-7 of the integral
_LEAST_SD = 1e-3  # of the largest sd of levels that a prior has, where it begins at zero


def scenario_noise(scenario: Scenario) -> ComplexNoise | LevelNoise:
    """The noise model of a scenario: complex pressure, or levels of transmission loss."""
    if scenario.data == "pressure":
        assert scenario.noise.snr_db is not None  # by Scenario._check_kind
        return ComplexNoise(
            snr_db=noise_marginal(scenario.noise.snr_db),
            covariance=ExponentialCovariance.on_lines([scenario.receiver_depth]),
        )
    assert scenario.noise.sd_db is not None  # by Scenario._check_kind
    assert scenario.noise.offset_sd_db is not None
    return LevelNoise(
        sd_db=noise_marginal(scenario.noise.sd_db),
        offset_sd_db=scenario.noise.offset_sd_db,
        covariance=ExponentialCovariance.on_lines(
            [scenario.range_m for _ in scenario.receiver_depth]
        ),
    )


@dataclass(frozen=True)
class ComplexNoise:
    r"""Complex pressure of an unknown source in noise correlated along the array.

    For tone f and snapshot k, at N phones and with the replica $g_f$,

    $$d_{fk} = s_{fk} \sqrt{N} g_f / \|g_f\| + n_{fk}, \quad
      n_{fk} \sim CN(0, \nu_f C), \quad s_{fk} \sim CN(0, \rho_f \nu_f),$$

    so that $\rho_f = 10^{\mathrm{SNR}_f / 10}$ is the mean ratio of signal to noise power per
    phone. $\mathrm{SNR}_f$ (dB) has the scenario's prior, independently for each tone, and
    $\nu_f$ the scale-invariant prior $d\nu / \nu$: amplitude and phase of the data do not matter.

    Source: model of C. F. Mecklenbräuker and P. Gerstoft, J. Comput. Acoust. 8, 259 (2000), with
    correlated errors after S. E. Dosso, P. L. Nielsen and M. J. Wilmut, J. Acoust. Soc. Am. 119,
    208 (2006); the integrals over s, nu and SNR are derived in `log_likelihood`.

    Attributes:
        snr_db: prior of the SNR per tone, or the SNR.
        covariance: C over the phones.
    """

    snr_db: Marginal | float
    covariance: ExponentialCovariance

    def simulate(
        self,
        replica: Tensor,
        correlation_length: Tensor,
        generator: torch.Generator,
        n_snapshots: int = 1,
    ) -> Tensor:
        """Draw data (n, K, F, N) for replicas (n, F, N) and correlation lengths (n,), with nu = 1.

        The type and device of the replicas are kept; the generator lives on that device.
        """
        n, n_tones, n_phones = replica.shape
        real = replica.real.dtype
        snr_db = _draw(self.snr_db, (n, 1, n_tones, 1), generator, replica.device)
        amplitude = (10 ** (snr_db / 20)).to(real)
        source = _normal((n, n_snapshots, n_tones, 1), generator, replica)
        unit = replica / torch.linalg.vector_norm(replica, dim=-1, keepdim=True)
        signal = amplitude * source * math.sqrt(n_phones) * unit[:, None]
        white = _normal((n, n_snapshots, n_tones, n_phones), generator, replica)
        length = correlation_length.to(replica.device)[:, None, None]
        return signal + self.covariance.correlate(white, length)

    def log_likelihood(
        self,
        factor: Tensor,
        replica: Tensor,
        correlation_length: Tensor,
        n_snapshots: int = 1,
    ) -> Tensor:
        r"""Log likelihood of n replicas given the sample cross-spectral matrix of K snapshots.

        With $\hat g = g / \|g\|$, $\hat R = K^{-1} \sum_k d_k d_k^\dagger$,
        $G = N \hat g^\dagger C^{-1} \hat g$, $T = \mathrm{tr}(C^{-1} \hat R)$ and
        $Y = N \hat g^\dagger C^{-1} \hat R C^{-1} \hat g$: the data have the covariance
        $\nu (C + \rho N \hat g \hat g^\dagger)$, whose determinant is
        $\nu^N |C| (1 + \rho G)$ and in which, by the Sherman-Morrison formula,
        $\sum_k d_k^\dagger (\cdot)^{-1} d_k = (K / \nu) [T - \rho Y / (1 + \rho G)]$. The
        integral over $\nu$ is a gamma function:

        $$\ln L_f(\rho) = \ln\Gamma(KN) - KN \ln(\pi K) - K \ln|C| - K \ln(1 + \rho G)
          - KN \ln[T - \rho Y / (1 + \rho G)].$$

        Last, $L_f = \int L_f(\rho) p(\mathrm{SNR})\, d\mathrm{SNR}$ by Gauss-Legendre quadrature
        in the quantile of the prior, and $\ln L = \sum_f \ln L_f$.

        Args:
            factor: (F, N, r) or (n, F, N, r) complex, with factor factor' = R_hat of each tone
                (`csdm_factor`); for one snapshot the data themselves, with r = 1.
            replica: (n, F, N) complex.
            correlation_length: (n,) m.
            n_snapshots: K.

        Returns:
            (n,); -inf where the replica is not finite or vanishes at every phone.
        """
        given_rho, _, log_weight, valid = self._given_rho(
            factor, replica, correlation_length, n_snapshots
        )
        kn = n_snapshots * replica.shape[-1]
        constant = math.lgamma(kn) - kn * math.log(math.pi * n_snapshots)
        per_f = torch.logsumexp(given_rho + log_weight, -1) + constant
        per_f = per_f - n_snapshots * self.covariance.log_det(correlation_length[:, None])
        return torch.where(valid, per_f, -math.inf).sum(-1)

    def draw_snr(
        self,
        factor: Tensor,
        replica: Tensor,
        correlation_length: Tensor,
        generator: torch.Generator,
        n_snapshots: int = 1,
    ) -> Tensor:
        r"""Draw $\rho_f$ from its posterior given the data and each replica, (n, F).

        Arguments as `log_likelihood`; the draws are nodes of its quadrature.
        """
        given_rho, rho, log_weight, _ = self._given_rho(
            factor, replica, correlation_length, n_snapshots
        )
        return rho[_draw_node(given_rho + log_weight, generator)]

    def _given_rho(
        self, factor: Tensor, replica: Tensor, correlation_length: Tensor, n_snapshots: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a quadrature over rho needs.

        Returns:
            ln L_f(rho) (n, F, q) but for what does not depend on rho; rho (q,) and the logarithms
            of the weights of the nodes; and which replicas are valid, (n, F).
        """
        n_phones = replica.shape[-1]
        norm = torch.linalg.vector_norm(replica, dim=-1, keepdim=True)
        valid = (torch.isfinite(norm) & (norm > 0))[..., 0]
        unit = torch.where(valid[..., None], replica / norm, 1.0 / math.sqrt(n_phones))
        a = self.covariance.whiten(unit, correlation_length[:, None])
        # Where the correlation length is fixed, the data are whitened once for all replicas.
        same = bool((correlation_length == correlation_length[:1]).all())
        length = (correlation_length[:1] if same else correlation_length)[:, None, None]
        white = self.covariance.whiten(factor.mT, length).mT  # (1|n, F, N, r)
        big_t = white.abs().square().sum((-2, -1))
        big_g = n_phones * a.abs().square().sum(-1)
        if len(white) == 1:
            overlap = torch.einsum("nfi,fir->nfr", a.conj(), white[0])
        else:
            overlap = torch.einsum("nfi,nfir->nfr", a.conj(), white)
        big_y = n_phones * overlap.abs().square().sum(-1)

        snr_db, log_weight = _nodes(self.snr_db, n_snapshots)
        rho = (10 ** (snr_db / 10)).to(big_g.device)
        gain = 1 + rho * big_g[..., None]
        kn = n_snapshots * n_phones
        given_rho = -n_snapshots * gain.log() - kn * torch.log(
            big_t[..., None] - (rho / gain) * big_y[..., None]
        )
        return given_rho, rho, log_weight.to(given_rho.device), valid


@dataclass(frozen=True)
class LevelNoise:
    r"""Levels in dB with an unknown offset per tone and errors correlated along the range.

    $$t_f = t_f(m) + b_f 1 + e_f, \quad b_f \sim N(0, \tau^2), \quad e_f \sim N(0, \sigma_f^2 C),$$

    with $\sigma_f$ of the scenario's prior, independently for each tone.

    Attributes:
        sd_db: prior of sigma per tone, or sigma, dB.
        offset_sd_db: tau, dB.
        covariance: C over the P points, independent from one receiver to another.
    """

    sd_db: Marginal | float
    offset_sd_db: float
    covariance: ExponentialCovariance

    def simulate(
        self,
        replica: Tensor,
        correlation_length: Tensor,
        generator: torch.Generator,
        n_snapshots: int = 1,
    ) -> Tensor:
        """Draw levels (n, K, F, P) in dB for replicas (n, F, P) and correlation lengths (n,).

        Snapshots are independent measurements; the type and device of the replicas are kept.
        """
        n, n_tones, n_points = replica.shape
        shape = (n, n_snapshots, n_tones)
        sd = _draw(self.sd_db, (*shape, 1), generator, replica.device).to(replica.dtype)
        offset = _normal((*shape, 1), generator, replica)
        white = _normal((*shape, n_points), generator, replica)
        length = correlation_length.to(replica.device)[:, None, None]
        error = sd * self.covariance.correlate(white, length)
        return replica[:, None] + self.offset_sd_db * offset + error

    def log_likelihood(self, level: Tensor, replica: Tensor, correlation_length: Tensor) -> Tensor:
        r"""Log likelihood of n replicas (n, F, P) given the level (F, P) or (n, F, P) in dB.

        With $r = t - t(m)$, $a = r' C^{-1} r$, $b = 1' C^{-1} r$, $c = 1' C^{-1} 1$ the offset is
        integrated in closed form (Woodbury): the covariance is $\sigma^2 C + \tau^2 1 1'$ and

        $$-2 \ln L_f(\sigma) = P \ln(2\pi\sigma^2) + \ln|C| + \ln(1 + \tau^2 c / \sigma^2)
          + [a - \tau^2 b^2 / (\sigma^2 + \tau^2 c)] / \sigma^2.$$

        Last, $L_f = \int L_f(\sigma) p(\sigma) d\sigma$ by Gauss-Legendre quadrature in
        $\ln\sigma$, and $\ln L = \sum_f \ln L_f$.

        Returns:
            (n,); -inf where a replica is not finite.
        """
        per_node, _, valid = self._given_sd(level, replica, correlation_length)
        return torch.where(valid, torch.logsumexp(per_node, -1), -math.inf).sum(-1)

    def draw_sd(
        self,
        level: Tensor,
        replica: Tensor,
        correlation_length: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        r"""Draw $\sigma_f$ (dB) from its posterior given the levels and each replica, (n, F).

        Arguments as `log_likelihood`; the draws are nodes of its quadrature.
        """
        per_node, sd, _ = self._given_sd(level, replica, correlation_length)
        return sd[_draw_node(per_node, generator)]

    def _given_sd(
        self, level: Tensor, replica: Tensor, correlation_length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """ln L_f(sigma) p(sigma) d sigma (n, F, q), sigma (q,), and valid replicas (n, F)."""
        length = correlation_length[:, None]
        valid = torch.isfinite(replica).all(-1)
        residual = torch.where(valid[..., None], level - replica, 0.0)
        n_points = residual.shape[-1]
        white = self.covariance.whiten(residual, length)
        ones = self.covariance.whiten(torch.ones_like(residual[:1]), length)
        a = white.square().sum(-1)[..., None]
        b = (ones * white).sum(-1)[..., None]
        c = ones.square().sum(-1)[..., None]

        sd, log_weight = _sd_nodes(self.sd_db, n_points)
        sd = sd.to(a.device)
        variance = sd**2
        tau2 = self.offset_sd_db**2
        misfit = (a - tau2 * b**2 / (variance + tau2 * c)) / variance
        log_det = n_points * torch.log(2 * math.pi * variance) + torch.log1p(tau2 * c / variance)
        log_det = log_det + self.covariance.log_det(length)[..., None]
        return -0.5 * (misfit + log_det) + log_weight.to(a.device), sd, valid


def csdm_factor(csdm: Tensor) -> Tensor:
    """Factor U (F, N, r) with U U' = csdm (F, N, N), the small negative eigenvalues left out."""
    value, vector = torch.linalg.eigh(csdm)
    rank = int((value > 1e-12 * value[..., -1:]).sum(-1).max())
    return vector[..., -rank:] * value[..., -rank:].clamp(min=0.0).sqrt()[..., None, :]


def _nodes(prior: Marginal | float, data: float) -> tuple[Tensor, Tensor]:
    """Nodes of a quadrature over a prior, and the logarithms of their weights.

    The likelihood narrows as the square root of ``data``, how often one snapshot's worth is there.
    """
    if isinstance(prior, int | float):
        return torch.tensor([prior], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    quantile, log_weight = _gauss(math.ceil(_NODES * math.sqrt(data)))
    return prior.from_normal(torch.special.ndtri(quantile)), log_weight


def _sd_nodes(prior: Marginal | float, n_points: int) -> tuple[Tensor, Tensor]:
    """As `_nodes`, over the sd of levels, evenly in its logarithm.

    There the likelihood of P points is as wide wherever it is, 1/√(2P), while in quantiles of a
    wide prior all small sd may lie between two nodes.
    """
    if isinstance(prior, int | float):
        return _nodes(prior, 1.0)
    low, high = prior.from_normal(torch.tensor([-8.0, 8.0], dtype=torch.float64)).tolist()
    low = max(low, _LEAST_SD * high)
    width = math.log(high / low)
    in_sd = width * math.sqrt(2 * n_points)
    share, log_weight = _gauss(max(_NODES, math.ceil(_NODES_OF_SD * in_sd)))
    sd = low * torch.exp(width * share)
    return sd, log_weight + prior.log_prob(sd) + torch.log(width * sd)


@lru_cache(maxsize=16)
def _gauss(count: int) -> tuple[Tensor, Tensor]:
    """Nodes of Gauss and Legendre between 0 and 1, and the logarithms of their weights."""
    x, weight = np.polynomial.legendre.leggauss(min(count, _MOST_NODES))
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(np.log(weight / 2))


def _draw_node(log_weight: Tensor, generator: torch.Generator) -> Tensor:
    """Index of one node by its weight, for log weights (..., q) up to a constant: (...)."""
    cumulated = torch.softmax(log_weight, -1).cumsum(-1)
    uniform = torch.rand(
        (*log_weight.shape[:-1], 1),
        generator=generator,
        dtype=cumulated.dtype,
        device=cumulated.device,
    )
    return torch.searchsorted(cumulated, uniform)[..., 0].clamp(max=log_weight.shape[-1] - 1)


def _draw(
    prior: Marginal | float,
    shape: tuple[int, ...],
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    if isinstance(prior, int | float):
        return torch.full(shape, prior, dtype=torch.float64, device=device)
    v = torch.randn(shape, generator=generator, dtype=torch.float64, device=device)
    return prior.from_normal(v)


def _normal(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal numbers, circular complex (of unit variance) where `like` is complex."""
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
