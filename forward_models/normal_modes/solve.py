"""Normal modes of a batch of environments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import (
    Numbers,
    Problem,
    as_tensor,
    in_parallel,
    make_problem,
)
from forward_models.normal_modes.complex_modes import complex_modes
from forward_models.normal_modes.items import Items, Lanes, drift_of, lossless_of
from forward_models.normal_modes.mode_functions import mode_functions
from forward_models.normal_modes.real_modes import choose_nodes, count_modes, real_modes
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY

Attenuation = Literal["exact", "perturbative"]


@dataclass(frozen=True)
class Modes:
    """Normal modes of B environments at F frequencies, at most M each, at D depths.

    Attributes:
        frequency: (F,) Hz.
        depth: (D,) or (B, D) m.
        wavenumber: (B, F, M) rad/m, complex, Im k ≥ 0 decays; by decreasing real part, NaN-padded.
        mode_function: (B, F, M, D), ∫φ²/ρ dz = 1 over all media with ρ in g/cm³.
        group_speed: (B, F, M) m/s.
        n_modes: (B, F).
    """

    frequency: Tensor
    depth: Tensor
    wavenumber: Tensor
    mode_function: Tensor
    group_speed: Tensor
    n_modes: Tensor


@dataclass(frozen=True)
class ModeList:
    """The modes of a chunk of items in one list, by item and decreasing Re k.

    ``first[i]`` to ``first[i + 1]`` are those of item i; ``phi`` is (mode, depth). Group speeds are
    there only when asked for: they cost as much again as the roots.
    """

    first: np.ndarray
    k: np.ndarray
    phi: np.ndarray
    group_speed: np.ndarray | None


def solve_modes(
    environment: Environment,
    frequency: Numbers,
    *,
    depth: Numbers = (),
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
) -> Modes:
    """Trapped modes of every environment at every frequency: all of them, by an oscillation count.

    The depth equation is Jensen, Kuperman, Porter & Schmidt, *Computational Ocean Acoustics*
    (2011), eq. 5.3. A mode belongs to the set when its phase speed in the real problem of the
    perturbative treatment is below ``c_high`` and below the sound speed of the half-space.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        depth: (D,) or (B, D) m where the mode functions are wanted.
        c_high: largest phase speed, m/s; None sets no limit but the half-space.
        attenuation: ``"exact"`` solves for complex modes; ``"perturbative"`` takes real modes with
            first-order loss, as KRAKEN does, and is wrong by factors in slow lossy sediments.

    Raises:
        ModelInputError: values that no medium can have, named.

    Example (Pekeris guide at 20 Hz, one mode):

        >>> from forward_models import Environment, HalfSpace, Layer, solve_modes
        >>> guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
        >>> modes = solve_modes(guide, [20.0], depth=[36.0])
        >>> int(modes.n_modes), round(float(modes.wavenumber[0, 0, 0].real), 6)
        (1, 0.080516)
    """
    problem = make_problem(environment, frequency, c_high)
    depths = as_tensor(depth)
    per_environment = np.broadcast_to(depths.numpy(), (len(problem), depths.shape[-1]))
    lists: dict[int, ModeList] = {}

    def solve(rows: slice) -> None:
        lists[rows.start] = solve_chunk(
            problem, rows, per_environment[rows], attenuation, speeds=True
        )

    in_parallel(solve, len(problem))
    in_order = [lists[start] for start in sorted(lists)]
    counts = np.concatenate([np.diff(modes.first) for modes in in_order])
    shape = (counts.size, int(counts.max(initial=0)))
    k = np.full(shape, np.nan + 1j * np.nan)
    speed = np.full(shape, np.nan)
    phi = np.full((*shape, depths.shape[-1]), np.nan + 1j * np.nan)
    held = np.arange(shape[1]) < counts[:, None]
    k[held] = np.concatenate([modes.k for modes in in_order])
    phi[held] = np.concatenate([modes.phi for modes in in_order])
    speed[held] = np.concatenate([modes.group_speed for modes in in_order])
    grid = (len(problem), problem.omega.size)

    def shaped(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.reshape(*grid, *values.shape[1:]))

    return Modes(
        frequency=torch.from_numpy(problem.omega / (2.0 * np.pi)),
        depth=depths,
        wavenumber=shaped(k),
        mode_function=shaped(phi),
        group_speed=shaped(speed),
        n_modes=shaped(counts),
    )


def solve_chunk(
    problem: Problem, rows: slice, depth: np.ndarray, attenuation: Attenuation, *, speeds: bool
) -> ModeList:
    """Modes of the environments ``rows`` at all frequencies; ``depth`` is (rows, D) m.

    Raises:
        ModelInputError: ``attenuation`` is neither ``"exact"`` nor ``"perturbative"``.
    """
    if attenuation not in ("exact", "perturbative"):
        raise ModelInputError(
            f"attenuation: {attenuation!r} is unknown; use 'exact' or 'perturbative'"
        )
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
    x -= value / slope
    drift = -1j * change / slope
    if exact:
        lossy = items.lossy()[lanes.item]
        x[lossy] = complex_modes(items, lanes[lossy], x[lossy], drift[lossy])
        k = np.sqrt(x)
    else:
        k = np.sqrt(x + drift)
    phi = _mode_functions(items, lanes, x, loss, np.repeat(depth, problem.omega.size, axis=0))
    order = np.lexsort((-k.real, lanes.item))
    group_speed = None
    if speeds:
        # dx/dω at ω = 1 for k² ∝ ω²: ω dx/dω, and dk/dω = (dx/dω) / 2k.
        change = drift_of(items, lanes, x, loss, ALONG_FREQUENCY)
        omega = np.tile(problem.omega, len(items) // problem.omega.size)[lanes.item]
        group_speed = (1.0 / (change / (2.0 * omega * np.sqrt(x))).real)[order]
    first = np.concatenate([[0], np.cumsum(counts)])
    return ModeList(first, k[order], phi[order], group_speed)


def _mode_functions(
    items: Items, lanes: Lanes, x: np.ndarray, loss: np.ndarray, depth: np.ndarray
) -> np.ndarray:
    if len(lanes) == 0 or depth.shape[1] == 0:
        return np.empty((len(lanes), depth.shape[1]), np.complex128)
    return mode_functions(
        x,
        loss,
        np.ascontiguousarray(depth),
        *lanes.blocks(),
        items.steps,
        items.first,
        items.top,
        items.kind,
        items.q_bottom,
        items.rho_bottom,
    )
