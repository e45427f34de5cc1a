"""The modes of a chunk of environments at all frequencies, in one list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Problem
from forward_models.normal_modes.items import Lanes, drift_of, mode_functions_of, ranked, settled
from forward_models.normal_modes.open_modes import open_modes
from forward_models.normal_modes.real_modes import count_modes
from forward_models.normal_modes.roughness import scattering_shift
from forward_models.normal_modes.trapped_modes import newton_step, trapped_modes
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY

Attenuation = Literal["exact", "perturbative"]


@dataclass(frozen=True)
class ModeList:
    """The modes of a chunk of items in one list, by item and decreasing Re k.

    ``first[i]`` to ``first[i + 1]`` are those of item i; ``phi`` is (mode, depth). ``x`` is the
    root that belongs to the mode function, found with two shots that meet at ``node``. ``vectors``
    are the places of the list in the order in which lanes filled vectors: where the shots of a
    vector start, and with that the sign of a lossy mode, hangs on its lanes. Group speeds are there
    only when asked for: they cost as much again as the roots.
    """

    first: np.ndarray
    x: np.ndarray
    node: np.ndarray
    k: np.ndarray
    phi: np.ndarray
    vectors: np.ndarray
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
            (np.cumsum(kept) - 1)[self.vectors[kept[self.vectors]]],
            None if self.group_speed is None else self.group_speed[kept],
        )


def require_known(attenuation: Attenuation) -> None:
    """Raises ModelInputError unless ``attenuation`` is ``"exact"`` or ``"perturbative"``."""
    if attenuation not in ("exact", "perturbative"):
        raise ModelInputError(
            f"attenuation: {attenuation!r} is unknown; use 'exact' or 'perturbative'"
        )


def solve_chunk(
    problem: Problem,
    rows: slice,
    depth: np.ndarray,
    attenuation: Attenuation,
    *,
    speeds: bool,
) -> ModeList:
    """Modes of the environments ``rows`` at all frequencies; ``depth`` is (rows, D) m.

    Raises:
        ModelInputError: an unknown ``attenuation``, or the perturbative one where modes may leak.
    """
    require_known(attenuation)
    items = problem.items(rows)
    exact = attenuation == "exact"
    if not exact and items.open.any():
        raise ModelInputError(
            "attenuation: 'perturbative' has no leaky modes and no elastic half-space, whose modes "
            "have no real problem; use 'exact'"
        )
    # Membership is one rule for both: the modes of the real problem of first-order loss.
    counts = np.where(items.open, 0, count_modes(items.perturbed()))
    if not exact:
        items = items.perturbed()
    lanes, x, distance = trapped_modes(items, counts, exact=exact)
    if items.open.any():
        found, at = open_modes(items)
        lanes = Lanes(np.append(lanes.item, found.item), np.append(lanes.node, found.node))
        x, distance = np.append(x, at), np.append(distance, np.zeros(at.size))
    # The loss moves nodes; lanes of one node fill vectors.
    order = ranked(lanes.item, x.real, lanes.node)
    lanes, x, distance = lanes[order], x[order], distance[order]
    loss = np.full(x.size, 1.0 if exact else 0.0)
    depths = np.repeat(depth, problem.omega.size, axis=0)
    shift = scattering_shift(problem, rows, items, lanes, x, loss)
    # The shots that make the mode functions bring x nearer to its root once more.
    if exact:
        move, phi = mode_functions_of(items, lanes, x, loss, depths)
        x = settled(x, move, distance)
    else:
        move, drift, phi = newton_step(items, lanes, x.real, distance, depths)
        x, shift = x + move, shift + drift
    k = np.sqrt(x + shift)
    order = ranked(lanes.item, k.real)
    group_speed = None
    if speeds:
        # dx/dω at ω = 1 for k² ∝ ω²: ω dx/dω, and dk/dω = (dx/dω) / 2k.
        change = drift_of(items, lanes, x, loss, ALONG_FREQUENCY)
        omega = np.tile(problem.omega, len(items) // problem.omega.size)[lanes.item]
        group_speed = (1.0 / (change / (2.0 * omega * np.sqrt(x))).real)[order]
    first = np.concatenate([[0], np.cumsum(np.bincount(lanes.item, minlength=len(items)))])
    vectors = np.argsort(np.arange(x.size)[order])
    return ModeList(first, x[order], lanes.node[order], k[order], phi[order], vectors, group_speed)
