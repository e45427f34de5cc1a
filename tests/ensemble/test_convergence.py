import numpy as np
import pytest

from oceaninv.ensemble.convergence import convergence

ENSEMBLES, WALKERS, STEPS = 4, 16, 400


def test_independent_draws_count_fully() -> None:
    state = convergence(_noise(), ENSEMBLES)
    assert state.worst_rhat < 1.005
    assert state.least_ess == pytest.approx(ENSEMBLES * WALKERS * STEPS, rel=0.2)


def test_a_displaced_ensemble_shows_in_rhat() -> None:
    chain = _noise()
    chain[:, :WALKERS, 1] += 1.0
    state = convergence(chain, ENSEMBLES)
    assert state.rhat[0] < 1.01 < 1.05 < state.rhat[1]


def test_effective_size_falls_with_the_autocorrelation_of_walkers() -> None:
    chain = _noise()
    phi = 0.9
    for t in range(1, STEPS):
        chain[t] = phi * chain[t - 1] + np.sqrt(1 - phi**2) * chain[t]
    expected = (1 + phi) / (1 - phi)
    assert convergence(chain, ENSEMBLES).autocorrelation_time == pytest.approx(expected, rel=0.25)


def test_walkers_stuck_in_modes_leave_few_effective_draws() -> None:
    chain = 0.1 * _noise()
    chain[:, ::2] += 1.0
    assert convergence(chain, ENSEMBLES).least_ess < 2 * ENSEMBLES * WALKERS


def test_few_walkers_that_stay_in_a_far_mode_leave_few_effective_draws() -> None:
    """Ranks hardly know of them: the far mode's draws are but the last of all."""
    chain = _noise()
    chain[:, ::32] += 20.0
    assert convergence(chain, ENSEMBLES).least_ess < 4 * ENSEMBLES * WALKERS


def _noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((STEPS, ENSEMBLES * WALKERS, 2))


@pytest.mark.parametrize("steps", [4, 6, 12, 19])
def test_short_chains_do_not_tell_of_more_draws_than_their_walkers_are_worth(steps: int) -> None:
    """The scatter of the means of short autoregressive processes is known exactly."""
    rho, walkers = 0.97, 400
    rng = np.random.default_rng(0)
    x = np.empty((steps, walkers, 1))
    x[0] = rng.standard_normal((walkers, 1))
    for t in range(1, steps):
        x[t] = rho * x[t - 1] + np.sqrt(1 - rho**2) * rng.standard_normal((walkers, 1))
    lags = np.arange(1, steps)
    worth = steps / (1 + 2 * np.sum((1 - lags / steps) * rho**lags))  # of each walker
    assert convergence(x, 4).least_ess == pytest.approx(worth * walkers, rel=0.2)
