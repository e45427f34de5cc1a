"""Training sets: reproducible, resumable by chunk, and on a cluster the same as here."""

import shutil
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr

from oceaninv.errors import InputError
from oceaninv.scenario import Scenario, load_scenario
from oceaninv.scenario.predict import predict
from oceaninv.simulation import load_training_set, simulate, write_training_set


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario("pekeris-teaching").model_copy(update={"frequency": [50.0]})


class Interrupted(Exception):
    """Stands for a killed run."""


def stop_after(draws: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= draws:
            raise Interrupted

    return progress


def test_the_set_holds_draws_and_their_noise_free_data(scenario: Scenario, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = simulate(
        scenario, 25, tmp_path / "s.zarr", seed=1, chunk=10, progress=lambda *a: seen.append(a)
    )
    assert seen == [(10, 25), (20, 25), (25, 25)]
    assert made.parameters.shape == (25, 6)
    assert made.replica.dtype == torch.complex64
    expected = predict(scenario, made.parameters).to(torch.complex64)
    torch.testing.assert_close(made.replica, expected)
    assert len(torch.unique(made.parameters[:, 0])) == 25
    kept = load_training_set(tmp_path / "s.zarr")
    assert torch.equal(kept.replica, made.replica)
    assert kept.scenario.hash() == scenario.hash()
    assert kept.seed == 1


def test_resumed_is_the_same_as_uninterrupted(scenario: Scenario, tmp_path: Path) -> None:
    through = simulate(scenario, 25, tmp_path / "a.zarr", seed=1, chunk=10)
    path = tmp_path / "b.zarr"
    with pytest.raises(Interrupted):
        simulate(scenario, 25, path, seed=1, chunk=10, progress=stop_after(20))
    assert not path.exists()
    with pytest.raises(InputError, match="unfinished run; --resume"):
        simulate(scenario, 25, path, seed=1)
    with pytest.raises(InputError, match="not complete"):
        load_training_set(tmp_path / "b.zarr.partial")
    calls: list[int] = []
    resumed = simulate(
        scenario, 25, path, seed=1, resume=True, progress=lambda done, _: calls.append(done)
    )
    assert calls == [25]
    assert torch.equal(resumed.parameters, through.parameters)
    assert torch.equal(resumed.replica, through.replica)
    again = simulate(scenario, 25, path, seed=1, resume=True)
    assert torch.equal(again.replica, through.replica)


def test_another_set_is_not_continued(scenario: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    simulate(scenario, 5, path, seed=1)
    with pytest.raises(InputError, match="exists"):
        simulate(scenario, 5, path, seed=1)
    for place in ("/", ""):
        with pytest.raises(InputError, match="exists; choose another name"):
            simulate(scenario, 5, place, seed=1)
    other = scenario.model_copy(update={"frequency": [60.0]})
    for changed, message in (
        ({"scenario": other, "n": 5, "seed": 1}, "scenario: holds"),
        ({"scenario": scenario, "n": 6, "seed": 1}, "n: holds 5, not 6"),
        ({"scenario": scenario, "n": 5, "seed": 2}, "seed: holds 1, not 2"),
    ):
        with pytest.raises(InputError, match=message):
            simulate(path=path, resume=True, **changed)  # type: ignore[arg-type]


def test_what_is_no_training_set_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such training set"):
        load_training_set(tmp_path / "no.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    (tmp_path / "file.zarr").write_text("")
    for name in ("other.zarr", "file.zarr"):
        with pytest.raises(InputError, match="is not a training set"):
            load_training_set(tmp_path / name)


def remove(place: str) -> Callable[[Path], None]:
    return lambda path: shutil.rmtree(path / place)


def cut_off(place: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        file = path / place
        file.write_bytes(file.read_bytes()[:-20])

    return spoil


def with_attribute(name: str, value: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        zarr.open_group(path, mode="r+").attrs[name] = value

    return spoil


def with_other_array(path: Path) -> None:
    zarr.open_group(path, mode="r+").create_array(
        "parameters", shape=(25, 5), dtype="float64", overwrite=True
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove("parameters/c/1"), "parameters: 1 of 3 chunks are lost"),  # zeros, says zarr
        (remove("replica/c/2"), "replica: 1 of 3 chunks are lost"),
        (remove("done/c"), "the training set is not complete"),
        (remove("done"), "done: cannot be read"),
        (remove("parameters"), "parameters: cannot be read"),
        (cut_off("replica/c/0/0/0"), "replica: cannot be read"),
        (cut_off("replica/zarr.json"), "replica: cannot be read"),
        (cut_off("zarr.json"), "is not a training set"),
        (with_other_array, r"parameters: is float64 \(25, 5\), not float64 \(25, 6\)"),
        (with_attribute("scenario", "{}"), "scenario.name: Field required"),
        (with_attribute("scenario", "[" * 10**5), "scenario: is nested too deeply"),
        (with_attribute("scenario", 5), "scenario: "),
        (with_attribute("seed", "abc"), "seed: Input should be a valid integer"),
        (with_attribute("chunk", 0), "chunk: Input should be greater"),
        (with_attribute("data", "level"), "data: 'level' is not what the scenario"),
    ],
)
def test_a_damaged_set_is_one_line_with_file_field_and_mend(
    scenario: Scenario, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "s.zarr"
    simulate(scenario, 25, path, seed=1, chunk=10)
    spoil(path)
    with pytest.raises(InputError, match=rf"^\S*s\.zarr: {said}.*simulate") as error:
        load_training_set(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("made", ["", "zarr.json", "parameters/zarr.json"])
def test_a_run_killed_while_its_store_was_made_begins_anew(
    scenario: Scenario, tmp_path: Path, made: str
) -> None:
    through = simulate(scenario, 5, tmp_path / "a.zarr", seed=1)
    partial = tmp_path / "b.zarr.partial"
    if made:
        group = zarr.create_group(partial)
    if made.startswith("parameters"):
        group.create_array("parameters", shape=(7, 2), dtype="float32")
    partial.mkdir(exist_ok=True)
    with pytest.raises(InputError, match="unfinished run; --resume"):
        simulate(scenario, 5, tmp_path / "b.zarr", seed=1)
    again = simulate(scenario, 5, tmp_path / "b.zarr", seed=1, resume=True)
    assert torch.equal(again.replica, through.replica)


def test_a_run_killed_after_any_write_ends_as_one_that_ran_through(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[Path] = []
    write = zarr.storage.LocalStore.set

    async def write_and_keep(store: Any, key: str, value: Any) -> None:
        await write(store, key, value)
        states.append(tmp_path / f"{len(states)}.zarr")
        # zarr writes several at once: what another has in hand may go while it is copied
        in_hand = shutil.ignore_patterns("*.partial")
        shutil.copytree(store.root, states[-1].with_suffix(".zarr.partial"), ignore=in_hand)

    monkeypatch.setattr(zarr.storage.LocalStore, "set", write_and_keep)
    through = simulate(scenario, 15, tmp_path / "a.zarr", seed=1, chunk=10)
    monkeypatch.setattr(zarr.storage.LocalStore, "set", write)
    assert len(states) > 8
    for path in states:
        resumed = simulate(scenario, 15, path, seed=1, chunk=10, resume=True)
        assert torch.equal(resumed.parameters, through.parameters)
        assert torch.equal(resumed.replica, through.replica)


def test_what_zarr_had_in_hand_when_it_was_killed_is_not_kept(
    scenario: Scenario, tmp_path: Path
) -> None:
    through = simulate(scenario, 25, tmp_path / "a.zarr", seed=1, chunk=10)
    with pytest.raises(Interrupted):
        simulate(scenario, 25, tmp_path / "b.zarr", seed=1, chunk=10, progress=stop_after(10))
    half = tmp_path / "b.zarr.partial" / "replica" / "c" / "0" / "0" / "0.0123.partial"
    half.write_bytes(b"half")
    resumed = simulate(scenario, 25, tmp_path / "b.zarr", seed=1, resume=True)
    assert torch.equal(resumed.replica, through.replica)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_full_disk_is_told_with_the_store_and_leaves_what_can_be_gone_on_from(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = simulate(scenario, 25, tmp_path / "a.zarr", seed=1, chunk=10)
    path, written = tmp_path / "b.zarr", zarr.Array.__setitem__

    def full_after(chunks: int) -> Callable[[zarr.Array, Any, Any], None]:
        def write(array: zarr.Array, rows: Any, values: Any) -> None:
            if array.nchunks_initialized == chunks and array.basename == "parameters":
                raise OSError(28, "No space left on device")
            written(array, rows, values)

        return write

    for chunks, left in ((0, False), (2, True)):
        monkeypatch.setattr(zarr.Array, "__setitem__", full_after(chunks))
        with pytest.raises(OSError, match="No space left") as error:
            simulate(scenario, 25, path, seed=1, chunk=10)
        partial = tmp_path / "b.zarr.partial"
        assert error.value.filename == str(partial)
        assert partial.exists() == left
    monkeypatch.setattr(zarr.Array, "__setitem__", written)
    resumed = simulate(scenario, 25, path, seed=1, resume=True)
    assert torch.equal(resumed.replica, through.replica)


def test_a_store_that_cannot_be_made_leaves_nothing(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Group, "create_array", full)
    with pytest.raises(OSError, match="No space left"):
        simulate(scenario, 5, tmp_path / "s.zarr", seed=1)
    assert not list(tmp_path.iterdir())


def test_a_set_is_written_without_being_read(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "s.zarr", zarr.Array.__getitem__

    def only_marks(array: zarr.Array, rows: Any) -> Any:
        assert array.basename == "done"
        return read(array, rows)

    monkeypatch.setattr(zarr.Array, "__getitem__", only_marks)
    write_training_set(scenario, 25, path, seed=1, chunk=10)
    write_training_set(scenario, 25, path, seed=1, resume=True)
    shutil.rmtree(path / "replica" / "c" / "1")
    with pytest.raises(InputError, match="replica: 1 of 3 chunks are lost"):
        write_training_set(scenario, 25, path, seed=1, resume=True)


def test_draws_without_a_mode_are_drawn_again(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shallow_fails(s: Scenario, theta: torch.Tensor) -> torch.Tensor:
        data = torch.ones(len(theta), 1, 20, dtype=torch.complex128)
        data[theta[:, 1] < 50.0] = torch.nan
        return data

    monkeypatch.setattr("oceaninv.simulation.drawing.predict", shallow_fails)
    made = simulate(scenario, 30, tmp_path / "s.zarr", seed=1)
    assert (made.parameters[:, 1] >= 50.0).all()
    assert torch.isfinite(made.replica.abs()).all()


def test_a_prior_without_any_field_is_refused(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "oceaninv.simulation.drawing.predict",
        lambda s, theta: torch.full((len(theta), 1, 20), torch.nan, dtype=torch.complex128),
    )
    with pytest.raises(InputError, match="no propagating mode"):
        simulate(scenario, 5, tmp_path / "s.zarr", seed=1)
    assert list(tmp_path.iterdir()) == []  # nothing that the mended run would stop at


def test_a_cluster_without_dask_gets_the_mend(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'oceaninv\[cluster\]'"):
        simulate(scenario, 5, tmp_path / "s.zarr", seed=1, scheduler="tcp://x:1")


def test_chunks_from_a_cluster_in_any_order_make_the_same_set(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Future:
        def __init__(self, value: Any) -> None:
            self.value = value

        def result(self) -> Any:
            return self.value

    class Client:
        def __init__(self, address: str) -> None:
            if address != "tcp://here:1":
                raise OSError("timed out")

        def __enter__(self) -> "Client":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def submit(self, function: Callable[..., Any], *args: Any, pure: bool) -> Future:
            return Future(function(*args))

    def as_completed(futures: list[Future]) -> Iterator[Future]:
        return reversed(futures)

    module = types.ModuleType("distributed")
    module.Client, module.as_completed = Client, as_completed  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distributed", module)
    here = simulate(scenario, 25, tmp_path / "a.zarr", seed=1, chunk=10)
    there = simulate(scenario, 25, tmp_path / "b.zarr", seed=1, chunk=10, scheduler="tcp://here:1")
    np.testing.assert_array_equal(there.replica, here.replica)
    with pytest.raises(InputError, match=r"tcp://gone:1: cannot be reached \(timed out\)"):
        simulate(scenario, 5, tmp_path / "c.zarr", seed=1, scheduler="tcp://gone:1")


def test_draws_that_share_an_environment_are_those_of_the_forward_model(tmp_path: Path) -> None:
    scenario = load_scenario("swellex96-vla").model_copy(update={"frequency": [50.0]})
    assert scenario.geometry_names == ("source_range", "source_depth", "tilt")
    training = scenario.training.model_copy(update={"geometries": 4})
    scenario = scenario.model_copy(update={"training": training})
    made = simulate(scenario, 22, tmp_path / "s.zarr", seed=1, chunk=10)
    assert made.geometries == 4
    assert made.parameters.shape == (22, 9)
    expected = predict(scenario, made.parameters).to(torch.complex64)
    torch.testing.assert_close(made.replica, expected, rtol=1e-5, atol=1e-8)
    for column, name in enumerate(scenario.names):
        different = 22 if name in scenario.geometry_names else 6
        assert len(torch.unique(made.parameters[:, column])) == different
    moving = [scenario.names.index(name) for name in scenario.geometry_names]
    groups = made.parameters[:20].unflatten(0, (5, 4))
    groups[..., moving] = 0
    assert (groups == groups[:, :1]).all()
    training = training.model_copy(update={"geometries": 1})
    one = scenario.model_copy(update={"training": training})
    with pytest.raises(InputError, match="geometries: holds 4, not 1"):
        simulate(one, 22, tmp_path / "s.zarr", seed=1, resume=True)
