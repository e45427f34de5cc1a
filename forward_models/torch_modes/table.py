"""Eigenproblems and lanes as tensors on a device: what ``normal_modes.items`` is to the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from forward_models.normal_modes.items import Items
from forward_models.normal_modes.real_modes import find_ducts
from forward_models.normal_modes.steps import (
    HALF_SPACE,
    N_COLUMNS,
    PERTURBED_HALF_SPACE,
    Q0I,
    RIGID,
    THICKNESS,
)

# Offsets of each item's duct axes, the axes, and the barrier between the ducts of each item.
Ducts = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Table:
    """Eigenproblems of a chunk on a device.

    ``rows`` is (step, column), steps of all items in turn and after them one that changes nothing,
    on which shots that have arrived wait for the others; ``items`` is where it came from and
    ``ducts`` what ``normal_modes.real_modes.find_ducts`` finds there. ``kernels`` are those of
    whole shots, None where blocks of tensor operations take their place.
    """

    items: Items
    ducts: Ducts
    kernels: ModuleType | None
    rows: Tensor
    first: Tensor
    size: Tensor
    x_min: Tensor
    x_max: Tensor
    axis: Tensor
    kind: Tensor
    q_bottom: Tensor
    rho_bottom: Tensor

    @classmethod
    def upload(
        cls,
        items: Items,
        device: torch.device,
        kernels: ModuleType | None = None,
        ducts: Ducts | None = None,
    ) -> Table:
        """The items as tensors; a few copies from the host."""
        rows = torch.empty((len(items.steps) + 1, N_COLUMNS), dtype=torch.float64, device=device)
        rows[:-1] = torch.from_numpy(items.steps)
        rows[-1] = 0.0
        arrays = (
            items.first[:-1],
            np.diff(items.first),
            items.x_min,
            items.x_max,
            items.axis,
            items.kind,
            items.q_bottom,
            items.rho_bottom,
        )
        tensors = (torch.from_numpy(array).to(device) for array in arrays)
        if ducts is None:
            ducts = find_ducts(items.steps, items.first)
        return cls(items, ducts, kernels, rows, *tensors)

    def __len__(self) -> int:
        return self.size.numel()

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.rows.device

    @property
    def steps(self) -> Tensor:
        """(column, step) view of the rows."""
        return self.rows.T

    def columns(self, columns: Sequence[int], row: Tensor) -> list[Tensor]:
        """Columns of the table of steps at the rows given, each of the shape of ``row``."""
        return [self.steps[column][row] for column in columns]

    @property
    def top_is_rigid(self) -> bool:
        """Or the top is a vacuum."""
        return self.items.top == RIGID

    @property
    def waiting(self) -> int:
        """Index of the step that changes nothing."""
        return self.rows.shape[0] - 1

    def perturbed(self) -> Table:
        """The same with KRAKEN's real problem at the half-space, for first-order loss."""
        kind = torch.where(self.kind == HALF_SPACE, PERTURBED_HALF_SPACE, self.kind)
        return replace(self, items=self.items.perturbed(), kind=kind)

    def lossy(self) -> Tensor:
        """(items,) whether anything in the item attenuates."""
        imaginary = torch.zeros(len(self), dtype=torch.float64, device=self.device)
        owner = torch.repeat_interleave(
            torch.arange(len(self), device=self.device), self.size, output_size=self.waiting
        )
        imaginary.index_add_(0, owner, self.steps[Q0I, :-1].abs())
        return (imaginary > 0) | (self.q_bottom.imag != 0)

    def node_depths(self) -> Tensor:
        """(steps,) depth of the lower end of each step, m, added up within its item."""
        depth = self.steps[THICKNESS, :-1].clone()
        index = torch.arange(self.waiting, device=self.device)
        owner_first = torch.repeat_interleave(self.first, self.size, output_size=self.waiting)
        position = index - owner_first
        reach = 1
        longest = int(np.diff(self.items.first).max(initial=0))
        while reach < longest:
            earlier = depth[(index - reach).clamp(min=0)]
            depth = depth + torch.where(position >= reach, earlier, 0.0)
            reach *= 2
        return depth


@dataclass(frozen=True)
class Lanes:
    """Item and match node of each trial wavenumber; lanes of an item are neighbours."""

    item: Tensor
    node: Tensor

    def __len__(self) -> int:
        return self.item.numel()

    def __getitem__(self, index: Tensor) -> Lanes:
        return Lanes(self.item[index], self.node[index])
