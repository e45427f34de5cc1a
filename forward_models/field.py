"""Complex pressure and propagation loss as sums of modes.

    p(r, z) = i √(2π/r) exp(-iπ/4) / ρ(z_s) · Σ φ(z_s) φ(z) exp(ikr) / √k

(Jensen et al., *Computational Ocean Acoustics*, eq. 5.13, normalised to 1 at 1 m), with exp(-iωt).
It is the discrete part of the field: modes above the half-space speed or ``c_high`` are left out,
which shows at ranges below a few water depths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
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
from forward_models.normal_modes.chunk import Attenuation, ModeList, solve_chunk
from forward_models.normal_modes.gradients import Cotangents, require_exact
from forward_models.normal_modes.items import mode_functions_of
from forward_models.torch_modes import Device, Precision, pressure_on, require_double

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
    device: Device | None = None,
    precision: Precision = "double",
) -> Tensor:
    """Complex pressure on a grid, normalised to 1 at 1 m: (B, F, S, R, K).

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        source_depth: (S,) m, in the water.
        receiver_depth: (R,) m, in any medium.
        range_m: (K,) m, above zero.
        c_high, attenuation, device, precision: as for :func:`forward_models.solve_modes`.

    Raises:
        ModelInputError: a source outside the water, a range that is not positive, a bad medium.
    """
    problem = make_problem(environment, frequency, c_high)
    source, receiver, ranges = (
        torch.atleast_1d(as_tensor(v)) for v in (source_depth, receiver_depth, range_m)
    )
    depth = torch.cat([source, receiver])
    if device is not None:
        s, r = np.meshgrid(
            np.arange(source.numel()), source.numel() + np.arange(receiver.numel()), indexing="ij"
        )
        result = _pairs_on(
            device,
            environment,
            problem,
            depth.expand(len(problem), -1),
            s.ravel(),
            r.ravel(),
            ranges.expand(len(problem), 1, -1),
            attenuation,
            precision,
        )
        return result.reshape(*result.shape[:2], *s.shape, -1)
    require_double(precision)
    s, r, k = np.meshgrid(
        np.arange(source.numel()),
        source.numel() + np.arange(receiver.numel()),
        np.arange(ranges.numel()),
        indexing="ij",
    )
    result = _pairs(
        environment,
        problem,
        depth.expand(len(problem), -1),
        s.ravel(),
        r.ravel(),
        ranges[k.ravel()].expand(len(problem), -1),
        attenuation,
    )
    return result.reshape(*result.shape[:2], *s.shape)


def array_pressure(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    device: Device | None = None,
    precision: Precision = "double",
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
        c_high, attenuation, device, precision: as for :func:`forward_models.solve_modes`.

    Raises:
        ModelInputError: a source outside the water, a range that is not positive, a bad medium.
    """
    problem = make_problem(environment, frequency, c_high)
    batch = len(problem)
    source = as_tensor(source_depth).expand(batch)
    receiver = as_tensor(receiver_depth)
    receiver = receiver.expand(batch, receiver.shape[-1])
    elements = np.arange(receiver.shape[1])
    depth = torch.cat([source[:, None], receiver], dim=1)
    pairs = (np.zeros_like(elements), elements + 1)
    distance = as_tensor(range_m).expand(receiver.shape)
    if device is not None:
        return _pairs_on(
            device,
            environment,
            problem,
            depth,
            *pairs,
            distance[:, :, None],
            attenuation,
            precision,
        )[..., 0]
    require_double(precision)
    return _pairs(environment, problem, depth, *pairs, distance, attenuation)


def transmission_loss(p: Tensor) -> Tensor:
    """Propagation loss -20 lg|p| in dB re 1 m of a pressure normalised to 1 at 1 m."""
    return -20.0 * torch.log10(p.abs())


def _pairs(
    environment: Environment,
    problem: Problem,
    depth: Tensor,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: Tensor,
    attenuation: Attenuation,
) -> Tensor:
    """(B, F, P) pressure for pairs of columns of ``depth``, ``distance`` (B, P) apart."""
    _require_places(environment, depth, source, receiver, distance)
    result = _Pressure.apply(
        problem, source, receiver, attenuation, distance, depth, *problem.media
    )
    return result / _source_density(environment, problem)[:, None, None]


def _pairs_on(
    device: Device,
    environment: Environment,
    problem: Problem,
    depth: Tensor,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: Tensor,
    attenuation: Attenuation,
    precision: Precision,
) -> Tensor:
    """(B, F, P, K) pressure on a device; ``distance`` is (B, P, K), or (B, 1, K) for all pairs."""
    _require_places(environment, depth, source, receiver, distance.flatten(1))
    result = pressure_on(device, problem, depth, source, receiver, distance, attenuation, precision)
    density = _source_density(environment, problem).to(result.device)
    return result / density[:, None, None, None]


