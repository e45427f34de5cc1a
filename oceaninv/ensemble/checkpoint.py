"""A run kept on disk, so that one that was killed can go on."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from oceaninv.errors import InputError
from oceaninv.files import whole_file

Array = NDArray[np.float64]

_FILES = ("identity.json", "state.json", "state.json.tmp", "chain.zarr", "nautilus.h5")


@dataclass(frozen=True)
class Checkpoint:
    """A folder with the chain (Zarr) and, in `state.json`, where the run stands.

    The chain is appended first and the state, replaced in one step, says how much of it counts:
    whatever the moment of a kill, the two agree.
    """

    path: Path

    @property
    def exists(self) -> bool:
        """Whether there is a run to go on with."""
        return (self.path / "state.json").is_file()

    def claim(self, identity: dict[str, Any]) -> None:
        """Make the folder, or see that the one there is of this problem.

        Raises:
            InputError: the run was of another problem or with other settings, or its
                `identity.json` cannot be read.
        """
        file = self.path / "identity.json"
        if not file.is_file():
            with whole_file(file) as temporary:
                temporary.write_text(json.dumps(identity))
            return
        try:
            known = dict(json.loads(file.read_text()))
        except (OSError, TypeError, ValueError, RecursionError):
            raise InputError(
                f"{file}: is cut off or not a file of oceaninv; start anew without --resume"
            ) from None
        for name, value in identity.items():
            if known.get(name) != value:
                raise InputError(
                    f"{self.path}: {name} was {known.get(name)} and is now {value}; give the same "
                    "as before, or start anew without --resume"
                )

    def start(self, identity: dict[str, Any], walkers: int, dim: int) -> None:
        """Begin an empty run; what was there is removed."""
        self.remove()
        self.claim(identity)
        group = zarr.create_group(self.path / "chain.zarr")
        for name, shape in (("v", (0, walkers, dim)), ("log_prob", (0, walkers))):
            # What is lost reads as NaN and is noticed; zeros would pass for draws.
            group.create_array(
                name, shape=shape, chunks=(64, *shape[1:]), dtype="f8", fill_value=np.nan
            )

    def append(self, v: Array, log_prob: Array, random_state: tuple[Any, ...]) -> None:
        """Add steps (s, walkers, dim) and the state of the random numbers after them."""
        group = zarr.open_group(self.path / "chain.zarr")
        steps = self._state()["steps"] if self.exists else 0
        for name, block in (("v", v), ("log_prob", log_prob)):
            array = _array(group, name)
            array.resize((steps + len(block), *block.shape[1:]))
            array[steps:] = block
        name, keys, *rest = random_state
        state = {"steps": steps + len(v), "random": [name, np.asarray(keys).tolist(), *rest]}
        temporary = self.path / "state.json.tmp"
        temporary.write_text(json.dumps(state))
        os.replace(temporary, self.path / "state.json")

    def load(self, identity: dict[str, Any]) -> tuple[Array, Array, tuple[Any, ...]]:
        """Chain (s, walkers, dim), log densities (s, walkers) and state of the random numbers.

        Raises:
            InputError: the run was of another problem or with other settings, or it is damaged.
        """
        self.claim(identity)
        try:
            state = self._state()
            group = zarr.open_group(self.path / "chain.zarr", mode="r")
            v, log_prob = (
                np.asarray(_array(group, name)[: state["steps"]]) for name in ("v", "log_prob")
            )
            name, keys, *rest = state["random"]
            random_state = (name, np.array(keys, dtype=np.uint32), *rest)
            np.random.RandomState().set_state(random_state)
            whole = 0 < len(v) == len(log_prob) == state["steps"]
        except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError):
            whole = False
        if not whole or np.isnan(v).any() or np.isnan(log_prob).any():
            raise InputError(f"{self.path}: is damaged; start anew without --resume")
        return v, log_prob, random_state

    def remove(self) -> None:
        """Remove the folder, first what makes it a run to go on with.

        Raises:
            InputError: something lies there that no run has left.
        """
        held = [file.name for file in self.path.iterdir()] if self.path.is_dir() else []
        # Hidden is what a kill leaves of `whole_file`, and what file managers keep of a folder.
        strange = [name for name in held if name not in _FILES and not name.startswith(".")]
        if strange or self.path.is_file():
            told = f"holds {strange[0]}, which" if strange else "is a file that"
            raise InputError(f"{self.path}: {told} is not of a run; move it, or give another name")
        if self.exists:
            (self.path / "state.json").unlink()
        shutil.rmtree(self.path, ignore_errors=True)

    def _state(self) -> dict[str, Any]:
        return json.loads((self.path / "state.json").read_text())


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array
