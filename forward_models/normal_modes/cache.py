"""How kernels are compiled and where they are kept: a folder named by the content of the sources.

numba checks only the file of the function it loads, not those of the functions compiled into it, so
that an edited kernel would leave stale callers behind; a folder for each state of the sources
cannot.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba.core import config
from numba.core.registry import cpu_target


@contextmanager
def kernel_cache() -> Iterator[None]:
    """Sends kernels decorated inside to their own folder, unless NUMBA_CACHE_DIR is set.

    Where nothing can be written there it names none, and `kernels.kernel` keeps nothing: numba
    would look for another place, know nothing of these sources there, and fail without one.
    """
    settings: Any = config
    _prefer_wide_vectors(settings)
    before = settings.CACHE_DIR
    settings.CACHE_DIR = _writable(before)
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def keeps_kernels() -> bool:
    """Whether kernels that are decorated here and now have a folder."""
    settings: Any = config
    return bool(settings.CACHE_DIR)


def _prefer_wide_vectors(settings: Any) -> None:
    """Asks for 512-bit vectors where the processor has them: LLVM would use half, and we lose 1.3×.

    numba reads the setting once, when the first function of a process is compiled; one that has
    compiled something before only keeps the slower code.
    """
    features = llvm.get_host_cpu_features()
    if settings.CPU_FEATURES is None and features.get("avx512f"):
        settings.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"
        _ = cpu_target.target_context  # made here, with the features above
        settings.CPU_FEATURES = None


@functools.cache
def _writable(given: str) -> str:
    """The folder given, or that of these sources; none where no file can be made in it."""
    try:
        folder = Path(given) if given else _user_cache() / "oceaninv" / "kernels" / _digest()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        warnings.warn(
            f"the solver's kernels cannot be kept ({error}) and are compiled anew in each process; "
            "set NUMBA_CACHE_DIR to a folder that can be written to",
            RuntimeWarning,
            stacklevel=2,
        )
        return ""
    return str(folder)


def _digest() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _user_cache() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"
