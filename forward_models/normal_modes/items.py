"""A chunk of eigenproblems, and lanes of trial wavenumbers laid over it.

Root finding is written once, in numpy, over all lanes of all items of a chunk; only the shooting is
compiled. A *lane* is one trial value of x = k² of one item; lanes of one item that meet at one node
are neighbours, which is what the kernels call a block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forward_models.normal_modes.lossless import lossless
from forward_models.normal_modes.mode_functions import mode_functions
from forward_models.normal_modes.paths import follow
from forward_models.normal_modes.phase import ROUGH, phase
from forward_models.normal_modes.steps import HALF_SPACE, PERTURBED_HALF_SPACE, Q0I
from forward_models.normal_modes.wronskian import ALONG_X, wronskian

Order = np.ndarray | slice  # of lanes; a slice where they stay

_NEAR = 1e-3  # the largest last move of a root, in shares of the distance to the next


@dataclass(frozen=True)
class Items:
    """Eigenproblems of a chunk, as ``build_steps`` returns them, and the condition at the top."""

    top: int
    steps: np.ndarray
    first: np.ndarray
    x_min: np.ndarray
    x_max: np.ndarray
    axis: np.ndarray
    kind: np.ndarray
    q_bottom: np.ndarray
    rho_bottom: np.ndarray
    q_shear: np.ndarray
    open: np.ndarray
    x_interface: np.ndarray
    piece: np.ndarray
    edges: np.ndarray

    def perturbed(self) -> Items:
        """The same with KRAKEN's real problem at the half-space, for first-order loss."""
        kind = np.where(self.kind == HALF_SPACE, PERTURBED_HALF_SPACE, self.kind)
        return replace(self, kind=kind)

    def sheets(
        self, item: np.ndarray, kind: np.ndarray, x_min: np.ndarray, x_max: np.ndarray
    ) -> Items:
        """Copies of the items ``item`` with other bottom conditions and limits."""
        rows = [np.arange(self.first[i], self.first[i + 1]) for i in item.tolist()]
        sizes = [row.size for row in rows]
        return replace(
            self,
            steps=self.steps[np.concatenate([*rows, np.empty(0, np.int64)])],
            first=np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]),
            x_min=x_min,
            x_max=x_max,
            axis=self.axis[item],
            kind=kind,
            q_bottom=self.q_bottom[item],
            rho_bottom=self.rho_bottom[item],
            q_shear=self.q_shear[item],
            open=self.open[item],
            x_interface=self.x_interface[item],
        )

    @property
    def guides(self) -> tuple[Any, ...]:
        """What shots through lossy guides need to know of them, in the order of the kernels."""
        return (
            self.steps,
            self.first,
            self.top,
            self.kind,
            self.q_bottom,
            self.rho_bottom,
            self.q_shear,
        )

    def __len__(self) -> int:
        return self.x_min.size

    def lossy(self) -> np.ndarray:
        """(items,) whether anything in the item attenuates."""
        imaginary = np.add.reduceat(np.abs(self.steps[:, Q0I]), self.first[:-1]) if len(self) else 0
        return (imaginary > 0) | (self.q_bottom.imag != 0) | (self.q_shear.imag != 0)


@dataclass(frozen=True)
class Lanes:
    """Item and match node of each lane; equal pairs are neighbours."""

    item: np.ndarray
    node: np.ndarray

    def __len__(self) -> int:
        return self.item.size

    def __getitem__(self, index: Order) -> Lanes:
        return Lanes(self.item[index], self.node[index])

    def blocks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(item, node, first lane) of each block; the last entry of ``first`` is the lane count."""
        edge = np.ones(len(self) + 1, bool)
        edge[1:-1] = (self.item[1:] != self.item[:-1]) | (self.node[1:] != self.node[:-1])
        first = np.flatnonzero(edge)
        return self.item[first[:-1]], self.node[first[:-1]], first


def ranked(item: np.ndarray, x: np.ndarray, node: np.ndarray | None = None) -> Order:
    """Order of lanes by item, by node if given, and by falling x, stable.

    Lanes are mostly in that order: those of an item that is are left where they are.
    """
    step = np.diff(item)
    tied, wrong = step == 0, step < 0
    if wrong.any():
        return np.lexsort((-x, item) if node is None else (-x, node, item))
    if node is not None:
        step = np.diff(node)
        wrong = tied & (step < 0)
        tied &= step == 0
    wrong |= tied & (np.diff(x) > 0)
    if not wrong.any():
        return slice(None)
    among = np.zeros(item[-1] + 1, bool)
    among[item[1:][wrong]] = True
    some = np.flatnonzero(among[item])
    order = np.arange(x.size)
    keys = (-x[some], item[some]) if node is None else (-x[some], node[some], item[some])
    order[some] = some[np.lexsort(keys)]
    return order


def phase_of(
    items: Items, lanes: Lanes, x: np.ndarray, *, rough: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(Θ, dΘ/dx) of each lane; see :func:`forward_models.normal_modes.phase.phase`."""
    if len(lanes) == 0:
        return np.empty(0), np.empty(0)
    item, _, first = lanes.blocks()
    return phase(
        np.ascontiguousarray(x),
        item,
        first,
        items.steps,
        items.first,
        items.axis,
        items.x_min,
        items.top,
        items.kind,
        items.q_bottom,
        items.rho_bottom,
        np.empty(ROUGH if rough else (0, 0), np.float32),
    )


