"""Proposals of an ensemble sampler, and the emcee move that applies them to many ensembles.

emcee drives the chain. The proposals are our own for two reasons: several independent ensembles
advance in step here, so that one batched likelihood call serves them all; and emcee 3.1.6's
`DESnookerMove` does not keep the target (on a standard normal in 5 dimensions it settles at a
variance of 0.7), because its projection is not divided by the distance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import emcee
import numpy as np
from emcee.moves.move import Move
from emcee.state import State
from numpy.typing import NDArray

from oceaninv.ensemble.draws import Array, LogDensity

Proposal = Callable[[Array, Array, np.random.RandomState], tuple[Array, Array]]
_DEGREES = 5.0


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


def ensemble_sampler(
    log_density: LogDensity, *, blocks: int, walkers: int, dim: int
) -> emcee.EnsembleSampler:
    """An emcee sampler of `blocks` independent ensembles of `walkers` each.

    Args:
        log_density: at (n, dim), as (n,).
        blocks: number of ensembles.
        walkers: of each.
        dim: number of unknowns.
    """
    sampler = emcee.EnsembleSampler(
        blocks * walkers, dim, log_density, moves=moves(blocks), vectorize=True
    )
    # emcee's wrapper prints the walkers and a traceback at every exception, Ctrl-C too
    sampler.log_prob_fn = log_density
    return sampler


def moves(blocks: int) -> list[tuple[Move, float]]:
    """The mixture of proposals, with the share of steps of each.

    On a posterior of twelve unknowns the first decorrelates in a third of the steps that the
    others need; these are for posteriors that no ellipsoid describes.
    """
    return [
        (BlockMove(crank_nicolson, blocks), 0.6),
        (BlockMove(differential_evolution, blocks), 0.2),
        (BlockMove(mode_jump, blocks), 0.1),
        (BlockMove(snooker, blocks), 0.1),
    ]


def crank_nicolson(x: Array, helpers: Array, random: np.random.RandomState) -> tuple[Array, Array]:
    r"""Step towards a fresh draw of a Student distribution that is fitted to the helpers.

    With mean m and covariance C of the helpers and $\delta(x) = (x - m)^T C^{-1} (x - m)$,

    $$x' = m + \sqrt{1 - \rho^2}\, (x - m) + \rho \sqrt{Z}\, C^{1/2} \xi, \quad
      Z \sim \mathrm{InvGamma}\big((d + \nu)/2,\ (\delta(x) + \nu)/2\big),$$

    is reversible for the Student distribution t of $\nu = 5$ degrees, and the factor is
    $t(x) / t(x')$ (Grumitt, Karamanis & Seljak 2024, Inverse Problems 40, 125008). $\rho$ is
    drawn anew for each walker, evenly between 0.7 and 1, which is a fresh draw, whatever x was.
    """
    n, d = x.shape
    mean, factor = helpers.mean(0), _covariance_factor(helpers)

    def distance(at: Array) -> Array:
        return np.square(np.linalg.solve(factor, (at - mean).T)).sum(0)

    before = distance(x)
    rho = 1.0 - 0.3 * random.rand(n, 1)
    scale = 0.5 * (before + _DEGREES) / random.gamma(0.5 * (d + _DEGREES), size=n)
    fresh = np.sqrt(scale)[:, None] * (random.randn(n, d) @ factor.T)
    moved = mean + np.sqrt(1 - rho**2) * (x - mean) + rho * fresh
    ratio = np.log1p(distance(moved) / _DEGREES) - np.log1p(before / _DEGREES)
    return moved, 0.5 * (d + _DEGREES) * ratio


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


def _covariance_factor(x: Array) -> Array:
    """Triangular factor of the covariance of few draws x (n, d), led towards its diagonal."""
    n, d = x.shape
    covariance = np.cov(x.T).reshape(d, d)
    variance = np.diagonal(covariance)
    covariance = (n * covariance + d * np.diag(variance)) / (n + d)
    # Draws that coincide, as just after resampling, have no spread at all.
    least = 1e-9 * variance.mean() + 1e-30
    return np.linalg.cholesky(covariance + least * np.eye(d))


def _difference(
    x: Array, helpers: Array, gamma: Array, random: np.random.RandomState
) -> tuple[Array, Array]:
    z1, z2 = helpers[_distinct(len(helpers), len(x), 2, random)].swapaxes(0, 1)
    return x + gamma * (z1 - z2), np.zeros(len(x))


def _distinct(n: int, rows: int, k: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Rows of k distinct indices below n, (rows, k)."""
    return np.argsort(random.rand(rows, n), axis=1)[:, :k]
