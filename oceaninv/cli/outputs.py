"""What a command is going to write, checked before it works for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from oceaninv.errors import InputError
from oceaninv.files import destination

_PROGRAM = Path(__file__).resolve().parents[1]  # with the built-in models and scenarios
_MODEL_FILES = ("model.json", "model.safetensors", "familiarity.safetensors")


def check_outputs(write: Mapping[str, Path | None], read: Iterable[str | Path | None] = ()) -> None:
    """Checks that files can be written, and that none replaces what is read or another of them.

    Args:
        write: files by the option that names them; None where it is not given.
        read: files that the command reads, and folders of models.

    Raises:
        InputError: one of them cannot be written, is a file of the program, or two are the same.
    """
    taken = {
        os.path.realpath(file): f"is the file {file} that is read"
        for path in read
        if path is not None
        for file in (path, *(Path(path) / name for name in _MODEL_FILES))
    }
    for option, path in write.items():
        if path is None:
            continue
        final = str(destination(path))
        for other, what in taken.items():
            if final == other or _same(final, other):
                raise InputError(f"{option}: {path}: {what}; give another name")
        if os.path.exists(final) and _PROGRAM in Path(final).parents:
            raise InputError(f"{option}: {path}: is a file of oceaninv itself; give another name")
        taken[final] = f"is written by {option} already"


def _same(path: str, other: str) -> bool:
    """Whether two names are of one file that is there, as on disks that take a.nc for A.nc."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def check_figure(option: str, path: Path | None) -> None:
    """Checks that the name of a figure ends in a format that figures can have.

    Raises:
        InputError: another suffix, or none.
    """
    if path is None:
        return
    from matplotlib.backend_bases import FigureCanvasBase

    if path.suffix[1:].lower() not in FigureCanvasBase.get_supported_filetypes():
        raise InputError(
            f"{option}: {path}: cannot write '{path.suffix}'; end the name in .png, .pdf or .svg"
        )
