"""The training set on disk: a Zarr store of parameters and noise-free data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import zarr
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


def load_training_set(path: str | Path) -> TrainingSet:
    """Read a complete training set into memory.

    Raises:
        InputError: no such store, or one that is not a training set or not complete.
    """
    group = open_store(Path(path))
    if not group["done"][:].all():  # type: ignore[index, union-attr]
        raise InputError(f"{path}: the training set is not complete; simulate again with --resume")
    return TrainingSet(
        scenario=scenario_from_json(str(group.attrs["scenario"])),
        parameters=torch.from_numpy(group["parameters"][:]),  # type: ignore[index]
        replica=torch.from_numpy(group[str(group.attrs["data"])][:]),  # type: ignore[index]
        seed=int(group.attrs["seed"]),  # type: ignore[arg-type]
        geometries=int(group.attrs.get("geometries", 1)),  # type: ignore[arg-type]
    )


def open_store(path: Path, mode: str = "r") -> zarr.Group:
    """Open the store of a training set.

    Raises:
        InputError: no such store, or not a training set.
    """
    if not path.exists():
        raise InputError(f"{path}: no such training set; make it by `oceaninv simulate`")
    try:
        group = zarr.open_group(path, mode=mode)  # type: ignore[arg-type]
        schema = group.attrs["oceaninv_training_set"]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: is not a training set ({error}); make one by `oceaninv simulate`"
        ) from None
    if schema != SCHEMA:
        raise InputError(f"{path}: oceaninv_training_set: {schema} is not known; simulate it again")
    return group


def geometries_of(scenario: Scenario) -> int:
    """Draws in a row that share their environment: the setting, where there is what can differ."""
    return scenario.training.geometries if scenario.geometry_names else 1


def create_store(path: Path, scenario: Scenario, n: int, seed: int, chunk: int) -> zarr.Group:
    """Make an empty store for n draws, with a mark of which chunks are done."""
    points = len(scenario.receiver_depth) * max(1, len(scenario.range_m))
    is_level = scenario.data == "transmission_loss"
    name, dtype = ("level", "float32") if is_level else ("replica", "complex64")
    shape = (n, len(scenario.frequency), points)
    group = zarr.create_group(path, zarr_format=3)
    group.create_array(
        "parameters", shape=(n, len(scenario.names)), chunks=(chunk, len(scenario.names)),
        dtype="float64",
    )  # fmt: skip
    group.create_array(name, shape=shape, chunks=(chunk, *shape[1:]), dtype=dtype)
    group.create_array("done", shape=(-(-n // chunk),), chunks=(-(-n // chunk),), dtype="bool")
    group.attrs.update(
        {
            "oceaninv_training_set": SCHEMA,
            "scenario": scenario_json(scenario),
            "scenario_hash": scenario.hash(),
            "names": list(scenario.names),
            "data": name,
            "seed": seed,
            "chunk": chunk,
            "geometries": geometries_of(scenario),
        }
    )
    return group
