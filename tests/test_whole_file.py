"""Outputs are whole or absent."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from oceaninv.errors import InputError
from oceaninv.files import whole_file
from oceaninv.inference.checkpoint import read_tensors, write_tensors


def test_a_finished_block_leaves_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.nc"
    with whole_file(path) as temporary:
        assert temporary.suffix == ".nc"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_block_keeps_the_earlier_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.nc"
    path.write_text("earlier")

    def write_half() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "far" / "result.nc", tmp_path / "link.nc"
    target.parent.mkdir()
    link.symlink_to(target)
    with whole_file(link) as temporary:
        temporary.write_text("whole")
    assert link.is_symlink()
    assert target.read_text() == "whole"


def test_what_cannot_be_a_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("earlier")
    for path, said in (
        (pipe, "is no regular file"),
        (tmp_path, "is a folder; give the name of a file"),
        (file / "result.nc", f"{file} is a file, no folder"),
        (tmp_path / (300 * "n"), "File name too long"),
    ):
        with pytest.raises(InputError, match=re.escape(said)) as error, whole_file(path):
            raise AssertionError("the block has begun")
        assert str(error.value).startswith(f"{path}: ")
    assert pipe.is_fifo()
    assert file.read_text() == "earlier"
    assert sorted(tmp_path.iterdir()) == [file, pipe]


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "result.nc"
    with pytest.raises(PermissionError) as error, whole_file(path) as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert error.value.filename == str(path)


def test_a_file_that_its_writer_kept_private_gets_the_usual_mode(tmp_path: Path) -> None:
    path, usual = tmp_path / "model.safetensors", tmp_path / "usual"
    usual.touch()
    with whole_file(path) as temporary:
        temporary.touch()
        temporary.chmod(0o600)
    assert path.stat().st_mode == usual.stat().st_mode != 0o100600
    written = tmp_path / "real.safetensors"
    write_tensors(written, {"a": torch.zeros(2)}, {})
    assert written.stat().st_mode == usual.stat().st_mode


def test_tensors_that_were_read_do_not_hang_on_their_file(tmp_path: Path) -> None:
    path, kept = tmp_path / "checkpoint.safetensors", torch.arange(1000.0)
    write_tensors(path, {"a": kept}, {})
    tensors, _ = read_tensors(path)
    path.write_bytes(bytes(path.stat().st_size))  # the same file, where a rename makes another
    assert torch.equal(tensors["a"], kept)


@pytest.mark.parametrize("writer", ["text", "netcdf", "denied"])
def test_a_full_disk_is_told_as_such_whatever_the_writer_makes_of_it(
    tmp_path: Path, writer: str
) -> None:
    resource = pytest.importorskip("resource")  # a limit on the size of files stands for the disk
    path, limits = tmp_path / "result.nc", resource.getrlimit(resource.RLIMIT_FSIZE)

    def write() -> None:
        with whole_file(path) as temporary:
            if writer == "text":
                temporary.write_bytes(bytes(10_000))
            elif writer == "netcdf":
                values = {"a": ("x", np.arange(3000.0))}
                xr.Dataset(values).to_netcdf(temporary, engine="netcdf4")
            else:  # as netCDF says of a disk that holds nothing more
                raise PermissionError(13, "Permission denied", str(temporary))

    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(path)
    assert not list(tmp_path.iterdir())
