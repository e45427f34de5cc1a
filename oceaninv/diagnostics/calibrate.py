"""Whether a model's posteriors mean what they say, over many fresh simulations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from oceaninv.diagnostics.joint import JointTest, joint_test
from oceaninv.diagnostics.ranks import coverage, rank, region_rank, tarp_rank
from oceaninv.diagnostics.uniformity import UniformityTest
from oceaninv.errors import InputError
from oceaninv.inference import Model, infer
from oceaninv.inference.matched_field import TEMPERATURES, MatchedField, simulate_references
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurements
from oceaninv.posterior import versions
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict
from oceaninv.scenario.prior import Prior
from oceaninv.weighted import normalised_weights, resample

Array = NDArray[np.float64]
Progress = Callable[[int, int, str], None]
Sample = Callable[[Measurement, int], tuple[Array, Array | None]]

LEVELS = np.array([0.5, 0.8, 0.9, 0.95])
FALSE_ALARM = 0.01  # probability that an exact sampler does not pass
NEAR = 0.02  # of a level: how near to it its coverage is counted as being
_CHOICES = 4  # draws that the classifier has to tell the truth from
_REFERENCES = 512
_GUESSED_AT = (4.0, 16.0)  # temperatures of the matched fields
_LEAST = 1e-300
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
        reweighted: judge the posteriors that `infer` gives, not the raw network.
        draws: draws of each posterior; where re-weighted, effective draws aimed at.
        progress: called with (done, n, "").

    Returns:
        As `calibrate_sampler`.
    """

    def raw(measurement: Measurement, stream: int) -> tuple[Array, Array | None]:
        generator = torch.Generator().manual_seed(stream)
        theta, _ = model.sample(measurement, draws, generator)
        return theta.numpy(), None

    def exact(measurement: Measurement, stream: int) -> tuple[Array, Array | None]:
        posterior = infer(measurement, model=model, effective_samples=draws, seed=stream)
        return posterior.samples, posterior.log_weight

    result = calibrate_sampler(
        model.scenario,
        exact if reweighted else raw,
        n,
        seed=seed,
        references=model.aid if isinstance(model.aid, MatchedField) else None,
        progress=progress,
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
    references: MatchedField | None = None,
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
        references: what the classifier's guesses of the unknowns come from; None simulates some.
        progress: called with (done, n, "").

    Returns:
        Dataset of `verdict`, with the truths and the posterior means and sd in `truth`,
        `posterior_mean` and `posterior_sd` (simulation, parameter), and what the posteriors are
        worth, beside their calibration: `sharpness` and `information` (parameter).
    """
    if n < 20:
        raise InputError(f"n: {n} simulations say nothing; give 20 or more")
    rng = np.random.default_rng([seed, _STREAM])
    prior = scenario.prior
    simulated, theta, replica = synthetic_measurements(scenario, n, seed=int(rng.integers(2**62)))
    truths = prior.to_normal(theta).numpy()
    records = []
    for i, measurement in enumerate(simulated):
        x, log_weight = sample(measurement, int(rng.integers(2**31)))
        records.append(_judged(prior, truths[i], x, log_weight, rng))
        if progress:
            progress(i + 1, n, "")
    record = {name: np.array([r[name] for r in records]) for name in records[0]}
    score = _scores(scenario, simulated, theta, replica, record["drawn"])
    tested = joint_test(
        truths,
        record["drawn_normal"],
        record["mean_others"],
        record["sd_others"],
        _guesses(scenario, references, simulated),
        score,
        seed=seed,
    )
    result = verdict(prior.names, record["rank"], record["ball"], record["region"], tested)
    prior_sd = prior.sample(20_000, rng).numpy().std(0)
    sharpness = np.sqrt(np.mean(np.square(record["sd"]), axis=0)) / prior_sd
    information, together = _information(record["mean_normal"], record["covariance"])
    dims = ("simulation", "parameter")
    return result.assign(
        truth=(dims, theta.numpy()),
        posterior_mean=(dims, record["mean"]),
        posterior_sd=(dims, record["sd"]),
        sharpness=(
            "parameter",
            sharpness,
            {"long_name": "posterior sd (root mean square) in prior sd; 1 is no better than it"},
        ),
        information=(
            "parameter",
            information,
            {"long_name": "mean information gained over the prior, Gaussian", "units": "nat"},
        ),
    ).assign_attrs(
        title=f"Calibration of {scenario.name}",
        scenario=scenario.name,
        scenario_hash=scenario.hash(),
        seed=seed,
        information_joint=together,
    )


def verdict(
    names: Sequence[str],
    ranks: Array,
    balls: Array,
    regions: Array,
    classifier: JointTest | None = None,
) -> xr.Dataset:
    """Judge the ranks of n simulations, by parameter and jointly.

    Each parameter, the credibility of TARP's balls and that of the posterior's ellipsoids are
    tested for uniformity (`UniformityTest`), and each parameter and all together by a classifier
    (`joint_test`). Of k tests one fails below 0.01 / k (Bonferroni), so that an exact sampler
    passes as a whole with a probability of 99 %.

    Args:
        names: of the parameters, (d,).
        ranks: (n, d), in [0, 1].
        balls: credibilities by `tarp_rank`, (n,).
        regions: credibilities by `region_rank`, (n,).
        classifier: its answers, if it was asked.

    Returns:
        Dataset with `rank` (simulation, parameter), `p_value` and `passes` (parameter),
        `coverage` of central intervals (parameter, level); `joint_rank` (simulation, joint),
        `joint_p_value` and `joint_passes` (joint) and `expected_coverage` (joint, level) for
        `joint` "tarp" and "region"; `coverage_lower`, `coverage_upper` and so on, binomial 95 %
        intervals; `c2st`, `c2st_p_value` and `c2st_passes` (told: parameters and "joint"); and
        attributes `passes` (1 or 0), `alpha` of each test, `test` and `c2st_error`; `near` of the
        `coverage` are within 2 points of their level, of an exact sampler `near_expected`, for n
        simulations tell no more.
    """
    n = len(ranks)
    joint = np.stack([balls, regions], axis=-1)
    test = UniformityTest.of(n)
    p_value = np.array([test.p_value(u) for u in ranks.T])
    joint_p_value = np.array([test.p_value(u) for u in joint.T])
    every = [*p_value, *joint_p_value, *(classifier.p_value if classifier else [])]
    alpha = FALSE_ALARM / len(every)
    covered = coverage(ranks, LEVELS)
    # A region that holds the truth with credibility c counts from one end, not from the middle.
    expected = (joint[..., None] <= LEVELS).mean(axis=0)
    lower, upper = _binomial_bounds(covered, n)
    expected_lower, expected_upper = _binomial_bounds(expected, n)
    near = np.abs(covered - LEVELS) <= NEAR + 1e-12
    result = xr.Dataset(
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
            "passes": int(min(every) >= alpha),
            "alpha": alpha,
            "simulations": n,
            "near": int(near.sum()),
            "near_expected": len(names) * float(_probability_near(LEVELS, n).sum()),
            "test": "simultaneous binomial test of the empirical distribution function of ranks",
        },
    )
    if classifier is None:
        return result
    told = [*names, "joint"]
    return (
        result.assign_coords(told=told)
        .assign(
            c2st=(
                "told",
                classifier.accuracy,
                {"long_name": "truth told from draws; 0.5 is perfect"},
            ),
            c2st_p_value=("told", classifier.p_value),
            c2st_passes=("told", (classifier.p_value >= alpha).astype(np.int8)),
        )
        .assign_attrs(c2st_error=classifier.error)
    )


def _judged(
    prior: Prior, truth: Array, x: Array, log_weight: Array | None, rng: np.random.Generator
) -> dict[str, Array | float]:
    """What is kept of the draws x (L, d) of one posterior; truth (d,) in normal scores."""
    order = rng.permutation(len(x))
    x, weights = x[order], normalised_weights(log_weight, len(x))[order]
    v = prior.to_normal(torch.from_numpy(x)).numpy()
    mean, mean_normal = weights @ x, weights @ v
    residual = v - mean_normal
    few, others, share = _parted(x, weights, rng)
    mean_others = share @ v[others]
    return {
        "rank": rank(truth, v, weights, rng),
        "ball": tarp_rank(truth, v, weights, rng.standard_normal(prior.dim), rng),
        "region": region_rank(truth, v, weights, rng),
        "mean": mean,
        "sd": np.sqrt(weights @ (x - mean) ** 2),
        "mean_normal": mean_normal,
        "covariance": residual.T @ (weights[:, None] * residual),
        "drawn": x[few],
        "drawn_normal": v[few],
        "mean_others": mean_others,
        "sd_others": np.sqrt(share @ (v[others] - mean_others) ** 2),
    }


def _parted(
    x: Array, weights: Array, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Draws for the classifier, and others that say what is known of the truth.

    A draw is nearer than the truth to a mean that it is part of. The draws x (L, d) are therefore
    halved, all copies of one counted as a single draw with their weight.

    Returns:
        Indices of draws for the classifier, by weight (M,), indices of others and their weights.
    """
    _, different, copy = np.unique(x, axis=0, return_index=True, return_inverse=True)
    log_weight = np.log(np.maximum(np.bincount(copy.ravel(), weights), _LEAST))
    order = rng.permutation(len(different))
    half = len(order) // 2
    judged, others = order[: max(half, 1)], order[half:]  # a collapsed sampler has one draw only
    few = judged[resample(log_weight[judged], len(judged), _CHOICES, rng)]
    return different[few], different[others], normalised_weights(log_weight[others], len(others))


def _scores(
    scenario: Scenario,
    measurements: Sequence[Measurement],
    theta: torch.Tensor,
    replica: torch.Tensor,
    drawn: Array,
) -> Array:
    """Log likelihood of the truth and of each of M draws (n, M, d): (n, 1 + M)."""
    draws = torch.from_numpy(drawn)
    of_draws = predict(scenario, draws.flatten(0, 1)).unflatten(0, draws.shape[:2])
    rows = []
    for i, measurement in enumerate(measurements):
        likelihood = log_likelihood(scenario, measurement)
        candidates = torch.cat([theta[i : i + 1], draws[i]])
        rows.append(likelihood.of_replica(torch.cat([replica[i : i + 1], of_draws[i]]), candidates))
    return torch.stack(rows).clamp_min(-1e9).numpy()


def _guesses(
    scenario: Scenario, references: MatchedField | None, measurements: Sequence[Measurement]
) -> Array:
    """Guesses of the normal scores by matched fields, (n, g, d): they know nothing of q."""
    known = references or simulate_references(scenario, _REFERENCES)
    data = torch.stack([m.data for m in measurements])
    mean = torch.cat([known.means(part) for part in data.split(256)])
    return mean[:, [TEMPERATURES.index(t) for t in _GUESSED_AT]].numpy()


def _information(mean: Array, covariance: Array) -> tuple[Array, float]:
    """Mean KL divergence of a Gaussian posterior from the prior N(0, I), in nats.

    Returns:
        By unknown (d,), and of all together.
    """
    eye = 1e-12 * np.eye(mean.shape[1])
    variance = np.diagonal(covariance, axis1=1, axis2=2) + 1e-12
    alone = 0.5 * (variance + mean**2 - 1 - np.log(variance))
    log_det = np.linalg.slogdet(covariance + eye)[1]
    together = 0.5 * ((variance + mean**2 - 1).sum(1) - log_det)
    return alone.mean(0), float(together.mean())


def _probability_near(level: Array, n: int) -> Array:
    """Of an exact sampler's coverage in n simulations: to be within ``NEAR`` of its level."""
    most, least = np.floor(n * (level + NEAR) + 1e-9), np.ceil(n * (level - NEAR) - 1e-9)
    return np.asarray(binom.cdf(most, n, level) - binom.cdf(least - 1, n, level))


def _binomial_bounds(share: Array, n: int) -> tuple[Array, Array]:
    """Clopper-Pearson 95 % interval of shares of n."""
    bounds = [binomtest(round(p * n), n).proportion_ci() for p in share.ravel()]
    lower = np.array([b.low for b in bounds]).reshape(share.shape)
    upper = np.array([b.high for b in bounds]).reshape(share.shape)
    return lower, upper
