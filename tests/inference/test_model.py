"""Models: trained, saved, read back, and refused when their files are not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from oceaninv.errors import InputError
from oceaninv.inference import Model, train
from oceaninv.inference.estimator import Architecture, Estimator
from oceaninv.inference.features import measured_features
from oceaninv.inference.matched_field import simulate_references
from oceaninv.inference.model import list_models
from oceaninv.inference.training import noisy_pairs
from oceaninv.inference.training_checks import check_fit
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import Scenario, list_scenarios, load_scenario
from oceaninv.scenario.training import preset_settings
from oceaninv.simulation import TrainingSet, simulate


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def copied(model_directory: Path, tmp_path: Path) -> Path:
    """The `model.json` of a copy of a model."""
    return Path(shutil.copytree(model_directory, tmp_path / "m")) / "model.json"


def test_training_leaves_a_model_and_nothing_else(model_directory: Path) -> None:
    assert sorted(p.name for p in model_directory.iterdir()) == ["model.json", "model.safetensors"]
    record = json.loads((model_directory / "model.json").read_text())["training"]
    assert record["stopped"] == "all 12 epochs done"
    assert record["validation"] < -0.5, "half a nat beyond the prior, at the least"


def test_saved_and_read_again_is_the_same_to_the_bit(
    model: Model, measurement: Measurement, tmp_path: Path
) -> None:
    model.save(tmp_path / "copy")
    again = Model.load(tmp_path / "copy")
    assert again.scenario == model.scenario
    assert again.record == model.record
    ours, theirs = (m.sample(measurement, 500, generator()) for m in (model, again))
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


def test_draws_lie_inside_the_prior_whatever_the_network(
    scenario: Scenario, measurement: Measurement
) -> None:
    references = simulate_references(scenario, 100)
    p = measured_features(measurement.data[None], references).shape[1]
    shapes = Architecture.of(2, p, scenario.training, references.n_guesses)
    estimator = Estimator(shapes, seed=0)
    with torch.no_grad():
        for weight in estimator.flow.parameters():
            weight.add_(3 * torch.randn(weight.shape, generator=generator()))
    theta, log_q = Model(scenario, estimator, references, {}, "wild").sample(
        measurement, 5000, generator()
    )
    assert torch.isfinite(scenario.prior.log_prob(theta)).all()
    assert torch.isfinite(log_q).all()


def test_an_untrained_network_is_the_prior(untrained: Model, measurement: Measurement) -> None:
    theta, log_q = untrained.sample(measurement, 5000, generator())
    scenario = untrained.scenario
    assert torch.allclose(log_q, scenario.prior.log_prob(theta), atol=1e-4)
    assert theta[:, 0].mean() == pytest.approx(100, abs=0.5)


def test_log_density_of_draws_integrates_to_one(model: Model, measurement: Measurement) -> None:
    """E_q[u(theta)/q(theta)] is the volume of u, here a box inside the posterior's bulk."""
    theta, log_q = model.sample(measurement, 40_000, generator())
    low, high = theta.quantile(0.2, dim=0), theta.quantile(0.8, dim=0)
    inside = ((theta > low) & (theta < high)).all(-1)
    volume = (inside * (-log_q).exp()).mean()
    assert volume == pytest.approx((high - low).prod().item(), rel=0.05)


def test_snapshots_and_their_cross_spectral_matrix_are_one(
    model: Model, measurement: Measurement
) -> None:
    for seed in range(20):
        one = synthetic_measurement(model.scenario, seed=seed)[0]
        csdm = Measurement(one.frequency, one.receiver_depth, "csdm", one.csdm)
        assert torch.allclose(model.features(csdm), model.features(one), atol=1e-6)
    assert torch.equal(
        model.features(measurement), measured_features(measurement.data[None], model.aid)
    )


