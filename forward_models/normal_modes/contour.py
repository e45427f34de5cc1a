"""How many modes a part of the complex plane holds: the argument principle.

W is analytic in x on each sheet of the half-space's vertical wavenumbers, without poles, so that
the number of its zeros in a region is the number of turns that W makes along the border,

    N = (1/2π) ∮ d arg W

(Jensen et al., sec. 5.7.1 for W). The turns are added up piece by piece; a piece is halved until
W'/W at both its ends foretells what arg W did.
"""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.items import Items, Lanes, whole_wronskian_of

# A piece is short enough when log W changes by less than this along it by either end's W'/W, and
# when both together miss the change of arg W by less than the other number.
_LONGEST, _MISS = 1.2, 0.3
_HALVINGS = 60
_POINTS = 8  # to begin with, on each side of the border, and two for each mode expected


def count_zeros(items: Items, expected: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(items,) zeros of W with x_min < Re x < x_max and -below < Im x < Re x.

    ``expected`` (items,) is a guess of the number; it only sets how many points are tried at first.
    """
    item, start, stop = _border(items, expected, below)
    value, slope = _on_axis(items, item, start)
    # Pieces of one item follow each other; the last ends where the first began.
    first = np.flatnonzero(np.append(True, np.diff(item) != 0))
    after = np.arange(1, item.size + 1)
    after[np.append(first[1:], item.size)[: first.size] - 1] = first
    value_stop, slope_stop = value[after], slope[after]
    turns = np.zeros(len(items))
    for _ in range(_HALVINGS):
        if item.size == 0:
            break
        step = stop - start
        with np.errstate(divide="ignore", invalid="ignore"):
            turned = np.angle(value_stop / value)
            ahead, behind = slope / value * step, slope_stop / value_stop * step
        good = (np.abs(ahead) < _LONGEST) & (np.abs(behind) < _LONGEST)
        good &= np.abs(0.5 * (ahead + behind).imag - turned) < _MISS
        np.add.at(turns, item[good], turned[good])
        b = ~good
        middle = 0.5 * (start + stop)[b]
        value_middle, slope_middle = _on_axis(items, item[b], middle)
        item = np.repeat(item[b], 2)
        start, stop = _pairs(start[b], middle), _pairs(middle, stop[b])
        value, value_stop = _pairs(value[b], value_middle), _pairs(value_middle, value_stop[b])
        slope, slope_stop = _pairs(slope[b], slope_middle), _pairs(slope_middle, slope_stop[b])
    return np.rint(turns / (2.0 * np.pi)).astype(np.int64)


def _border(
    items: Items, expected: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(item, start, stop) of the first pieces of every border, anticlockwise."""
    low, high = items.x_min, items.x_max
    owner, points = [], []
    for i in range(len(items)):
        # Modes are even in √(x_max - x), and most of W happens near the real axis.
        along = np.linspace(0.0, 1.0, _POINTS + 2 * int(expected[i]), endpoint=False)
        up = np.linspace(0.0, 1.0, _POINTS, endpoint=False)
        lower = high[i] - (high[i] - low[i]) * (1.0 - along) ** 2 - 1j * below[i]
        upper = (high[i] - (high[i] - low[i]) * along**2) * (1.0 + 1.0j)
        right = high[i] + 1j * (up**2 * (high[i] + below[i]) - below[i])
        left = low[i] + 1j * ((1.0 - up) ** 2 * (low[i] + below[i]) - below[i])
        points.append(np.concatenate([lower, right, upper, left]))
        owner.append(np.full(points[-1].size, i))
    item = np.concatenate([*owner, np.empty(0, np.int64)])
    start = np.concatenate([*points, np.empty(0, np.complex128)])
    stop = np.concatenate([*(np.roll(p, -1) for p in points), np.empty(0, np.complex128)])
    return item, start, stop


def _on_axis(items: Items, item: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return whole_wronskian_of(items, Lanes(item, items.axis[item]), x)


def _pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Both by turns: a₀, b₀, a₁, b₁."""
    return np.stack([a, b], axis=1).reshape(-1)
