"""``oceaninv modes`` and ``oceaninv field`` against the reference, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from reference_cases import CORE, ELASTIC, LEAKY, Case, load_case
from typer.testing import CliRunner, Result

from oceaninv.cli import app

KINDS = ("exact", "perturbative")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def tones(case: Case) -> str:
    return ",".join(f"{f}" for f in case.answers)


def check_modes(path: Path, case: Case, kind: str) -> None:
    with xr.open_dataset(path) as modes:
        assert modes["phi_real"].dims == ("frequency", "mode", "depth")
        assert modes["frequency"].values.tolist() == list(case.answers)
        depths = sorted({*case.source_depth, *case.receiver_depth})
        np.testing.assert_array_equal(modes["depth"], depths)
        for frequency, answers in case.answers.items():
            row = modes.sel(frequency=frequency)
            expected = answers.k[kind]
            count = int(row["n_modes"])
            assert count == expected.size
            k = (row["k_real"] + 1j * row["k_imag"]).values
            assert (abs(k[:count] - expected) < 1e-6 * abs(expected)).all()
            assert np.isnan(k[count:]).all()
            assert np.isnan(row["phi_real"].values[count:]).all()
            if kind == "exact":
                speeds = row["group_speed"].values[:count]
                np.testing.assert_allclose(speeds, answers.group_speed, rtol=1e-6)


def check_field(path: Path, case: Case, kind: str) -> None:
    with xr.open_dataset(path) as field:
        assert field["pressure_real"].dims == (
            "frequency",
            "source_depth",
            "receiver_depth",
            "range",
        )
        np.testing.assert_allclose(field["range"], 1000.0 * np.array(case.range_km))
        np.testing.assert_array_equal(field["receiver_depth"], case.receiver_depth)
        for frequency, answers in case.answers.items():
            row = field.sel(frequency=frequency).isel(source_depth=0)
            expected = answers.p[kind]
            p = (row["pressure_real"] + 1j * row["pressure_imag"]).values
            assert np.linalg.norm(p - expected) < 1e-3 * np.linalg.norm(expected), frequency
            np.testing.assert_allclose(row["transmission_loss"], -20 * np.log10(np.abs(p)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CORE)
def test_modes_of_core_cases_match_the_reference(tmp_path: Path, name: str, kind: str) -> None:
    case = load_case(name)
    out = tmp_path / "modes.nc"
    result = run("modes", case.write(tmp_path), "-f", tones(case), "-o", out, "--attenuation", kind)
    assert result.exit_code == 0, result.output
    check_modes(out, case, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CORE)
def test_field_of_core_cases_matches_the_reference(tmp_path: Path, name: str, kind: str) -> None:
    case = load_case(name)
    out = tmp_path / "field.nc"
    result = run("field", case.write(tmp_path), "-f", tones(case), "-o", out, "--attenuation", kind)
    assert result.exit_code == 0, result.output
    check_field(out, case, kind)


def test_the_installed_command_gives_the_reference_modes_and_field(tmp_path: Path) -> None:
    case = load_case("pekeris")
    env = case.write(tmp_path)
    command = [str(Path(sys.executable).parent / "oceaninv")]
    modes, field = tmp_path / "modes.nc", tmp_path / "field.nc"
    for arguments in (["modes", env, "-o", modes], ["field", env, "-o", field]):
        done = subprocess.run(
            [*command, *map(str, arguments), "-f", tones(case)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""  # no progress bar where there is no terminal
    check_modes(modes, case, "exact")
    check_field(field, case, "exact")


@pytest.mark.parametrize("name", LEAKY + ELASTIC)
def test_leaky_modes_of_a_file(tmp_path: Path, name: str) -> None:
    case = load_case(name)
    env, out = case.write(tmp_path), tmp_path / "out.nc"
    leaky = ["--leaky"] if name in LEAKY else []
    result = run("modes", env, "-f", tones(case), *leaky, "-o", out)
    assert result.exit_code == 0, result.output
    with xr.open_dataset(out) as modes:
        for frequency, answers in case.answers.items():
            row = modes.sel(frequency=frequency)
            k = (row["k_real"] + 1j * row["k_imag"]).values[: int(row["n_modes"])]
            np.testing.assert_allclose(k, answers.k["exact"], rtol=1e-8)
    result = run("field", env, "-f", tones(case), *leaky, "-o", out)
    assert result.exit_code == 0, result.output
    if leaky:
        check_field(out, case, "exact")


def test_what_leaky_modes_cannot_do_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out.nc"
    env = load_case("elastic_hard").write(tmp_path)
    for options, message in (
        (["--attenuation", "perturbative"], "attenuation: 'perturbative' has no leaky modes"),
        (["--depth", "120"], "environment 0: depth: 120 m lies in the elastic half-space"),
    ):
        result = run("modes", env, *options, "-o", out)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_options_replace_what_the_files_say(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    field, modes, figure = tmp_path / "field.nc", tmp_path / "modes.nc", tmp_path / "field.png"
    result = run(
        *("field", env, "-o", field, "--plot", figure),
        *("--source-depth", "10,20", "--receiver-depth", "0:100:5", "--range-km", "1:5:9"),
    )
    assert result.exit_code == 0, result.output
    with xr.open_dataset(field) as written:
        assert dict(written.sizes) == {
            "frequency": 1,
            "source_depth": 2,
            "receiver_depth": 5,
            "range": 9,
        }
        assert written["source_depth"].values.tolist() == [10, 20]
        assert written["range"].values.tolist() == [1000.0 + 500.0 * i for i in range(9)]
        assert written["transmission_loss"].attrs["units"] == "dB"
    assert figure.read_bytes().startswith(b"\x89PNG")
    result = run("modes", env, "-f", "500", "--depth", "36", "--c-high", "1550", "-o", modes)
    assert result.exit_code == 0, result.output
    with xr.open_dataset(modes) as written:
        assert written["depth"].values.tolist() == [36.0]
        slowest = 2 * np.pi * 500 / written["k_real"].values
        assert 0 < int(written["n_modes"][0]) < 31  # 31 up to the half-space speed
        assert (slowest < 1550).all()


def test_a_line_over_range_and_one_over_depth_are_drawn(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    for i, options in enumerate(
        (["--receiver-depth", "50", "--range-km", "1:5:30"], ["--range-km", "3"])
    ):
        figure = tmp_path / f"{i}.png"
        result = run("field", env, "-o", tmp_path / "f.nc", "--plot", figure, *options)
        assert result.exit_code == 0, result.output
        assert figure.stat().st_size > 5000


def test_an_env_file_alone_needs_ranges(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    env.with_suffix(".flp").unlink()
    result = run("field", env, "-o", tmp_path / "field.nc")
    assert result.exit_code == 2
    assert result.stderr == (
        "oceaninv: pekeris.env: range-km: not given, and no pekeris.flp beside it says it; "
        "add --range-km\n"
    )
    result = run("field", env, "-o", tmp_path / "field.nc", "--range-km", "1,2")
    assert result.exit_code == 0, result.output
    with xr.open_dataset(tmp_path / "field.nc") as written:
        assert written.sizes["receiver_depth"] == 10  # from the .env


def test_a_mode_limit_that_would_leave_modes_out_is_refused(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    flp = env.with_suffix(".flp")
    flp.write_text(flp.read_text().replace("9999", "5"))
    assert run("field", env, "-o", tmp_path / "f.nc").exit_code == 0  # one mode at 20 Hz
    result = run("field", env, "-f", "100", "-o", tmp_path / "f.nc")
    assert result.exit_code == 2
    assert result.stderr.startswith("oceaninv: pekeris.flp: Mlimit: 5: there are 6 modes")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.env"], "oceaninv: nowhere.env: no such file; check the path\n"),
        (["CASE", "-f", "20,x"], "oceaninv: --frequency: '20,x' is no list; write 1,2,5 or"),
        (["CASE", "-f", "-20"], "oceaninv: "),
        (["CASE", "-f", "0"], "oceaninv: "),
        (["CASE", "--range-km", "1:2"], "oceaninv: --range-km: '1:2' is no list"),
        (["CASE", "--range-km", "0"], "oceaninv: "),
        (["CASE", "--source-depth", "-5"], "oceaninv: "),
        (["CASE", "--source-depth", "105"], "oceaninv: "),
        (["CASE", "--receiver-depth", "nan"], "oceaninv: --receiver-depth: 'nan' is no list"),
        (["CASE", "--c-high", "-1"], "oceaninv: "),
        (["BROKEN"], "oceaninv: broken.env: line 7: layer 1, z: "),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    env = load_case("pekeris").write(tmp_path)
    broken = tmp_path / "broken.env"
    broken.write_text(env.read_text().replace("  100.0 1500.0", "  120.0 1500.0"))
    places = {"CASE": str(env), "BROKEN": str(broken)}
    out = tmp_path / "field.nc"
    result = run("field", *(places.get(a, a) for a in arguments), "-o", out)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_debug_shows_the_traceback() -> None:
    result = run("field", "nowhere.env", "-o", "x.nc", "--debug")
    assert isinstance(result.exception, FileNotFoundError)


def test_help_of_every_command_has_an_example_and_starts_without_torch() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from oceaninv.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "heavy = {'torch', 'arviz', 'xarray', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    groups = {(): app, ("scenario",): app.registered_groups[0].typer_instance}
    checked = 0
    for path, group in groups.items():
        assert group is not None
        for command in group.registered_commands:
            assert command.callback is not None
            name = command.name or command.callback.__name__
            text = run(*path, name, "--help").output
            assert "Example: " in text, name
            checked += 1
    assert checked >= 8
