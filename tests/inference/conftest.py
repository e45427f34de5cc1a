"""A problem small enough for a dense grid: a Pekeris waveguide with two unknowns."""

from __future__ import annotations

from pathlib import Path

import pytest

from oceaninv.inference import Model, train
from oceaninv.inference.estimator import Architecture, Estimator
from oceaninv.inference.features import measured_features
from oceaninv.inference.matched_field import simulate_references
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import Scenario, load_scenario

PEKERIS = """
name: pekeris-two
title: Pekeris waveguide, water depth and seabed speed
data: pressure
frequency: [40, 60]
unknowns:
  water_depth: {prior: {uniform: [90, 110]}, unit: m, long_name: water depth, group: geometry}
  seabed_speed: {prior: {truncated_normal: [1650, 50, 1560, 1800]}, unit: m/s, long_name: speed}
environment:
  water: {depth: water_depth, sound_speed: 1500}
  half_space: {sound_speed: seabed_speed, density: 1.8, attenuation: 0.3}
source: {depth: 40, range: 3000}
array: {depth: {start: 15, stop: 85, n: 5}}
noise: {snr_db: {uniform: [5, 20]}, correlation_length: 10}
training:
  references: 512
  n_simulations: 2000
  hidden: 64
  depth: 1
  context: 16
  blocks: 3
  coupling_hidden: 32
  batch_size: 128
  epochs: 12
  learning_rate: 0.003
  critic_hidden: 32
  warm_start_epochs: 1
"""


@pytest.fixture(scope="session")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    path = tmp_path_factory.mktemp("scenario") / "pekeris-two.yaml"
    path.write_text(PEKERIS, encoding="utf-8")
    return load_scenario(path)


@pytest.fixture(scope="session")
def model_directory(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "pekeris-two"
    train(scenario, out=out, seed=1)
    return out


@pytest.fixture(scope="session")
def model(model_directory: Path) -> Model:
    return Model.load(model_directory)


@pytest.fixture(scope="session")
def measurement(scenario: Scenario) -> Measurement:
    return synthetic_measurement(scenario, seed=5)[0]


@pytest.fixture(scope="session")
def untrained(scenario: Scenario, measurement: Measurement) -> Model:
    """A fresh network that is given no guesses of the posterior: the prior."""
    references = simulate_references(scenario, 100)
    p = measured_features(measurement.data[None], references).shape[1]
    estimator = Estimator(Architecture.of(2, p, scenario.training), seed=0)
    return Model(scenario, estimator, references, {}, "untrained")
