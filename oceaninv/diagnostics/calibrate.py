"""Whether a model's posteriors mean what they say, over many fresh simulations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import binomtest

from oceaninv.diagnostics.ranks import coverage, rank, region_rank, tarp_rank
from oceaninv.diagnostics.uniformity import UniformityTest
from oceaninv.errors import InputError
from oceaninv.inference import Model
from oceaninv.inference.importance import sample_importance
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import versions
from oceaninv.scenario import Scenario
from oceaninv.weighted import normalised_weights, psis

Array = NDArray[np.float64]
Progress = Callable[[int, int, str], None]
Sample = Callable[[Measurement, int], tuple[Array, Array | None]]

LEVELS = np.array([0.5, 0.8, 0.9, 0.95])
FALSE_ALARM = 0.01  # probability that an exact sampler does not pass
_STREAM = 0xCA11B  # keeps these simulations apart from training ones of the same seed


def calibrate(
    model: Model,
    n: int = 500,
    *,
    seed: int = 0,
    reweighted: bool = False,
    draws: int = 1000,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Calibration of a model over n fresh simulations of its own scenario.

    Args:
        model: the trained model.
        n: simulations, drawn from the prior and the noise model.
        seed: of the simulations and of the draws.
        reweighted: judge the posteriors re-weighted by the likelihood, not the raw network.
        draws: draws of each posterior; where re-weighted, effective draws aimed at.
        progress: called with (done, n, "").

    Returns:
        As `calibrate_sampler`.
    """
    prior = model.scenario.prior

    def raw(measurement: Measurement, stream: int) -> tuple[Array, Array | None]:
        generator = torch.Generator().manual_seed(stream)
        theta, _ = model.sample(measurement, draws, generator)
        return theta.numpy(), None

    def exact(measurement: Measurement, stream: int) -> tuple[Array, Array | None]:
        of_theta = log_likelihood(model.scenario, measurement)
        weighted = sample_importance(
            lambda v: of_theta(prior.from_normal(v)),
            model.proposal(measurement),
            prior.dim,
            target=draws,
            max_draws=100 * draws,
            generator=torch.Generator().manual_seed(stream),
        )
        return prior.from_normal(weighted.v).numpy(), psis(weighted.log_weight.numpy())[0]

    result = calibrate_sampler(
        model.scenario, exact if reweighted else raw, n, seed=seed, progress=progress
    )
    return result.assign_attrs(
        method="re-weighted" if reweighted else "raw", draws=draws, versions=versions()
    )


