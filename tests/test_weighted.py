import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceaninv.weighted import (
    effective_size,
    normalised_weights,
    pareto_k,
    resample,
    weighted_quantile,
)


def test_weights_ignore_a_constant_and_survive_large_logarithms() -> None:
    log_weight = np.array([0.0, np.log(3.0)])
    for constant in (0.0, 1e4, -1e4):
        assert normalised_weights(log_weight + constant, 2) == pytest.approx([0.25, 0.75])


@given(st.integers(1, 50))
def test_effective_size_counts_equal_weights(n: int) -> None:
    log_weight = np.full(50, -np.inf)
    log_weight[:n] = 1.3
    assert effective_size(log_weight) == pytest.approx(n)


@settings(deadline=None)
@given(st.integers(1, 300), st.integers(0, 1000))
def test_resampling_copies_each_draw_as_often_as_its_weight_says(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_weight = 2.0 * rng.standard_normal(40)
    copies = np.bincount(resample(log_weight, 40, n, rng), minlength=40)
    assert copies.sum() == n
    assert np.all(np.abs(copies - n * normalised_weights(log_weight, 40)) < 1.0 + 1e-9)


def test_equal_draws_are_not_repeated_while_they_last() -> None:
    index = resample(None, 10, 25, np.random.default_rng(0))
    assert sorted(np.bincount(index)) == [2] * 5 + [3] * 5


def test_weighted_quantiles_agree_with_those_of_repeated_values() -> None:
    rng = np.random.default_rng(0)
    x, count = rng.standard_normal(2000), rng.integers(0, 5, 2000)
    q = np.array([0.05, 0.5, 0.95])
    ours = weighted_quantile(x, count / count.sum(), q)
    assert ours == pytest.approx(np.quantile(np.repeat(x, count), q), abs=0.01)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_the_tail_of_weights_with_a_known_tail_is_found(shape: float) -> None:
    """w = U^-k has a Pareto tail of shape k."""
    rng = np.random.default_rng(1)
    found = [pareto_k(-shape * np.log(rng.random(20_000))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(shape, abs=0.07)


def test_weights_that_are_bounded_have_no_tail() -> None:
    rng = np.random.default_rng(2)
    assert pareto_k(np.log(rng.uniform(0.5, 1.0, 5000))) < 0
    assert pareto_k(np.zeros(5000)) == -np.inf
    assert np.isnan(pareto_k(np.zeros(100)))
