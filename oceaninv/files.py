"""Output files that are either whole or absent, and where they may go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oceaninv.errors import InputError

_ROOM = 2**20  # bytes: with less left, a disk is full


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside ``path`` to write to, and renames it when the block succeeds.

    A killed run leaves no half file under the final name, and an earlier file stays until the new
    one is complete. The suffix is kept, as many writers choose their format by it.

    Raises:
        InputError: nothing can be written there, see ``destination``.
        OSError: the disk is full, whatever the writer made of that.
    """
    final = destination(path)
    # Short, as the name of a file has a greatest length.
    temporary = final.with_name(f".{final.stem[:40]}.{os.getpid()}.part{final.suffix}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers keep others from reading
        os.replace(temporary, final)
    except (OSError, RuntimeError) as error:  # RuntimeError: of the netCDF library
        _check_room(temporary, path)
        if not isinstance(error, OSError) or temporary.name not in str(error.filename):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_room(temporary: Path, told: str | Path) -> None:
    """Raises what a full disk is, where it is: netCDF says that permission is denied."""
    if not temporary.exists():
        return
    try:
        with temporary.open("ab") as file:
            file.write(bytes(_ROOM))
            os.fsync(file.fileno())
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(told)) from None


def destination(path: str | Path) -> Path:
    """The file that writing to ``path`` makes or replaces: where a link leads.

    Raises:
        InputError: it is a folder or a device, or its folder cannot be made or written to.
    """
    final = Path(os.path.realpath(path))
    try:
        if final.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        if final.exists() and not final.is_file():
            raise InputError(f"{path}: is no regular file; give another name")
        check_folder(final.parent, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be a file ({error.strerror}); give another name"
        ) from None
    return final


def check_folder(folder: str | Path, told: str | Path | None = None) -> None:
    """Checks that there is a folder to write to, or that one can be made.

    Args:
        folder: there or not.
        told: what an error names; default: the folder.

    Raises:
        InputError: it or one above it is a file, or may not be written to.
    """
    there = Path(os.path.realpath(folder))
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise InputError(f"{told or folder}: {there} is a file, no folder; give another name")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{told or folder}: {there} cannot be written to; give another folder")
