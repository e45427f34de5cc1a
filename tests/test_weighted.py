import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceaninv.weighted import (
    effective_size,
    normalised_weights,
    pareto_k,
    psis,
    resample,
    thin,
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


def test_values_without_weight_do_not_move_quantiles() -> None:
    for x, weights, q, expected in (
        ([-1000.0, 0.0, 1.0], [0.0, 0.5, 0.5], 0.05, 0.0),
        ([0.0, 0.9, 1.0], [0.5, 0.0, 0.5], 0.5, 0.5),
    ):
        found = weighted_quantile(np.array(x), np.array(weights), np.array(q))
        assert found == pytest.approx(expected)


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


@pytest.mark.parametrize("spread", [0.2, 0.7, 1.5, 4.0])
@pytest.mark.parametrize("n", [200, 5000])
def test_smoothed_weights_are_those_of_arviz(n: int, spread: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its notice of a coming rewrite
        arviz = pytest.importorskip("arviz")
    if not hasattr(arviz, "psislw"):
        pytest.skip("this version of arviz has no psislw")
    log_weight = spread * np.random.default_rng(3).standard_t(5, n) - 700.0
    theirs, their_k = arviz.psislw(log_weight)
    ours, k = psis(log_weight)
    assert k == pytest.approx(float(their_k), abs=1e-9)
    assert np.log(normalised_weights(ours, n)) == pytest.approx(theirs, abs=1e-9)
    assert ours.max() <= log_weight.max()
    assert np.count_nonzero(ours != log_weight) <= np.ceil(3 * np.sqrt(n))


def test_smoothing_steadies_means_where_weights_have_a_heavy_tail() -> None:
    """Of N(0, 1) by draws from N(0, 0.7²): the weights have a tail of shape 0.51."""
    rng = np.random.default_rng(4)
    raw, smoothed = [], []
    for _ in range(300):
        x = 0.7 * rng.standard_normal(1000)
        log_weight = -0.5 * x**2 * (1 - 1 / 0.49)
        raw.append(normalised_weights(log_weight, 1000) @ x**2)
        smoothed.append(normalised_weights(psis(log_weight)[0], 1000) @ x**2)
    assert np.square(np.array(smoothed) - 1).mean() < np.square(np.array(raw) - 1).mean()


def test_few_weights_and_equal_ones_are_not_smoothed() -> None:
    few = np.random.default_rng(0).standard_normal(100)
    assert psis(few)[0] is few
    assert np.array_equal(psis(np.zeros(5000))[0], np.zeros(5000))


def test_draws_without_weight_stay_without() -> None:
    log_weight = np.random.default_rng(0).standard_normal(4000)
    log_weight[::2] = -np.inf
    smoothed, k = psis(log_weight)
    assert np.all(smoothed[::2] == -np.inf)
    assert np.isfinite(smoothed[1::2]).all()
    assert k < 0.7


def test_thinning_keeps_expectations_and_heavy_draws() -> None:
    rng = np.random.default_rng(0)
    v = rng.standard_normal(50_000)
    log_weight = 2.0 * v  # of N(2, 1) against N(0, 1)
    kept, thinned = thin(log_weight, 5000, rng)
    assert len(kept) == 5000
    assert log_weight.argmax() in kept
    assert np.logaddexp.reduce(thinned) == pytest.approx(np.logaddexp.reduce(log_weight), abs=0.02)
    whole = normalised_weights(log_weight, len(v)) @ v
    assert normalised_weights(thinned, len(kept)) @ v[kept] == pytest.approx(whole, abs=0.05)
    assert effective_size(thinned) > 0.6 * effective_size(log_weight)

    log_weight[::2] = -np.inf
    kept, thinned = thin(log_weight, 10**6, rng)
    assert np.array_equal(kept, np.arange(1, 50_000, 2))
    assert np.array_equal(thinned, log_weight[1::2])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_thinning_to_a_few_draws_leaves_as_many_and_keeps_expectations(n: int) -> None:
    log_weight = 1.5 * np.random.default_rng(0).standard_normal(50)
    kept, weights = [], []
    for seed in range(4000):
        index, thinned = thin(log_weight, n, np.random.default_rng(seed))
        assert len(np.unique(index)) == n
        kept.append(index)
        weights.append(np.exp(thinned))
    means = np.bincount(np.ravel(kept), np.ravel(weights), 50) / 4000
    error = np.exp(0.5 * np.logaddexp.reduce(log_weight) + 0.5 * log_weight) / 4000**0.5
    assert np.all(np.abs(means - np.exp(log_weight)) < 4.5 * error)
    assert means.sum() == pytest.approx(np.exp(log_weight).sum(), rel=0.02)
