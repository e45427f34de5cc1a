"""Drawing parameters and running the forward model, chunk by chunk, here or on a cluster."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from oceaninv.errors import InputError
from oceaninv.scenario.loading import load_scenario, scenario_from_json, scenario_json
from oceaninv.scenario.predict import predict, predict_geometries
from oceaninv.scenario.schema import Scenario
from oceaninv.simulation.training_set import (
    Store,
    TrainingSet,
    check_complete,
    create_store,
    geometries_of,
    load_training_set,
    open_store,
    was_made,
)

_ROUNDS = 20  # redraws of a chunk before the prior is said to be at fault

Chunk = tuple[int, np.ndarray, np.ndarray]  # index, parameters, noise-free data


def simulate(
    scenario: Scenario | str | Path,
    n: int,
    path: str | Path,
    *,
    seed: int,
    resume: bool = False,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 1000,
) -> TrainingSet:
    """Simulate n draws from the prior into a Zarr store, and read it: see `write_training_set`."""
    write_training_set(
        scenario,
        n,
        path,
        seed=seed,
        resume=resume,
        scheduler=scheduler,
        progress=progress,
        chunk=chunk,
    )
    return load_training_set(path)


def write_training_set(
    scenario: Scenario | str | Path,
    n: int,
    path: str | Path,
    *,
    seed: int,
    resume: bool = False,
    scheduler: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    chunk: int = 1000,
) -> None:
    """Simulate n draws from the prior into a Zarr store, with no more than a chunk in memory.

    Draws in which no mode propagates are drawn again, as the likelihood excludes them. With
    `geometries` above 1 in the scenario's `training:` block, so many draws in a row share the
    environment. Chunk i has its own random stream, so that an interrupted and resumed run gives the
    same set as one that ran through. Until complete the store is `PATH.partial`.

    Args:
        scenario: a scenario, its built-in name or its file.
        n: number of draws.
        path: the store to make, usually `*.zarr`.
        seed: of the draws.
        resume: go on with `PATH.partial`, or leave `PATH` as it is where it is complete.
        scheduler: address of a Dask scheduler whose workers run the chunks.
        progress: called with the draws done and n after each chunk.
        chunk: draws at a time.

    Raises:
        InputError: the store exists, or belongs to another scenario, seed or n; Dask is missing.
        OSError: the disk is full, or the store cannot be written otherwise.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    if n < 1:
        raise InputError(f"{path}: n: {n} draws; ask for at least 1")
    target = Path(path)
    if target.exists():
        if not resume:
            raise InputError(f"{path}: exists; choose another name, or --resume to use it")
        made = open_store(target)
        _check_same(made, scenario, n, seed)
        check_complete(made)
        return
    partial = target.with_name(target.name + ".partial")
    if partial.exists() and not resume:
        raise InputError(f"{partial}: is an unfinished run; --resume it or remove it")
    store: Store | None = None
    if was_made(partial) or partial.is_file():
        store = open_store(partial, mode="r+")
        _check_same(store, scenario, n, seed)
    try:
        if store is None:
            geometries = geometries_of(scenario)
            whole = max(1, chunk // geometries) * geometries  # no environment is in two chunks
            store = create_store(partial, scenario, n, seed, min(whole, n))
        _fill(store, scenario, n, seed, scheduler, progress)
    except BaseException as error:
        if store is None or not store.read("done").any():
            # There is nothing to go on from, only to stand in the way.
            shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise type(error)(error.errno, error.strerror, str(partial)) from error
        raise
    for half in partial.rglob("*.partial"):  # what zarr had in hand when a run was killed
        half.unlink()
    partial.rename(target)


def simulate_chunk(scenario: Scenario, size: int, seed: int, index: int) -> Chunk:
    """Draw chunk `index` of a training set: its parameters (size, d) and noise-free data.

    Raises:
        InputError: hardly any draw from the prior has a propagating mode.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    geometries = geometries_of(scenario)
    kept_theta: list[torch.Tensor] = []
    kept_data: list[torch.Tensor] = []
    missing = -(-size // geometries)
    for _ in range(_ROUNDS):
        theta = scenario.prior.sample(missing, rng)
        if geometries == 1:
            data = predict(scenario, theta)[:, None]
            theta = theta[:, None]
        else:
            theta = _with_geometries(scenario, theta, geometries, rng)
            data = predict_geometries(scenario, theta)
        good = torch.isfinite(data.abs()).flatten(1).all(-1)
        kept_theta.append(theta[good])
        kept_data.append(data[good])
        missing -= int(good.sum())
        if missing == 0:
            break
    else:
        raise InputError(
            f"{scenario.name}: unknowns: most draws from the prior have no propagating mode; "
            "narrow the priors"
        )
    kind = torch.complex64 if scenario.data == "pressure" else torch.float32
    data = torch.cat(kept_data).flatten(0, 1)[:size].to(kind)
    return index, torch.cat(kept_theta).flatten(0, 1)[:size].numpy(), data.numpy()


def _with_geometries(
    scenario: Scenario, theta: torch.Tensor, count: int, rng: np.random.Generator
) -> torch.Tensor:
    """Each of theta (n, d) with `count` draws of what leaves its modes as they are, (n, count, d).

    The unknowns are independent under the prior: every one of these is a draw from it too.
    """
    fresh = scenario.prior.sample(len(theta) * count, rng).unflatten(0, (-1, count))
    moves = torch.tensor([name in scenario.geometry_names for name in scenario.names])
    return torch.where(moves, fresh, theta[:, None])


def _fill(
    store: Store,
    scenario: Scenario,
    n: int,
    seed: int,
    scheduler: str | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    chunk, done = store.about.chunk, store.read("done")
    todo = [int(i) for i in np.flatnonzero(~done)]
    sizes = [min(chunk, n - i * chunk) for i in range(len(done))]
    finished = sum(size for size, is_done in zip(sizes, done, strict=True) if is_done)
    parameters, data, marks = map(store.array, ("parameters", store.about.data, "done"))
    for index, theta, values in _chunks(scenario, seed, todo, sizes, scheduler):
        rows = slice(index * chunk, index * chunk + sizes[index])
        parameters[rows] = theta
        data[rows] = values
        # Marked last: a run killed before leaves the chunk to be made again.
        marks[index] = True
        finished += sizes[index]
        if progress is not None:
            progress(finished, n)


def _chunks(
    scenario: Scenario, seed: int, todo: Sequence[int], sizes: Sequence[int], scheduler: str | None
) -> Iterator[Chunk]:
    if scheduler is None:
        for index in todo:
            yield simulate_chunk(scenario, sizes[index], seed, index)
        return
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise InputError(
            "--scheduler: dask.distributed is not installed; pip install 'oceaninv[cluster]'"
        ) from None
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler: {scheduler}: cannot be reached ({error}); check the address"
        ) from None
    with client:
        text = scenario_json(scenario)
        futures = [client.submit(_remote_chunk, text, sizes[i], seed, i, pure=False) for i in todo]
        for future in as_completed(futures):
            yield future.result()


def _remote_chunk(scenario: str, size: int, seed: int, index: int) -> Chunk:
    return simulate_chunk(scenario_from_json(scenario), size, seed, index)


def _check_same(store: Store, scenario: Scenario, n: int, seed: int) -> None:
    found = {
        "scenario": (store.about.scenario_hash, scenario.hash()),
        "seed": (store.about.seed, seed),
        "geometries": (store.about.geometries, geometries_of(scenario)),
        "n": (store.array("parameters").shape[0], n),
    }
    for name, (kept, wanted) in found.items():
        if kept != wanted:
            raise InputError(
                f"{store.path}: {name}: holds {kept}, not {wanted}; simulate into another store"
            )
