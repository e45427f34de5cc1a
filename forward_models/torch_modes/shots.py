"""Two shots for each lane, in an order that wastes little: where they start, and in what blocks.

A shot runs down from the surface or up from the bottom to the match node of its lane. Shots are
sorted by their number of steps, longest first, so that those still under way are always the first
of the array: a block of steps is carried by all shots that have not arrived when it begins. The
length of each block is chosen so that steps spent waiting stay below a tenth of those made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from forward_models.normal_modes.rates import TAIL
from forward_models.normal_modes.steps import CHECK_EVERY, H2, Q0R
from forward_models.torch_modes.blocks import Passage
from forward_models.torch_modes.table import Lanes, Table

PADDING_LIMIT = 0.1
# Steps of a block, at most those between two looks at the size of the states.
SIZES = tuple(range(CHECK_EVERY, 0, -1))


class Block(NamedTuple):
    """``size`` steps from number ``start`` on, made by the first ``alive`` shots."""

    start: int
    size: int
    alive: int


@dataclass(frozen=True)
class Ends:
    """(lanes,) nodes where the two shots of each lane start."""

    upper: Tensor
    lower: Tensor

    def __getitem__(self, index: Tensor) -> Ends:
        return Ends(self.upper[index], self.lower[index])


@dataclass(frozen=True)
class Shots:
    """Shots sorted by their number of steps: those of n lanes down and then up, 2n in all.

    ``order`` holds the number of each sorted shot, ``lane`` its lane, ``row`` its first step in the
    table, ``sign`` 1 for down and -1 for up, ``count`` its steps.
    """

    order: Tensor
    lane: Tensor
    row: Tensor
    sign: Tensor
    count: Tensor
    blocks: list[Block]

    @property
    def useful(self) -> int:
        """Steps that the shots need."""
        return int(self.count.sum())

    @property
    def made(self) -> int:
        """Steps that are computed."""
        return sum(block.size * block.alive for block in self.blocks)

    def unsorted(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values of the sorted shots, shots last, as those of the shots down and the shots up."""
        back = torch.empty_like(values)
        back[..., self.order] = values
        half = self.order.numel() // 2
        return back[..., :half], back[..., half:]


def make_shots(table: Table, lanes: Lanes, ends: Ends) -> Shots:
    """The shots of all lanes; one number for each possible length goes to the host."""
    first = table.first[lanes.item]
    count = torch.cat([lanes.node - ends.upper, ends.lower - lanes.node])
    row = torch.cat([first + ends.upper, first + ends.lower - 1])
    if table.kernels:
        both, n = torch.arange(count.numel(), device=count.device), len(lanes)
        sign = torch.where(both < n, 1, -1)
        return Shots(both, both % max(n, 1), row, sign, count, [])
    return _sorted(count, row, len(lanes))


def ends_of(table: Table, lanes: Lanes, x: Tensor, *, last: bool) -> Ends:
    """Where shots at k² of ``x`` start: where modes strong at the node have decayed by exp(-TAIL).

    With ``last`` beyond everything that oscillates at x, be it behind a barrier, as counting needs
    it; else before the first barrier that thick (``normal_modes.steps.span`` and ``reach``).
    """
    size, first = table.size[lanes.item], table.first[lanes.item]
    node = lanes.node
    count, row = torch.cat([size - node, node]), torch.cat([first + node, first + node - 1])
    if table.kernels:
        sign = torch.ones_like(node)
        made = table.kernels.reach(
            table, row, torch.cat([sign, -sign]), count, torch.cat([x, x]), last=last
        )
        down, up = made[: len(lanes)], made[len(lanes) :]
        return Ends(node - up, node + down)
    shots = _sorted(count, row, len(lanes))
    at = x[shots.lane]
    decay = torch.zeros_like(at)
    never = torch.iinfo(torch.int64).max
    end = torch.full_like(shots.count, never)
    for block in shots.blocks:
        n = block.alive
        h2, q = table.columns((H2, Q0R), rows_of(shots, table, block))
        # The waiting step has no thickness: nothing decays nor oscillates there.
        rate = (h2 * (at[:n] - q)).clamp(min=0.0).sqrt_()
        oscillates = (h2 * (q - at[:n])) >= 0 if not last else (h2 * (q - at[:n])) > 0
        held = torch.where(oscillates & (h2 > 0), 0.0, 1.0).to(at.dtype)
        for i in range(block.size):
            decay[:n].add_(rate[i]).mul_(held[i])
            if last:
                end[:n].masked_fill_(held[i] == 0, never)
            arrived = (decay[:n] > TAIL) & (end[:n] == never)
            end[:n].masked_fill_(arrived, block.start + i + 1)
    down, up = shots.unsorted(end)
    upper = torch.where(up == never, 0, node - up)
    return Ends(upper, torch.where(down == never, size, node + down))


def passage_of(shots: Shots, table: Table, block: Block) -> Passage:
    """The way of the shots of a block."""
    n = block.alive
    sign = shots.sign[:n]
    row, left = shots.row[:n] + sign * block.start, shots.count[:n] - block.start
    return Passage(table.steps, row, sign, left, block.size)


def rows_of(shots: Shots, table: Table, block: Block) -> Tensor:
    """(size, alive) columns of ``table.steps`` that the shots of a block pass."""
    i = block.start + torch.arange(block.size, device=table.device)[:, None]
    row = shots.row[: block.alive] + shots.sign[: block.alive] * i
    return torch.where(i < shots.count[: block.alive], row, table.waiting)


def _sorted(count: Tensor, row: Tensor, n: int) -> Shots:
    order = torch.argsort(count, descending=True, stable=True)
    count = count[order]
    sign = torch.where(order < n, 1, -1)
    lane = torch.where(order < n, order, order - n)
    histogram = torch.bincount(count).cpu().numpy()
    # Shots that make more than i steps, for each i.
    alive = np.cumsum(histogram[::-1])[::-1][1:]
    return Shots(order, lane, row[order], sign, count, make_blocks(alive))


def make_blocks(alive: np.ndarray) -> list[Block]:
    """Blocks for ``alive[i]`` shots at step i that waste little."""
    blocks, i = [], 0
    while i < alive.size:
        for size in SIZES:
            useful = int(alive[i : i + size].sum())
            if i + size <= alive.size and size * int(alive[i]) <= (1.0 + PADDING_LIMIT) * useful:
                break
        blocks.append(Block(i, size, int(alive[i])))
        i += size
    return blocks
