"""The one-pass whitening against dense linear algebra."""

import numpy as np
import pytest
import torch

from oceaninv.measurement.covariance import ExponentialCovariance

LINES = [[30.0, 0.0, 2.0, 7.0, 18.0], [1.0, 4.0, 2.0]]


def dense(lines: list[list[float]], length: float) -> np.ndarray:
    """C written out: exp(-|x_i - x_j| / l) within a line, 0 between lines."""
    n = sum(map(len, lines))
    c = np.zeros((n, n))
    start = 0
    for line in lines:
        x = np.array(line)
        c[start : start + len(x), start : start + len(x)] = np.exp(-abs(x[:, None] - x) / length)
        start += len(x)
    return c


@pytest.mark.parametrize("length", [0.5, 10.0, 500.0])
def test_whitening_and_determinant_are_those_of_the_dense_matrix(length: float) -> None:
    covariance = ExponentialCovariance.on_lines(LINES)
    c = dense(LINES, length)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 8)) + 1j * rng.standard_normal((3, 8))
    white = covariance.whiten(torch.from_numpy(x), torch.tensor(length, dtype=torch.float64))
    gram = torch.einsum("ai,bi->ab", white.conj(), white)
    np.testing.assert_allclose(gram, x.conj() @ np.linalg.inv(c) @ x.T, rtol=1e-9)
    log_det = covariance.log_det(torch.tensor([length], dtype=torch.float64))
    np.testing.assert_allclose(log_det, np.linalg.slogdet(c)[1], rtol=1e-9)


def test_correlating_is_the_inverse_of_whitening_with_one_length_per_row() -> None:
    covariance = ExponentialCovariance.on_lines(LINES)
    length = torch.tensor([0.0, 3.0, 80.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    e = torch.randn(3, 8, dtype=torch.complex128, generator=generator)
    torch.testing.assert_close(covariance.whiten(covariance.correlate(e, length), length), e)


def test_length_zero_is_the_identity() -> None:
    covariance = ExponentialCovariance.on_lines([[0.0, 1.0, 2.0]])
    x, zero = torch.tensor([1.0, 2.0, 3.0]), torch.tensor(0.0, dtype=torch.float64)
    assert torch.equal(covariance.whiten(x, zero), x)
    assert covariance.log_det(zero) == 0


def test_correlated_draws_have_the_covariance() -> None:
    covariance = ExponentialCovariance.on_lines(LINES)
    e = torch.randn(200_000, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x = covariance.correlate(e, torch.tensor(6.0, dtype=torch.float64))
    np.testing.assert_allclose(x.T @ x / len(x), dense(LINES, 6.0), atol=0.015)


def test_two_phones_at_one_place_are_refused() -> None:
    with pytest.raises(ValueError, match="same place"):
        ExponentialCovariance.on_lines([[1.0, 2.0, 1.0]])
