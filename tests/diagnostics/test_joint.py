"""The classifier is asked where the exact posterior is known: x ~ N(0, 1), y = x + noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from oceaninv.diagnostics.joint import JointTest, joint_test

NOISE = 0.5
VARIANCE = NOISE**2 / (1 + NOISE**2)


def test_exact_posteriors_are_told_from_the_truth_as_often_as_stated() -> None:
    found = _asked(n=60, d=100)
    z = (found.accuracy[:-1] - 0.5) / found.error
    assert kstest(found.p_value[:-1], "uniform").pvalue > 0.01
    assert found.p_value[-1] > 0.01
    # of 100 independent tests; where each simulation teaches the judges of the others it is 1.25
    assert np.std(z) == pytest.approx(1, abs=0.15)


def test_a_correlation_that_no_unknown_shows_is_told() -> None:
    found = _asked(n=300, d=2, correlation=0.5)
    assert found.p_value[:-1].min() > 1e-3
    assert found.p_value[-1] < 1e-3


@pytest.mark.parametrize(
    ("move", "scale"), [(0.8, 1.0), (0.0, 0.5), (0.0, 2.0)], ids=["shifted", "collapsed", "wide"]
)
def test_a_wrong_unknown_is_told_and_named(move: float, scale: float) -> None:
    found = _asked(n=300, d=2, move=move, scale=scale)
    assert found.p_value[0] < 1e-3
    assert found.p_value[1] > 1e-3
    assert found.p_value[-1] < 1e-3


@pytest.mark.parametrize("by", ["guesses", "score"])
def test_a_sampler_that_ignores_the_data_is_told(by: str) -> None:
    found = _asked(n=300, d=2, ignores=True, informed_by=by)
    assert found.p_value[-1] < 1e-6
    assert found.accuracy[-1] > 0.7
    if by == "guesses":
        assert found.p_value[0] < 1e-6
        assert found.p_value[1] > 1e-3


def _asked(
    n: int,
    d: int,
    move: float = 0.0,
    scale: float = 1.0,
    ignores: bool = False,
    correlation: float = 0.0,
    informed_by: str = "guesses",
) -> JointTest:
    """The first unknown is wrong, moved and scaled in posterior sd, or the prior."""
    rng = np.random.default_rng(4)
    truth = rng.standard_normal((n, d))
    y = truth + NOISE * rng.standard_normal((n, d))
    mean, sd = y / (1 + NOISE**2), np.full((n, d), np.sqrt(VARIANCE))
    exact_mean = mean.copy()
    mean[:, 0] += move * sd[:, 0]
    sd[:, 0] *= scale
    if ignores:
        mean[:, 0], sd[:, 0] = 0.0, 1.0
    noise = rng.standard_normal((n, 4, d))
    if correlation:
        noise = noise @ np.linalg.cholesky([[1, correlation], [correlation, 1]]).T
    draws = mean[:, None] + sd[:, None] * noise
    candidates = np.concatenate([truth[:, None], draws], 1)
    guesses, score = np.zeros((n, 1, d)), np.zeros((n, 5))
    if informed_by == "guesses":
        guesses = exact_mean[:, None]
    else:
        score = -0.5 * np.square((candidates - y[:, None]) / NOISE).sum(-1)
    return joint_test(truth, draws, mean, sd, guesses, score, seed=1)
