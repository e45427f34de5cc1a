"""How kernels are compiled and where they are kept: a folder named by the content of the sources.

numba checks only the file of the function it loads, not those of the functions compiled into it, so
that an edited kernel would leave stale callers behind; a folder for each state of the sources
cannot.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core import config
from numba.core.registry import cpu_target


@contextmanager
def kernel_cache() -> Iterator[None]:
    """Sends kernels decorated inside to their own folder, unless NUMBA_CACHE_DIR is set."""
    settings: Any = config
    _prefer_wide_vectors(settings)
    before = settings.CACHE_DIR
    if not before:
        digest = hashlib.sha256()
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        settings.CACHE_DIR = str(_user_cache() / "oceaninv" / "kernels" / digest.hexdigest()[:16])
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def _prefer_wide_vectors(settings: Any) -> None:
    """Asks for 512-bit vectors where the processor has them: LLVM would use half, and we lose 1.3×.

    numba reads the setting once, when the first function of a process is compiled; one that has
    compiled something before only keeps the slower code.
    """
    features = llvm.get_host_cpu_features()
    if settings.CPU_FEATURES is None and features.get("avx512f"):
        settings.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"
        assert cpu_target.target_context is not None  # made here, with the features above
        settings.CPU_FEATURES = None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
