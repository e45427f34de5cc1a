"""``oceaninv modes`` and ``oceaninv field`` against the reference, and what they refuse."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from reference_cases import CORE, ELASTIC, LEAKY, Case, load_case
from typer.testing import CliRunner, Result

from forward_models import adiabatic_pressure, read_env, read_env_profiles, solve_modes, stack
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
        (["--depth", "120"], f"{env}: depth: 120 m lies in the elastic half-space"),
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


def test_a_tone_below_the_first_cut_off_is_told(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    for command in ("modes", "field"):
        result = run(command, env, "-f", "5,100", "-o", tmp_path / "out.nc")
        assert result.exit_code == 0, result.output
        assert result.stderr == "hint: no mode propagates at 5 Hz\n"


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


def test_a_mode_limit_keeps_the_first_modes_and_says_when_there_are_fewer(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    flp = env.with_suffix(".flp")
    flp.write_text(flp.read_text().replace("9999", "5"))
    field = tmp_path / "f.nc"
    result = run("field", env, "-f", "100", "-o", field, "--receiver-depth", "50")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    file = read_env(env)
    modes = solve_modes(file.environment, [100.0], depth=[36.0, 50.0], c_high=file.c_high)
    assert int(modes.n_modes) == 6
    with xr.open_dataset(field) as written:
        r = written["range"].values
        k, phi = modes.wavenumber[0, 0, :5].numpy(), modes.mode_function[0, 0, :5].numpy()
        assert written["source_depth"].values.tolist() == [36.0]
        terms = (phi[:, 0] * phi[:, 1] / np.sqrt(k))[:, None] * np.exp(1j * k[:, None] * r)
        p = 1j * np.sqrt(2 * np.pi / r) * np.exp(-0.25j * np.pi) * terms.sum(axis=0)
        got = (written["pressure_real"] + 1j * written["pressure_imag"]).values.ravel()
        np.testing.assert_allclose(got, p, rtol=1e-9)
    result = run("field", env, "-f", "20,100", "-o", field)
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "hint: pekeris.flp: Mlimit: 5 modes are asked for, at 20 Hz there are 1; the field is the "
        "sum of those that exist\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.env"], "oceaninv: nowhere.env: no such file; check the path\n"),
        (["CASE", "-f", "20,x"], "oceaninv: --frequency: '20,x' is no list; write 1,2,5 or"),
        (
            ["CASE", "-f", "-20"],
            "oceaninv: CASE: frequency: -20 Hz must be finite and above zero\n",
        ),
        (["CASE", "-f", "0"], "oceaninv: CASE: frequency: 0 Hz must be finite and above zero\n"),
        (["CASE", "--range-km", "1:2"], "oceaninv: --range-km: '1:2' is no list"),
        (
            ["CASE", "-f", "1:2:99999999999"],
            "oceaninv: --frequency: '1:2:99999999999' are too many",
        ),
        (["."], "oceaninv: .: "),
        (["CASE", "--range-km", "0"], "oceaninv: CASE: range: 0 m must be"),
        (["CASE", "--source-depth", "-5"], "oceaninv: CASE: source_depth: -5 m must be"),
        (
            ["CASE", "--source-depth", "105"],
            "oceaninv: CASE: source_depth: 105 m must be between the surface and the "
            "seabed at 100 m\n",
        ),
        (["CASE", "--receiver-depth", "nan"], "oceaninv: --receiver-depth: 'nan' is no list"),
        (["CASE", "--c-high", "-1"], "oceaninv: CASE: c_high: -1 m/s must be"),
        (["CASE", "--c-high", "0"], "oceaninv: CASE: c_high: 0 m/s must be"),
        (["CASE", "--c-high", "0", "--method", "spectral"], "oceaninv: --c-high: the spectral"),
        (["CASE", "--c-high", "fast"], "oceaninv: invalid value for '--c-high': fast: "),
        (["CASE", "--c-hihg", "1600"], "oceaninv: no such option: --c-hihg"),
        (["CASE", "--method", "rays"], "oceaninv: invalid value for '--method': "),
        ([], "oceaninv: missing argument 'FILE.env'; 'oceaninv field --help' shows how"),
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
    assert result.stderr.startswith(message.replace("CASE", str(env)))
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_modes_up_to_no_phase_speed_are_refused(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    result = run("modes", env, "--c-high", "0", "-o", tmp_path / "modes.nc")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"oceaninv: {env}: c_high: 0 m/s must be")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  100.0 1500.0", "  90.0 1500.0", "line 8: layer 1, z: 'A' is not a number"),
        ("0 0.0 100.0", "0 0.0 0.0", "line 5: layer 1, Z(NSSP): 0 m is not below the top of the"),
        ("0 0.0 100.0", "0 0.0 -100.0", "line 5: layer 1, Z(NSSP): -100 m is not below the top"),
        ("0 0.0 100.0", "0 -0.5 100.0", "line 5: layer 1, SIGMA: -0.5 m must be zero or more"),
        ("  100.0 1500.0", "  100.0 0", "line 7: layer 1, cP: 0 must be above zero (m/s)"),
        ("  100.0 1500.0", "  100.0 -1500", "line 7: layer 1, cP: -1500 must be above zero"),
        ("  100.0 1500.0", "  100.0 nan", "line 7: layer 1, cP: nan must be finite"),
        ("\n  0.0 1500.0", "\n  nan 1500.0", "line 6: layer 1, z: nan must be finite"),
        ("\n  0.0 1500.0", "\n  5.0 1500.0", "line 6: layer 1, z: starts at 5 m but"),
        (
            "CVW",
            "CVX",
            "line 4: TOPOPT(3:3), attenuation unit: 'X' is unknown; use one of 'N', 'M',",
        ),
        ("20.0  !", "0.0  !", "line 2: frequency: 0 must be above zero (Hz)"),
    ],
)
def test_a_bad_env_file_is_one_line_and_exit_code_2(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    env = load_case("pekeris").write(tmp_path)
    text = env.read_text()
    assert old in text
    env.write_text(text.replace(old, new, 1))
    for command in ("modes", "field"):
        out = tmp_path / f"{command}.nc"
        result = run(command, env, "-o", out)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith(f"oceaninv: pekeris.env: {message}")
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


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "oceaninv", "infr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no such command 'infr'" in done.stderr


def adiabatic_case(tmp_path: Path, option: str = "RA") -> Path:
    """Three profiles of the Pekeris case, the middle one 10 m shallower, at 0, 2 and 5 km."""
    env = load_case("pekeris").write(tmp_path)
    text = env.read_text()
    shallow = text.replace(" 100.0 ", " 90.0 ").replace(" 100.0\n", " 90.0\n")
    env.write_text(text + shallow + text)
    flp = env.with_suffix(".flp")
    lines = flp.read_text().splitlines()
    lines[1] = f"'{option}'"
    lines[3:5] = ["3", "0.0 2.0 5.0"]
    flp.write_text("\n".join(lines) + "\n")
    return env


@pytest.mark.parametrize("options", [[], ["--incoherent"]])
def test_field_of_several_profiles_is_that_of_adiabatic_modes(
    tmp_path: Path, options: list[str]
) -> None:
    env, out = adiabatic_case(tmp_path), tmp_path / "field.nc"
    given = [*options, *("--range-km", "1,3,8", "--receiver-depth", "20,50,80")]
    result = run("field", env, "-o", out, "-f", "100,200", *given)
    assert result.exit_code == 0, result.output
    profiles = read_env_profiles(env)
    assert [float(p.environment.water_depth) for p in profiles] == [100.0, 90.0, 100.0]
    expected = adiabatic_pressure(
        stack([p.environment for p in profiles]),
        [0.0, 2e3, 5e3],
        [100.0, 200.0],
        source_depth=profiles[0].source_depth,
        receiver_depth=[20.0, 50.0, 80.0],
        range_m=[1e3, 3e3, 8e3],
        c_high=profiles[0].c_high,
        coherence="incoherent" if options else "coherent",
    ).numpy()
    with xr.open_dataset(out) as field:
        p = (field["pressure_real"] + 1j * field["pressure_imag"]).values
        np.testing.assert_allclose(p, expected, rtol=1e-12)
        np.testing.assert_allclose(field["transmission_loss"], -20 * np.log10(abs(p)))
        assert "adiabatic" in field.attrs["source"]
        assert field.attrs["mode_sum"] == ("incoherent" if options else "coherent")


def test_the_field_file_asks_for_incoherent_modes_and_an_option_overrides_it(
    tmp_path: Path,
) -> None:
    env, out = adiabatic_case(tmp_path, "RA I"), tmp_path / "field.nc"
    sums = []
    for options in ([], ["--coherent"]):
        assert run("field", env, "-o", out, *options).exit_code == 0
        with xr.open_dataset(out) as field:
            sums.append(field.attrs["mode_sum"])
    assert sums == ["incoherent", "coherent"]


def test_a_range_of_zero_in_the_field_file_is_left_out_and_told(tmp_path: Path) -> None:
    env, out = adiabatic_case(tmp_path), tmp_path / "field.nc"
    flp = env.with_suffix(".flp")
    lines = flp.read_text().splitlines()
    lines[5:7] = ["5", "0.0 8.0 /"]
    flp.write_text("\n".join(lines) + "\n")
    result = run("field", env, "-o", out)
    assert result.exit_code == 0
    assert "pekeris.flp: R: 0 km is left out, a field needs a range above zero" in result.stderr
    with xr.open_dataset(out) as field:
        assert field["range"].values.tolist() == [2000.0, 4000.0, 6000.0, 8000.0]
        assert bool(np.isfinite(field["transmission_loss"]).all())


def test_profiles_that_the_field_file_does_not_place_are_refused(tmp_path: Path) -> None:
    env = adiabatic_case(tmp_path)
    env.with_suffix(".flp").unlink()
    result = run("field", env, "-o", tmp_path / "f.nc", "--range-km", "1")
    assert result.exit_code == 2
    assert result.stderr == (
        "oceaninv: pekeris.env: 3 profiles, but pekeris.flp is not there; set NPROF and RPROF in "
        "it to one range (km) a profile\n"
    )
    result = run("field", adiabatic_case(tmp_path, "RC"), "-o", tmp_path / "f.nc")
    assert result.exit_code == 2
    assert "coupled modes over 3 profiles are not supported" in result.stderr
    env = adiabatic_case(tmp_path)
    text = env.read_text()
    limit = f"{load_case('pekeris').env['c_high']}"
    assert text.count(limit) >= 3
    at = text.rindex(limit)
    env.write_text(text[:at] + "1650.0" + text[at + len(limit) :])
    result = run("field", env, "-o", tmp_path / "f.nc")
    assert result.exit_code == 2
    assert "cHigh: profiles differ" in result.stderr


def test_truncation_is_printed_and_kept(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    place = ("--source-depth", "36,80", "--receiver-depth", "5:95:10", "--range-km", "0.2:8:40")
    modes, full = tmp_path / "modes.nc", tmp_path / "full.nc"
    result = run("field", env, "-f", "50,150", *place, "--truncation", "-o", modes)
    assert result.exit_code == 0, result.output
    assert (
        run("field", env, "-f", "50,150", *place, "--method", "spectral", "-o", full).exit_code == 0
    )
    with xr.open_dataset(modes) as sum_of_modes, xr.open_dataset(full) as integral:
        assert "truncation_error" not in integral
        assert "wavenumber integration" in integral.attrs["source"]
        p, exact = (f["pressure_real"] + 1j * f["pressure_imag"] for f in (sum_of_modes, integral))
        lost, size = ((abs(q) ** 2).sum("receiver_depth") ** 0.5 for q in (p - exact, exact))
        error = sum_of_modes["truncation_error"]
        assert error.dims == ("frequency", "source_depth", "range")
        np.testing.assert_allclose(error, lost / size, rtol=1e-9)
        worst = error.max("source_depth")
        lines = [line for line in result.output.splitlines() if "Hz:" in line]
        for line, frequency in zip(lines, (50, 150), strict=True):
            numbers = re.fullmatch(
                rf"{frequency} Hz: modes alone are within 1 % of the full field "
                r"beyond ([\d.]+) km, 10 % beyond ([\d.]+) km",
                line,
            )
            assert numbers, line
            for level, km in zip((0.01, 0.1), map(float, numbers.groups()), strict=True):
                row = worst.sel(frequency=frequency)
                assert (row.where(row["range"] > 1000 * km - 50, drop=True) <= level).all()
                before = row.where(row["range"] < 1000 * km - 50, drop=True)
                assert float(before[-1]) > level


def test_the_full_field_may_carry_the_truncation_error_of_fewer_modes(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    common = ("field", env, "-f", "100", "--range-km", "0.5,5", "--truncation", "--c-high", "1600")
    full, modes = tmp_path / "full.nc", tmp_path / "modes.nc"
    assert run(*common, "--method", "spectral", "-o", full).exit_code == 0
    assert run(*common, "-o", modes).exit_code == 0
    with xr.open_dataset(full) as one, xr.open_dataset(modes) as other:
        np.testing.assert_array_equal(one["truncation_error"], other["truncation_error"])
        lost = abs(one["transmission_loss"] - other["transmission_loss"])
        assert float(lost.max()) > 1.0
        assert float(one["truncation_error"].min()) > 0.1


def test_truncation_says_where_modes_never_or_always_do(tmp_path: Path) -> None:
    env = load_case("pekeris").write(tmp_path)
    arguments = ("field", env, "-f", "100", "--truncation", "-o", tmp_path / "field.nc")
    near = run(*arguments, "--range-km", "0.1,0.3")
    assert "1 % of the full field nowhere up to 0.3 km, 10 % nowhere up to 0.3 km" in near.output
    far = run(*arguments, "--range-km", "9,10")
    assert "1 % of the full field at all these ranges, 10 % at all these ranges" in far.output


@pytest.mark.parametrize("option", [("--c-high", "1600"), ("--attenuation", "perturbative")])
def test_the_full_field_refuses_options_of_the_modes(tmp_path: Path, option: tuple[str]) -> None:
    env = load_case("pekeris").write(tmp_path)
    result = run("field", env, "--method", "spectral", *option, "-o", tmp_path / "field.nc")
    assert result.exit_code == 2
    assert f"leave out {option[0]}" in result.output
    assert not (tmp_path / "field.nc").exists()
