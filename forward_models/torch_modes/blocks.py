"""A block of steps of all shots under way, as tensor operations.

The *carry* of each kind of shot says what a block does to a state. The matrices of all steps of a
block come first, as one array of steps and shots, so that few operations do much work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# What a step does, from its columns: one or more matrices.
Matrices = Callable[[list[Tensor]], tuple[Any, ...]]


@dataclass(frozen=True)
class Passage:
    """Where shots are: rows of the table of steps, each ``sign`` further, ``left`` to go."""

    steps: Tensor
    row: Tensor
    sign: Tensor
    left: Tensor
    size: int

    def each(self, columns: Sequence[int], matrices: Matrices) -> Iterator[tuple[Any, ...]]:
        """The matrices of each step in turn; shots that have arrived wait on the last row."""
        waiting = self.steps.shape[1] - 1
        number = torch.arange(self.size, device=self.row.device)[:, None]
        row = torch.where(number < self.left, self.row + self.sign * number, waiting)
        apart = [
            [type(matrix)(*rows) for rows in zip(*(r.unbind(0) for r in matrix), strict=True)]
            for matrix in matrices([self.steps[column][row] for column in columns])
        ]
        yield from zip(*apart, strict=True)


# A carry takes the passage, what belongs to each shot, and the rows of the state, and returns the
# new rows (and whatever else is wanted of the way).
Carry = Callable[[Passage, Sequence[Tensor], Sequence[Tensor]], tuple[Sequence[Tensor], Any]]


def run(carry: Carry, passage: Passage, shot: Sequence[Tensor], state: Sequence[Tensor]) -> Any:
    """Carries ``state`` through a block, in place; returns what else the carry gives."""
    new, rest = carry(passage, shot, state)
    for old, values in zip(state, new, strict=True):
        old.copy_(values)
    return rest