def lossless_of(
    items: Items,
    lanes: Lanes,
    x: np.ndarray,
    depth: np.ndarray | None = None,
    *,
    with_loss: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(W, ∂W/∂x, Im ∂W/∂loss) of the lossless guide, and φ (lane, D) at depths (items, D).

    The third is right only ``with_loss``.
    """
    if depth is None:
        depth = np.empty((len(items), 0))
    if len(lanes) == 0:
        return np.empty(0), np.empty(0), np.empty(0), np.empty((0, depth.shape[1]), np.complex128)
    return lossless(
        np.ascontiguousarray(x),
        np.ascontiguousarray(depth),
        with_loss,
        *lanes.blocks(),
        items.steps,
        items.first,
        items.top,
        items.kind,
        items.q_bottom,
        items.rho_bottom,
    )


def wronskian_of(
    items: Items, lanes: Lanes, x: np.ndarray, loss: np.ndarray, direction: int = ALONG_X
) -> tuple[np.ndarray, np.ndarray]:
    """(W, ∂W) of each lane; see :func:`forward_models.normal_modes.wronskian.wronskian`."""
    return _wronskian(items, lanes, x, loss, direction)[:2]


def log_wronskian_of(items: Items, lanes: Lanes, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(log W, ∂W/∂x / W) of shots over the whole stack, W analytic in x."""
    value, slope, scale = _wronskian(items, lanes, x, np.ones(x.size), ALONG_X, whole=True)
    return np.log(value) + scale, slope / value


def drift_of(
    items: Items, lanes: Lanes, x: np.ndarray, loss: np.ndarray, direction: int
) -> np.ndarray:
    """dx/d(direction) of each root: -∂W/∂direction / ∂W/∂x, exact at a root."""
    _, change, scale = _wronskian(items, lanes, x, loss, direction)
    _, slope, unit = _wronskian(items, lanes, x, loss, ALONG_X)
    return -change / slope * np.exp(scale - unit)


def _wronskian(
    items: Items,
    lanes: Lanes,
    x: np.ndarray,
    loss: np.ndarray,
    direction: int,
    *,
    whole: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if len(lanes) == 0:
        return np.empty(0, np.complex128), np.empty(0, np.complex128), np.empty(0)
    return wronskian(
        np.ascontiguousarray(x),
        np.ascontiguousarray(loss),
        direction,
        whole,
        *lanes.blocks(),
        *items.guides,
    )


def follow_of(
    items: Items,
    lanes: Lanes,
    start: np.ndarray,
    drift: np.ndarray,
    spacing: np.ndarray,
    part: np.ndarray,
    longest: float,
    limit: float,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(x, good) of every lane; see :func:`forward_models.normal_modes.paths.follow`."""
    # Guides of as many steps go together.
    order = np.argsort(np.diff(items.first)[lanes.item], kind="stable")
    x, good = np.empty(start.size, np.complex128), np.empty(start.size, bool)
    x[order], good[order] = follow(
        start[order].astype(np.complex128),
        drift[order],
        spacing[order],
        part[order],
        longest,
        limit,
        tolerance,
        lanes.item[order],
        lanes.node[order],
        *items.guides,
    )
    return x, good


def settled(x: np.ndarray, move: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """x after its last Newton ``move``, or as it is where that says that no root is near.

    ``distance`` is that to the next root.
    """
    return x + np.where(np.abs(move) < _NEAR * distance, move, 0.0)


def mode_functions_of(
    items: Items, lanes: Lanes, x: np.ndarray, loss: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's move (lane,) from x to its root, and (lane, D) φ of x at the depths (items, D)."""
    if len(lanes) == 0:
        return np.empty(0, np.complex128), np.empty((0, depth.shape[1]), np.complex128)
    return mode_functions(
        x,
        loss,
        np.ascontiguousarray(depth),
        *lanes.blocks(),
        *items.guides,
    )
