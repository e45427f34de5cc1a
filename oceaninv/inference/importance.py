"""Importance sampling with a proposal that learns: exact posteriors from imperfect networks.

Everything is in the normal scores v, where the prior is N(0, I), and in log space. Draws come from
several components c: the network, a little of the prior (so that parts of the posterior that the
network lacks can be found) and, where these two are poor, a mixture fitted to weighted draws.
Whatever component made it, a draw is weighted against the mixture of all in their actual shares
N_c/N,

    log w_i = log L(v_i) + log N(v_i; 0, I) − log Σ_c (N_c/N) q_c(v_i),

the balance heuristic (Veach & Guibas 1995; Owen & Zhou 2000). It goes by rounds:

1. While many rounds are left at the efficiency so far, a mixture is fitted to the draws of all
   rounds, weighted against all components so far, and the next rounds draw from it too (as in
   Cornuet, Marin, Mira & Robert 2012, AMIS): a region that a poor component found by luck is
   found often after that. How much is drawn from it, and how much still from the first proposal,
   is then what the weights since the fit find best.
2. Only the rounds after the last fit are returned, weighted against the components that they were
   drawn from. AMIS also returns the earlier ones, which makes the evidence too small, because
   each fit follows the very draws that it then weighs down: by 0.04, 0.07 and 0.12 in log evidence
   for Gaussian posteriors of 6, 9 and 12 unknowns, several standard errors. Without them no bias
   is seen where the first proposal covers the posterior. Where it lacks a mode that only the
   prior's share can find, the rounds may end before: one with 5.6 % of the mass was lost in 27 of
   100 runs, and the evidence was 2.6 % too small on average.

Nothing is fitted, and no draw given up, where the first proposal is good.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import torch
from torch import Tensor

from oceaninv.inference.flow import standard_normal_log_prob
from oceaninv.inference.mixture import EFFECTIVE_EACH, fit_mixture
from oceaninv.weighted import effective_size

PRIOR_SHARE = 0.05  # defensive share of the prior in every round
FITTED_SHARE = 0.75  # share of the newest fitted mixture in the first round after its fit
_FITTED_SHARES = (0.3, 0.5, 0.8)  # and later, of what the prior leaves: neither is given up
_WORTH_A_FIT = 3  # rounds still to go that make up for the draws that a fit gives up
_WAIT = 16  # rounds in which as many effective draws come as a fit needs are waited for
_FIT_UNTIL = 0.5  # of the draws and of the time: the rest is for draws that are kept


class Proposal(Protocol):
    """A distribution over v that can be drawn from and evaluated, float64."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n vectors, (n, d)."""

    def log_prob(self, v: Tensor) -> Tensor:
        """Log-density (n,) at v (n, d)."""


@dataclass(frozen=True)
class StandardNormal:
    """The prior."""

    dim: int

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n vectors, (n, d)."""
        return torch.randn(n, self.dim, generator=generator, dtype=torch.float64)

    def log_prob(self, v: Tensor) -> Tensor:
        """Log-density (n,) at v (n, d)."""
        return standard_normal_log_prob(v)


@dataclass(frozen=True)
class WeightedDraws:
    """Draws with importance weights, whose mean estimates the evidence.

    Attributes:
        v: draws, (n, d).
        log_likelihood: (n,).
        log_weight: (n,).
        proposal_efficiency: effective sample size by draw of the proposals alone, before any
            mixture was fitted; the network's quality at this measurement where it is the only one.
        n_likelihoods: likelihoods computed, those of rounds given up included.
        n_fits: mixtures fitted.
        log_proposal: log density of what v was drawn from; (m, d) -> (m,).
    """

    v: Tensor
    log_likelihood: Tensor
    log_weight: Tensor
    proposal_efficiency: float
    n_likelihoods: int
    n_fits: int
    log_proposal: Callable[[Tensor], Tensor]

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)²/Σ w² (Kish); 0 where all weights are zero."""
        return _effective_size(self.log_weight)

    @property
    def sample_efficiency(self) -> float:
        """Effective sample size by draw."""
        return self.effective_sample_size / len(self.log_weight)

    @property
    def log_evidence(self) -> float:
        """Logarithm of the mean weight."""
        return (torch.logsumexp(self.log_weight, 0) - math.log(len(self.log_weight))).item()

    @property
    def log_evidence_error(self) -> float:
        """Standard error of the log evidence, sqrt(1/ESS − 1/n) (delta method); ∞ for one draw."""
        n, size = len(self.log_weight), self.effective_sample_size
        return math.sqrt(max(1 / size - 1 / n, 0)) if size > 0 and n > 1 else math.inf


