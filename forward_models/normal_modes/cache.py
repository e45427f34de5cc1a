"""Where compiled kernels are kept: a folder named by the content of the sources they come from.

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

from numba.core import config


@contextmanager
def kernel_cache() -> Iterator[None]:
    """Sends kernels decorated inside to their own folder, unless NUMBA_CACHE_DIR is set."""
    settings: Any = config
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


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
