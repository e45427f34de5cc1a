"""Measurements of small scenarios, right and with one thing wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import kstest

from oceaninv.diagnostics.familiarity import (
    familiarity,
    keep_familiarity,
    kept_familiarity,
    learn_familiarity,
    summaries,
)
from oceaninv.diagnostics.misfit import misfit_of_draws, over_draws
from oceaninv.diagnostics.mismatch import judge, mismatch, what_sound_looks_like, with_mismatch
from oceaninv.diagnostics.pivots import Candidates, pivots
from oceaninv.inference import Model
from oceaninv.inference.estimator import Architecture, Estimator
from oceaninv.inference.features import measured_features
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement, scenario_noise
from oceaninv.measurement.data import Kind
from oceaninv.measurement.synthetic import synthetic_measurements
from oceaninv.posterior import Posterior, make_posterior, read_posterior, write_posterior
from oceaninv.report.content import sections, warnings_of
from oceaninv.scenario import Scenario, load_scenario
from oceaninv.scenario.predict import correlation_length, predict

PRESSURE = """
name: phones
title: Range and bottom speed from nine phones and four tones
data: pressure
frequency: [50, 70, 100, 130]
unknowns:
  source_range: {prior: {uniform: [2000, 3000]}, unit: m, long_name: source range}
  bottom_speed: {prior: {uniform: [1600, 1800]}, unit: m/s, long_name: bottom speed}
environment:
  attenuation_unit: dB/wavelength
  water: {depth: 100, sound_speed: 1500}
  half_space: {sound_speed: bottom_speed, density: 1.8, attenuation: 0.3}
source: {depth: 30, range: source_range}
array: {depth: {start: 10, stop: 90, n: 9}}
noise: {snr_db: {uniform: [10, 20]}, correlation_length: 8}
training: {hidden: 32, depth: 1, context: 8, blocks: 2, coupling_hidden: 16}
"""
LEVELS = """
name: levels
title: Levels at two depths
data: transmission_loss
frequency: [50, 100]
unknowns:
  bottom_speed: {prior: {uniform: [1600, 1800]}, unit: m/s, long_name: bottom speed}
environment:
  attenuation_unit: dB/wavelength
  water: {depth: 100, sound_speed: 1500}
  half_space: {sound_speed: bottom_speed, density: 1.8, attenuation: 0.3}
