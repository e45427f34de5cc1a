"""A guess is the normal distribution that it was made of, whichever way it is written."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from oceaninv.inference.estimator import Architecture, Estimator
from oceaninv.inference.guesses import guess_size, normal_guess, whitening


def normals(n: int, d: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(n, d, d, generator=generator, dtype=torch.float64)
    covariance = factor @ factor.mT + 0.1 * torch.eye(d, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64), covariance


@given(d=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_a_guess_whitens_its_own_normal(d: int, seed: int) -> None:
    mean, covariance = normals(5, d, seed)
    guess, factor = normal_guess(mean, covariance)
    assert guess.shape == (5, guess_size(d))
    matrix, offset = whitening(guess, d)
    assert torch.allclose(matrix, factor, rtol=1e-8)
    eye = torch.eye(d, dtype=torch.float64).expand(5, d, d)
    assert torch.allclose(matrix @ covariance @ matrix.mT, eye, atol=1e-8)
    assert torch.allclose((matrix @ mean[..., None])[..., 0], offset)


def test_an_untrained_network_is_the_normal_of_its_guess() -> None:
    mean, covariance = normals(3, 3, seed=1)
    guess, _ = normal_guess(mean, covariance)
    shapes = Architecture(
        dim=3, features=guess_size(3), guesses=1, hidden=8, depth=0, context=4, blocks=2,
        coupling_hidden=8, bins=4,
    )  # fmt: skip
    estimator = Estimator(shapes, seed=0)
    v = torch.randn(3, 3, generator=torch.Generator().manual_seed(2))
    exact = torch.distributions.MultivariateNormal(mean, covariance).log_prob(v.double())
    with torch.no_grad():
        conditions = estimator.condition(guess.float())
        assert torch.allclose(estimator.log_prob(v, conditions).double(), exact, rtol=1e-4)
        drawn, log_q = estimator.sample(conditions, torch.Generator().manual_seed(3))
        assert torch.allclose(estimator.log_prob(drawn, conditions), log_q, atol=1e-4)
        assert torch.allclose(conditions.colour(conditions.whiten(v)), v, atol=1e-4)


def test_the_best_guess_is_chosen_for_each_unknown_and_widened() -> None:
    """Of two guesses, each is right about one unknown; the first is twice too narrow about its."""
    generator = torch.Generator().manual_seed(4)
    v = torch.randn(4000, 2, generator=generator)
    y = v + 0.2 * torch.randn(v.shape, generator=generator)
    far = torch.full_like(y[:, :1], 5.0)
    log_sd, zero = torch.full_like(far, -1.609), torch.zeros_like(far)
    first = torch.cat([y[:, :1], far, log_sd - 0.693, log_sd, zero], -1)
    second = torch.cat([far, y[:, 1:], log_sd, log_sd, zero], -1)
    shapes = Architecture(
        dim=2, features=10, guesses=2, hidden=8, depth=0, context=4, blocks=0, coupling_hidden=8,
        bins=4,
    )  # fmt: skip
    estimator = Estimator(shapes, seed=0)
    features = torch.cat([first, second], -1)
    estimator.standardise(v, features)
    assert estimator.choice.tolist() == [0, 1]
    assert torch.allclose(estimator.widening, torch.tensor([2.0, 1.0]), rtol=0.05)
    white = estimator.condition(features).whiten(v)
    assert torch.allclose(white.std(0), torch.ones(2), rtol=0.02)
    assert white.mean(0).abs().max() < 0.05