def calibrate_sampler(
    scenario: Scenario,
    sample: Sample,
    n: int,
    *,
    seed: int,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Calibration of any sampler over n fresh simulations of a scenario.

    Each truth comes from the prior and each measurement from the scenario's noise model. Ranks
    are taken in v, where the prior is standard normal; ranks of the unknowns are the same there,
    and the joint tests (balls about random points of the prior: TARP; ellipsoids about the
    posterior mean) measure their distances there.

    Args:
        scenario: what is simulated.
        sample: (measurement, seed) -> draws (L, d) of the unknowns and log weights (L,) or None.
        n: number of simulations.
        seed: of all randomness; the stream is other than that of training sets.
        progress: called with (done, n, "").

    Returns:
        Dataset of `verdict`, with the truths and the posterior means and sd in `truth`,
        `posterior_mean` and `posterior_sd` (simulation, parameter).
    """
    if n < 20:
        raise InputError(f"n: {n} simulations say nothing; give 20 or more")
    rng = np.random.default_rng([seed, _STREAM])
    prior = scenario.prior
    ranks, balls, regions, truths, means, sds = [], [], [], [], [], []
    for i in range(n):
        theta = prior.sample(1, rng)[0]
        stream = int(rng.integers(2**31))
        measurement, _ = synthetic_measurement(scenario, theta, seed=stream)
        x, log_weight = sample(measurement, stream)
        order = rng.permutation(len(x))
        x, weights = x[order], normalised_weights(log_weight, len(x))[order]
        truth = prior.to_normal(theta[None])[0].numpy()
        v = prior.to_normal(torch.from_numpy(x)).numpy()
        ranks.append(rank(truth, v, weights, rng))
        balls.append(tarp_rank(truth, v, weights, rng.standard_normal(prior.dim), rng))
        regions.append(region_rank(truth, v, weights, rng))
        truths.append(theta.numpy())
        means.append(weights @ x)
        sds.append(np.sqrt(weights @ (x - means[-1]) ** 2))
        if progress:
            progress(i + 1, n, "")
    prior_sd = prior.sample(20_000, rng).numpy().std(0)
    result = verdict(prior.names, np.array(ranks), np.array(balls), np.array(regions))
    dims = ("simulation", "parameter")
    sharpness = np.sqrt(np.mean(np.square(sds), axis=0)) / prior_sd
    return result.assign(
        truth=(dims, np.array(truths)),
        posterior_mean=(dims, np.array(means)),
        posterior_sd=(dims, np.array(sds)),
        sharpness=(
            "parameter",
            sharpness,
            {"long_name": "posterior sd (root mean square) in prior sd; 1 is no better than it"},
        ),
    ).assign_attrs(
        title=f"Calibration of {scenario.name}",
        scenario=scenario.name,
        scenario_hash=scenario.hash(),
        seed=seed,
    )


def verdict(names: Sequence[str], ranks: Array, balls: Array, regions: Array) -> xr.Dataset:
    """Judge the ranks of n simulations, by parameter and jointly.

    Each parameter, the credibility of TARP's balls and that of the posterior's ellipsoids are
    tested for uniformity (`UniformityTest`). With d parameters there are d + 2 tests; one fails
    below 0.01 / (d + 2) (Bonferroni), so that an exact sampler passes as a whole with a
    probability of 99 %.

    Args:
        names: of the parameters, (d,).
        ranks: (n, d), in [0, 1].
        balls: credibilities by `tarp_rank`, (n,).
        regions: credibilities by `region_rank`, (n,).

    Returns:
        Dataset with `rank` (simulation, parameter), `p_value` and `passes` (parameter),
        `coverage` of central intervals (parameter, level); `joint_rank` (simulation, joint),
        `joint_p_value` and `joint_passes` (joint) and `expected_coverage` (joint, level) for
        `joint` "tarp" and "region"; `coverage_lower`, `coverage_upper` and so on, binomial 95 %
        intervals; and attributes `passes` (1 or 0), `alpha` of each test, and `test`.
    """
    n, d = ranks.shape
    joint = np.stack([balls, regions], axis=-1)
    test, alpha = UniformityTest.of(n), FALSE_ALARM / (d + 2)
    p_value = np.array([test.p_value(u) for u in ranks.T])
    joint_p_value = np.array([test.p_value(u) for u in joint.T])
    covered = coverage(ranks, LEVELS)
    # A region that holds the truth with credibility c counts from one end, not from the middle.
    expected = (joint[..., None] <= LEVELS).mean(axis=0)
    lower, upper = _binomial_bounds(covered, n)
    expected_lower, expected_upper = _binomial_bounds(expected, n)
    return xr.Dataset(
        {
            "rank": (("simulation", "parameter"), ranks),
            "p_value": ("parameter", p_value),
            "passes": ("parameter", (p_value >= alpha).astype(np.int8)),
            "coverage": (("parameter", "level"), covered),
            "coverage_lower": (("parameter", "level"), lower),
            "coverage_upper": (("parameter", "level"), upper),
            "joint_rank": (("simulation", "joint"), joint),
            "joint_p_value": ("joint", joint_p_value),
            "joint_passes": ("joint", (joint_p_value >= alpha).astype(np.int8)),
            "expected_coverage": (("joint", "level"), expected),
            "expected_coverage_lower": (("joint", "level"), expected_lower),
            "expected_coverage_upper": (("joint", "level"), expected_upper),
        },
        coords={"parameter": list(names), "level": LEVELS, "joint": ["tarp", "region"]},
        attrs={
            "passes": int(min(p_value.min(), joint_p_value.min()) >= alpha),
            "alpha": alpha,
            "simulations": n,
            "test": "simultaneous binomial test of the empirical distribution function of ranks",
        },
    )


def _binomial_bounds(share: Array, n: int) -> tuple[Array, Array]:
    """Clopper-Pearson 95 % interval of shares of n."""
    bounds = [binomtest(round(p * n), n).proportion_ci() for p in share.ravel()]
    lower = np.array([b.low for b in bounds]).reshape(share.shape)
    upper = np.array([b.high for b in bounds]).reshape(share.shape)
    return lower, upper
