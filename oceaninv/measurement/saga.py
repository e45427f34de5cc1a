"""Observation files of SAGA: cross-spectral matrices and pressure vectors.

A file is a run of blocks, one a tone: a title, a line that starts with the frequency, the number
N of phones, N depths, and then either N² rows `i j (re,im)`, the cross-spectral matrix, or N rows
`i (re,im)`, the pressure. `!` starts a comment. Depths may be placeholders of no meaning: the
geometry of an inversion by SAGA is in its cards.

Source: P. Gerstoft, SAGA User Manual 5.5, observation files for the options c and d.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import torch

from oceaninv.errors import InputError
from oceaninv.measurement.data import Measurement
from oceaninv.measurement.netcdf import (
    CONVENTIONS,
    measurement_dataset,
    measurement_from_dataset,
)

_ROW = re.compile(r"^\s*(\d+)\s+(?:(\d+)\s+)?\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)\s*$")

# What single precision leaves of the symmetry of a matrix, as a share of its largest value.
_ASYMMETRY = 1e-6

_BLANK = " \t\r\x1a"  # old files end with the end-of-file mark of DOS


def read_saga(
    path: str | Path,
    *,
    time_convention: str = "exp(+iwt)",
    n_snapshots: int | None = None,
    receiver_depth: Sequence[float] | None = None,
) -> Measurement:
    """Read a SAGA observation file; the data come out in exp(-iwt).

    Args:
        path: the file, usually `*.in`.
        time_convention: that of the file; SAGA's own is exp(+iwt).
        n_snapshots: independent snapshots behind a cross-spectral matrix. Unless given, the
            numerical rank of the matrix, which it cannot be less than. None for pressure, where
            each block of a tone is one.
        receiver_depth: (N,) m, in place of depths in the file that are placeholders.

    Raises:
        InputError: not a SAGA observation file, or one cut short, names the line; or a measurement
            that would be refused when it is read from its own file.
    """
    if time_convention not in CONVENTIONS:
        raise InputError(
            f"{path}: time_convention: '{time_convention}'; write {' or '.join(CONVENTIONS)}"
        )
    blocks = _read_blocks(Path(path))
    first = blocks[0]
    for block in blocks:
        if block.is_matrix != first.is_matrix or not np.array_equal(block.depth, first.depth):
            raise InputError(
                f"{path}: line {block.line}: this block has other depths or another form than the "
                "first; give one array a file"
            )
    depth = first.depth if receiver_depth is None else np.asarray(receiver_depth, dtype=float)
    if len(depth) != len(first.depth):
        raise InputError(
            f"{path}: receiver_depth: {len(depth)} depths for {len(first.depth)} phones"
        )
    if receiver_depth is not None and len(np.unique(depth)) < len(depth):
        value, times = np.unique(depth, return_counts=True)
        raise InputError(
            f"{path}: receiver_depth: {value[times.argmax()]:g} m is given {times.max()} times; "
            "give each phone a depth of its own"
        )
    if n_snapshots is not None and not first.is_matrix:
        raise InputError(
            f"{path}: n_snapshots: {n_snapshots} given for pressure, where each block of a tone is "
            "one snapshot; leave the number out"
        )
    frequency = np.unique([block.frequency for block in blocks])
    groups = [[b.values for b in blocks if b.frequency == f] for f in frequency]
    if len({len(group) for group in groups}) != 1:
        raise InputError(
            f"{path}: the tones have different numbers of blocks; give as many of each"
        )
    data = torch.from_numpy(np.stack([np.stack(group) for group in groups]))
    if first.is_matrix:
        data = data.mean(1)
        data = 0.5 * (data + data.mH)
        count = n_snapshots or _rank(data)
    else:
        data = data.transpose(0, 1).contiguous()
        count = len(data)
    measurement = Measurement(
        frequency=torch.from_numpy(frequency),
        receiver_depth=torch.from_numpy(depth),
        kind="csdm" if first.is_matrix else "pressure",
        data=data,
        n_snapshots=count,
        attributes={
            "title": first.title,
            "source": "unknown",
            "history": f"oceaninv convert saga {Path(path).name} ({time_convention})",
        },
        name=str(path),
    )
    measurement_from_dataset(measurement_dataset(measurement, time_convention), str(path))
    return measurement.conjugate() if time_convention == "exp(+iwt)" else measurement


@dataclass(frozen=True)
class _Block:
    line: int
    title: str
    frequency: float
    depth: np.ndarray
    values: np.ndarray  # (N, N) or (N,) complex128

    @property
    def is_matrix(self) -> bool:
        return self.values.ndim == 2


def _read_blocks(path: Path) -> list[_Block]:
    try:
        text = path.read_text(encoding="latin-1")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); give a SAGA file") from None
    lines = [
        (number, kept)
        for number, line in enumerate(text.splitlines(), start=1)
        if (kept := line.split("!")[0].strip(_BLANK))
    ]
    blocks: list[_Block] = []
    position = 0
    while position < len(lines):
        block, position = _read_block(lines, position, path)
        blocks.append(block)
    if not blocks:
        raise InputError(f"{path}: holds no observations; give a SAGA observation file")
    return blocks


def _read_block(lines: list[tuple[int, str]], start: int, path: Path) -> tuple[_Block, int]:
    """The block that starts at a line, and the position after it."""

    def numbers_at(position: int, what: str) -> list[float]:
        if position >= len(lines):
            raise InputError(
                f"{path}: ends before the {what}; the file is cut short, copy it again"
            )
        number, line = lines[position]
        try:
            # Only leading numbers count: a frequency may be followed by a level and "dB".
            words = line.replace(",", " ").split()
            leading = [float(words[0])]
            for word in words[1:]:
                try:
                    leading.append(float(word))
                except ValueError:
                    break
        except (ValueError, IndexError):  # of a line of commas
            raise InputError(
                f"{path}: line {number}: '{line[:40]}' should hold the {what}; "
                "give a SAGA observation file"
            ) from None
        return leading

    line_number, title = lines[start]
    frequency = numbers_at(start + 1, "frequency")[0]
    phones = numbers_at(start + 2, "number of phones")[0]
    if not (0 < frequency < math.inf and 0 < phones < 100_000 and phones.is_integer()):
        raise InputError(
            f"{path}: line {line_number}: a block of {phones:g} phones at {frequency:g} Hz; "
            "give a SAGA observation file"
        )
    count = int(phones)
    position = start + 3
    depth: list[float] = []
    while len(depth) < count:
        depth += numbers_at(position, f"{count} depths")
        position += 1
    rows = []
    while position < len(lines) and (match := _ROW.match(lines[position][1])):
        rows.append((lines[position][0], match.groups()))
        position += 1
    values = _fill(rows, count, line_number, path)
    block = _Block(line_number, title.strip("' "), frequency, np.array(depth[:count]), values)
    return block, position


def _fill(
    rows: list[tuple[int, tuple[str | None, ...]]], count: int, line_number: int, path: Path
) -> np.ndarray:
    if not rows:
        raise InputError(
            f"{path}: line {line_number}: the block that starts here has no rows 'i j (re,im)' or "
            "'i (re,im)', it is cut short or of another kind; give a cross-spectral matrix or "
            "pressure (transmission loss is not read)"
        )
    is_matrix = rows[0][1][1] is not None
    shape = (count, count) if is_matrix else (count,)
    values = np.full(shape, np.nan, dtype=np.complex128)
    digit = np.zeros(shape)  # what one in the last printed place is worth
    lines = np.zeros(shape, dtype=int)
    for number, (i, j, real, imag) in rows:
        index = (int(i or 0) - 1, int(j) - 1) if j is not None else (int(i or 0) - 1,)
        try:
            value = complex(float(real or ""), float(imag or ""))
            if len(index) != values.ndim or min(index) < 0 or not np.isfinite(value):
                raise ValueError
            first = int(lines[index])
            values[index] = value
            digit[index] = max(_last_place(real or ""), _last_place(imag or ""))
            lines[index] = number
        except (ValueError, IndexError, OverflowError):
            raise InputError(
                f"{path}: line {number}: '{i} {j or ''} ({real},{imag})' is not a value for one "
                f"of {count} phones; mend or copy the file again"
            ) from None
        if first:
            raise InputError(
                f"{path}: line {number}: '{i} {j or ''}' has its value in line {first} already; "
                "remove one or copy the file again"
            )
    missing = int(np.isnan(values).sum())
    if missing:
        raise InputError(
            f"{path}: line {line_number}: the block that starts here lacks {missing} of "
            f"{values.size} values; the file is cut short or damaged, copy it again"
        )
    if not values.any():
        raise InputError(
            f"{path}: line {line_number}: the block that starts here holds nothing but zeros; "
            "leave out that tone or copy the file again"
        )
    if is_matrix:
        _check_symmetry(values, digit, lines, path)
    return values


def _check_symmetry(values: np.ndarray, digit: np.ndarray, lines: np.ndarray, path: Path) -> None:
    """Refuse a value that is not the conjugate of its mirror image, but for rounding."""
    difference = np.abs(values - values.conj().T)
    allowed = np.maximum(digit + digit.T, _ASYMMETRY * np.abs(values).max())
    excess = difference / allowed
    if excess.max() > 1:
        i, j = sorted(map(int, np.unravel_index(excess.argmax(), excess.shape)))
        raise InputError(
            f"{path}: line {lines[j, i]}: {j + 1} {i + 1} is {values[j, i]:.7g}, not the complex "
            f"conjugate of {i + 1} {j + 1}, {values[i, j]:.7g} (line {lines[i, j]}); mend or copy "
            "the file again"
        )


def _last_place(number: str) -> float:
    """What one in the last printed place of a number is worth: 0.01 of 1.25, 1e-3 of 1.2e-2."""
    return 10.0 ** int(Decimal(number).as_tuple().exponent)


def _rank(csdm: torch.Tensor) -> int:
    """Largest numerical rank of the matrices; printed digits are about 1e-7 of the largest."""
    value = torch.linalg.eigvalsh(csdm)
    return int((value > 1e-6 * value[:, -1:]).sum(-1).max())
