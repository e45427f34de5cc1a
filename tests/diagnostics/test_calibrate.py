from pathlib import Path

import numpy as np
import pytest
import torch

from oceaninv.diagnostics.calibrate import calibrate_sampler, verdict
from oceaninv.diagnostics.ranks import coverage, rank, region_rank, tarp_rank
from oceaninv.diagnostics.uniformity import UniformityTest
from oceaninv.errors import InputError
from oceaninv.measurement import Measurement
from oceaninv.scenario import load_scenario

N, DRAWS, DIM = 400, 300, 3
NOISE = 0.5
DROWNED = """
name: drowned
title: Two unknowns of which the data say nothing
data: pressure
frequency: [50]
unknowns:
  source_range: {prior: {uniform: [2000, 3000]}, unit: m, long_name: source range}
  bottom_speed: {prior: {uniform: [1600, 1800]}, unit: m/s, long_name: bottom speed}
environment:
  attenuation_unit: dB/wavelength
  water: {depth: 100, sound_speed: 1500}
  half_space: {sound_speed: bottom_speed, density: 1.8, attenuation: 0.3}
source: {depth: 30, range: source_range}
array: {depth: {start: 10, stop: 90, n: 5}}
noise: {snr_db: {uniform: [-60, -50]}}
"""


def test_an_exact_sampler_passes_and_covers_what_it_says() -> None:
    result = _gaussian()
    assert result.attrs["passes"] == 1
    assert result["passes"].all()
    error = np.abs(result["coverage"] - result["level"])
    assert float(error.max()) < 0.07
    assert float(np.abs(result["expected_coverage"] - result["level"]).max()) < 0.07


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 0.5), (0.5, 1.0), (-0.5, 1.0), (0.0, 1.6)])
def test_collapsed_shifted_and_inflated_samplers_fail(shift: float, scale: float) -> None:
    result = _gaussian(shift, scale)
    assert result.attrs["passes"] == 0
    assert result["passes"].values.tolist() == [0, 1, 1]  # only the first unknown is wrong
    if scale != 1.0:
        assert np.sign(float(result["coverage"].sel(level=0.8)[0]) - 0.8) == np.sign(scale - 1)


def test_coverages_within_two_points_are_as_many_as_chance_has_it() -> None:
    rng = np.random.default_rng(6)
    names = [f"unknown {i}" for i in range(100)]
    exact = verdict(names, rng.random((500, 100)), rng.random(500), rng.random(500)).attrs
    assert 0.5 < exact["near_expected"] / 400 < 0.9
    assert exact["near"] == pytest.approx(exact["near_expected"], abs=4 * np.sqrt(400 * 0.2))
    narrow = 0.5 + 1.1 * (rng.random((500, 100)) - 0.5)  # intervals that are a tenth too short
    wrong = verdict(names, narrow, rng.random(500), rng.random(500)).attrs
    assert wrong["near"] < 0.5 * wrong["near_expected"]


def test_a_wrong_correlation_fails_though_every_marginal_is_right() -> None:
    rng = np.random.default_rng(0)
    root = np.linalg.cholesky([[1, 0.95], [0.95, 1]])
    ranks, balls, regions = [], [], []
    weights = np.full(DRAWS, 1 / DRAWS)
    for _ in range(N):
        truth = root @ rng.standard_normal(2)
        draws = rng.standard_normal((DRAWS, 2))
        ranks.append(rank(truth, draws, weights, rng))
        balls.append(tarp_rank(truth, draws, weights, rng.standard_normal(2), rng))
        regions.append(region_rank(truth, draws, weights, rng))
    result = verdict(["a", "b"], np.array(ranks), np.array(balls), np.array(regions))
    assert result["passes"].all()
    assert not result["joint_passes"].sel(joint="region")
    assert result.attrs["passes"] == 0


def test_weighted_draws_rank_as_the_draws_they_stand_for() -> None:
    # Draws of a wide proposal with exact weights are calibrated; without the weights they are not.
    rng = np.random.default_rng(3)
    with_weights, without = [], []
    for _ in range(N):
        truth, proposal = rng.standard_normal(1), 2.0 * rng.standard_normal((2000, 1))
        weights = np.exp(-0.5 * proposal[:, 0] ** 2 * (1 - 1 / 4))
        with_weights.append(rank(truth, proposal, weights / weights.sum(), rng))
        without.append(rank(truth, proposal, np.full(2000, 1 / 2000), rng))
    test = UniformityTest.of(N)
    assert test.p_value(np.array(with_weights)[:, 0]) > 0.01
    assert test.p_value(np.array(without)[:, 0]) < 0.001


@pytest.mark.parametrize("n", [1, 2, 5])
def test_halves_without_weight_leave_a_region(n: int) -> None:
    rng = np.random.default_rng(4)
    draws = rng.standard_normal((10, 2))
    for weights in (np.repeat([1 / n, 0.0], [n, 10 - n]), np.repeat([0.0, 1 / n], [10 - n, n])):
        assert 0 <= region_rank(np.zeros(2), draws, weights, rng) <= 1