def test_files_that_are_not_whole_are_refused(model_directory: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m"
    shutil.copytree(model_directory, copy)
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()

    weights.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors: is truncated"):
        Model.load(copy)
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="weights_sha256: is not the file"):
        Model.load(copy)
    weights.unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        Model.load(copy)
    content = json.loads((copy / "model.json").read_text())
    depth = content["scenario"]["unknowns"]["water_depth"]
    depth["prior"] = {"uniform": [10.0, 20.0]}
    (copy / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"model\.json: scenario: is not the one"):
        Model.load(copy)
    (copy / "model.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"model\.json: is not a model of this version"):
        Model.load(copy)
    (copy / "model.json").write_text("{}")
    with pytest.raises(InputError, match=r"model\.json: is not a model of this version"):
        Model.load(copy)
    with pytest.raises(InputError, match="no-such-model: no such model; give a directory"):
        Model.load("no-such-model")


@pytest.mark.parametrize(
    "changes",
    [
        *({"clamp": value} for value in (2.5, 0, -1, "x", None)),
        *({"guesses": value} for value in (0, "x")),
        *(
            {name: -1}
            for name in (
                "dim",
                "features",
                "hidden",
                "context",
                "blocks",
                "coupling_hidden",
                "bins",
            )
        ),
    ],
    ids=str,
)
def test_another_architecture_than_that_of_the_training_is_refused(
    changes: dict[str, Any], model_directory: Path, tmp_path: Path
) -> None:
    path = copied(model_directory, tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "architecture": content["architecture"] | changes}))
    with pytest.raises(InputError, match=r"model\.json: architecture or normal_fits: is not what"):
        Model.load(path.parent)


@pytest.mark.parametrize(
    "changes",
    [
        *({"architecture": value} for value in (None, 3, "x", [])),
        *({"normal_fits": value} for value in ({"steps": "x"}, {"steps": 3}, None)),
    ],
    ids=str,
)
def test_what_is_no_architecture_is_refused(
    changes: dict[str, Any], model_directory: Path, tmp_path: Path
) -> None:
    path = copied(model_directory, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=r"model\.json: architecture or normal_fits: is not what"):
        Model.load(path.parent)


@pytest.mark.parametrize("changes", [{"name": None}, {"training": 3}, {"scenario": []}], ids=str)
def test_a_field_of_another_kind_is_refused(
    changes: dict[str, Any], model_directory: Path, tmp_path: Path
) -> None:
    path = copied(model_directory, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError, match=r"model\.json: is not a model of this version \("):
        Model.load(path.parent)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "9" * 5000, '{"oceaninv_model": 2}'])
def test_what_is_no_model_is_refused(text: str, model_directory: Path, tmp_path: Path) -> None:
    path = copied(model_directory, tmp_path)
    path.write_text(text)
    with pytest.raises(InputError, match=r"model\.json: (is not a model|architecture or)"):
        Model.load(path.parent)


def test_a_model_as_it_was_written_but_for_its_calibration_is_read(
    model_directory: Path, tmp_path: Path
) -> None:
    path = copied(model_directory, tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "calibration": {}}, indent=3, sort_keys=True))
    assert Model.load(path.parent).scenario == Model.load(model_directory).scenario


@pytest.mark.parametrize("name", list_models())
def test_models_that_come_with_the_package_are_read(name: str) -> None:
    assert Model.load(name).name == name


@pytest.mark.parametrize("objective", ["nll", "vina-js"])
def test_a_killed_training_goes_on(objective: str, scenario: Scenario, tmp_path: Path) -> None:
    small = scenario.training.model_copy(update={"epochs": 4, "n_simulations": 1000})
    quick = scenario.model_copy(update={"training": small})

    def kill(done: int, total: int, text: str) -> None:
        if text != "simulating" and done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        train(quick, out=out, seed=2, objective=objective, progress=kill)
    assert not (out / "model.json").exists()
    resumed = train(quick, out=out, seed=2, objective=objective, resume=True)
    whole = train(quick, out=tmp_path / "whole", seed=2, objective=objective)
    ours, theirs = resumed.estimator.state_dict(), whole.estimator.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    # a finished one is read, not trained again
    again = train(quick, out=out, seed=2, objective=objective, resume=True)
    assert again.record == resumed.record


