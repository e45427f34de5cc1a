"""The modes of a chunk of environments at all frequencies, in one list."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Problem
from forward_models.normal_modes.complex_modes import EXACT, SMOOTH, complex_modes
from forward_models.normal_modes.items import Items, Lanes, drift_of, lossless_of, mode_functions_of
from forward_models.normal_modes.real_modes import (
    choose_nodes,
    count_modes,
    neighbour_distance,
    real_modes,
)
from forward_models.normal_modes.roughness import scattering_shift
from forward_models.normal_modes.steps import HALF_SPACE, PERTURBED_HALF_SPACE
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY

_LEAST = 4e-16  # of γ² in shares of k²: at cut-off, but for rounding

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

    def limited(self, count: int) -> ModeList:
        """The first ``count`` modes of each item."""
        held = np.diff(self.first)
        kept = np.arange(self.x.size) - np.repeat(self.first[:-1], held) < count
        return ModeList(
            np.concatenate([[0], np.cumsum(np.minimum(held, count))]),
            self.x[kept],
            self.node[kept],
            self.k[kept],
            self.phi[kept],
            None if self.group_speed is None else self.group_speed[kept],
        )


def solve_chunk(
    problem: Problem,
    rows: slice,
    depth: np.ndarray,
    attenuation: Attenuation,
    *,
    speeds: bool,
    smooth: bool,
) -> ModeList:
    """Modes of the environments ``rows`` at all frequencies; ``depth`` is (rows, D) m.

    Mode functions are those of roots off by about 1e-7 of the distance to their neighbours, or by
    1e-10 and less where ``smooth``: what is differentiated must not jitter.

    Raises:
        ModelInputError: ``attenuation`` is neither ``"exact"`` nor ``"perturbative"``.
    """
    if attenuation not in ("exact", "perturbative"):
        raise ModelInputError(
            f"attenuation: {attenuation!r} is unknown; use 'exact' or 'perturbative'"
        )
    items = problem.items(rows)
    exact = attenuation == "exact"
    tolerance = SMOOTH if smooth else EXACT
    # Membership is one rule for both: the modes of the real problem of first-order loss.
    counts = count_modes(items.perturbed())
    if not exact:
        items = items.perturbed()
    lanes, real_x = real_modes(items, counts)
    lanes = choose_nodes(items, lanes, real_x)
    order = np.lexsort((-real_x, lanes.node, lanes.item))
    lanes, x = lanes[order], real_x[order] + 0j
    loss = np.full(x.size, 1.0 if exact else 0.0)
    drift = np.empty(x.size, np.complex128)
    distance = neighbour_distance(lanes, x.real)
    depths = np.repeat(depth, problem.omega.size, axis=0)

    def polish(left: np.ndarray, at: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(moves, φ) of a Newton step; where two roots all but coincide the phase knew better."""
        value, slope, change, phi = lossless_of(items, lanes[left], x[left].real, at)
        near = np.abs(value) < 0.1 * distance[left] * np.abs(slope)
        move = _from_cut_off(items, lanes[left], x[left].real, -value / slope)
        move = np.where(near, move, 0.0)
        x[left] += move
        drift[left] = -1j * change / slope
        return np.abs(move), phi

    left = np.arange(x.size)
    while left.size:
        left = left[polish(left)[0] > math.sqrt(0.1 * tolerance) * distance[left]]
    if exact:
        lossy = items.lossy()[lanes.item]
        solved, x[lossy] = complex_modes(items, lanes[lossy], x[lossy], drift[lossy], tolerance)
        lanes.node[lossy] = solved.node
        phi, move = mode_functions_of(items, lanes, x, loss, depths)
        near = np.abs(move) < 1e-3 * distance
        x[near] -= move[near]
        shift = np.zeros(x.size, np.complex128)
    else:
        phi = polish(np.arange(x.size), depths)[1] + 0j
        shift = drift
    k = np.sqrt(x + shift + scattering_shift(problem, rows, items, lanes, x, loss))
    order = np.lexsort((-k.real, lanes.item))
    group_speed = None
    if speeds:
        # dx/dω at ω = 1 for k² ∝ ω²: ω dx/dω, and dk/dω = (dx/dω) / 2k.
        change = drift_of(items, lanes, x, loss, ALONG_FREQUENCY)
        omega = np.tile(problem.omega, len(items) // problem.omega.size)[lanes.item]
        group_speed = (1.0 / (change / (2.0 * omega * np.sqrt(x))).real)[order]
    first = np.concatenate([[0], np.cumsum(counts)])
    return ModeList(first, x[order], lanes.node[order], k[order], phi[order], group_speed)


def _from_cut_off(items: Items, lanes: Lanes, x: np.ndarray, move: np.ndarray) -> np.ndarray:
    """Newton's ``move`` in x = q + γ², taken in γ, in which W is smooth at cut-off, and γ ≥ 0."""
    q = items.q_bottom[lanes.item]
    branch = np.isin(items.kind[lanes.item], (HALF_SPACE, PERTURBED_HALF_SPACE))
    branch &= (items.kind[lanes.item] == HALF_SPACE) | (q.imag == 0.0)
    gamma2 = np.maximum(x - q.real, _LEAST * x)
    gamma = np.maximum(np.sqrt(gamma2) + 0.5 * move / np.sqrt(gamma2), np.sqrt(_LEAST * x))
    return np.where(branch, q.real + gamma**2 - x, move)
