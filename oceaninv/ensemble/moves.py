"""Proposals of an ensemble sampler, and the emcee move that applies them to many ensembles.

emcee drives the chain. The proposals are our own for two reasons: several independent ensembles
advance in step here, so that one batched likelihood call serves them all; and emcee 3.1.6's
`DESnookerMove` does not keep the target (on a standard normal in 5 dimensions it settles at a
variance of 0.7), because its projection is not divided by the distance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from emcee.moves.move import Move
from emcee.state import State
from numpy.typing import NDArray

Array = NDArray[np.float64]
Proposal = Callable[[Array, Array, np.random.RandomState], tuple[Array, Array]]


class BlockMove(Move):
    """One proposal, applied within each of `blocks` independent ensembles of equal size.

    Each ensemble is split at random into two halves, and the walkers of one half move with the
    help of the other half only (Foreman-Mackey et al. 2013, PASP 125, 306, algorithm 3).
    """

    def __init__(self, proposal: Proposal, blocks: int) -> None:
        self.proposal = proposal
        self.blocks = blocks

    def propose(self, model: Any, state: State) -> tuple[State, NDArray[np.bool_]]:
        """Move every walker once; called by emcee."""
        n = len(state.coords)
        accepted = np.zeros(n, dtype=bool)
        order = np.arange(n).reshape(self.blocks, -1)
        for block in order:
            model.random.shuffle(block)
        half = order.shape[1] // 2
        for moving, helping in (
            (order[:, :half], order[:, half:]),
            (order[:, half:], order[:, :half]),
        ):
            parts = [
                self.proposal(state.coords[m], state.coords[h], model.random)
                for m, h in zip(moving, helping, strict=True)
            ]
            index = moving.ravel()
            proposed = np.concatenate([q for q, _ in parts])
            log_factor = np.concatenate([f for _, f in parts])
            log_prob, _ = model.compute_log_prob_fn(proposed)
            gain = log_factor + log_prob - state.log_prob[index]
            take = gain > np.log(model.random.rand(len(index)))
            state.coords[index[take]] = proposed[take]
            state.log_prob[index[take]] = log_prob[take]
            accepted[index[take]] = True
        return state, accepted


def moves(blocks: int) -> list[tuple[Move, float]]:
    """The mixture of proposals, with the share of steps of each."""
    return [
        (BlockMove(differential_evolution, blocks), 0.5),
        (BlockMove(mode_jump, blocks), 0.1),
        (BlockMove(snooker, blocks), 0.2),
        (BlockMove(stretch, blocks), 0.2),
    ]


def differential_evolution(
    x: Array, helpers: Array, random: np.random.RandomState
) -> tuple[Array, Array]:
    r"""Move along the difference of two helpers, $x' = x + \gamma (z_1 - z_2)$.

    $\gamma = 2.38 / \sqrt{2d}$, jittered by 10 % (ter Braak 2006, Stat. Comput. 16, 239; Nelson et
    al. 2014, ApJS 210, 11). Symmetric, hence the factor is 1.
    """
    gamma = 2.38 / np.sqrt(2 * x.shape[1]) * (1.0 + 0.1 * random.randn(len(x), 1))
    return _difference(x, helpers, gamma, random)


def mode_jump(x: Array, helpers: Array, random: np.random.RandomState) -> tuple[Array, Array]:
    r"""Move by the whole difference of two helpers, which carries a walker to another mode.

    $\gamma = 1$ up to a jitter of 0.001 (ter Braak 2006, section 2).
    """
    return _difference(x, helpers, 1.0 + 0.001 * random.randn(len(x), 1), random)


def snooker(x: Array, helpers: Array, random: np.random.RandomState) -> tuple[Array, Array]:
    r"""Move along the line through x and a helper z, as far as two others differ along it.

    $x' = x + \gamma\, u u^T (z_1 - z_2)$ with $u = (x - z)/|x - z|$ and $\gamma = 1.7$; the factor
    is $(|x' - z| / |x - z|)^{d-1}$ (ter Braak & Vrugt 2008, Stat. Comput. 18, 435, eq. 2 and 3).
    """
    n, d = x.shape
    z, z1, z2 = helpers[_distinct(len(helpers), n, 3, random)].swapaxes(0, 1)
    distance = np.linalg.norm(x - z, axis=1)
    # A walker may coincide with its helper just after resampling: it then stays where it is.
    apart = distance > 0
    u = (x - z) / np.where(apart, distance, 1.0)[:, None]
    step = 1.7 * np.sum(u * (z1 - z2), axis=1)
    ratio = np.where(apart, np.abs(distance + step) / np.where(apart, distance, 1.0), 1.0)
    with np.errstate(divide="ignore"):
        return x + step[:, None] * u, (d - 1) * np.log(ratio)


def stretch(x: Array, helpers: Array, random: np.random.RandomState) -> tuple[Array, Array]:
    r"""Stretch the line from a helper, $x' = z + s (x - z)$.

    $s$ has the density $g(s) \propto s^{-1/2}$ on [1/2, 2] and the factor is $s^{d-1}$
    (Goodman & Weare 2010, CAMCoS 5, 65, eq. 7).
    """
    n, d = x.shape
    s = 0.5 * (1.0 + random.rand(n)) ** 2
    z = helpers[random.randint(len(helpers), size=n)]
    return z + s[:, None] * (x - z), (d - 1) * np.log(s)


def _difference(
    x: Array, helpers: Array, gamma: Array, random: np.random.RandomState
) -> tuple[Array, Array]:
    z1, z2 = helpers[_distinct(len(helpers), len(x), 2, random)].swapaxes(0, 1)
    return x + gamma * (z1 - z2), np.zeros(len(x))


def _distinct(n: int, rows: int, k: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Rows of k distinct indices below n, (rows, k)."""
    return np.argsort(random.rand(rows, n), axis=1)[:, :k]
