"""What compiling kernels leaves behind, and where."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from numba import njit
from numba.core import config

from forward_models.normal_modes import cache, kernels


@pytest.fixture
def of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of the kernels is looked for anew, and again after the test."""
    monkeypatch.setattr(config, "CACHE_DIR", "")
    cache._writable.cache_clear()
    yield
    cache._writable.cache_clear()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_off_while_kernels_compile_and_then_as_before(
    enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    during = []
    compiled_at_all = kernels._CollectorOff.on_end

    def look(self: kernels._CollectorOff, event: object) -> None:
        during.append(gc.isenabled())
        compiled_at_all(self, event)  # type: ignore[arg-type]

    monkeypatch.setattr(kernels._CollectorOff, "on_end", look)
    (gc.enable if enabled else gc.disable)()
    try:
        assert njit(lambda x: x + 1)(1) == 2
        assert during
        assert not any(during)
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="of the XDG folders")
@pytest.mark.parametrize("given", ["", "relative", None])
def test_kernels_are_kept_in_the_home_of_a_user_who_names_no_other_place(
    given: str | None, of_its_own: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, home = tmp_path / "elsewhere", tmp_path / "home"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    with cache.kernel_cache():
        assert Path(config.CACHE_DIR).is_relative_to(home / ".cache" / "oceaninv")
    assert not list(elsewhere.iterdir())


def test_where_nothing_can_be_written_kernels_are_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    places = dict.fromkeys(("HOME", "LOCALAPPDATA", "XDG_CACHE_HOME"), str(file))
    code = (
        "import forward_models\n"
        "import sys\n"
        "from numba.core.caching import NullCache\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "modules = [m for n, m in sys.modules.items() if n.startswith('forward_models')]\n"
        "compiled = [k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)]\n"
        "assert compiled\n"
        "assert all(isinstance(k._cache, NullCache) for k in compiled)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | places,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("set NUMBA_CACHE_DIR to a folder that can be written to") == 1


def test_a_folder_that_was_named_for_the_kernels_is_not_replaced_by_another(
    of_its_own: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for named, kept in ((tmp_path / "new", str(tmp_path / "new")), (tmp_path / "file" / "in", "")):
        (tmp_path / "file").touch()
        monkeypatch.setattr(config, "CACHE_DIR", str(named))
        with warnings.catch_warnings(record=True) as told, cache.kernel_cache():
            assert kept == config.CACHE_DIR
        assert len(told) == (not kept)
        assert str(named) == config.CACHE_DIR


def test_wide_vectors_are_asked_for_where_assertions_are_off() -> None:
    code = (
        "import llvmlite.binding as llvm\n"
        "from numba.core.registry import cpu_target\n"
        "from forward_models.normal_modes.cache import kernel_cache\n"
        "with kernel_cache(): pass\n"
        "wide = llvm.get_host_cpu_features().get('avx512f', False)\n"
        "features = cpu_target.target_context.codegen().magic_tuple()[-1]\n"
        "print(wide, '-prefer-256-bit' in features)"
    )
    words = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert words[0] == words[1]