@pytest.mark.parametrize("until", ["simulating", "references"])
def test_a_killed_training_over_an_earlier_model_goes_on_and_leaves_that_one_aside(
    scenario: Scenario, model_directory: Path, tmp_path: Path, until: str
) -> None:
    settings = {"epochs": 2, "n_simulations": 1000}

    class Killed(Exception):
        pass

    def kill(done: int, total: int, text: str) -> None:
        if text == until:
            raise Killed

    out = tmp_path / "m"
    shutil.copytree(model_directory, out)
    with pytest.raises(Killed):
        train(scenario, out=out, seed=2, settings=settings, progress=kill)
    with pytest.raises(InputError, match="no such model"):
        Model.load(out)
    shutil.copy(out / "previous.json", out / "model.json")
    assert Model.load(out).record == Model.load(model_directory).record
    resumed = train(scenario, out=out, seed=2, settings=settings, resume=True)
    assert resumed.record["seed"] == 2
    assert sorted(p.name for p in out.iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seed": 2}, r"seed: .* \(1, not 2\); use its seed, or train without --resume"),
        ({"objective": "vina-js"}, r"objective: .* \(nll, not vina-js\)"),
        ({"estimator": "inn"}, r"estimator: .* \(cinn, not inn\)"),
        ({"n_simulations": 1500}, r"n_simulations: .* \(2000, not 1500\)"),
        ({"settings": {"epochs": 13}}, r"training\.epochs: .* \(12, not 13\)"),
    ],
)
def test_a_finished_model_of_another_training_is_not_taken_for_a_resumed_one(
    scenario: Scenario, model_directory: Path, asked: dict[str, Any], message: str
) -> None:
    before = (model_directory / "model.json").read_bytes()
    with pytest.raises(InputError, match=r"model\.json: " + message):
        train(scenario, out=model_directory, resume=True, **{"seed": 1, **asked})
    assert (model_directory / "model.json").read_bytes() == before


def test_a_finished_model_of_another_scenario_or_other_simulations_is_not_taken_for_it(
    scenario: Scenario, model_directory: Path, tmp_path: Path
) -> None:
    other = scenario.model_copy(
        update={"noise": scenario.noise.model_copy(update={"snr_db": 10.0})}
    )
    with pytest.raises(InputError, match=r"scenario: .* \(pekeris-two .*, not pekeris-two "):
        train(other, out=model_directory, seed=1, resume=True)
    simulate(scenario, 2000, tmp_path / "set.zarr", seed=7)
    with pytest.raises(InputError, match=r"simulation_seed: .* \(1, not 7\)"):
        train(scenario, out=model_directory, data=tmp_path / "set.zarr", seed=1, resume=True)


