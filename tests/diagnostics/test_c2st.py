import numpy as np
import pytest
from scipy.stats import norm

from oceaninv.diagnostics.c2st import c2st

N = 1200


def test_equal_distributions_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    result = c2st(rng.standard_normal((N, 3)), rng.standard_normal((N, 3)), seed=0)
    assert abs(result.accuracy - 0.5) < 4 * result.error
    assert result.error == pytest.approx(0.5 / np.sqrt(2 * N), rel=0.05)


def test_a_shift_is_told_with_the_accuracy_of_the_best_classifier() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((N, 2)), rng.normal([1.0, 0.0], 1.0, (N, 2))
    assert c2st(a, b, seed=0).accuracy == pytest.approx(norm.cdf(0.5), abs=0.03)


def test_a_correlation_that_no_marginal_shows_is_told() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((N, 2))
    b = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], N)
    assert c2st(a, b, seed=0).accuracy > 0.68


def test_units_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((N, 2)), rng.standard_normal((N, 2)) + 0.7
    scale = np.array([1e6, 1e-6])
    assert c2st(a, b, seed=0).accuracy == pytest.approx(
        c2st(a * scale, b * scale, seed=0).accuracy, abs=0.01
    )


def test_copies_of_resampled_draws_do_not_give_their_origin_away() -> None:
    # Both samples are of one distribution, but one holds each draw about eight times. Were copies
    # of a draw both trained on and scored, the accuracy would be above 0.7.
    rng = np.random.default_rng(4)
    few = rng.standard_normal((150, 5))
    result = c2st(few[rng.integers(0, 150, N)], rng.standard_normal((N, 5)), seed=0)
    assert result.error > 0.02
    assert result.accuracy < 0.55


def test_the_seed_decides_the_result() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((300, 2)), rng.standard_normal((300, 2)) + 0.3
    assert c2st(a, b, seed=7) == c2st(a, b, seed=7)


def test_samples_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="as many of each"):
        c2st(np.zeros((10, 2)), np.zeros((11, 2)), seed=0)
