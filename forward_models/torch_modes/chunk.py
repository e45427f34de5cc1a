"""The modes of a chunk of environments at all frequencies, found on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from forward_models.errors import ModelInputError
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY
from forward_models.torch_modes.complex_modes import complex_modes
from forward_models.torch_modes.mode_functions import mode_functions
from forward_models.torch_modes.polished import polished
from forward_models.torch_modes.real_modes import choose_nodes, count_modes, real_modes
from forward_models.torch_modes.shots import ends_of
from forward_models.torch_modes.table import Lanes, Table
from forward_models.torch_modes.wronskian import drift_of

Precision = Literal["double", "mixed", "single"]

# Types of the states in the search for real roots and in all that follows.
PRECISIONS: dict[str, tuple[torch.dtype, torch.dtype]] = {
    "double": (torch.float64, torch.float64),
    "mixed": (torch.float32, torch.float64),
    "single": (torch.float32, torch.float32),
}


@dataclass(frozen=True)
class DeviceModes:
    """The modes of a chunk in one list, by item and decreasing Re k, as tensors on a device.

    ``counts`` is (items,); ``phi`` is (mode, depth).
    """

    counts: Tensor
    table: Table
    lanes: Lanes
    x: Tensor
    k: Tensor
    phi: Tensor
    group_speed: Tensor | None


def require_double(precision: Precision) -> None:
    """Raises ModelInputError for a precision that only a device knows."""
    if precision != "double":
        raise ModelInputError(
            f"precision: {precision!r} is for a device; name one ('cpu', 'cuda') or use 'double'"
        )


def solve_table(
    table: Table,
    omega: Tensor,
    depth: Tensor,
    *,
    exact: bool,
    speeds: bool,
    precision: Precision,
) -> DeviceModes:
    """Modes of the items of ``table``: ω (items,) rad/s and depths (items, D) m.

    Raises:
        ModelInputError: an unknown ``precision``.
    """
    if precision not in PRECISIONS:
        raise ModelInputError(
            f"precision: {precision!r} is unknown; use one of {', '.join(PRECISIONS)}"
        )
    search, finish = PRECISIONS[precision]
    # Membership is one rule for both: the modes of the real problem of first-order loss.
    counts = count_modes(table.perturbed(), torch.float64)
    if not exact:
        table = table.perturbed()
    lanes, real_x = real_modes(table, counts, search)
    lanes = choose_nodes(table, lanes, real_x, counts, finish)
    ends, real_x, drift = polished(table, lanes, real_x, finish, exact=exact)
    x, loss = real_x + 0j, torch.full_like(real_x, 1.0 if exact else 0.0)
    if exact:
        lossy = torch.nonzero(table.lossy()[lanes.item]).flatten()
        solved, x[lossy] = complex_modes(
            table, lanes[lossy], real_x[lossy], drift[lossy], counts, finish
        )
        node = lanes.node.clone()
        node[lossy] = solved.node
        lanes = Lanes(lanes.item, node)
        ends = ends_of(table, lanes, x.real, last=False)
        k = x.sqrt()
    else:
        k = (x + drift).sqrt()
    order = torch.argsort(k.real, descending=True, stable=True)
    order = order[torch.argsort(lanes.item[order], stable=True)]
    lanes, ends, x, k, loss = lanes[order], ends[order], x[order], k[order], loss[order]
    phi = mode_functions(table, lanes, ends, x, loss, depth, finish)
    group_speed = None
    if speeds:
        # dx/dω at ω = 1 for k² ∝ ω²: ω dx/dω, and dk/dω = (dx/dω) / 2k.
        by_omega = drift_of(table, lanes, ends, x, loss, finish, ALONG_FREQUENCY)
        group_speed = 1.0 / (by_omega / (2.0 * omega[lanes.item] * x.sqrt())).real
    return DeviceModes(counts, table, lanes, x, k, phi, group_speed)
