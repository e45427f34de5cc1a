"""List-directed records, the layout that all input files of the Acoustics Toolbox share.

Values are separated by blanks, tabs or commas; text stands in quotes, single or double; ``/`` ends
a record and leaves the values not given at their defaults; ``3*0.5`` repeats; ``!`` starts a
comment, and whatever follows the values that a record needs is comment too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from forward_models.errors import ModelInputError

_TOKEN = re.compile(
    r"'(?P<text>(?:[^']|'')*)'|\"(?P<quote>(?:[^\"]|\"\")*)\"|(?P<slash>/)|(?P<comment>!.*)"
    r"|(?P<null>(?:^\s*|,\s*),)|(?P<open>['\"].*)|(?P<bare>[^\s,/!'\"][^\s,/!]*)"
)
_MOST_VALUES = 1_000_000  # of one kind; beyond, a count is a slip, and memory would run out


class Records:
    """The records of one file, read in order; errors name file, line and field."""

    def __init__(self, path: str | Path) -> None:
        self.name = Path(path).name
        self._lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
        self._next = 0

    @property
    def line(self) -> int:
        """How many lines have been read."""
        return self._next

    def error(self, field: str, problem: str) -> ModelInputError:
        """The error to raise for a field of the record read last."""
        return ModelInputError(f"{self.name}: line {self._next}: {field}: {problem}")

    def text(self, field: str) -> tuple[str, list[str]]:
        """The text of the next record (quotes taken off, ``/`` is empty) and what follows it."""
        tokens, _ = self._record(field)
        return (tokens[0], tokens[1:]) if tokens else ("", [])

    def numbers(
        self, fields: Sequence[str], defaults: Sequence[float] | None = None, optional: int = 0
    ) -> list[float]:
        """One number a field from the next record; after ``/`` the defaults stand.

        Without a ``/`` the last ``optional`` fields may be missing and take their defaults.
        """
        tokens, ended = self._record(fields[0])
        values = [self.number(token, field) for field, token in zip(fields, tokens, strict=False)]
        if len(values) < len(fields):
            missing = fields[len(values)]
            if defaults is None or not (ended or len(values) >= len(fields) - optional):
                ending = " or '/'" if defaults is not None else ""
                raise self.error(missing, f"missing; the record needs {', '.join(fields)}{ending}")
            values += list(defaults)[len(values) :]
        return values

    def integer(self, field: str, least: int = 1) -> int:
        """A whole number from the next record."""
        (value,) = self.numbers([field])
        if value != int(value) or value < least:
            raise self.error(field, f"{value:g} must be a whole number, {least} or more")
        return int(value)

    def count(self, field: str) -> int:
        """How many values of a kind follow, from the next record."""
        value = self.integer(field)
        if value > _MOST_VALUES:
            raise self.error(field, f"{value} must be {_MOST_VALUES} or fewer")
        return value

    def vector(self, field: str, count: int) -> tuple[float, ...]:
        """``count`` numbers, over several lines if need be.

        First and last value before a ``/`` stand for ``count`` evenly spaced ones.
        """
        values: list[float] = []
        ended = False
        while len(values) < count and not ended:
            tokens, ended = self._record(field)
            values += [self.number(t, field) for t in tokens[: count - len(values)]]
        if len(values) < count:
            if len(values) != 2:
                raise self.error(
                    field,
                    f"{len(values)} of {count} values before '/'; give all of them, or first and "
                    "last for even spacing",
                )
            first, last = values
            step = (last - first) / (count - 1)
            values = [*(first + step * i for i in range(count - 1)), last]
        return tuple(values)

    def number(self, token: str, field: str) -> float:
        """A token as a finite number."""
        try:
            value = float(re.sub("[dD]", "e", token, count=1))
        except ValueError:
            raise self.error(field, f"{token!r} is not a number") from None
        if not math.isfinite(value):
            raise self.error(field, f"{token} must be finite")
        return value

    def at_end(self) -> bool:
        """Whether only blank lines and comments are left."""
        rest = self._lines[self._next :]
        return all(not line.strip("\x1a \t") or line.lstrip().startswith("!") for line in rest)

    def _record(self, field: str) -> tuple[list[str], bool]:
        """Tokens of the next line that holds any, and whether a ``/`` ended it."""
        while self._next < len(self._lines):
            line = self._lines[self._next]
            self._next += 1
            tokens: list[str] = []
            for match in _TOKEN.finditer(line):
                match match.lastgroup:
                    case "slash":
                        return tokens, True
                    case "text":
                        tokens.append(match["text"].replace("''", "'"))
                    case "quote":
                        tokens.append(match["quote"].replace('""', '"'))
                    case "bare":
                        tokens += self._repeated(match["bare"], field)
                    case "null":
                        raise self.error(field, "nothing between two commas; write the value")
                    case "open":
                        raise self.error(field, f"{match['open']!r} lacks the closing quote")
            if tokens:
                return tokens, False
        raise ModelInputError(
            f"{self.name}: line {len(self._lines)}: {field}: the file ends before it; "
            "the file may be cut short"
        )

    def _repeated(self, token: str, field: str) -> list[str]:
        match = re.fullmatch(r"(\d+)\*(.+)", token)
        if match is None:
            return [token]
        count = int(match[1])
        if count > _MOST_VALUES:
            raise self.error(field, f"{token!r} must repeat {_MOST_VALUES} times or fewer")
        return [match[2]] * count
