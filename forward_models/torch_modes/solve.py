"""Modes and pressure of a batch of environments, found on a device and left there."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from forward_models.normal_modes.batch import Problem
from forward_models.normal_modes.chunk import Attenuation
from forward_models.torch_modes.chunk import DeviceModes, Precision
from forward_models.torch_modes.stream import Device, stream_modes

_TERMS = 1 << 22  # terms of mode sums that are held together
_TURN = complex(math.sqrt(math.pi), math.sqrt(math.pi))  # i √2π exp(-iπ/4) = √2π √i


def modes_on(
    device: Device,
    problem: Problem,
    depth: Tensor,
    attenuation: Attenuation,
    precision: Precision,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(k, φ, group speed, count) as ``solve_modes`` returns them; ``depth`` is (B, D) m."""
    found = [
        modes
        for _, modes in stream_modes(
            problem, depth, attenuation, device=device, precision=precision, speeds=True
        )
    ]
    counts = torch.cat([modes.counts for modes in found])
    most = int(counts.max())
    held = torch.arange(most, device=counts.device) < counts[:, None]

    def padded(values: Tensor) -> Tensor:
        filler = complex(math.nan, math.nan) if values.is_complex() else math.nan
        shape = (*held.shape, *values.shape[1:])
        whole = torch.full(shape, filler, dtype=values.dtype, device=values.device)
        whole[held] = values
        return whole.reshape(len(problem), problem.omega.size, *whole.shape[1:])

    k = padded(torch.cat([modes.k for modes in found]))
    phi = padded(torch.cat([modes.phi for modes in found]))
    speeds = [modes.group_speed for modes in found if modes.group_speed is not None]
    return k, phi, padded(torch.cat(speeds)), counts.reshape(len(problem), -1)


def pressure_on(
    device: Device,
    problem: Problem,
    depth: Tensor,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: Tensor,
    attenuation: Attenuation,
    precision: Precision,
) -> Tensor:
    """(B, F, Q, K) sum of modes but for the density at the source, NaN where there is no mode.

    Pair q joins the columns source[q] and receiver[q] of ``depth`` (B, D) m; ``distance`` (m) is
    (B, 1, K) where all pairs are at the same ranges, (B, Q, K) where each has its own.
    """
    parts = []
    for rows, modes in stream_modes(
        problem, depth, attenuation, device=device, precision=precision
    ):
        parts.append(_sum_modes(modes, source, receiver, distance[rows].to(modes.k.device)))
    shape = (len(problem), problem.omega.size, len(source), distance.shape[2])
    if not parts:
        return torch.empty(shape, dtype=torch.complex128, device=device)
    return torch.cat(parts).reshape(shape)


def _sum_modes(
    modes: DeviceModes, source: np.ndarray, receiver: np.ndarray, distance: Tensor
) -> Tensor:
    """(items, Q, K) mode sums, as many items at a time as memory allows."""
    device = modes.k.device
    shape = (modes.counts.numel(), len(source), distance.shape[2])
    if 0 in shape:
        return torch.empty(shape, dtype=modes.k.dtype, device=device)
    columns = [torch.from_numpy(c).to(device) for c in (source, receiver)]
    frequencies = modes.counts.numel() // distance.shape[0]
    none = (modes.counts == 0)[:, None, None]
    if modes.table.kernels:
        apart = distance[modes.lanes.item // frequencies]
        travelled = _travelled(modes.k[:, None, None], apart)
        result = modes.table.kernels.sum_modes(modes.phi, travelled, *columns, modes.counts)
        return torch.where(none, complex(math.nan, math.nan), _TURN * result)
    counts = modes.counts.cpu().numpy()
    last = np.cumsum(counts)
    result = torch.empty(shape, dtype=modes.k.dtype, device=device)
    limit = max(1, _TERMS // (shape[1] * shape[2]))
    a = 0
    while a < counts.size:
        start = last[a] - counts[a]
        b = max(a + 1, int(np.searchsorted(last, start + limit, side="right")))
        part = slice(int(start), int(last[b - 1]))
        k, phi = modes.k[part, None, None], modes.phi[part]
        apart = distance[modes.lanes.item[part] // frequencies]
        terms = (phi[:, columns[0]] * phi[:, columns[1]])[:, :, None] * _travelled(k, apart)
        result[a:b] = _segment_sums(terms, modes.counts[a:b])
        a = b
    return torch.where(none, complex(math.nan, math.nan), _TURN * result)


def _travelled(k: Tensor, distance: Tensor) -> Tensor:
    """What a range (m) makes of a mode."""
    return torch.exp(1j * k * distance) / torch.sqrt(k * distance)


def _segment_sums(terms: Tensor, counts: Tensor) -> Tensor:
    """Sums of as many rows each as ``counts`` says."""
    parts = torch.view_as_real(terms.contiguous())
    total = torch.segment_reduce(parts, "sum", lengths=counts, axis=0, unsafe=True)
    return torch.view_as_complex(total)
