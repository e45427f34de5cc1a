"""A block of steps of all shots under way: as tensor operations, or fused into one kernel.

The *carry* of each kind of shot says what a block does to a state, and is written once. Made as
tensor operations, the matrices of all steps of a block come first, as one array of steps and shots,
so that few operations do much work. Where ``torch.compile`` makes kernels for the device (CUDA with
Triton), a carry becomes one kernel that keeps the state in registers; complex numbers are then
``Pair``s of reals, which it can fuse.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Sizes of the blocks that are fused: each is a kernel of its own to compile.
FUSED_SIZES = (4, 1)

# What a step does, from its columns: one or more matrices.
Matrices = Callable[[list[Tensor]], tuple[Any, ...]]


@dataclass(frozen=True)
class Passage:
    """Where shots are: rows of the table of steps, one at a time ``sign`` further, ``left`` to go.

    ``together`` says whether the steps of a block are computed as one array.
    """

    steps: Tensor
    row: Tensor
    sign: Tensor
    left: Tensor
    size: int
    together: bool

    def each(self, columns: Sequence[int], matrices: Matrices) -> Iterator[tuple[Any, ...]]:
        """The matrices of each step in turn; shots that have arrived wait on the last row."""
        waiting = self.steps.shape[1] - 1

        def at(number: Any) -> list[Tensor]:
            row = torch.where(number < self.left, self.row + self.sign * number, waiting)
            return [self.steps[column][row] for column in columns]

        if not self.together:
            for number in range(self.size):
                yield matrices(at(number))
            return
        numbers = torch.arange(self.size, device=self.row.device)[:, None]
        apart = [
            [type(matrix)(*rows) for rows in zip(*(r.unbind(0) for r in matrix), strict=True)]
            for matrix in matrices(at(numbers))
        ]
        yield from zip(*apart, strict=True)


# A carry takes the passage, what belongs to each shot, and the rows of the state, and returns the
# new rows (and whatever else is wanted of the way).
Carry = Callable[[Passage, Sequence[Tensor], Sequence[Tensor]], tuple[Sequence[Tensor], Any]]


def run(carry: Carry, passage: Passage, shot: Sequence[Tensor], state: Sequence[Tensor]) -> Any:
    """Carries ``state`` through a block, in place; returns what else the carry gives."""
    if passage.together:
        return _in_place(
            carry,
            passage.size,
            True,
            passage.steps,
            passage.row,
            passage.sign,
            passage.left,
            shot,
            state,
        )
    kernel = _fused(carry, passage.size)
    return kernel(passage.steps, passage.row, passage.sign, passage.left, shot, state)


def can_fuse(device: torch.device) -> bool:
    """Whether kernels are made for the device: CUDA, where Triton is installed."""
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


@functools.cache
def _fused(carry: Carry, size: int) -> Callable[..., Any]:
    kernel = functools.partial(_in_place, carry, size, False)
    return torch.compile(kernel, dynamic=True, fullgraph=True)


def _in_place(
    carry: Carry,
    size: int,
    together: bool,
    steps: Tensor,
    row: Tensor,
    sign: Tensor,
    left: Tensor,
    shot: Sequence[Tensor],
    state: Sequence[Tensor],
) -> Any:
    new, rest = carry(Passage(steps, row, sign, left, size, together), shot, state)
    for old, values in zip(state, new, strict=True):
        old.copy_(values)
    return rest
