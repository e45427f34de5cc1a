"""Smooth curves through the knots of a sampled profile, as straight segments for the solver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator
from scipy.linalg import solveh_banded

Curve = Literal["straight", "spline", "pchip", "monotone_spline"]

# Largest departure of the segments from the curve, relative to the sound speed. What is left
# averages out over each segment, so that wavenumbers keep 1e-8; see piecewise_linear.
_TOLERANCE = 1e-7


def piecewise_linear(
    depth: Sequence[float],
    sound_speed: Sequence[float],
    curve: Curve,
    *,
    tolerance: float = _TOLERANCE,
) -> tuple[list[float], list[float]]:
    """Knots (depth m, sound speed m/s) of straight segments that stand for a smooth curve.

    The curve runs through the given knots: ``"spline"`` is the cubic spline with not-a-knot ends,
    ``"pchip"`` the monotone cubic of Fritsch & Butland (1984), both as scipy has them;
    ``"monotone_spline"`` is that of :func:`monotone_spline`, the PCHIP of the Acoustics Toolbox;
    ``"straight"`` returns the knots as they are. Between two given knots there are
    N = ⌈Δz √(max|c''| / 12 c tolerance)⌉ segments of equal length h, and the speeds at their ends
    make the least-squares fit to the curve among all continuous piecewise linear profiles. Its
    error is at most about c'' h²/12, has no mean and no trend over a segment, and so changes the
    eigenvalues by far less: as the fourth power of h. Interpolation at the same knots would be too
    high or too low throughout, and err as h².

    Example (a parabola is fitted at its knots to a part in ten million):

        >>> z, c = piecewise_linear([0, 50, 100], [1500, 1490, 1500], "spline")
        >>> len(z), round(c[len(c) // 2], 3)
        (213, 1490.0)
    """
    z, c = np.asarray(depth, np.float64), np.asarray(sound_speed, np.float64)
    if curve == "straight":
        return z.tolist(), c.tolist()
    smooth = _SMOOTH[curve](z, c)
    bend = smooth.derivative(2)
    knots = [z[:1]]
    for top, bottom in pairwise(z):
        # c'' is linear between two knots; just inside, where it may jump at them.
        inside = top + (bottom - top) * np.array([1e-9, 1 - 1e-9])
        largest = np.abs(bend(inside)).max() / smooth(inside).min()
        count = max(1, int(np.ceil((bottom - top) * np.sqrt(largest / (12.0 * tolerance)))))
        knots.append(top + (bottom - top) * np.arange(1, count + 1) / count)
    at = np.concatenate(knots)
    at[-1] = z[-1]
    return at.tolist(), _least_squares(at, smooth).tolist()


def monotone_spline(depth: ArrayLike, sound_speed: ArrayLike) -> CubicHermiteSpline:
    """The cubic spline with its slopes limited, so that it is monotone between any two knots.

    At a knot between the secants s₋ and s₊ the slope of the spline is kept within 0 and the lesser
    of 3s₋ and 3s₊, and is zero where they differ in sign (de Boor & Swartz, J. Approx. Theory 21,
    411 (1977)). Those at the ends are the one-sided ones of PCHIP, and the spline starts from them.
    """
    z, c = np.asarray(depth, np.float64), np.asarray(sound_speed, np.float64)
    first, last = PchipInterpolator(z, c).derivative()(z[[0, -1]])
    slope = CubicSpline(z, c, bc_type=((1, first), (1, last))).derivative()(z)
    secant = np.diff(c) / np.diff(z)
    above, below = secant[:-1], secant[1:]
    steepest_rise = 3.0 * np.maximum(np.minimum(above, below), 0.0)
    steepest_fall = 3.0 * np.minimum(np.maximum(above, below), 0.0)
    slope[1:-1] = slope[1:-1].clip(steepest_fall, steepest_rise)
    return CubicHermiteSpline(z, c, slope)


_SMOOTH: dict[Curve, Callable[[ArrayLike, ArrayLike], CubicHermiteSpline]] = {
    "spline": CubicSpline,
    "pchip": PchipInterpolator,
    "monotone_spline": monotone_spline,
}


def _least_squares(at: np.ndarray, smooth: CubicHermiteSpline) -> np.ndarray:
    """Values at the knots ``at`` of the continuous piecewise linear fit to a cubic per segment."""
    h = np.diff(at)
    # Hat functions: ∫ hat² = (h₋ + h₊)/3, ∫ hat hat₊ = h/6; the right side by a rule exact for the
    # fourth powers that a cubic times a line makes.
    node, weight = np.polynomial.legendre.leggauss(3)
    u = 0.5 + 0.5 * node
    values = smooth(at[:-1, None] + h[:, None] * u) * (0.5 * weight) * h[:, None]
    right = np.zeros(at.size)
    right[:-1] += values @ (1.0 - u)
    right[1:] += values @ u
    matrix = np.zeros((2, at.size))
    matrix[0, 1:] = h / 6.0
    matrix[1, :-1] += h / 3.0
    matrix[1, 1:] += h / 3.0
    return solveh_banded(matrix, right)
