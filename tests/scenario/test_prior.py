"""Priors: densities against scipy, and the map to the standard normal."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from oceaninv.scenario.prior import Marginal, Prior, marginal

SPECS: dict[str, tuple[dict[str, list[float]], object]] = {
    "uniform": ({"uniform": [200.5, 236.5]}, stats.uniform(200.5, 36.0)),
    "normal": ({"normal": [1500.0, 20.0]}, stats.norm(1500.0, 20.0)),
    "truncated_normal": (
        {"truncated_normal": [1.7, 0.3, 1.2, 1.8]},
        stats.truncnorm((1.2 - 1.7) / 0.3, (1.8 - 1.7) / 0.3, 1.7, 0.3),
    ),
    "log_uniform": ({"log_uniform": [0.01, 2.0]}, stats.loguniform(0.01, 2.0)),
}


@pytest.mark.parametrize("kind", SPECS)
def test_density_and_normal_map_agree_with_scipy(kind: str) -> None:
    spec, reference = SPECS[kind]
    m = marginal(spec)
    v = torch.linspace(-4, 4, 33, dtype=torch.float64)
    x = m.from_normal(v)
    np.testing.assert_allclose(x, reference.ppf(stats.norm.cdf(v)), rtol=1e-12)  # type: ignore[attr-defined]
    np.testing.assert_allclose(m.log_prob(x), reference.logpdf(x), rtol=1e-10, atol=1e-10)  # type: ignore[attr-defined]
    np.testing.assert_allclose(m.to_normal(x), v, atol=1e-8)


def test_a_truncated_normal_is_normal_as_far_out_as_its_bounds() -> None:
    v = torch.tensor([-30.0, -8.5, -8.0, 0.5, 8.2, 8.29, 9.0, 30.0], dtype=torch.float64)
    wide = marginal({"truncated_normal": [1600.0, 5.0, 1400.0, 1800.0]})
    np.testing.assert_allclose(wide.from_normal(v), 1600.0 + 5.0 * v, rtol=1e-14)
    np.testing.assert_allclose(wide.to_normal(1600.0 + 5.0 * v), v, atol=1e-12)
    tail = marginal({"truncated_normal": [0.0, 1.0, 1.0, 60.0]})
    x = stats.norm.isf(stats.norm.sf(v.numpy()[4:]) * stats.norm.sf(1.0))  # 60 cuts nothing
    np.testing.assert_allclose(tail.from_normal(v[4:]), x, rtol=1e-9)
    np.testing.assert_allclose(tail.to_normal(torch.from_numpy(x)), v[4:], rtol=1e-9)


@pytest.mark.parametrize("kind", ["uniform", "truncated_normal", "log_uniform"])
def test_density_is_zero_outside_the_support(kind: str) -> None:
    m = marginal(SPECS[kind][0])
    outside = torch.tensor([m.lower - 1e-6, m.upper + 1e-6, -5.0], dtype=torch.float64)
    assert torch.isneginf(m.log_prob(outside)).all()


@settings(deadline=None)
@given(
    st.sampled_from(["uniform", "truncated_normal", "log_uniform"]),
    st.floats(allow_nan=False, allow_infinity=True),
)
def test_from_normal_stays_inside_whatever_v(kind: str, v: float) -> None:
    m: Marginal = marginal(SPECS[kind][0])
    x = m.from_normal(torch.tensor([v], dtype=torch.float64))
    assert m.lower <= x.item() <= m.upper
    assert torch.isfinite(m.to_normal(x)).all()


def test_samples_are_standard_normal_in_v_and_follow_the_seed() -> None:
    names = tuple(SPECS)
    prior = Prior(names, tuple(marginal(spec) for spec, _ in SPECS.values()))
    theta = prior.sample(4000, 7)
    assert theta.shape == (4000, 4)
    assert theta.dtype == torch.float64
    assert torch.equal(theta, prior.sample(4000, np.random.default_rng(7)))
    for column in prior.to_normal(theta).T.numpy():
        assert stats.kstest(column, "norm").pvalue > 1e-3
    expected = sum(m.log_prob(theta[:, i]) for i, m in enumerate(prior.marginals))
    torch.testing.assert_close(prior.log_prob(theta), expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"uniform": [236.5, 200.5]}, r"lower \(236.5\) is above upper \(200.5\); swap them"),
        ({"uniform": [1.0, 1.0]}, "both 1"),
        ({"uniform": [1.0]}, r"takes \[lower, upper\]"),
        ({"gauss": [0.0, 1.0]}, "unknown prior 'gauss'"),
        ({"normal": [0.0, 0.0]}, "must be above 0"),
        ({"log_uniform": [0.0, 1.0]}, "must be above 0"),
        ({"truncated_normal": [0.0, 1.0, 8.0, 9.0]}, "too far from the mean"),
        ({"uniform": [0.0, float("inf")]}, "finite"),
        ({}, "exactly one"),
    ],
)
def test_bad_priors_say_the_mend(spec: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        marginal(spec)
