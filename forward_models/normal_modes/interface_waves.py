"""The interface wave of an elastic half-space: the Scholte wave of the seabed.

Where x = k² exceeds k² of everything else, fluid and shear wave, all waves decay away from the
seabed and W is real without loss. Above R's zero (the Rayleigh wave's) the admittance ψ/φ of the
solid falls with x while that of the fluid above it rises, and below that zero they have opposite
signs: W passes through zero once from below if it is negative to begin with, and never otherwise.
"""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.complex_modes import complex_modes
from forward_models.normal_modes.items import Items, Lanes, drift_of, wronskian_of
from forward_models.normal_modes.real_modes import neighbour_distance
from forward_models.normal_modes.steps import DECAYING_DECAYING, ELASTIC
from forward_models.normal_modes.wronskian import ALONG_LOSS

_HALVINGS = 60


def interface_waves(items: Items) -> tuple[Lanes, np.ndarray]:
    """(lanes, x) of the interface wave of every elastic item that has one."""
    item = np.flatnonzero(items.kind == ELASTIC)
    low = np.maximum(items.x_max, items.q_shear.real)[item] * (1.0 + 1e-9)
    high = np.maximum(items.x_interface[item], 1.01 * low)
    kind = np.full(item.size, DECAYING_DECAYING)
    sheet = items.sheets(item, kind, low, high)
    lanes = Lanes(np.arange(item.size), np.diff(sheet.first))
    lossless = np.zeros(item.size)
    value, _ = wronskian_of(sheet, lanes, low + 0j, lossless)
    has = np.flatnonzero(value.real < 0)
    lanes, low, high, lossless = lanes[has], low[has], high[has], lossless[has]
    for _ in range(_HALVINGS):
        value, _ = wronskian_of(sheet, lanes, high + 0j, lossless)
        short = value.real < 0
        if not short.any():
            break
        low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
    start = 0.5 * (low + high)
    for _ in range(_HALVINGS):
        value, slope = wronskian_of(sheet, lanes, start + 0j, lossless)
        below = value.real < 0
        low, high = np.where(below, start, low), np.where(below, high, start)
        new = start - value.real / slope.real
        new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
        done = np.abs(new - start) < 1e-6 * start
        start = new
        if done.all():
            break
    start = start + 0j
    drift = drift_of(sheet, lanes, start, lossless, ALONG_LOSS)
    distance = neighbour_distance(lanes, start.real)
    lanes, x = complex_modes(sheet, lanes, start, drift, distance)
    there = (x.real > items.x_min[item[lanes.item]]) & (x.real > sheet.q_shear.real[lanes.item])
    return Lanes(item[lanes.item], lanes.node)[there], x[there]
