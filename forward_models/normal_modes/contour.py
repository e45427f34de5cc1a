"""How many modes a part of the complex plane holds: the argument principle.

W is analytic in x on each sheet of the half-space's vertical wavenumbers, without poles, so that
over the border of a region

    Σ xᵖ = (1/2πi) ∮ xᵖ d log W,  p = 0, 1, 2, 3,

sums the powers of its zeros (Jensen et al., sec. 5.7.1 for W); p = 0 counts them, and exactly so.
The border is cut into pieces, halved until W'/W at both ends foretells what arg W did between.
"""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.items import Items, Lanes, log_wronskian_of

# A piece is short enough when log W changes by less than this along it by either end's W'/W, and
# when both together miss the change of arg W by less than the other number.
_LONGEST, _MISS = 1.2, 0.3
_HALVINGS = 60
_POINTS = 8  # to begin with, on each side of the border, and two for each zero expected
_POWERS = 4
_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(3)


def zeros_within(items: Items, expected: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(items, 4) sums of ((x - m) / h)ᵖ, p = 0 … 3, over the zeros x of W within a region.

    The region is x_min < Re x < x_max and -below < Im x < Re x; m is the middle of its real part
    and h half of it. The first column is whole; the others are good to some hundredths.
    ``expected`` (items,) guesses the number of zeros; it only sets how many points are tried first.
    """
    sums = np.zeros((len(items), _POWERS), np.complex128)
    if len(items) == 0:
        return sums
    item, start, stop = _border(items, expected, below)
    value, slope = _on_axis(items, item, start)
    # Pieces of one item follow each other; the last ends where the first began.
    first = np.flatnonzero(np.append(True, np.diff(item) != 0))
    after = np.arange(1, item.size + 1)
    after[np.append(first[1:], item.size)[: first.size] - 1] = first
    value_stop, slope_stop = value[after], slope[after]
    for _ in range(_HALVINGS):
        if item.size == 0:
            break
        step = stop - start
        change = value_stop - value
        change.imag -= 2.0 * np.pi * np.rint(change.imag / (2.0 * np.pi))
        ahead, behind = slope * step, slope_stop * step
        good = (np.abs(ahead) < _LONGEST) & (np.abs(behind) < _LONGEST)
        good &= np.abs((0.5 * (ahead + behind) - change).imag) < _MISS
        done = item[good]
        middle = 0.5 * (items.x_min + items.x_max)[done]
        half = 0.5 * (items.x_max - items.x_min)[done]
        parts = _integrals(
            (start[good] - middle) / half,
            (stop[good] - middle) / half,
            change[good],
            ahead[good],
            behind[good],
        )
        np.add.at(sums, done, parts)
        b = ~good
        half_way = 0.5 * (start + stop)[b]
        value_middle, slope_middle = _on_axis(items, item[b], half_way)
        item = np.repeat(item[b], 2)
        start, stop = _pairs(start[b], half_way), _pairs(half_way, stop[b])
        value, value_stop = _pairs(value[b], value_middle), _pairs(value_middle, value_stop[b])
        slope, slope_stop = _pairs(slope[b], slope_middle), _pairs(slope_middle, slope_stop[b])
    sums /= 2j * np.pi
    sums[:, 0] = np.rint(sums[:, 0].real)
    return sums


def _integrals(
    start: np.ndarray,
    stop: np.ndarray,
    change: np.ndarray,
    ahead: np.ndarray,
    behind: np.ndarray,
) -> np.ndarray:
    """(piece, 4) of ∫ xᵖ d log W, log W by the cubic through its values and slopes at both ends."""
    parts = np.zeros((start.size, _POWERS), np.complex128)
    for node, weight in zip(_GAUSS, _WEIGHTS, strict=True):
        t = 0.5 + 0.5 * node
        rate = 6.0 * t * (1.0 - t) * change
        rate += (1.0 - t) * (1.0 - 3.0 * t) * ahead + t * (3.0 * t - 2.0) * behind
        x = start + t * (stop - start)
        parts += 0.5 * weight * rate[:, None] * x[:, None] ** np.arange(_POWERS)
    return parts


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
    return log_wronskian_of(items, Lanes(item, items.axis[item]), x)


def _pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Both by turns: a₀, b₀, a₁, b₁."""
    return np.stack([a, b], axis=1).reshape(-1)
