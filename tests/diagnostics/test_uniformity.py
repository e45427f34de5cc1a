"""Uniform numbers, and some that are not: p-values are held against counts of all cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from oceaninv.diagnostics.calibrate import verdict
from oceaninv.diagnostics.uniformity import UniformityTest


def test_p_values_of_three_numbers_are_those_of_all_cases() -> None:
    # three numbers in a hundred equally likely cells each: a million cases
    test = UniformityTest.of(3)
    cell = np.array(list(itertools.combinations_with_replacement(range(100), 3)))
    different = 1 + (np.diff(cell, axis=1) > 0).sum(1)
    cases = np.array([1, 3, 6])[different - 1]  # in which the three can have come
    counted = (cell[:, :, None] < np.arange(1, 100)).sum(1)
    statistic = test.probability[counted, np.arange(99)].min(1)
    for i in np.random.default_rng(0).integers(len(cell), size=50):
        as_far = cases[statistic <= statistic[i] * (1 + 1e-9)].sum() / 100**3
        assert test.p_value((cell[i] + 0.5) / 100) == pytest.approx(as_far, rel=1e-9)


def test_uniform_numbers_pass_as_often_as_stated() -> None:
    test = UniformityTest.of(200)
    rng = np.random.default_rng(1)
    p = np.array([test.p_value(rng.random(200)) for _ in range(600)])
    assert np.mean(p < 0.1) == pytest.approx(0.1, abs=0.04)
    assert np.mean(p < 0.5) == pytest.approx(0.5, abs=0.07)


def test_band_and_p_value_agree() -> None:
    test = UniformityTest.of(100)
    rng = np.random.default_rng(2)
    lower, upper = test.band(0.1)
    outside = []
    for power in np.linspace(0.7, 1.4, 60):
        u = rng.random(100) ** power
        ecdf = np.searchsorted(np.sort(u), test.points, side="right") / 100
        strays = bool(np.any((ecdf < lower) | (ecdf > upper)))
        outside.append(strays)
        assert strays == (test.p_value(u) <= 0.1)
    assert 0 < sum(outside) < 60


@pytest.mark.parametrize("n", [20, 1000])
def test_band_holds_uniform_numbers_as_often_as_stated(n: int) -> None:
    test = UniformityTest.of(n)
    lower, upper = test.band(0.05)
    cells = np.random.default_rng(3).multinomial(n, np.full(100, 0.01), size=20_000)
    ecdf = np.cumsum(cells, axis=1)[:, :-1] / n
    strays = ((ecdf < lower) | (ecdf > upper)).any(1)
    assert strays.mean() == pytest.approx(0.05, abs=0.008)  # the counts of 20 come in steps


def test_one_collapsed_unknown_among_two_hundred_fails() -> None:
    rng = np.random.default_rng(4)
    ranks = rng.random((500, 200))
    ranks[:, 7] = 0.5 + (ranks[:, 7] - 0.5) / 20
    names = [f"unknown {i}" for i in range(200)]
    result = verdict(names, ranks, rng.random(500), rng.random(500))
    assert np.flatnonzero(~result["passes"].values.astype(bool)).tolist() == [7]
    assert result.attrs["passes"] == 0