# likelihoods computed so far, effective sample size so far
Report = Callable[[int, float], None]


def sample_importance(
    log_likelihood: Callable[[Tensor], Tensor],
    proposal: Proposal,
    dim: int,
    *,
    target: float = 2000,
    round_size: int = 4096,
    max_draws: int = 500_000,
    max_seconds: float = math.inf,
    max_fits: int = 8,
    least_efficiency: float = 0.0,
    generator: torch.Generator,
    report: Report | None = None,
    fitted: Proposal | None = None,
) -> WeightedDraws:
    """Draw until the effective sample size is met, with a better proposal where it is poor.

    Args:
        log_likelihood: v (n, d) -> (n,); -inf or NaN where there is none.
        proposal: a first approximation, such as the network at the measurement.
        dim: d.
        target: effective sample size to reach.
        round_size: draws in a round.
        max_draws: likelihoods computed at most.
        max_seconds: time after which no further round begins.
        max_fits: mixtures fitted at most.
        least_efficiency: effective draws by draw below which it ends as soon as no fit may follow
            that would mend it.
        generator: of all randomness.
        report: called after each round.
        fitted: another approximation, that half of the first draws are from.

    Returns:
        The draws since the last fit, with their weights.
    """
    begun = time.monotonic()
    prior = StandardNormal(dim)
    proposals = [proposal] if fitted is None else [proposal, fitted]
    rounds = _Rounds([prior, *proposals])
    given = len(rounds.components)
    shares = [PRIOR_SHARE, *[(1 - PRIOR_SHARE) / len(proposals)] * len(proposals)]
    first = 0  # the first round after the last fit
    proposal_efficiency = math.nan
    while True:
        rounds.draw(log_likelihood, shares, min(round_size, max_draws - len(rounds)), generator)
        log_weight = rounds.log_weight(first)
        size = _effective_size(log_weight)
        efficiency = size / len(log_weight)
        if math.isnan(proposal_efficiency):
            proposal_efficiency = efficiency
        if report:
            report(len(rounds), size)

        spent = max(len(rounds) / max_draws, (time.monotonic() - begun) / max(max_seconds, 1e-9))
        may_fit = len(rounds.components) - given < max_fits and spent < _FIT_UNTIL
        settled = not may_fit and rounds.count - first >= _WAIT
        if size >= target or spent >= 1 or (settled and efficiency < least_efficiency):
            n = len(log_weight)
            return WeightedDraws(
                rounds.v[-n:],
                rounds.likelihood[-n:],
                log_weight,
                proposal_efficiency=proposal_efficiency,
                n_likelihoods=len(rounds),
                n_fits=len(rounds.components) - given,
                log_proposal=rounds.log_proposal(first),
            )
        rounds_left = (target - size) / (efficiency * round_size) if size > 0 else 0
        enough = EFFECTIVE_EACH * dim
        soon = size < enough < size + efficiency * round_size * _WAIT
        if rounds_left > _WORTH_A_FIT and may_fit and not soon:
            rounds.add(fit_mixture(rounds.v, rounds.log_weight(0), generator))
            rest = 1 - PRIOR_SHARE - FITTED_SHARE
            unused = [0.0] * (len(rounds.components) - 3)
            shares = [PRIOR_SHARE, rest, *unused, FITTED_SHARE]
            first = rounds.count
        elif len(rounds.components) > given:
            shares[1], shares[-1] = rounds.best_shares(first, shares[1] + shares[-1])


