"""Outputs are whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from oceaninv.files import whole_file


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