def _require_places(
    environment: Environment,
    depth: Tensor,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: Tensor,
) -> None:
    """Raises ModelInputError for a place where no source or receiver can be."""
    water = environment.water_depth.detach()[:, None]
    at = depth.detach()
    _require(
        at[:, np.unique(source)],
        lambda z: (z >= 0) & (z <= water),
        "source_depth",
        "between the surface and the seabed",
    )
    _require(at[:, np.unique(receiver)], lambda z: z >= 0, "receiver_depth", "zero or more")
    _require(
        distance.detach(), lambda r: (r > 0) & torch.isfinite(r), "range", "finite and above zero"
    )


def _source_density(environment: Environment, problem: Problem) -> Tensor:
    """(B,) g/cm³ of the water."""
    first = torch.from_numpy(np.argmax(problem.thickness > 0, axis=1))
    return environment.density[torch.arange(len(problem)), first] / 1000.0


class _Pressure(torch.autograd.Function):
    """The sum of modes, but for the density at the source."""

    @staticmethod
    def forward(
        ctx: Any,
        problem: Problem,
        source: np.ndarray,
        receiver: np.ndarray,
        attenuation: Attenuation,
        distance: Tensor,
        depth: Tensor,
        *media: Tensor,
    ) -> Tensor:
        require_exact(attenuation, ctx.needs_input_grad)
        at, apart = np.ascontiguousarray(depth.numpy()), np.ascontiguousarray(distance.numpy())
        result = np.empty((len(problem), problem.omega.size, source.size), np.complex128)
        kept: dict[int, ModeList] = {}

        def work(rows: slice) -> None:
            modes = solve_chunk(problem, rows, at[rows], attenuation, speeds=False)
            sum_modes(modes.first, modes.k, modes.phi, source, receiver, apart[rows], result[rows])
            if any(ctx.needs_input_grad):
                kept[rows.start] = replace(modes, phi=np.empty((0, 0)))

        in_parallel(work, len(problem))
        ctx.problem, ctx.pairs, ctx.kept = problem, (source, receiver), kept
        ctx.at, ctx.apart = at, apart
        return torch.from_numpy(result)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        problem, (source, receiver) = ctx.problem, ctx.pairs
        g_pressure = gradients[0].conj().resolve_conj().contiguous().numpy()
        cotangents = Cotangents.zeros(problem, ctx.at)
        g_distance = np.zeros(ctx.apart.shape)

        def work(rows: slice) -> None:
            modes = ctx.kept[rows.start]
            depth = np.repeat(ctx.at[rows], problem.omega.size, axis=0)
            one = np.ones(modes.x.size)
            phi = mode_functions_of(problem.items(rows), modes.lanes, modes.x, one, depth)
            g_k, g_phi = sum_cotangents(
                modes.first,
                modes.k,
                phi,
                source,
                receiver,
                ctx.apart[rows],
                g_pressure[rows],
                g_distance[rows],
            )
            cotangents.add(rows, modes, g_k, g_phi)

        in_parallel(work, len(problem))
        distance = torch.from_numpy(g_distance)
        return (None, None, None, None, distance, *cotangents.as_gradients())


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


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp", "reassoc"})
def sum_cotangents(
    first: np.ndarray,
    k: np.ndarray,
    phi: np.ndarray,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: np.ndarray,
    g_pressure: np.ndarray,
    g_distance: np.ndarray,
) -> Any:
    """(g_k, g_phi), cotangents of what ``sum_modes`` sums; adds to g_distance (batch, pair)."""
    g_k, g_phi = np.zeros_like(k), np.zeros_like(phi)
    n_frequency = g_pressure.shape[1]
    for b in range(g_pressure.shape[0]):
        order = np.argsort(distance[b])
        for f in range(n_frequency):
            start, stop = first[b * n_frequency + f], first[b * n_frequency + f + 1]
            travelled = np.empty(stop - start, np.complex128)
            r = -1.0
            for p in order:
                if distance[b, p] != r:
                    r = distance[b, p]
                    for m in range(start, stop):
                        travelled[m - start] = np.exp(1j * k[m] * r) / np.sqrt(k[m] * r)
                g = g_pressure[b, f, p] * math.sqrt(2.0 * math.pi) * _ROOT_I
                for m in range(start, stop):
                    one, other = phi[m, source[p]], phi[m, receiver[p]]
                    share = g * travelled[m - start]
                    g_phi[m, source[p]] += share * other
                    g_phi[m, receiver[p]] += share * one
                    share *= one * other
                    g_k[m] += share * (1j * r - 0.5 / k[m])
                    g_distance[b, p] += (share * (1j * k[m] - 0.5 / r)).real
    return g_k, g_phi


def _require(values: Tensor, good: Callable[[Tensor], Tensor], name: str, condition: str) -> None:
    bad = ~good(values)
    if bad.any():
        row, column = torch.nonzero(bad)[0].tolist()
        raise ModelInputError(
            f"environment {row}: {name}: {float(values[row, column]):g} m must be {condition}"
        )
