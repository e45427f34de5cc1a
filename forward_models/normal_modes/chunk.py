"""The modes of a chunk of environments at all frequencies, in one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Problem
from forward_models.normal_modes.complex_modes import complex_modes
from forward_models.normal_modes.items import Lanes, drift_of, lossless_of, mode_functions_of
from forward_models.normal_modes.real_modes import (
    choose_nodes,
    count_modes,
    neighbour_distance,
    real_modes,
)
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY

Attenuation = Literal["exact", "perturbative"]


@dataclass(frozen=True)
class ModeList:
    """The modes of a chunk of items in one list, by item and decreasing Re k.

    ``first[i]`` to ``first[i + 1]`` are those of item i; ``phi`` is (mode, depth). ``x`` is the
    root that belongs to the mode function, found with two shots that meet at ``node``. Group speeds
    are there only when asked for: they cost as much again as the roots.
    """

    first: np.ndarray
    x: np.ndarray
    node: np.ndarray
    k: np.ndarray
    phi: np.ndarray
    group_speed: np.ndarray | None

    @property
    def lanes(self) -> Lanes:
        """Item and match node of each mode."""
        return Lanes(np.repeat(np.arange(self.first.size - 1), np.diff(self.first)), self.node)


def require_known(attenuation: Attenuation) -> None:
    """Raises ModelInputError unless ``attenuation`` is ``"exact"`` or ``"perturbative"``."""
    if attenuation not in ("exact", "perturbative"):
        raise ModelInputError(
            f"attenuation: {attenuation!r} is unknown; use 'exact' or 'perturbative'"
        )


def solve_chunk(
    problem: Problem, rows: slice, depth: np.ndarray, attenuation: Attenuation, *, speeds: bool
) -> ModeList:
    """Modes of the environments ``rows`` at all frequencies; ``depth`` is (rows, D) m.

    Raises:
        ModelInputError: an unknown ``attenuation``.
    """
    require_known(attenuation)
    items = problem.items(rows)
    exact = attenuation == "exact"
    # Membership is one rule for both: the modes of the real problem of first-order loss.
    counts = count_modes(items.perturbed())
    if not exact:
        items = items.perturbed()
    lanes, real_x = real_modes(items, counts)
    lanes = choose_nodes(items, lanes, real_x)
    order = np.lexsort((-real_x, lanes.node, lanes.item))
    lanes, x = lanes[order], real_x[order] + 0j
    loss = np.full(x.size, 1.0 if exact else 0.0)
    value, slope, change = lossless_of(items, lanes, x.real)
    # Where two roots all but coincide the phase knew them better.
    polish = -value / slope
    x += np.where(np.abs(polish) < 0.1 * neighbour_distance(lanes, x.real), polish, 0.0)
    drift = -1j * change / slope
    if exact:
        lossy = items.lossy()[lanes.item]
        solved, x[lossy] = complex_modes(items, lanes[lossy], x[lossy], drift[lossy])
        lanes.node[lossy] = solved.node
        k = np.sqrt(x)
    else:
        k = np.sqrt(x + drift)
    phi = mode_functions_of(items, lanes, x, loss, np.repeat(depth, problem.omega.size, axis=0))
    order = np.lexsort((-k.real, lanes.item))
    group_speed = None
    if speeds:
        # dx/dω at ω = 1 for k² ∝ ω²: ω dx/dω, and dk/dω = (dx/dω) / 2k.
        change = drift_of(items, lanes, x, loss, ALONG_FREQUENCY)
        omega = np.tile(problem.omega, len(items) // problem.omega.size)[lanes.item]
        group_speed = (1.0 / (change / (2.0 * omega * np.sqrt(x))).real)[order]
    first = np.concatenate([[0], np.cumsum(counts)])
    return ModeList(first, x[order], lanes.node[order], k[order], phi[order], group_speed)
