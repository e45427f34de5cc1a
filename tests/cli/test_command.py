"""How commands end: interrupted, warned, or with nobody left who reads."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from oceaninv.cli import app, main
from oceaninv.cli.command import OneLine, progress_bar, register
from oceaninv.ensemble.moves import ensemble_sampler

ROOT = Path(__file__).parents[2]


def command_that(raised: Exception | BaseException | Warning) -> typer.Typer:
    """An application of one command that ends so, once with and once without ``--resume``."""

    def plain() -> None:
        if isinstance(raised, Warning):
            warnings.warn(raised, stacklevel=1)
        else:
            raise raised

    def resumed(resume: bool = False) -> None:
        plain()

    made = typer.Typer(cls=OneLine, pretty_exceptions_enable=False)
    register(made, plain)
    register(made, resumed)
    return made


def test_an_interrupted_command_says_one_line_and_fails() -> None:
    stopped = command_that(KeyboardInterrupt())
    for name, said in (("plain", ""), ("resumed", "; go on with --resume")):
        result = CliRunner().invoke(stopped, [name])
        assert result.exit_code == 1
        assert result.stderr == f"oceaninv: stopped{said}\n"


def test_an_interrupt_before_the_command_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["oceaninv.cli.app"], "version", interrupted)
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 1
    assert result.stderr == "oceaninv: stopped\n"


def test_a_warning_is_one_line_without_a_place_in_the_source() -> None:
    warned = command_that(RuntimeWarning("the chain has\nnot converged"))
    result = CliRunner().invoke(warned, ["plain"])
    assert result.exit_code == 0
    assert result.stderr == "warning: the chain has not converged\n"


def test_progress_that_no_terminal_shows_leaves_no_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # as rich before 14.3 does, bar disabled or not
    monkeypatch.setattr("rich.progress.Progress.stop", lambda bar: bar.console.print())
    with progress_bar() as progress:
        progress(1, 2, "working")
    assert capfd.readouterr() == ("", "")


def test_an_interrupted_chain_prints_nothing_of_the_sampler(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupted(v: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    sampler = ensemble_sampler(interrupted, blocks=2, walkers=8, dim=2)
    start = np.random.default_rng(0).standard_normal((16, 2))
    with pytest.raises(KeyboardInterrupt):
        sampler.run_mcmc(start, 1)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_ctrl_c_in_mcmc_is_one_line(tmp_path: Path) -> None:
    # Where the tests run in the background, the signal would be ignored.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heard}; from oceaninv.cli import main; main()"
    arguments = [
        *("mcmc", ROOT / "data" / "swellex96-2p.nc", "--scenario", "swellex96-2p"),
        *("--effective-samples", "1000000", "-o", tmp_path / "m.nc"),
    ]
    running = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoint = tmp_path / "m.nc.checkpoint"
    patience = time.monotonic() + 60
    try:
        while not checkpoint.exists() and running.poll() is None and time.monotonic() < patience:
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, out, err) == (1, "", "oceaninv: stopped; go on with --resume\n")


def test_a_reader_that_has_seen_enough_gets_no_complaint() -> None:
    code = "from oceaninv.cli import main; main()"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code, "scenario", "show", "swellex96-vla"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["scenario show swellex96-vla", "train --help"])
def test_files_and_pipes_get_utf_8_whatever_the_code_page(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    code, written = run_with_code_page(command, monkeypatch)
    assert code == 0
    assert ("g/cm³" if "show" in command else "x ↔ (y, z)") in written.decode("utf-8")


def test_a_code_page_that_was_asked_for_stays_and_lacks_no_character(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp437")
    code, written = run_with_code_page("scenario show swellex96-vla", monkeypatch)
    assert code == 0
    assert rb"g/cm\xb3" in written


def run_with_code_page(command: str, monkeypatch: pytest.MonkeyPatch) -> tuple[object, bytes]:
    """Exit code and output of a command whose output Python would encode for an old terminal."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp437"))
    monkeypatch.setattr(sys, "argv", ["oceaninv", *command.split()])
    with pytest.raises(SystemExit) as left:
        main()
    sys.stdout.flush()
    return left.value.code, raw.getvalue()
