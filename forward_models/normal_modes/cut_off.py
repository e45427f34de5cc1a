"""Newton's method where the half-space gives W a branch point: in γ, x = q + γ², W is smooth.

For numpy's arrays and for tensors.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)

_LEAST = 4e-16  # γ² in shares of k²: at cut-off, but for rounding
_NEARLY = 3e-5  # the last move in x, in shares of γ²: the error of γ is below its square


def from_cut_off(x: Array, q: Array, move: Array) -> Array:
    """Newton's ``move`` in x above the branch point q, taken in γ, and γ ≥ 0."""
    gamma = (x - q).clip(_LEAST * x) ** 0.5
    gamma = (gamma + 0.5 * move / gamma).clip((_LEAST * x) ** 0.5)
    return q + gamma**2 - x


def above_cut_off(x: Array, q: Array) -> Array:
    """``x``, a root that its search left below the branch point q as far above: γ there is real."""
    return q + abs(q - x).clip(_LEAST * q)


def within_cut_off(x: Array, q: Array, enough: Array) -> Array:
    """What a last move in x may be, ``enough`` elsewhere, for γ to be known as well."""
    return enough.clip(max=_NEARLY * abs(x - q))
