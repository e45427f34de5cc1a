import numpy as np
import pytest

from oceaninv.diagnostics.distances import wasserstein

RNG = np.random.default_rng(0)
EQUAL = np.ones(20_000)


def test_a_shift_counts_in_reference_standard_deviations() -> None:
    b = RNG.standard_normal((20_000, 2)) * [2.0, 0.1]
    a = b + np.array([1.0, 0.1])
    assert wasserstein(a, EQUAL, b, EQUAL) == pytest.approx([0.5, 1.0], rel=0.03)


def test_half_the_spread_gives_its_closed_form() -> None:
    b = RNG.standard_normal((20_000, 1))
    # For two centred normals W1 is the difference of sd times E|x| = sqrt(2/pi).
    expected = 0.5 * np.sqrt(2 / np.pi)
    assert wasserstein(0.5 * b, EQUAL, b, EQUAL) == pytest.approx([expected], rel=0.03)


def test_weights_stand_for_repeated_draws() -> None:
    a, b = RNG.standard_normal((300, 2)), RNG.standard_normal((400, 2)) + 0.5
    count = RNG.integers(1, 4, 300)
    weighted = wasserstein(a, count / count.sum(), b, np.ones(400))
    repeated = wasserstein(np.repeat(a, count, 0), np.ones(count.sum()), b, np.ones(400))
    assert weighted == pytest.approx(repeated)
