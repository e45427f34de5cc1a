"""Complex pressure and propagation loss as sums of modes.

    p(r, z) = i √(2π/r) exp(-iπ/4) / ρ(z_s) · Σ φ(z_s) φ(z) exp(ikr) / √k

(Jensen et al., *Computational Ocean Acoustics*, eq. 5.13, normalised to 1 at 1 m), with exp(-iωt).
It is the discrete part of the field: modes above the half-space speed or ``c_high`` are left out,
which shows at ranges below a few water depths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit
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
from forward_models.normal_modes.solve import Attenuation, solve_chunk

_ROOT_I = complex(math.sqrt(0.5), math.sqrt(0.5))


def pressure(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
) -> Tensor:
    """Complex pressure on a grid, normalised to 1 at 1 m: (B, F, S, R, K).

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        source_depth: (S,) m, in the water.
        receiver_depth: (R,) m, in any medium.
        range_m: (K,) m, above zero.
        c_high, attenuation: as for :func:`forward_models.solve_modes`.

    Raises:
        ModelInputError: a source outside the water, a range that is not positive, a bad medium.
    """
    problem = make_problem(environment, frequency, c_high)
    source, receiver, ranges = (
        np.atleast_1d(as_tensor(v).numpy()) for v in (source_depth, receiver_depth, range_m)
    )
    batch = len(problem)
    depth = np.broadcast_to(
        np.concatenate([source, receiver]), (batch, source.size + receiver.size)
    )
    s, r, k = np.meshgrid(
        np.arange(source.size),
        source.size + np.arange(receiver.size),
        np.arange(ranges.size),
        indexing="ij",
    )
    distance = np.broadcast_to(ranges[k.ravel()], (batch, k.size))
    result = _pairs(environment, problem, depth, s.ravel(), r.ravel(), distance, attenuation)
    return torch.from_numpy(result.reshape(*result.shape[:2], *s.shape))


def array_pressure(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
) -> Tensor:
    """Complex pressure at the elements of an array, each with its own depth and range: (B, F, R).

    One source and one array shape for each environment, so that tilted, bowed and drifting arrays
    need nothing more; an environment without modes gives NaN.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        source_depth: (B,) m.
        receiver_depth: (B, R) m.
        range_m: (B, R) m.
        c_high, attenuation: as for :func:`forward_models.solve_modes`.

    Raises:
        ModelInputError: a source outside the water, a range that is not positive, a bad medium.
    """
    problem = make_problem(environment, frequency, c_high)
    batch = len(problem)
    source = np.broadcast_to(as_tensor(source_depth).numpy(), (batch,))
    receiver = as_tensor(receiver_depth).numpy()
    receiver = np.broadcast_to(receiver, (batch, receiver.shape[-1]))
    distance = np.broadcast_to(as_tensor(range_m).numpy(), receiver.shape)
    depth = np.concatenate([source[:, None], receiver], axis=1)
    elements = np.arange(receiver.shape[1])
    result = _pairs(
        environment,
        problem,
        depth,
        np.zeros_like(elements),
        elements + 1,
        distance,
        attenuation,
    )
    return torch.from_numpy(result)


def transmission_loss(p: Tensor) -> Tensor:
    """Propagation loss -20 lg|p| in dB re 1 m of a pressure normalised to 1 at 1 m."""
    return -20.0 * torch.log10(p.abs())


def _pairs(
    environment: Environment,
    problem: Problem,
    depth: np.ndarray,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: np.ndarray,
    attenuation: Attenuation,
) -> np.ndarray:
    """(B, F, P) pressure for pairs of columns of ``depth``, ``distance`` apart."""
    water = environment.water_depth.numpy()
    _require(
        depth[:, np.unique(source)],
        lambda z: (z >= 0) & (z <= water[:, None]),
        "source_depth",
        "between the surface and the seabed",
    )
    _require(depth[:, np.unique(receiver)], lambda z: z >= 0, "receiver_depth", "zero or more")
    _require(distance, lambda r: (r > 0) & np.isfinite(r), "range", "finite and above zero")
    result = np.empty((len(problem), problem.omega.size, source.size), np.complex128)
    distance = np.ascontiguousarray(distance)

    def work(rows: slice) -> None:
        modes = solve_chunk(problem, rows, depth[rows], attenuation, speeds=False)
        sum_modes(modes.first, modes.k, modes.phi, source, receiver, distance[rows], result[rows])

    in_parallel(work, len(problem))
    first = np.argmax(problem.thickness > 0, axis=1)
    return result / problem.rho[np.arange(len(problem)), first][:, None, None]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp", "reassoc"})
def sum_modes(
    first: np.ndarray,
    k: np.ndarray,
    phi: np.ndarray,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: np.ndarray,
    pressure: np.ndarray,
) -> None:
    """Fills pressure (batch, frequency, pair), the density at the source left to the caller.

    Pair p joins depth columns source[p] and receiver[p] over distance[b, p] (m). NaN where there is
    no mode.
    """
    n_frequency = pressure.shape[1]
    for b in range(pressure.shape[0]):
        # Pairs at one distance share exp(ikr): they are neighbours in the order of distance.
        order = np.argsort(distance[b])
        for f in range(n_frequency):
            start, stop = first[b * n_frequency + f], first[b * n_frequency + f + 1]
            if start == stop:
                pressure[b, f, :] = complex(math.nan, math.nan)
                continue
            travelled = np.empty(stop - start, np.complex128)
            r = -1.0
            for p in order:
                if distance[b, p] != r:
                    r = distance[b, p]
                    for m in range(start, stop):
                        travelled[m - start] = np.exp(1j * k[m] * r) / np.sqrt(k[m] * r)
                total = 0j
                for m in range(start, stop):
                    total += phi[m, source[p]] * phi[m, receiver[p]] * travelled[m - start]
                # i √2π exp(-iπ/4) = √2π √i
                pressure[b, f, p] = total * math.sqrt(2.0 * math.pi) * _ROOT_I


def _require(
    values: np.ndarray, good: Callable[[np.ndarray], Any], name: str, condition: str
) -> None:
    bad = ~np.asarray(good(values))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ModelInputError(
            f"environment {row}: {name}: {values[row, column]:g} m must be {condition}"
        )
