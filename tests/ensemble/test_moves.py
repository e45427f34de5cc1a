import emcee
import numpy as np
import pytest

from oceaninv.ensemble.moves import (
    BlockMove,
    Proposal,
    crank_nicolson,
    differential_evolution,
    mode_jump,
    snooker,
)

DIM, ENSEMBLES, WALKERS = 3, 4, 30


@pytest.mark.parametrize("proposal", [crank_nicolson, differential_evolution, mode_jump, snooker])
def test_each_proposal_alone_keeps_a_normal_target(proposal: Proposal) -> None:
    sampler = _sampler(proposal)
    start = np.random.default_rng(1).standard_normal((ENSEMBLES * WALKERS, DIM))
    sampler.run_mcmc(start, 1200)
    chain = sampler.get_chain(discard=200)
    # A wrong factor shows: without the power d - 1 the variance of snooker moves is 0.6.
    assert chain.var((0, 1)) == pytest.approx(np.ones(DIM), abs=0.07)
    assert chain.mean((0, 1)) == pytest.approx(np.zeros(DIM), abs=0.07)
    assert 0.1 < sampler.acceptance_fraction.mean() < 0.9


def test_fitted_student_steps_forget_a_correlated_start_soonest() -> None:
    # A normal target of 10 unknowns, whose scales differ by 1000, from its own draws.
    dim, walkers = 10, 100
    scale = np.logspace(-3, 0, dim)
    start = np.random.default_rng(1).standard_normal((2 * walkers, dim)) * scale
    left = {}
    for proposal in (crank_nicolson, differential_evolution):
        sampler = emcee.EnsembleSampler(
            2 * walkers,
            dim,
            lambda v: -0.5 * np.sum((v / scale) ** 2, -1),
            moves=[BlockMove(proposal, 2)],
            vectorize=True,
        )
        sampler.random_state = np.random.RandomState(3).get_state()
        end = sampler.run_mcmc(start, 15, skip_initial_state_check=True)
        left[proposal] = np.mean(start * end.coords / scale**2)
    assert left[crank_nicolson] < 0.1 < 0.3 < left[differential_evolution]


@pytest.mark.parametrize("proposal", [differential_evolution, snooker])
def test_walkers_never_leave_the_affine_span_of_their_own_ensemble(proposal: Proposal) -> None:
    sampler = _sampler(proposal)
    start = np.random.default_rng(1).standard_normal((ENSEMBLES, WALKERS, DIM))
    start[..., 0] = np.arange(ENSEMBLES)[:, None]  # each ensemble in a plane of its own
    end = sampler.run_mcmc(start.reshape(-1, DIM), 50, skip_initial_state_check=True)
    planes = end.coords.reshape(ENSEMBLES, WALKERS, DIM)
    assert planes[..., 0] == pytest.approx(start[..., 0])
    assert not np.allclose(planes[..., 1], start[..., 1])


def test_coinciding_walkers_do_no_harm() -> None:
    x = np.zeros((4, DIM))
    for proposal in (crank_nicolson, differential_evolution, mode_jump, snooker):
        moved, log_factor = proposal(x, np.zeros((6, DIM)), np.random.RandomState(0))
        assert np.isfinite(moved).all()
        assert not np.isnan(log_factor).any()


def _sampler(proposal: Proposal) -> emcee.EnsembleSampler:
    sampler = emcee.EnsembleSampler(
        ENSEMBLES * WALKERS,
        DIM,
        lambda v: -0.5 * np.sum(v**2, -1),
        moves=[BlockMove(proposal, ENSEMBLES)],
        vectorize=True,
    )
    sampler.random_state = np.random.RandomState(3).get_state()
    return sampler