def test_too_few_simulations_are_refused_before_anything_is_done(
    scenario: Scenario, model_directory: Path, tmp_path: Path
) -> None:
    out, data = tmp_path / "m", tmp_path / "set.zarr"
    shutil.copytree(model_directory, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    fours = load_scenario("swellex96-vla")  # four simulations in a row share an environment
    for problem, n, fewest in (*((scenario, n, 3) for n in (0, 1, 2)), (fours, 5, 6)):
        with pytest.raises(InputError, match=f"^n_simulations: {n} is too few .* least {fewest}$"):
            train(problem, out=out, n_simulations=n)
    simulate(scenario, 1, data, seed=0)
    with pytest.raises(InputError, match=r"set\.zarr: n_simulations: 1 is too few .* least 3$"):
        train(scenario, out=out, data=data)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("objective", ["vina-js", "mmd", "sinkhorn", "nll+vina-js"])
def test_built_in_scenarios_leave_epochs_to_every_objective(objective: str) -> None:
    for name in list_scenarios():
        check_fit(load_scenario(name).training, objective, "cinn")


RELEASED: dict[str, Any] = {"estimator": "inn", "settings": preset_settings("vina-released")}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (RELEASED, "objective: nll: an inn without .* choose an objective without nll, such as"),
        (RELEASED | {"objective": "nll+mmd"}, r"objective: nll\+mmd: an inn without"),
        (
            {"estimator": "inn", "objective": "mmd", "settings": {"inn_smoothing": "none"}},
            r"training\.warm_start_epochs: 1 are of nll, and an inn without",
        ),
        (
            {"objective": "vina-js", "settings": {"epochs": 1}},
            r"training\.epochs: 1 leaves none to vina-js after its 1 of warm start",
        ),
        ({"objective": "mle"}, "objective: 'mle' is not known; choose one of nll"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_done(
    scenario: Scenario, model_directory: Path, tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    def progress(done: int, total: int, text: str) -> None:
        raise AssertionError(text)

    out = tmp_path / "m"
    shutil.copytree(model_directory, out)
    with pytest.raises(InputError, match="^" + message):
        train(scenario, out=out, progress=progress, **asked)
    assert sorted(p.name for p in out.iterdir()) == ["model.json", "model.safetensors"]


def test_only_what_training_made_is_removed(scenario: Scenario, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int, text: str) -> None:
        if text == "references":
            raise Killed

    out = tmp_path / "m"
    settings = {"epochs": 1, "references": 100}
    theirs = ("fits/notes.txt", "simulations.zarr", "simulations.zarr.partial", "first.safetensors")
    for name in theirs:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(name)
    simulate(scenario, 50, out / "fits" / "mine.zarr", seed=0)
    train(scenario, out=out, data=out / "fits" / "mine.zarr", settings=settings)
    with pytest.raises(Killed):
        train(scenario, out=out, settings=settings, n_simulations=50, progress=kill)
    own = out / "train.partial" / "simulations.zarr"
    with pytest.raises(InputError, match=r"\.zarr: is in .*train\.partial, which train removes"):
        train(scenario, out=out, data=own, settings=settings)
    assert (own / "zarr.json").is_file()
    train(scenario, out=out, settings=settings, n_simulations=50)
    assert [(out / name).read_text() for name in theirs] == list(theirs)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        {"model.json", "model.safetensors", *(name.partition("/")[0] for name in theirs)}
    )


@pytest.mark.parametrize("name", ["model.json", "previous.json"])
def test_another_file_in_the_place_of_a_model_is_not_replaced(
    scenario: Scenario, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"{name}: is of no model, and train would remove it"):
        train(scenario, out=tmp_path, settings={"epochs": 1})
    assert (tmp_path / name).read_text() == "{}"


def test_unfit_training_sets_are_refused(scenario: Scenario, tmp_path: Path) -> None:
    data = tmp_path / "set.zarr"
    simulate(scenario, 200, data, seed=0)
    other = scenario.model_copy(update={"frequency": [40.0, 61.0]})
    with pytest.raises(InputError, match=r"set\.zarr: scenario: was simulated for another"):
        train(other, out=tmp_path / "m", data=data)
    with pytest.raises(InputError, match="n_simulations: 201 asked for, 200 there"):
        train(scenario, out=tmp_path / "m", data=data, n_simulations=201)

    theta = scenario.prior.sample(10, 0)
    replica = torch.ones(10, 2, 5, dtype=torch.complex64)
    references = simulate_references(scenario, 100)
    with pytest.raises(InputError, match="x: all data are the same"):
        noisy_pairs(scenario, TrainingSet(scenario, theta, replica, 0), references, "x")
    unknown = theta.clone()
    unknown[2] = torch.nan
    varied = torch.randn(10, 2, 5, dtype=torch.complex64)
    with pytest.raises(InputError, match="x: holds parameters that are not finite"):
        noisy_pairs(scenario, TrainingSet(scenario, unknown, varied, 0), references, "x")
    replica[3] = torch.nan
    with pytest.raises(InputError, match="x: holds data that are not finite"):
        noisy_pairs(scenario, TrainingSet(scenario, theta, replica, 0), references, "x")
