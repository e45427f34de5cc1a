import numpy as np
import pytest
from scipy.stats import norm

from oceaninv.report.density import joint_density, marginal_density, region_levels

N = 20_000
EQUAL = np.full(N, 1 / N)


def test_marginal_density_is_that_of_the_distribution() -> None:
    x = np.random.default_rng(0).standard_normal(N)
    points, density = marginal_density(x, EQUAL, -6.0, 6.0)
    assert density == pytest.approx(norm.pdf(points), abs=0.03)
    assert np.trapezoid(density, points) == pytest.approx(1.0, abs=1e-3)


def test_density_does_not_fall_off_at_the_bound_of_the_prior() -> None:
    x = np.random.default_rng(0).random(N)
    _, density = marginal_density(x, EQUAL, 0.0, 1.0)
    assert density[[0, 500, -1]] == pytest.approx(1.0, abs=0.15)


def test_weights_move_the_density() -> None:
    x = np.random.default_rng(0).uniform(-6, 6, N)
    weights = norm.pdf(x, 1.0, 0.5)
    points, density = marginal_density(x, weights / weights.sum(), -6.0, 6.0)
    assert density == pytest.approx(norm.pdf(points, 1.0, 0.5), abs=0.06)


def test_regions_hold_their_share_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], N)
    x, y, density = joint_density(draws[:, 0], draws[:, 1], EQUAL, (-5, 5), (-5, 5))
    outer, inner = region_levels(density, (0.5, 0.9))
    assert outer < inner
    column = np.abs(draws[:, :1] - x).argmin(1)
    row = np.abs(draws[:, 1:] - y).argmin(1)
    assert np.mean(density[row, column] >= outer) == pytest.approx(0.9, abs=0.03)
    assert np.mean(density[row, column] >= inner) == pytest.approx(0.5, abs=0.05)
