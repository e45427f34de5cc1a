"""Modes that the bottom traps, complex where the guide is lossy."""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.complex_modes import complex_modes
from forward_models.normal_modes.items import Items, Lanes, lossless_of
from forward_models.normal_modes.real_modes import choose_nodes, neighbour_distance, real_modes


def trapped_modes(
    items: Items, counts: np.ndarray, *, exact: bool
) -> tuple[Lanes, np.ndarray, np.ndarray]:
    """(lanes, x, x with loss): ``counts`` modes of each item; ``x`` belongs to the mode functions.

    Exact modes have one x, complex. The others have a real one and the same with first-order loss.
    """
    lanes, real_x = real_modes(items, counts)
    lanes = choose_nodes(items, lanes, real_x)
    order = np.lexsort((-real_x, lanes.node, lanes.item))
    lanes, x = lanes[order], real_x[order] + 0j
    value, slope, change = lossless_of(items, lanes, x.real)
    # Where two roots all but coincide the phase knew them better.
    polish = -value / slope
    x += np.where(np.abs(polish) < 0.1 * neighbour_distance(lanes, x.real), polish, 0.0)
    drift = -1j * change / slope
    if not exact:
        return lanes, x, x + drift
    lossy = items.lossy()[lanes.item]
    solved, x[lossy] = complex_modes(items, lanes[lossy], x[lossy], drift[lossy])
    lanes.node[lossy] = solved.node
    return lanes, x, x
