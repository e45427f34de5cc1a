"""The training set on disk: a Zarr store of parameters and noise-free data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import zarr
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.scenario.loading import scenario_from_json, scenario_json
from oceaninv.scenario.schema import Scenario

SCHEMA = 1


@dataclass(frozen=True)
class TrainingSet:
    """n draws from the prior and their noise-free data; noise is drawn anew at each use.

    Attributes:
        scenario: what was simulated.
        parameters: (n, d) float64.
        replica: (n, F, R) complex64 pressure of a unit source, or (n, F, P) float32 levels in dB.
        seed: of the draws.
        geometries: draws in a row that share their environment.
    """

    scenario: Scenario
    parameters: Tensor
    replica: Tensor
    seed: int
    geometries: int = 1


class Attributes(BaseModel):
    """What a store says of itself."""

    model_config = ConfigDict(frozen=True)

    scenario: Annotated[Scenario, BeforeValidator(lambda text: scenario_from_json(str(text)))]
    scenario_hash: str
    data: str
    seed: int
    chunk: Annotated[int, Field(ge=1)]
    geometries: Annotated[int, Field(ge=1)] = 1

    @field_validator("data")
    @classmethod
    def _of_scenario(cls, data: str, info: ValidationInfo) -> str:
        if "scenario" in info.data and data != _data_name(info.data["scenario"]):
            raise ValueError(f"'{data}' is not what the scenario has")
        return data


@dataclass(frozen=True)
class Store:
    """A training set on disk, complete or not.

    Attributes:
        path: where it is.
        group: its arrays: `parameters`, `replica` or `level`, and `done` for each chunk.
        about: what it says of itself.
    """

    path: Path
    group: zarr.Group
    about: Attributes

    def array(self, name: str) -> zarr.Array:
        """An array by name, with its values still on disk.

        Raises:
            InputError: there is none.
        """
        try:
            array = self.group[name]
        except _DAMAGED as error:
            raise self.damaged(name, f"cannot be read ({_short(error)})") from None
        if not isinstance(array, zarr.Array):
            raise self.damaged(name, "is no array")
        return array

    def read(self, name: str) -> np.ndarray:
        """The values of an array.

        Raises:
            InputError: they cannot be read.
        """
        array = self.array(name)
        try:
            return np.asarray(array[:])
        except _DAMAGED as error:
            raise self.damaged(name, f"cannot be read ({_short(error)})") from None

    def damaged(self, name: str, what: str) -> InputError:
        """The error of a store of which a part is not as it was written."""
        return InputError(f"{self.path}: {name}: {what}; simulate it again")


def load_training_set(path: str | Path) -> TrainingSet:
    """Read a complete training set into memory.

    Raises:
        InputError: no such store, or one that is not a training set, not complete or damaged.
    """
    store = open_store(Path(path))
    check_complete(store)
    about = store.about
    return TrainingSet(
        scenario=about.scenario,
        parameters=torch.from_numpy(store.read("parameters")),
        replica=torch.from_numpy(store.read(about.data)),
        seed=about.seed,
        geometries=about.geometries,
    )


def open_store(path: Path, mode: str = "r") -> Store:
    """Open the store of a training set.

    Raises:
        InputError: no such store, not a training set, or one that is damaged.
    """
    if not path.exists():
        raise InputError(f"{path}: no such training set; make it by `oceaninv simulate`")
    try:
        group = zarr.open_group(path, mode=mode)  # type: ignore[arg-type]
        schema = group.attrs["oceaninv_training_set"]
    except _DAMAGED as error:
        raise InputError(
            f"{path}: is not a training set ({_short(error)}); make one by `oceaninv simulate`"
        ) from None
    if schema != SCHEMA:
        raise InputError(f"{path}: oceaninv_training_set: {schema} is not known; simulate it again")
    try:
        about = Attributes.model_validate(dict(group.attrs))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        what = _short(first["msg"].removeprefix("Value error, "))
        raise InputError(f"{path}: {field}: {what}; simulate it again") from None
    store = Store(path, group, about)
    n = (*store.array("parameters").shape, 0)[0]
    for name, (shape, kind) in _layout(about.scenario, n, about.chunk).items():
        array = store.array(name)
        if array.shape != shape or array.dtype != kind:
            raise store.damaged(name, f"is {array.dtype} {array.shape}, not {kind} {shape}")
    return store


def check_complete(store: Store) -> None:
    """Check that all draws of a training set are there, without reading them.

    Raises:
        InputError: it is not complete, or files of it are lost.
    """
    if not store.read("done").all():
        raise InputError(
            f"{store.path}: the training set is not complete; simulate again, with --resume if it "
            "was stopped"
        )
    for name in ("parameters", store.about.data):
        array = store.array(name)
        if lost := array.nchunks - array.nchunks_initialized:  # zarr reads them as zeros
            raise store.damaged(name, f"{lost} of {array.nchunks} chunks are lost")


def was_made(path: Path) -> bool:
    """Whether `create_store` came to its end; what it writes last is what the store is."""
    file = path / "zarr.json"
    return file.is_file() and b"oceaninv_training_set" in file.read_bytes()


def geometries_of(scenario: Scenario) -> int:
    """Draws in a row that share their environment: the setting, where there is what can differ."""
    return scenario.training.geometries if scenario.geometry_names else 1


def create_store(path: Path, scenario: Scenario, n: int, seed: int, chunk: int) -> Store:
    """Make an empty store for n draws, over what a killed run may have made of it."""
    (path / "zarr.json").unlink(missing_ok=True)
    group = zarr.create_group(path, zarr_format=3)
    for name, (shape, dtype) in _layout(scenario, n, chunk).items():
        chunks = shape if name == "done" else (chunk, *shape[1:])
        group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, overwrite=True)
    # In one write: `attrs.update` makes one of each, and a run may be killed between two.
    group.update_attributes(
        {
            "oceaninv_training_set": SCHEMA,
            "scenario": scenario_json(scenario),
            "scenario_hash": scenario.hash(),
            "names": list(scenario.names),
            "data": _data_name(scenario),
            "seed": seed,
            "chunk": chunk,
            "geometries": geometries_of(scenario),
        }
    )
    return open_store(path, mode="r+")


# What zarr raises where a file of a store is missing, cut off or overwritten.
_DAMAGED = (OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError)


def _layout(
    scenario: Scenario, n: int, chunk: int
) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and kind of each array for n draws; `done` is a mark of each chunk."""
    points = len(scenario.receiver_depth) * max(1, len(scenario.range_m))
    name = _data_name(scenario)
    kind = np.dtype("float32" if name == "level" else "complex64")
    return {
        "parameters": ((n, len(scenario.names)), np.dtype("float64")),
        name: ((n, len(scenario.frequency), points), kind),
        "done": ((-(-n // chunk),), np.dtype("bool")),
    }


def _data_name(scenario: Scenario) -> str:
    return "level" if scenario.data == "transmission_loss" else "replica"


def _short(reason: object) -> str:
    return " ".join(str(reason).split())[:160]