source: {depth: 30}
receiver: {depth: [40, 70], range: {start: 1000, stop: 3000, n: 8}}
noise: {sd_db: {uniform: [1, 3]}, offset_sd_db: 5, correlation_length: 300}
"""
N = 150


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return _scenario(PRESSURE, tmp_path_factory)


@pytest.fixture(scope="module")
def sound(phones: Scenario) -> torch.Tensor:
    return what_sound_looks_like(phones, 0)


@pytest.fixture(scope="module")
def clean(phones: Scenario) -> tuple[list[Measurement], torch.Tensor, torch.Tensor]:
    return synthetic_measurements(phones, N, seed=1)


@pytest.mark.parametrize("snapshots", [1, 4])
def test_p_values_are_uniform_at_the_true_unknowns(
    phones: Scenario, sound: torch.Tensor, snapshots: int
) -> None:
    simulated = synthetic_measurements(phones, N, seed=1, n_snapshots=snapshots)
    _assert_uniform(phones, sound, simulated)


def test_p_values_of_levels_are_uniform(tmp_path_factory: pytest.TempPathFactory) -> None:
    scenario = _scenario(LEVELS, tmp_path_factory)
    simulated = synthetic_measurements(scenario, N, seed=1)
    _assert_uniform(scenario, what_sound_looks_like(scenario, 0), simulated)


def test_a_csdm_is_judged_as_its_snapshots_are(phones: Scenario, sound: torch.Tensor) -> None:
    (measurement,), theta, replica = synthetic_measurements(phones, 1, seed=2, n_snapshots=12)
    csdm = _measurement(phones, measurement.csdm, "csdm", 12)
    drawn = Candidates(theta, replica, sound)
    a, b = (misfit_of_draws(log_likelihood(phones, m), drawn, seed=0) for m in (measurement, csdm))
    assert a.tone == pytest.approx(b.tone, abs=2e-3)
    assert a.receiver == pytest.approx(b.receiver, rel=1e-6)


@pytest.mark.parametrize("left_out", [[], [1]], ids=["two", "one of three left out"])
def test_p_values_of_two_phones_are_uniform(
    left_out: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    # what is left of two phones has one direction, in which nothing can look like anything
    scenario = _few_phones(2 + len(left_out), tmp_path_factory)
    simulated = synthetic_measurements(scenario, N, seed=1)
    _assert_uniform(scenario, what_sound_looks_like(scenario, 0), simulated, left_out)


def test_two_phones_raise_as_few_alarms_as_stated(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scenario = _few_phones(2, tmp_path_factory)
    sound = what_sound_looks_like(scenario, 0)
    measurements, theta, replica = synthetic_measurements(scenario, 60, seed=2)
    alarms = 0
    for i, measurement in enumerate(measurements):
        drawn = Candidates(theta[i : i + 1], replica[i : i + 1], sound)
        alarms += bool(judge(log_likelihood(scenario, measurement), drawn, 0.5, seed=i).findings)
    assert alarms <= 8  # 2.4 expected; more with a probability of 0.001


def test_of_sound_from_anywhere_nothing_has_the_pattern(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scenario = _scenario(PRESSURE.replace(", correlation_length: 8", ""), tmp_path_factory)
    (measurement,), theta, replica = synthetic_measurements(scenario, 1, seed=2)
    anywhere = torch.eye(9, dtype=torch.complex128)[:, None].expand(9, 4, 9)
    drawn = Candidates(theta, replica, anywhere)
    found = pivots(log_likelihood(scenario, measurement), drawn, without=[], seed=0)
    assert found.pattern is not None
    assert found.pattern.min() == 1


def test_a_phone_alone_fits_whatever_it_hears(tmp_path_factory: pytest.TempPathFactory) -> None:
    scenario = _few_phones(2, tmp_path_factory)
    (measurement,), theta, replica = synthetic_measurements(scenario, 1, seed=2)
    drawn = Candidates(theta, replica, what_sound_looks_like(scenario, 0))
    found = misfit_of_draws(log_likelihood(scenario, measurement), drawn, without=[0], seed=0)
    assert [*found.tone, *found.receiver, found.overall, found.spread] == pytest.approx([1] * 8)


def test_false_alarms_are_rare_and_dead_and_reversed_receivers_are_named(
    phones: Scenario,
    sound: torch.Tensor,
    clean: tuple[list[Measurement], torch.Tensor, torch.Tensor],
) -> None:
    measurements, theta, replica = clean
    alarms, dead, reverse = 0, 0, 0
    for i, measurement in enumerate(measurements[:60]):
        drawn = Candidates(theta[i : i + 1], replica[i : i + 1], sound)
        alarms += bool(judge(log_likelihood(phones, measurement), drawn, 0.5, seed=i).findings)
        for factor, word in ((0.01, "dead"), (-1.0, "reversed")):
            data = measurement.data.clone()
            data[..., 4] *= factor
            likelihood = log_likelihood(phones, _measurement(phones, data, "pressure"))
            found = judge(likelihood, drawn, 0.5, seed=i).findings
            named = bool(found) and found[0].where == "50 m" and word in found[0].text
            dead, reverse = dead + (named and factor > 0), reverse + (named and factor < 0)
    assert alarms <= 8  # 2.4 expected; more with a probability of 0.001
    assert dead >= 30
    assert reverse >= 50


@pytest.mark.parametrize(
    ("reversed_phones", "left_out"),
    [([], ""), ([4], ", even without that receiver"), ([1, 6], ", even without those receivers")],
)
def test_a_finding_says_whether_receivers_were_left_out_for_it(
    phones: Scenario,
    sound: torch.Tensor,
    clean: tuple[list[Measurement], torch.Tensor, torch.Tensor],
    reversed_phones: list[int],
    left_out: str,
) -> None:
    """The p-values of the report count all receivers and may be quite different."""
    measurements, theta, replica = clean
    data = measurements[0].data.clone()
    data[:, 2] = measurements[60].data[:, 2]
    data[..., reversed_phones] *= -1
    likelihood = log_likelihood(phones, _measurement(phones, data, "pressure"))
    drawn = Candidates(theta[:1], replica[:1], sound)
    found = judge(likelihood, drawn, 0.5, seed=0).findings
    named = [f.where for f in found if f.kind == "receiver"]
    assert len(named) == len(reversed_phones)
    tones = [f for f in found if f.kind == "tone"]
    assert tones
    for tone in tones:
        assert tone.text.startswith(f"{tone.where} does not fit{left_out} (p")


def test_a_tone_of_another_place_is_named(
    phones: Scenario,
    sound: torch.Tensor,
    clean: tuple[list[Measurement], torch.Tensor, torch.Tensor],
) -> None:
    measurements, theta, replica = clean
    named = wrong = 0
    for i in range(60):
        data = measurements[i].data.clone()
        data[:, 2] = measurements[i + 60].data[:, 2]
        drawn = Candidates(theta[i : i + 1], replica[i : i + 1], sound)
        likelihood = log_likelihood(phones, _measurement(phones, data, "pressure"))
        found = judge(likelihood, drawn, 0.5, seed=i).findings
        named += any(f.where == "100 Hz" for f in found)
        wrong += any(f.kind == "tone" and f.where != "100 Hz" for f in found)
    assert named >= 25
    assert wrong <= 4


def test_heavy_tails_are_told(phones: Scenario, sound: torch.Tensor) -> None:
    theta = phones.prior.sample(30, 3)
    replica = predict(phones, theta)
    rng = np.random.default_rng(0)
    shape = (30, 1, 4, 9)
    white = rng.standard_normal((*shape, 2)) @ [1, 1j] / np.sqrt(2)
    white /= np.sqrt(rng.chisquare(2, shape) / 2)
    noise = scenario_noise(phones).covariance.correlate(
        torch.from_numpy(white), correlation_length(phones, theta)[:, None, None]
    )
    unit = replica / torch.linalg.vector_norm(replica, dim=-1, keepdim=True)
    data = 3 * 10 ** (15 / 20) * unit[:, None] + noise
    told = 0
    for i in range(30):
        drawn = Candidates(theta[i].expand(64, -1), replica[i].expand(64, -1, -1), sound)
        likelihood = log_likelihood(phones, _measurement(phones, data[i], "pressure"))
        told += any(f.kind == "outliers" for f in judge(likelihood, drawn, 0.5, seed=i).findings)
    assert told >= 10


@pytest.mark.parametrize("text", [PRESSURE, LEVELS])
def test_a_seed_gives_other_sound_and_noise_than_synthesize_drew_with_it(
    text: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = _scenario(text, tmp_path_factory)
    (measurement,), theta, replica = synthetic_measurements(scenario, 1, seed=7)
    sound = what_sound_looks_like(scenario, 7)
    assert not torch.isclose(sound, replica).flatten(1).all(1).any()

    seeds: list[int] = []
    noise = type(scenario_noise(scenario))
    name = "draw_snr" if scenario.data == "pressure" else "draw_sd"
    draw = getattr(noise, name)

    def told(*arguments: Any) -> torch.Tensor:
        seeds.extend(a.initial_seed() for a in arguments if isinstance(a, torch.Generator))
        return draw(*arguments)

    monkeypatch.setattr(noise, name, told)
    drawn = Candidates(theta, replica, sound)
    misfit_of_draws(log_likelihood(scenario, measurement), drawn, seed=7)
    assert len(seeds) == 1
    assert seeds != [7]


def test_p_values_that_agree_combine_to_themselves() -> None:
    for p in (1e-8, 0.003, 0.4, 0.99):
        assert over_draws(np.full((10, 1), p)) == pytest.approx([p])
    # normal scores that correlate: the tail keeps its size
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((1, 40_000)), rng.standard_normal((8, 40_000))
    combined = over_draws(ndtr(np.sqrt(0.7) * common + np.sqrt(0.3) * own))
    assert np.mean(combined < 0.01) == pytest.approx(0.01, rel=0.25)


def test_summaries_of_simulations_are_familiar_and_others_are_not(
    phones: Scenario,
    clean: tuple[list[Measurement], torch.Tensor, torch.Tensor],
    tmp_path: Path,
) -> None:
    measurements = clean[0]
    features = measured_features(torch.stack([m.data for m in measurements]), None)
    estimator = Estimator(Architecture.of(2, features.shape[1], phones.training), seed=0)
    estimator.summary.standardise(features)
    model = Model(phones, estimator, None, {}, "fresh")
    known = learn_familiarity(model, 1000)
    p = known.p_value(summaries(model, features)).numpy()
    assert kstest(p, "uniform").pvalue > 0.01
    data = torch.zeros(1, 4, 9, dtype=torch.complex128)
    data[..., 0] = 1.0  # nothing but one phone
    assert familiarity(model, _measurement(phones, data, "pressure"), known) < 0.01

    model.save(tmp_path)
    assert kept_familiarity(tmp_path) is None
    keep_familiarity(known, tmp_path)
    again = kept_familiarity(tmp_path)
    assert again is not None
    assert again.p_value(summaries(model, features)).numpy() == pytest.approx(p, abs=2e-3)
    content = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**content, "weights_sha256": "other"}))
    assert kept_familiarity(tmp_path) is None  # it belonged to other weights


def test_findings_travel_with_the_posterior_into_the_report(
    phones: Scenario,
    clean: tuple[list[Measurement], torch.Tensor, torch.Tensor],
    tmp_path: Path,
) -> None:
    measurements, theta, _ = clean
    data = measurements[0].data.clone()
    data[..., 4] *= -1
    posterior = make_posterior(
        phones,
        _measurement(phones, data, "pressure"),
        theta[:1].expand(100, -1),
        log_likelihood=np.zeros(100),
        method="test",
        seed=0,
        n_predictive=10,
    )
    found = mismatch(posterior, seed=0)
    write_posterior(with_mismatch(posterior, found), tmp_path / "p.nc")
    read = read_posterior(tmp_path / "p.nc")
    told = str(read.attributes["mismatch"])
    assert "the receiver at 50 m does not fit the others (p below 0.0001)" in told
    assert "reversed" in warnings_of([read])[0]

    def rows_of(told: Posterior) -> dict[str, str]:
        section = next(s for s in sections([told]) if s.title.startswith("Is the measurement"))
        return dict(section.parts[0].rows)  # type: ignore[union-attr]

    rows = rows_of(read)
    assert float(rows["Receiver 50 m"]) < 1e-3
    assert len(rows) == 2 + 4 + 9
    asked = with_mismatch(read, replace(found, summary=0.5))  # of a network too
    assert rows_of(asked) == rows | {"Summary by the network": "0.5"}


def _assert_uniform(
    scenario: Scenario,
    sound: torch.Tensor,
    simulated: tuple[list[Measurement], torch.Tensor, torch.Tensor],
    without: list[int] | None = None,
) -> None:
    measurements, theta, replica = simulated
    rows = []
    for i, measurement in enumerate(measurements):
        drawn = Candidates(theta[i : i + 1], replica[i : i + 1], sound)
        m = misfit_of_draws(log_likelihood(scenario, measurement), drawn, without=without, seed=i)
        rows.append([*m.tone, *np.delete(m.receiver, without or []), m.overall])
        assert 0 < m.spread <= 1
    p = [kstest(column, "uniform").pvalue for column in np.transpose(rows)]
    assert min(p) > 0.01 / len(p)


def _few_phones(n: int, factory: pytest.TempPathFactory) -> Scenario:
    return _scenario(PRESSURE.replace("n: 9", f"n: {n}"), factory)


def _measurement(
    scenario: Scenario, data: torch.Tensor, kind: Kind, n_snapshots: int = 1
) -> Measurement:
    return Measurement(
        frequency=torch.tensor(scenario.frequency, dtype=torch.float64),
        receiver_depth=torch.tensor(scenario.receiver_depth, dtype=torch.float64),
        kind=kind,
        data=data,
        n_snapshots=n_snapshots,
    )


def _scenario(text: str, factory: pytest.TempPathFactory) -> Scenario:
    path = factory.mktemp("scenario") / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)