def test_coverage_of_known_ranks() -> None:
    u = np.array([[0.1], [0.5], [0.7], [0.99]])
    assert coverage(u, np.array([0.5, 0.9]))[0] == pytest.approx([0.5, 0.75])


def test_a_sampler_that_returns_the_prior_passes_ranks_but_not_the_classifier() -> None:
    scenario = load_scenario("north-elba-1993")

    def prior_only(measurement: Measurement, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        assert measurement.data.shape == (1, 1, 48)
        return scenario.prior.sample(200, seed).numpy(), None

    result = calibrate_sampler(scenario, prior_only, 100, seed=0)
    assert result["passes"].all()
    assert result["joint_passes"].all()
    assert not result["c2st_passes"].sel(told="joint")
    assert float(result["c2st"].sel(told="joint")) > 0.65
    assert result.attrs["passes"] == 0
    assert result["sharpness"].values == pytest.approx(1.0, abs=0.05)
    assert result["information"].values == pytest.approx(0.0, abs=0.02)
    assert result.attrs["scenario_hash"] == scenario.hash()


@pytest.mark.parametrize("copies", [1, 3])
def test_ten_draws_of_an_exact_sampler_pass_however_often_they_are_copied(
    copies: int, tmp_path: Path
) -> None:
    # What a draw is judged by must not be made of that draw: it is nearer to its own mean.
    (tmp_path / "drowned.yaml").write_text(DROWNED)
    scenario = load_scenario(tmp_path / "drowned.yaml")

    def exact(measurement: Measurement, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        return np.repeat(scenario.prior.sample(10, seed).numpy(), copies, 0), None

    result = calibrate_sampler(scenario, exact, 300, seed=0)
    assert result["c2st_passes"].all()
    assert float(np.abs(result["c2st"] - 0.5).max()) < 4 * result.attrs["c2st_error"]


def test_weights_of_a_wrong_sampler_count_for_the_classifier(tmp_path: Path) -> None:
    (tmp_path / "drowned.yaml").write_text(DROWNED)
    scenario = load_scenario(tmp_path / "drowned.yaml")

    def sampler(weighted: bool):  # type: ignore[no-untyped-def]
        def wide(measurement: Measurement, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
            v = 1.5 * np.random.default_rng(seed).standard_normal((400, 2))
            log_weight = -0.5 * np.square(v).sum(1) * (1 - 1 / 1.5**2)
            x = scenario.prior.from_normal(torch.from_numpy(v)).numpy()
            return x, log_weight if weighted else None

        return wide

    assert calibrate_sampler(scenario, sampler(True), 200, seed=0)["c2st_passes"].all()
    assert not calibrate_sampler(scenario, sampler(False), 200, seed=0)["c2st_passes"].all()


def test_a_sampler_that_knows_the_truth_too_well_fails_on_real_simulations() -> None:
    scenario = load_scenario("north-elba-1993")

    def collapsed(measurement: Measurement, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
        rng = np.random.default_rng(seed)
        v = 0.5 * rng.standard_normal((200, 12))
        return scenario.prior.from_normal(torch.from_numpy(v)).numpy(), None

    result = calibrate_sampler(scenario, collapsed, 60, seed=0)
    assert result.attrs["passes"] == 0


def test_too_few_simulations_are_refused() -> None:
    with pytest.raises(InputError, match="n: 5 simulations"):
        calibrate_sampler(
            load_scenario("north-elba-1993"), lambda m, s: (np.zeros((1, 12)), None), 5, seed=0
        )


def _gaussian(shift: float = 0.0, scale: float = 1.0):  # type: ignore[no-untyped-def]
    """x ~ N(0, I), y = x + noise: the exact posterior, moved and scaled in the first unknown."""
    rng = np.random.default_rng(11)
    variance = NOISE**2 / (1 + NOISE**2)
    move = np.array([shift, 0, 0]) * np.sqrt(variance)
    spread = np.array([scale, 1, 1]) * np.sqrt(variance)
    weights = np.full(DRAWS, 1 / DRAWS)
    ranks, balls, regions = [], [], []
    for _ in range(N):
        truth = rng.standard_normal(DIM)
        y = truth + NOISE * rng.standard_normal(DIM)
        draws = y / (1 + NOISE**2) + move + spread * rng.standard_normal((DRAWS, DIM))
        ranks.append(rank(truth, draws, weights, rng))
        balls.append(tarp_rank(truth, draws, weights, rng.standard_normal(DIM), rng))
        regions.append(region_rank(truth, draws, weights, rng))
    return verdict(["a", "b", "c"], np.array(ranks), np.array(balls), np.array(regions))