class _Rounds:
    """Draws of all rounds, with the density of every component at every draw."""

    def __init__(self, components: list[Proposal]) -> None:
        self.components: list[Proposal] = []
        self.v = torch.empty(0, 0, dtype=torch.float64)
        self.likelihood = torch.empty(0, dtype=torch.float64)
        self._counts: list[list[int]] = []  # by round and component
        self._densities: list[Tensor] = []  # by component
        for component in components:
            self.add(component)

    def __len__(self) -> int:
        return len(self.v)

    @property
    def count(self) -> int:
        """Number of rounds."""
        return len(self._counts)

    def add(self, component: Proposal) -> None:
        """Let a component take part in the rounds to come."""
        self.components.append(component)
        none = torch.empty(0, dtype=torch.float64)
        self._densities.append(component.log_prob(self.v) if len(self) else none)

    def draw(
        self,
        log_likelihood: Callable[[Tensor], Tensor],
        shares: Sequence[float],
        n: int,
        generator: torch.Generator,
    ) -> None:
        """Add a round of n draws, from the components in the given shares."""
        counts = [int(share * n) for share in shares[:-1]]
        counts.append(n - sum(counts))
        pairs = zip(self.components, counts, strict=True)
        fresh = torch.cat([c.sample(m, generator) for c, m in pairs if m])
        likelihood = log_likelihood(fresh).double()
        likelihood = torch.where(torch.isnan(likelihood), -math.inf, likelihood)
        self._densities = [
            torch.cat([old, c.log_prob(fresh)])
            for old, c in zip(self._densities, self.components, strict=True)
        ]
        self._counts.append(counts)
        self.v = torch.cat([self.v, fresh]) if len(self) else fresh
        self.likelihood = torch.cat([self.likelihood, likelihood])

    def log_weight(self, first: int) -> Tensor:
        """Log-weights of the draws from round `first` on, against what those rounds drew from."""
        n, share = self._drawn(first)
        terms = [self._densities[i][-n:] + math.log(part) for i, part in share.items()]
        mixture = torch.logsumexp(torch.stack(terms), 0)
        return self.likelihood[-n:] + standard_normal_log_prob(self.v[-n:]) - mixture

    def log_proposal(self, first: int) -> Callable[[Tensor], Tensor]:
        """Log density of the mixture that the rounds from `first` on drew from."""
        _, share = self._drawn(first)
        parts = [(self.components[i], math.log(part)) for i, part in share.items()]

        def log_density(v: Tensor) -> Tensor:
            return torch.logsumexp(torch.stack([c.log_prob(v) + part for c, part in parts]), 0)

        return log_density

    def best_shares(self, first: int, both: float) -> tuple[float, float]:
        """Shares, `both` together, of the first proposal and of the newest for the next rounds.

        A mixture may miss a mode that the network has, or the other way round. The variance of the
        weights is that of E[p/q] over the posterior p, which the draws since the fit estimate.
        """
        log_weight = self.log_weight(first)
        n = len(log_weight)
        newest = torch.tensor(_FITTED_SHARES, dtype=torch.float64)[:, None] * both
        parts = [self._densities[i][-n:].expand(len(newest), -1) for i in (0, 1, -1)]
        shares = [newest.new_full((1, 1), PRIOR_SHARE), both - newest, newest]
        terms = [part + share.log() for part, share in zip(parts, shares, strict=True)]
        density = self.likelihood[-n:] + standard_normal_log_prob(self.v[-n:])
        log_ratio = density - torch.logsumexp(torch.stack(terms), 0)
        best = int(torch.logsumexp(log_weight + log_ratio, 1).argmin())
        return both - newest[best].item(), newest[best].item()

    def _drawn(self, first: int) -> tuple[int, dict[int, float]]:
        """Number of draws from round `first` on, and the share of every component in them."""
        counts = self._counts[first:]
        n = sum(map(sum, counts))
        drawn = [sum(of_round) for of_round in zip_longest(*counts, fillvalue=0)]
        return n, {i: m / n for i, m in enumerate(drawn) if m}


def _effective_size(log_weight: Tensor) -> float:
    return effective_size(log_weight.numpy()) if torch.isfinite(log_weight).any() else 0.0
