"""A mixture of Student t distributions, fitted to weighted draws: the proposal that learns."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FREEDOM = 6.0  # tails heavier than any posterior's here, so that weights stay bounded
_WIDER = 1.2  # than a normal fit: too narrow costs more draws than too wide
_FIT_WITH = 6000
EFFECTIVE_EACH = 25  # effective draws for each unknown that a fit is made with
_ITERATIONS = 25


@dataclass(frozen=True)
class StudentMixture:
    """Σ_k π_k t_ν(v; μ_k, L_k L_k†), with ν = `FREEDOM` degrees of freedom.

    Attributes:
        log_share: (K,) log π
        mean: (K, d)
        factor: (K, d, d) lower triangular L
    """

    log_share: Tensor
    mean: Tensor
    factor: Tensor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n vectors, (n, d) float64."""
        d = self.mean.shape[1]
        which = torch.multinomial(self.log_share.exp(), n, replacement=True, generator=generator)
        normal = torch.randn(n, d, generator=generator, dtype=torch.float64)
        # χ²_ν for an even ν: a sum of ν/2 exponentials of mean 2
        uniform = torch.rand(n, int(FREEDOM) // 2, generator=generator, dtype=torch.float64)
        chi2 = -2 * torch.log1p(-uniform).sum(-1, keepdim=True)
        step = (self.factor[which] @ normal.unsqueeze(-1)).squeeze(-1)
        return self.mean[which] + step * (FREEDOM / chi2).sqrt()

    def log_prob(self, v: Tensor) -> Tensor:
        """Log-density (n,) at v (n, d)."""
        return torch.logsumexp(self.log_share + _student(v, self.mean, self.factor), -1)


def student_about(mean: Tensor, covariance: Tensor) -> StudentMixture:
    """One Student t distribution about a normal fit: mean (d,), covariance (d, d), made wider."""
    factor = torch.linalg.cholesky(_WIDER * covariance.double())
    return StudentMixture(factor.new_zeros(1), mean.double()[None], factor[None])


def fit_mixture(
    v: Tensor, log_weight: Tensor, generator: torch.Generator, *, components: int = 6
) -> StudentMixture:
    """Fit to draws v (n, d) with log-weights (n,), by expectation-maximisation.

    Few heavy draws would pull the fit onto themselves: the weights are raised to the highest
    power β ≤ 1 that leaves an effective size of 25 d, so that a poor proposal walks towards the
    posterior over some rounds. The number of components falls with the draws that there are.
    """
    d = v.shape[1]
    tempered = _temper(log_weight, EFFECTIVE_EACH * d)
    chosen = torch.multinomial(
        (tempered - tempered.max()).exp(), _FIT_WITH, replacement=True, generator=generator
    )
    x = v[chosen]
    distinct = len(torch.unique(chosen))
    k = max(1, min(components, distinct // (10 * d)))
    # the covariance of all, shrunk: the scale below which a component must not fall
    whole = torch.cov(x.T).reshape(d, d) + 1e-9 * torch.eye(d, dtype=x.dtype)
    mean = _spread_out(x, k, generator)
    factor = torch.linalg.cholesky(whole / k ** (2 / d)).repeat(k, 1, 1)
    log_share = torch.full((k,), -math.log(k), dtype=x.dtype)
    for _ in range(_ITERATIONS):
        joint = log_share + _student(x, mean, factor)
        belongs = (joint - torch.logsumexp(joint, -1, keepdim=True)).exp()
        # the t's own weights: far points pull less
        gap = x.unsqueeze(1) - mean
        distance = _mahalanobis(gap, factor)
        pull = belongs * (FREEDOM + d) / (FREEDOM + distance)
        mass = belongs.sum(0) + 1e-9
        mean = (pull.T @ x) / (pull.sum(0).unsqueeze(-1) + 1e-9)
        gap = x.unsqueeze(1) - mean
        spread = torch.einsum("nk,nki,nkj->kij", pull, gap, gap)
        # some draws' worth of the whole covariance keeps a starving component round
        covariance = (spread + 2 * d * whole) / (mass + 2 * d).view(-1, 1, 1)
        factor = torch.linalg.cholesky(covariance)
        log_share = (mass / mass.sum()).log()
    return StudentMixture(log_share, mean, factor)


def _temper(log_weight: Tensor, size: float) -> Tensor:
    """β log w with the highest β ≤ 1 whose effective size is at least `size`, by bisection."""

    def effective(beta: float) -> float:
        scaled = beta * log_weight
        return math.exp(2 * torch.logsumexp(scaled, 0) - torch.logsumexp(2 * scaled, 0))

    log_weight = torch.where(torch.isfinite(log_weight), log_weight, -1e300)
    low, high = 0.0, 1.0
    if effective(1.0) >= size:
        return log_weight
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(middle) >= size else (low, middle)
    return low * log_weight


def _spread_out(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Choose k starting centres far from each other, each a draw (k-means++)."""
    scaled = x / x.std(0).clamp_min(1e-12)
    first = int(torch.randint(len(x), (), generator=generator))
    chosen = [first]
    nearest = (scaled - scaled[first]).square().sum(-1)
    for _ in range(k - 1):
        index = int(torch.multinomial(nearest + 1e-12, 1, generator=generator))
        chosen.append(index)
        nearest = torch.minimum(nearest, (scaled - scaled[index]).square().sum(-1))
    return x[chosen]


def _mahalanobis(gap: Tensor, factor: Tensor) -> Tensor:
    """Squared distance of gap (n, k, d) under L_k L_k†: (n, k)."""
    solved = torch.linalg.solve_triangular(factor, gap.permute(1, 2, 0), upper=False)
    return solved.square().sum(1).T


def _student(v: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """Log-density of each t_ν(μ_k, L_k L_k†), (n, K), at v (n, d)."""
    d = v.shape[1]
    constant = (
        math.lgamma((FREEDOM + d) / 2)
        - math.lgamma(FREEDOM / 2)
        - d / 2 * math.log(FREEDOM * math.pi)
    )
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    distance = _mahalanobis(v.unsqueeze(1) - mean, factor)
    return constant - log_det - (FREEDOM + d) / 2 * torch.log1p(distance / FREEDOM)
