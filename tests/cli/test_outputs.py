"""What a command would destroy or cannot write is refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from reference_cases import load_case
from typer.testing import CliRunner

import oceaninv
from oceaninv.cli import app
from oceaninv.cli.outputs import check_outputs
from oceaninv.errors import InputError

FILES = ("t.nc", "p.nc", "model/model.safetensors", "s.yaml", "e.env", "e.flp", "d.in", "set.zarr")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files that no command gets to read: what it says of them is not asked."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    (tmp_path / "link.nc").symlink_to("t.nc")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("infer t.nc --model model -o t.nc", "--output: t.nc: is the file t.nc that is read"),
        ("infer t.nc -o ./model/../t.nc", "--output: model/../t.nc: is the file t.nc that is"),
        ("infer t.nc -o link.nc", "--output: link.nc: is the file t.nc that is read"),
        ("infer t.nc --model model -o model/model.safetensors", "--output: model/model.safet"),
        ("mcmc t.nc --scenario s.yaml -o t.nc", "--output: t.nc: is the file t.nc that is read"),
        ("mcmc t.nc --scenario s.yaml -o s.yaml", "--output: s.yaml: is the file s.yaml that is"),
        ("calibrate model -o cal.png", "--figure: cal.png: is written by --output already; give"),
        ("calibrate model -o model/model.safetensors", "--output: model/model.safetensors: is"),
        ("field e.env -o same.png --plot same.png", "--plot: same.png: is written by --output"),
        ("field e.env -o e.flp", "--output: e.flp: is the file e.flp that is read"),
        ("modes e.env -o e.env", "--output: e.env: is the file e.env that is read"),
        ("compare t.nc p.nc -o p.nc", "--plot: p.nc: is the file p.nc that is read"),
        ("report t.nc p.nc -o p.nc", "--output: p.nc: is the file p.nc that is read"),
        ("convert saga d.in -o d.in", "--output: d.in: is the file d.in that is read"),
        ("convert saga d.in --scenario s.yaml -o s.yaml", "--output: s.yaml: is the file"),
        ("synthesize s.yaml -o s.yaml", "--output: s.yaml: is the file s.yaml that is read"),
        ("field e.env -o .", ".: is a folder; give the name of a file"),
        ("infer t.nc -o .", ".: is a folder; give the name of a file"),
        ("calibrate model -o .", ".: is a folder; give the name of a file"),
        ("mcmc t.nc --scenario s.yaml -o t.nc/p.nc", "t.nc/p.nc: "),
        ("report p.nc -o report.html --figures t.nc", "t.nc: "),
        ("train s.yaml -o t.nc", "t.nc: "),
        ("simulate s.yaml -n 5 -o t.nc/set.zarr", "t.nc/set.zarr: "),
        ("field e.env -o f.nc --plot f.bmp", "--plot: f.bmp: cannot write '.bmp'; end the name"),
        ("calibrate model -o c.nc --figure c", "--figure: c: cannot write ''; end the name in"),
        ("compare t.nc p.nc -o c.txt", "--plot: c.txt: cannot write '.txt'; end the name in"),
        ("report p.nc -o r.docx", "r.docx: cannot write '.docx'; end the name in .html or .pdf"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_are_refused_at_once(folder: Path, words: str, said: str) -> None:
    before = sorted(folder.rglob("*"))
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"oceaninv: {said}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert sorted(folder.rglob("*")) == before
    assert all((folder / name).read_text() == "precious" for name in FILES)


def test_a_file_that_is_read_is_known_by_another_name(folder: Path) -> None:
    os.link(folder / "t.nc", folder / "other.nc")  # as T.nc where a disk takes it for t.nc
    result = CliRunner().invoke(app, ["infer", "t.nc", "-o", "other.nc"])
    assert result.exit_code == 2
    assert result.stderr == (
        "oceaninv: --output: other.nc: is the file t.nc that is read; give another name\n"
    )
    assert (folder / "t.nc").read_text() == "precious"


def test_an_empty_name_is_refused(folder: Path) -> None:
    for command in (["modes", "e.env"], ["infer", "t.nc"], ["calibrate", "model"]):
        result = CliRunner().invoke(app, [*command, "-o", ""])
        assert result.exit_code == 2
        assert result.stderr == "oceaninv: .: is a folder; give the name of a file\n"


def test_files_of_the_program_stay() -> None:
    """A built-in model or scenario is read by its name, which is the path of no file."""
    for name in ("models/swellex96-2p/model.json", "scenario/builtin/swellex96-2p.yaml"):
        path = Path(oceaninv.__file__).parent / name
        assert path.is_file()
        with pytest.raises(InputError, match=r"--output: .* is a file of oceaninv itself; give"):
            check_outputs({"--output": path}, ["swellex96-2p"])
    check_outputs({"--output": path.with_name("new.nc")})


def test_a_device_stays_a_device(folder: Path) -> None:
    os.mkfifo(folder / "pipe")  # as /dev/null, which a failing test had better not replace
    env = load_case("pekeris").write(folder)
    result = CliRunner().invoke(app, ["modes", str(env), "-o", "pipe"])
    assert result.exit_code == 2
    assert result.stderr == "oceaninv: pipe: is no regular file; give another name\n"
    assert (folder / "pipe").is_fifo()
