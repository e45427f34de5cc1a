"""A damaged checkpoint is refused, and one that is being removed is no run to go on with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from oceaninv.ensemble.checkpoint import Checkpoint
from oceaninv.errors import InputError


class Killed(Exception):
    pass


def _state(content: str) -> Callable[[Path], object]:
    return lambda path: (path / "state.json").write_text(content)


@pytest.mark.parametrize(
    "spoil",
    [
        _state(""),
        _state("3"),
        _state("{}"),
        _state('{"steps": 80, "random": ["MT19937", [1, 2], 0, 0, 0.0]}'),
        lambda path: shutil.rmtree(path / "chain.zarr"),
        lambda path: (path / "chain.zarr/v/c/0/0/0").unlink(),
        lambda path: (path / "chain.zarr/log_prob/c/1/0").unlink(),
        lambda path: (path / "chain.zarr/v/c/1/0/0").write_bytes(b"cut off"),
        lambda path: (path / "chain.zarr/v/zarr.json").write_text("{"),
    ],
)
def test_a_damaged_run_is_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    checkpoint = _run(tmp_path)
    assert len(checkpoint.load({"measurement": "a"})[0]) == 80
    spoil(checkpoint.path)
    with pytest.raises(InputError, match=r"run\.checkpoint: is damaged; start anew without"):
        checkpoint.load({"measurement": "a"})


def test_a_state_that_counts_more_steps_than_there_are_is_refused(tmp_path: Path) -> None:
    checkpoint = _run(tmp_path)
    state = checkpoint.path / "state.json"
    state.write_text(state.read_text().replace('"steps": 80', '"steps": 800'))
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.load({"measurement": "a"})


def test_a_kill_while_a_run_is_removed_leaves_none_to_go_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = _run(tmp_path)

    def first_chunk_only(path: Path, **_: object) -> None:
        (path / "chain.zarr/v/c/0/0/0").unlink()
        raise Killed

    monkeypatch.setattr(shutil, "rmtree", first_chunk_only)
    with pytest.raises(Killed):
        checkpoint.remove()
    assert not checkpoint.exists


def _run(folder: Path) -> Checkpoint:
    """A checkpoint of 80 steps, in two chunks, of four walkers in two dimensions."""
    checkpoint = Checkpoint(folder / "run.checkpoint")
    checkpoint.start({"measurement": "a"}, 4, 2)
    random = np.random.RandomState(0)
    checkpoint.append(random.randn(80, 4, 2), random.randn(80, 4), random.get_state())
    return checkpoint


def test_what_no_run_has_left_is_not_removed(tmp_path: Path) -> None:
    folder, file = tmp_path / "mine.checkpoint", tmp_path / "other.checkpoint"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    file.touch()
    for path, told in ((folder, "holds thesis.tex, which is"), (file, "is a file that is")):
        with pytest.raises(InputError, match=f"{path.name}: {told} not of a run; move it"):
            Checkpoint(path).remove()
    assert (folder / "thesis.tex").exists()
    assert file.exists()
