from dataclasses import replace

import numpy as np
import pytest
import torch

from oceaninv.diagnostics.compare import compare
from oceaninv.errors import InputError
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import Posterior, make_posterior
from oceaninv.scenario import load_scenario

N = 800


def test_draws_of_one_posterior_agree_and_a_shifted_one_does_not() -> None:
    reference = _posterior(0)
    same = compare(_posterior(1), reference, draws=N)
    assert same.c2st.accuracy < 0.55
    assert max(row.wasserstein for row in same.rows) < 0.15
    assert [row.sd_ratio for row in same.rows] == pytest.approx(np.ones(12), abs=0.1)
    assert same.same_data

    shifted = compare(_posterior(1, shift=1.5), reference, draws=N)
    assert shifted.c2st.accuracy > 0.65
    assert shifted.rows[0].wasserstein == pytest.approx(1.5, abs=0.15)
    assert max(row.wasserstein for row in shifted.rows[1:]) < 0.15
    assert shifted.rows[0].median > shifted.rows[0].reference_median


def test_weights_are_taken_into_account() -> None:
    wide = _posterior(1, scale=2.0)
    v = wide.scenario.prior.to_normal(torch.from_numpy(wide.samples)).numpy()
    exact = replace(wide, log_weight=-0.5 * np.sum((v[:, :1] / 0.3) ** 2 * (1 - 1 / 4), axis=1))
    reference = _posterior(0)
    assert compare(wide, reference, draws=N).rows[0].sd_ratio > 1.6
    weighted = compare(exact, reference, draws=N)
    assert weighted.rows[0].sd_ratio == pytest.approx(1.0, abs=0.1)
    assert weighted.c2st.accuracy < 0.56


def test_other_data_are_noticed() -> None:
    other = replace(_posterior(0), attributes={"data_hash": "another"})
    assert not compare(_posterior(1), other, draws=300).same_data


def test_posteriors_of_different_unknowns_are_refused() -> None:
    scenario = load_scenario("pekeris-teaching")
    with pytest.raises(InputError, match="compare posteriors of one scenario"):
        compare(_posterior(0), _posterior(0, scenario=scenario.name))


def test_posteriors_in_different_units_are_refused() -> None:
    whole = _posterior(0)
    name, unknowns = whole.names[0], dict(whole.scenario.unknowns)
    unit = unknowns[name].unit
    unknowns[name] = unknowns[name].model_copy(update={"unit": "fathom"})
    other = replace(whole, scenario=whole.scenario.model_copy(update={"unknowns": unknowns}))
    with pytest.raises(InputError, match=f"unknowns: {name} is in '{unit}' and in 'fathom'; give"):
        compare(whole, other)


def test_posteriors_of_too_few_different_draws_are_refused() -> None:
    whole = _posterior(0)
    few = replace(whole, samples=np.repeat(whole.samples[:8], 100, axis=0))
    one = replace(whole, samples=np.repeat(whole.samples[:1], N, axis=0))
    for posteriors, said in (
        ((few, whole), "8 different draws of the first are too few"),
        ((whole, few), "8 different draws of the second are too few"),
        ((whole, one), "1 different draws of the second are too few"),
    ):
        with pytest.raises(InputError, match=said):
            compare(*posteriors)


def _posterior(
    seed: int, shift: float = 0.0, scale: float = 1.0, scenario: str = "north-elba-1993"
) -> Posterior:
    """Normal in v, 0.3 wide; moved and scaled in the first unknown."""
    problem = load_scenario(scenario)
    measurement, _ = synthetic_measurement(problem, seed=1)
    rng = np.random.default_rng(seed)
    v = 0.3 * rng.standard_normal((N, problem.prior.dim))
    v[:, 0] = 0.3 * shift + scale * v[:, 0]
    return make_posterior(
        problem,
        measurement,
        problem.prior.from_normal(torch.from_numpy(v)),
        log_likelihood=np.zeros(N),
        method="test",
        seed=seed,
        n_predictive=2,
    )
