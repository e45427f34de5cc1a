"""The notebooks run from the first cell to the last, and say what is true."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository's folders as a notebook sees them, where it may write; we stand in it."""
    root = tmp_path_factory.mktemp("repository")
    (root / "notebooks").mkdir()
    shutil.copytree(ROOT / "data", root / "data")
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "Agg")
        os.chdir(root / "notebooks")
        yield root
    os.chdir(before)


@functools.cache
def run(path: Path) -> dict[str, Any]:
    """The names that a notebook leaves, all of its code cells executed in order, once."""
    from matplotlib import pyplot as plt

    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            exec(compile(source, f"{path.name}, cell {number}", "exec"), namespace)
    plt.close("all")
    return namespace


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, folder: Path) -> None:
    assert run(path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_format_4_5_without_outputs(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)
    for cell in content["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_the_first_posterior_is_that_of_the_dense_grid(folder: Path) -> None:
    names = run(ROOT / "notebooks" / "first_posterior.ipynb")
    draws = names["posterior"].attributes["effective_sample_size"]
    for name, error in names["error_in_sd"].items():
        # a median of n normal draws has a standard error of 1.25 sd / √n
        assert abs(error) < 4 * 1.25 / math.sqrt(draws), name
    assert names["on_grid"].max() > names["elsewhere"].max()
    assert (folder / "out" / "first_posterior.html").stat().st_size > 10_000


def test_the_forward_notebook_agrees_with_its_closed_forms_and_differences(folder: Path) -> None:
    names = run(ROOT / "notebooks" / "forward.ipynb")
    assert names["k_exact"].size == names["k_closed"].size == 7
    assert names["wavenumber_error"] < 1e-12
    assert names["k_leaky"].size == 8
    assert names["leaky_error"] < 1e-12
    assert abs(names["c_scholte"] / names["c_scholte_closed"] - 1) < 1e-9
    assert names["gradient_error"] < 1e-5
    assert (names["error_leaky"] < names["error_trapped"]).all()
    error = names["error_of_loss"]
    for seabed in ("half-space", "mud"):
        assert (error[seabed, "exact"] < error[seabed, "perturbative"]).all()
