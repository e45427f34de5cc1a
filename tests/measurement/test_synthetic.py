"""Synthetic measurements: reproducible, at known parameters, and sound files."""

import json
from pathlib import Path

import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.measurement import read_measurement, write_measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import load_scenario


def test_a_seed_gives_the_same_measurement_and_the_truth_is_kept(tmp_path: Path) -> None:
    scenario = load_scenario("pekeris-teaching")
    first, truth = synthetic_measurement(scenario, seed=4, n_snapshots=2)
    again, _ = synthetic_measurement(scenario, seed=4, n_snapshots=2)
    other, _ = synthetic_measurement(scenario, seed=5, n_snapshots=2)
    assert torch.equal(first.data, again.data)
    assert not torch.equal(first.data, other.data)
    assert first.data.shape == (2, 4, 20)
    theta = torch.tensor([list(truth.values())], dtype=torch.float64)
    assert torch.isfinite(scenario.prior.log_prob(theta)).all()
    write_measurement(first, tmp_path / "m.nc")
    kept = read_measurement(tmp_path / "m.nc")
    assert json.loads(str(kept.attributes["true_parameters"])) == truth
    assert kept.attributes["scenario_hash"] == scenario.hash()


def test_noise_is_the_only_difference_from_the_replica() -> None:
    scenario = load_scenario("pekeris-teaching")
    clean = scenario.model_copy(
        update={"noise": scenario.noise.model_copy(update={"snr_db": 90.0})}
    )
    measurement, truth = synthetic_measurement(clean, seed=4)
    from oceaninv.likelihood import bartlett_mismatch
    from oceaninv.scenario.predict import predict

    replica = predict(clean, torch.tensor([list(truth.values())], dtype=torch.float64))
    assert bartlett_mismatch(clean, measurement, replica).max() < 1e-7


def test_what_a_scenario_does_not_have_is_not_drawn() -> None:
    with pytest.raises(InputError, match="swellex96-tl: n_snapshots: 3 of transmission loss"):
        synthetic_measurement(load_scenario("swellex96-tl"), seed=1, n_snapshots=3)
    scenario = load_scenario("swellex96-2p")
    noise = scenario.noise.model_copy(update={"correlation_length": -1.0})
    with pytest.raises(InputError, match=r"noise\.correlation_length: -1 m for some parameters"):
        synthetic_measurement(scenario.model_copy(update={"noise": noise}), seed=1)
