"""The whole path on a small scenario, command by command, and the errors on its way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from oceaninv.cli import app

SCENARIO = """
name: small
title: Range and bottom speed from nine phones and two tones
reference: a test
data: pressure
frequency: [50, 100]
unknowns:
  source_range: {prior: {uniform: [2000, 3000]}, unit: m, long_name: source range}
  bottom_speed: {prior: {uniform: [1600, 1800]}, unit: m/s, long_name: bottom speed}
environment:
  attenuation_unit: dB/wavelength
  water: {depth: 100, sound_speed: 1500}
  half_space: {sound_speed: bottom_speed, density: 1.8, attenuation: 0.3}
source: {depth: 30, range: source_range}
array: {depth: {start: 10, stop: 90, n: 9}}
noise: {snr_db: 15, correlation_length: 0}
training: {n_simulations: 1000, hidden: 32, depth: 1, context: 8, blocks: 2, coupling_hidden: 16,
           epochs: 3, warm_start_epochs: 1, batch_size: 128}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def done(*arguments: str | Path) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenario, measurement, training set and model, all made by the commands."""
    folder = tmp_path_factory.mktemp("small")
    scenario = folder / "small.yaml"
    scenario.write_text(SCENARIO)
    done("scenario", "check", scenario)
    done("synthesize", scenario, "--seed", "3", "-o", folder / "data.nc")
    done("simulate", scenario, "-n", "1500", "-o", folder / "set.zarr")
    done("train", scenario, "--data", folder / "set.zarr", "-o", folder / "model")
    return folder


def test_a_synthetic_measurement_is_the_same_for_the_same_seed(work: Path, tmp_path: Path) -> None:
    done("synthesize", work / "small.yaml", "--seed", "3", "-o", tmp_path / "again.nc")
    done("synthesize", work / "small.yaml", "--seed", "4", "-o", tmp_path / "other.nc")
    with (
        xr.open_dataset(work / "data.nc") as first,
        xr.open_dataset(tmp_path / "again.nc") as again,
        xr.open_dataset(tmp_path / "other.nc") as other,
    ):
        assert first["pressure_real"].equals(again["pressure_real"])
        assert not first["pressure_real"].equals(other["pressure_real"])


def test_infer_and_mcmc_write_and_print_the_posterior(work: Path) -> None:
    result = done(
        *("infer", work / "data.nc", "--model", work / "model", "-o", work / "p.nc"),
        *("--max-seconds", "10"),
    )
    assert "source range" in result.stdout
    assert "sample efficiency" in result.stdout
    assert "log evidence" in result.stdout
    assert "mismatch: " in result.stdout
    assert str(work / "p.nc") in result.stdout
    raw = done("infer", work / "data.nc", "--model", work / "model", "--raw", "-o", work / "r.nc")
    assert "sample efficiency" not in raw.stdout
    chain = done(
        *("mcmc", work / "data.nc", "--scenario", work / "small.yaml", "-o", work / "m.nc"),
        *("--effective-samples", "200", "--max-steps", "1500", "--samples", "2000"),
    )
    assert "R-hat" in chain.stdout
    assert "mismatch: none found; tones, receivers and noise are as" in chain.stdout
    nested = done(
        *("mcmc", work / "data.nc", "--scenario", work / "small.yaml", "-o", work / "n.nc"),
        *("--sampler", "nautilus", "--walkers", "120", "--effective-samples", "200"),
    )
    assert "log evidence" in nested.stdout
    assert "nested sampling (nautilus)" in nested.stdout
    medians = {}
    for name in ("p", "m"):
        with xr.open_datatree(work / f"{name}.nc") as tree:
            group = tree["posterior"].to_dataset()
            medians[name] = {n: float(group[n].median()) for n in ("source_range", "bottom_speed")}
            assert group["source_range"].attrs["units"] == "m"
    for name, spread in (("source_range", 100.0), ("bottom_speed", 40.0)):
        assert abs(medians["p"][name] - medians["m"][name]) < spread
    told = done("compare", work / "p.nc", work / "m.nc", "-o", work / "compare.png")
    assert "C2ST" in told.stdout
    told = done("compare", work / "n.nc", work / "m.nc", "-o", work / "samplers.png")
    assert float(told.stdout.split("C2ST")[1].split()[0]) < 0.6
    assert "source_range" in told.stdout
    figures = work / "figures"
    done("report", work / "p.nc", work / "m.nc", "-o", work / "r.html", "--figures", figures)
    done("report", work / "r.nc", "-o", work / "raw.pdf")  # a result without any likelihood
    done("report", work / "m.nc", "-o", work / "m.html")  # one without a network
    page = (work / "m.html").read_text()
    assert "Is the measurement like the scenario?" in page
    assert "Summary by the network" not in page
    page = (work / "r.html").read_text()
    assert "source range" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")  # nothing is fetched
    assert (work / "raw.pdf").read_bytes().startswith(b"%PDF")
    for figure in (work / "compare.png", figures / "marginals.png", figures / "data_fit.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_calibrate_prints_a_verdict_by_parameter(work: Path) -> None:
    out = work / "calibration.nc"
    result = done("calibrate", work / "model", "-n", "40", "--draws", "100", "-o", out, "--keep")
    lines = result.stdout.splitlines()
    for name in ("source_range", "bottom_speed", "joint: tarp", "joint: region"):
        (line,) = [line for line in lines if line.startswith(name)]
        assert line.endswith(("passes", "FAILS"))
    with xr.open_dataset(out) as written:
        assert written.sizes["simulation"] == 40
        accuracy = float(written["c2st"].sel(told="joint"))
    kept = json.loads((work / "model" / "model.json").read_text())["calibration"]["raw"]
    assert kept["simulations"] == 40
    assert kept["c2st"]["joint"] == pytest.approx(accuracy, abs=1e-3)
    assert kept["coverage"]["source_range"]["0.9"] <= 1
    for name in ("source_range", "bottom_speed", "joint"):
        (line,) = [line for line in lines if line.startswith(f"classifier: {name}")]
        assert "passes" in line or "FAILS" in line
    refused = run("calibrate", "swellex96-2p", "-n", "40", "-o", out, "--keep")
    assert refused.exit_code == 2
    assert "--keep: swellex96-2p is no directory" in refused.stderr
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_where_a_calibration_cannot_be_kept_is_told_before_the_run(
    work: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "model", tmp_path / "calibration.nc"
    shutil.copytree(work / "model", model)
    content = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**content, "calibration": [1]}))
    refused = run("calibrate", model, "-n", "40", "--draws", "100", "-o", out, "--keep")
    assert refused.exit_code == 2
    assert refused.stderr.endswith("model.json: calibration: [1] is no mapping; remove it\n")
    assert not out.exists()


def test_the_conjugate_hint_is_printed_for_conjugated_data(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "conjugated.nc"
    path.write_bytes((work / "data.nc").read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        file.time_convention = "exp(+iwt)"
    out = ("-o", tmp_path / "p.nc", "--max-seconds", "1")
    result = done("infer", path, "--model", work / "model", *out)
    assert result.stderr.count("hint: ") >= 1
    assert "conjugate" in result.stderr
    right = done("infer", work / "data.nc", "--model", work / "model", *out)
    assert "conjugate" not in right.stderr


@pytest.mark.parametrize("command", ["infer", "mcmc"])
def test_a_known_source_is_said_not_to_be_made_use_of(
    work: Path, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "known.nc"
    path.write_bytes((work / "data.nc").read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        file.source = "known"
    by = {
        "infer": ("--model", work / "model", "--raw"),
        "mcmc": ("--scenario", work / "small.yaml", "--max-steps", "40"),
    }
    told = f"hint: {path}: source: 'known' is not made use of"
    assert told in done(command, path, *by[command], "-o", tmp_path / "p.nc").stderr
    path = work / "data.nc"
    assert "source" not in done(command, path, *by[command], "-o", tmp_path / "p.nc").stderr


def without_convention(path: Path) -> None:
    with netCDF4.Dataset(path, "a") as file:
        del file.time_convention


def with_another_frequency(path: Path) -> None:
    with netCDF4.Dataset(path, "a") as file:
        file["frequency"][1] = 123.0


def with_nan(path: Path) -> None:
    with netCDF4.Dataset(path, "a") as file:
        values = file["pressure_real"][...]
        values.flat[2] = np.nan
        file["pressure_real"][...] = values


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def missing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("command", ["infer", "mcmc"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_convention, "time_convention"),
        (with_another_frequency, "123"),
        (with_nan, "pressure_real"),
        (truncated, "bad.nc"),
        (missing, "no such file"),
    ],
)
def test_a_bad_measurement_is_one_line_and_exit_code_2(
    work: Path, tmp_path: Path, command: str, spoil: object, said: str
) -> None:
    assert callable(spoil)
    path = tmp_path / "bad.nc"
    path.write_bytes((work / "data.nc").read_bytes())
    spoil(path)
    by = {"infer": ("--model", work / "model"), "mcmc": ("--scenario", work / "small.yaml")}
    out = tmp_path / "out.nc"
    result = run(command, path, *by[command], "-o", out)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("oceaninv: ")
    assert "bad.nc" in result.stderr
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[2000, 3000]", "[3000, 2000]", "unknowns.source_range"),
        ("sound_speed: bottom_speed", "sound_speed: sea_floor_speed", "sea_floor_speed"),
        ("half_space:", "halfspace:", "halfspace"),
    ],
)
@pytest.mark.parametrize("command", ["check", "simulate", "train", "mcmc"])
def test_a_bad_scenario_is_one_line_and_exit_code_2(
    work: Path, tmp_path: Path, command: str, old: str, new: str, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SCENARIO.replace(old, new))
    out = tmp_path / "out"
    arguments = {
        "check": ("scenario", "check", path),
        "simulate": ("simulate", path, "-n", "10", "-o", out),
        "train": ("train", path, "-o", out),
        "mcmc": ("mcmc", work / "data.nc", "--scenario", path, "-o", out),
    }
    result = run(*arguments[command])
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert lines[0].startswith("oceaninv: ")
    assert "bad.yaml" in lines[0]
    assert any(said in line for line in lines)
    assert len(lines) == 1 or command == "check"  # check tells all problems
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("infer", "DATA", "--model", "nowhere", "-o", "OUT"),
        ("infer", "DATA", "-o", "OUT"),  # no built-in model of that scenario
        ("mcmc", "DATA", "--scenario", "nowhere.yaml", "-o", "OUT"),
        ("mcmc", "DATA", "--scenario", "SCENARIO", "--sampler", "nuts", "-o", "OUT"),
        ("train", "SCENARIO", "--objective", "guess", "-o", "OUT"),
        ("train", "SCENARIO", "--objective", "nll+guess", "-o", "OUT"),
        ("train", "SCENARIO", "--objective", "nll+mmd", "--hybrid-weight", "-1", "-o", "OUT"),
        ("train", "SCENARIO", "--hybrid-weight", "0.3", "-o", "OUT"),
        ("train", "SCENARIO", "--objective", "mmd", "--hybrid-schedule", "ramp", "-o", "OUT"),
        ("train", "SCENARIO", "--form", "data", "-o", "OUT"),
        ("train", "SCENARIO", "--preset", "guess", "-o", "OUT"),
        ("train", "SCENARIO", "--preset", "", "-o", "OUT"),
        ("infer", "DATA", "--model", "", "-o", "OUT"),
        ("train", "SCENARIO", "--data", "nowhere.zarr", "-o", "OUT"),
        ("train", "SCENARIO", "--max-minutes", "0", "-o", "OUT"),
        ("mcmc", "DATA", "--scenario", "SCENARIO", "--seed", "5000000000", "-o", "OUT"),
        ("mcmc", "DATA", "--scenario", "SCENARIO", "--seed", str(10**23), "-o", "OUT"),
        ("infer", "DATA", "--model", "MODEL", "--seed", str(10**23), "-o", "OUT"),
        ("scenario", "show", "nowhere"),
        ("scenario", "new", "SCENARIO"),  # exists already
        ("convert", "saga", "nowhere.in", "-o", "OUT"),
        ("convert", "saga", "SCENARIO", "-o", "OUT"),
        ("convert", "saga", "SCENARIO", "--time-convention", "wt", "-o", "OUT"),
    ],
)
def test_other_bad_input_is_one_line_and_exit_code_2(
    work: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    out = tmp_path / "out.nc"
    places = {
        "DATA": work / "data.nc",
        "SCENARIO": work / "small.yaml",
        "OUT": out,
        "MODEL": work / "model",
    }
    result = run(*(places.get(a, a) for a in arguments))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("oceaninv: ")
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_a_comparison_that_cannot_be_made_names_its_files(work: Path, tmp_path: Path) -> None:
    whole, few, spoilt = (tmp_path / f"{name}.nc" for name in ("whole", "few", "spoilt"))
    for path, samples in ((whole, "500"), (few, "4")):
        done("infer", work / "data.nc", "--model", work / "model", "--raw", "--samples", samples,
             "-o", path)  # fmt: skip
    spoilt.write_bytes(whole.read_bytes())
    with netCDF4.Dataset(spoilt, "a") as file:
        file["posterior"]["source_range"][0, 3] = np.nan
    figure = tmp_path / "compare.png"
    for first, second, said in (
        (whole, few, f"{whole} and {few}: 4 different draws of the second are too few to compare"),
        (few, whole, f"{few} and {whole}: 4 different draws of the first are too few to compare"),
        (whole, spoilt, f"{spoilt}: posterior/source_range: 1 of 500 draws are not finite; "),
    ):
        result = run("compare", first, second, "-o", figure)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith(f"oceaninv: {said}")
        assert result.stderr.count("\n") == 1
        assert result.stdout == ""
    assert not figure.exists()


def test_a_damaged_training_set_is_one_line_and_exit_code_2(work: Path, tmp_path: Path) -> None:
    data = tmp_path / "set.zarr"
    shutil.copytree(work / "set.zarr", data)
    shutil.rmtree(data / "replica" / "c" / "1")
    result = run("train", work / "small.yaml", "--data", data, "-o", tmp_path / "model")
    assert result.exit_code == 2, result.output
    told = f"oceaninv: {data}: replica: 1 of 2 chunks are lost; simulate it again\n"
    assert result.stderr == told
    assert not (tmp_path / "model").exists()


def test_an_inn_is_trained_and_used(work: Path, tmp_path: Path) -> None:
    model = tmp_path / "inn"
    trained = done(
        "train", work / "small.yaml", "--data", work / "set.zarr", "--estimator", "inn",
        "--preset", "vina", "--objective", "nll+mmd", "--form", "data", "-o", model,
    )  # fmt: skip
    said = " ".join(trained.stdout.split())
    assert "(twice the Jensen-Shannon divergence, given the network's summary of the data)" in said
    assert "by a fresh critic, 95 % interval" in said
    content = json.loads((model / "model.json").read_text())
    assert content["architecture"]["kind"] == "inn"
    assert content["architecture"]["bins"] == 0
    assert content["scenario"]["training"]["critic_form"] == "data"
    done("infer", work / "data.nc", "--model", model, "--raw", "-o", tmp_path / "raw.nc")
    done("infer", work / "data.nc", "--model", model, "--max-seconds", "5", "-o", tmp_path / "p.nc")


def test_scenarios_are_listed_shown_and_started(tmp_path: Path) -> None:
    listed = done("scenario", "list").stdout
    for name in ("pekeris-teaching", "swellex96-2p", "swellex96-vla", "north-elba-1993"):
        assert name in listed
        assert f"name: {name}" in done("scenario", "show", name).stdout
    path = tmp_path / "mine.yaml"
    done("scenario", "new", path)
    assert "sound" in done("scenario", "check", path).stdout
