"""Importance sampling gives known evidences and moments, whatever the proposal."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from oceaninv.inference.importance import StandardNormal, sample_importance
from oceaninv.inference.mixture import StudentMixture, fit_mixture


def problem(dim: int, seed: int, sd: float = 0.25):
    """Gaussian likelihood in v under the prior N(0, I): evidence, mean and covariance known."""
    generator = torch.Generator().manual_seed(seed)
    centre = 0.7 * torch.randn(dim, generator=generator, dtype=torch.float64)
    root = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / math.sqrt(dim)
    eye = torch.eye(dim, dtype=torch.float64)
    spread = sd**2 * (root @ root.T + 0.2 * eye)
    evidence = MultivariateNormal(torch.zeros_like(centre), spread + eye).log_prob(centre).item()
    covariance = torch.linalg.inv(eye + torch.linalg.inv(spread))
    mean = covariance @ torch.linalg.solve(spread, centre)
    return MultivariateNormal(centre, spread).log_prob, evidence, mean, covariance


def student(mean: torch.Tensor, sd: float) -> StudentMixture:
    dim = len(mean)
    return StudentMixture(
        torch.zeros(1, dtype=torch.float64),
        mean[None],
        sd * torch.eye(dim, dtype=torch.float64)[None],
    )


@pytest.mark.parametrize("dim", [1, 2, 6, 12])
def test_a_wrong_proposal_is_corrected(dim: int) -> None:
    """Shifted by half a prior sd and twice too narrow: moments and evidence come out right."""
    for seed in range(3):
        likelihood, evidence, mean, covariance = problem(dim, seed)
        wrong = student(mean + 0.5, 0.12)
        draws = sample_importance(
            likelihood, wrong, dim, target=4000, generator=torch.Generator().manual_seed(seed)
        )
        assert draws.effective_sample_size >= 4000
        assert abs(draws.log_evidence - evidence) < 4 * draws.log_evidence_error
        assert draws.log_evidence_error < 0.03
        weight = draws.log_weight.softmax(0)
        found = weight @ draws.v
        gap = draws.v - found
        sd = covariance.diagonal().sqrt()
        assert ((found - mean) / sd).abs().max() < 0.1
        assert (((weight[:, None] * gap).T @ gap).diagonal().sqrt() / sd - 1).abs().max() < 0.1


def test_adaptation_does_not_bias_the_evidence() -> None:
    """In 9 unknowns; recycling the draws that were fitted would give −0.07."""
    misses = []
    for seed in range(12):
        likelihood, evidence, mean, _ = problem(9, seed)
        draws = sample_importance(
            likelihood, student(mean + 0.25, 0.25), 9, generator=torch.Generator().manual_seed(seed)
        )
        assert draws.n_fits > 0
        misses.append(draws.log_evidence - evidence)
    missed = torch.tensor(misses)
    assert abs(missed.mean()) < 0.02
    assert missed.std() < 0.05


def test_a_good_proposal_is_left_alone() -> None:
    likelihood, evidence, mean, covariance = problem(4, 0)
    factor = torch.linalg.cholesky(covariance)[None]
    good = StudentMixture(torch.zeros(1, dtype=torch.float64), mean[None], factor)
    draws = sample_importance(likelihood, good, 4, generator=torch.Generator().manual_seed(0))
    assert draws.n_fits == 0
    assert draws.n_likelihoods == len(draws.v)
    assert draws.proposal_efficiency > 0.5
    assert abs(draws.log_evidence - evidence) < 4 * draws.log_evidence_error


def test_both_modes_are_found_from_a_proposal_that_knows_one() -> None:
    one, two = (torch.full((3,), x, dtype=torch.float64) for x in (-1.0, 1.2))
    peaks = [MultivariateNormal(m, 0.04 * torch.eye(3).double()) for m in (one, two)]

    def likelihood(v: torch.Tensor) -> torch.Tensor:
        return torch.logsumexp(torch.stack([p.log_prob(v) for p in peaks]), 0) - math.log(2)

    draws = sample_importance(
        likelihood, student(one, 0.2), 3, generator=torch.Generator().manual_seed(0)
    )
    prior = MultivariateNormal(torch.zeros(3).double(), 1.04 * torch.eye(3).double())
    evidences = torch.stack([prior.log_prob(one), prior.log_prob(two)])
    share = draws.log_weight.softmax(0)[draws.v[:, 0] > 0].sum()
    assert share == pytest.approx(evidences.softmax(0)[1].item(), abs=0.05)


def test_one_draw_says_nothing_of_its_error() -> None:
    likelihood, _, mean, _ = problem(2, 0)
    generator = torch.Generator().manual_seed(0)
    for n in (1, 2):
        draws = sample_importance(
            likelihood, student(mean, 0.25), 2, max_draws=n, generator=generator
        )
        assert len(draws.v) == n
        assert math.isinf(draws.log_evidence_error) == (n == 1)


def test_draws_and_time_are_limited_and_failures_weigh_nothing() -> None:
    def nowhere(v: torch.Tensor) -> torch.Tensor:
        return torch.full((len(v),), math.nan)

    prior = StandardNormal(2)
    draws = sample_importance(
        nowhere, prior, 2, max_draws=6000, generator=torch.Generator().manual_seed(0)
    )
    assert draws.n_likelihoods == 6000
    assert draws.effective_sample_size == 0
    assert draws.log_evidence_error == math.inf
    assert (draws.log_weight == -math.inf).all()

    draws = sample_importance(
        lambda v: -1e4 * v.square().sum(-1), prior, 2, max_seconds=0.0,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert draws.n_likelihoods == 4096


def test_what_no_fit_can_mend_any_more_ends_early() -> None:
    likelihood, _, mean, _ = problem(6, 1)

    def ended(least: float, fits: int) -> int:
        return sample_importance(
            likelihood, student(mean + 2, 0.2), 6, round_size=512, max_draws=60_000, max_fits=fits,
            least_efficiency=least, generator=torch.Generator().manual_seed(0),
        ).n_likelihoods  # fmt: skip

    assert ended(0.0, 0) == 60_000
    assert ended(0.01, 0) == 16 * 512
    assert ended(0.01, 8) == ended(0.0, 8), "a fit mends it"


def test_error_of_the_evidence_is_that_of_repeated_runs() -> None:
    likelihood, evidence, mean, _ = problem(3, 5)
    scaled = []
    for seed in range(40):
        draws = sample_importance(
            likelihood, student(mean, 0.3), 3, target=500, round_size=1000,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        scaled.append((draws.log_evidence - evidence) / draws.log_evidence_error)
    assert 0.7 < torch.tensor(scaled).std() < 1.4


def test_mixture_density_is_that_of_its_draws() -> None:
    generator = torch.Generator().manual_seed(3)
    v = torch.cat([0.3 * torch.randn(3000, 2, generator=generator) + c for c in (-1.5, 1.0)])
    mixture = fit_mixture(v.double(), torch.zeros(6000).double(), generator)
    side = torch.linspace(-12, 12, 601, dtype=torch.float64)
    density = mixture.log_prob(torch.cartesian_prod(side, side)).exp()
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=0.01)
    drawn = mixture.sample(100_000, generator)
    for low, high in ((-3, -1), (-1, 0), (0, 2)):
        inside = ((drawn > low) & (drawn < high)).all(-1).double().mean()
        cells = torch.cartesian_prod(side, side)
        mass = density[((cells > low) & (cells < high)).all(-1)].sum() * 0.04**2
        assert inside == pytest.approx(mass.item(), abs=0.02)
    assert mixture.log_prob(v.double()).mean() > -1.5, "both clusters must be found"


def test_a_proposal_that_no_mixture_can_replace_keeps_its_share() -> None:
    """256 modes are too many for a mixture: the first proposal, wide but with all, goes on."""

    class Corners:
        """Half of N(1, sd²) and half of N(-1, sd²) in each of eight unknowns."""

        def __init__(self, sd: float) -> None:
            self.sd = sd

        def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
            side = torch.randint(0, 2, (n, 8), generator=generator) * 2 - 1
            noise = torch.randn(n, 8, generator=generator, dtype=torch.float64)
            return side + self.sd * noise

        def log_prob(self, v: torch.Tensor) -> torch.Tensor:
            sides = [Normal(side, self.sd).log_prob(v) for side in (-1.0, 1.0)]
            return (torch.logaddexp(*sides) - math.log(2)).sum(-1)

    ratio = 0.45 / 0.2
    alone = (math.sqrt(2 * ratio**2 - 1) / ratio**2) ** 8  # 1 / E_q[(p/q)²], corner by corner
    for seed in range(5):
        draws = sample_importance(
            Corners(0.2).log_prob, Corners(0.45), 8, generator=torch.Generator().manual_seed(seed)
        )
        assert draws.n_fits > 0
        assert draws.sample_efficiency > 0.35 * alone
