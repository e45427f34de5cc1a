"""Complex shooting: the Wronskian whose zeros are the modes; see ``normal_modes.wronskian``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from forward_models.normal_modes.steps import H2, HRHO, INV_HRHO, Q0I, Q0R, V1I, V1R, V2I, V2R
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY, ALONG_LOSS, ALONG_X
from forward_models.torch_modes.blocks import Passage, run
from forward_models.torch_modes.lossless import unit_at
from forward_models.torch_modes.propagator import (
    Transfer,
    added,
    advance,
    advance_derivative,
    complex_eta_functions,
    scaled,
    transfer,
    transfer_by_moments,
    transfer_by_z,
)
from forward_models.torch_modes.shots import Block, Ends, Shots, make_shots, passage_of
from forward_models.torch_modes.states import complex_starts, rescaled
from forward_models.torch_modes.table import Lanes, Table

_COLUMNS = (H2, HRHO, INV_HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I)

# Called with a block, Re φ, Im φ, Re ψ and Im ψ after each of its steps (step, shot) and the
# logarithms of the scales taken out before it.
Watch = Callable[[Block, Sequence[Tensor], Tensor], None]


def wronskian(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    x: Tensor,
    loss: Tensor,
    dtype: torch.dtype,
    direction: int = ALONG_X,
) -> tuple[Tensor, Tensor, Tensor]:
    """(W, ∂W along ``direction``, scale) of each lane, from states of unit size at the match node.

    W and ∂W share a factor, of which ``scale`` is the logarithm taken out.
    """
    shots = make_shots(table, lanes, ends)
    above, below, logs = shoot(table, lanes, ends, shots, x, loss, dtype, direction)
    f, g, df, dg = above
    u, v, du, dv = below
    unit = unit_at(table, lanes, x)
    size = torch.hypot(f.abs(), unit * g.abs()) * torch.hypot(u.abs(), unit * v.abs()) / unit
    value = (f * v - u * g) / size
    change = (df * v + f * dv - du * g - u * dg) / size
    return value, change, size.log() + logs[0] + logs[1]


def drift_of(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    x: Tensor,
    loss: Tensor,
    dtype: torch.dtype,
    direction: int,
) -> Tensor:
    """dx/d(direction) of each root: -∂W/∂direction / ∂W/∂x, exact at a root."""
    _, change, scale = wronskian(table, lanes, ends, x, loss, dtype, direction)
    _, slope, unit = wronskian(table, lanes, ends, x, loss, dtype)
    return -change / slope * torch.exp(scale - unit)


def shoot(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    shots: Shots,
    x: Tensor,
    loss: Tensor,
    dtype: torch.dtype,
    direction: int = ALONG_X,
    watch: Watch | None = None,
    hanging: Any = None,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """States (φ, ψ, ∂φ, ∂ψ) at the nodes, from above and from below, and their log scales.

    States on the way are seen by ``watch``; kernels take ``kernels.Hanging``.
    """
    shot = [values[shots.lane] for values in (x.real, x.imag, loss)]
    starts = complex_starts(table, lanes, ends, x, loss, direction)
    state = torch.stack([part for row in starts for part in (row.real, row.imag)])
    state = state[:, shots.order].to(dtype)
    logs = torch.zeros_like(shot[0])
    if table.kernels:
        table.kernels.carry_complex(table, lanes, shots, shot, state, logs, direction, hanging)
    carry = _CARRIES[direction, watch is not None]
    if watch is not None:
        watch(Block(-1, 1, len(shots.lane)), [row[None] for row in state[:4]], logs)
    for block in shots.blocks:
        n = block.alive
        before = logs.clone() if watch is not None else logs
        passed = run(
            carry,
            passage_of(shots, table, block),
            [values[:n] for values in shot],
            [*(row[:n] for row in state), logs[:n]],
        )
        if watch is not None:
            watch(block, passed, before)
    parts = state.to(torch.float64)
    above, below = shots.unsorted(torch.complex(parts[0::2], parts[1::2]))
    return above, below, shots.unsorted(logs)


def _carry(
    direction: int,
    keep: bool,
    passage: Passage,
    shot: Sequence[Tensor],
    state: Sequence[Tensor],
) -> tuple[list[Tensor], list[Tensor] | None]:
    """φ, ψ, ∂φ, ∂ψ in real and imaginary parts and the log scale after a block.

    ``shot`` is Re x, Im x and the share of the loss. With ``keep`` also φ and ψ after each step, in
    parts (step, shot).
    """
    x_real, x_imag, loss = shot
    *parts, log = state
    dtype = parts[0].dtype

    def joined(real: Tensor, imag: Tensor) -> Tensor:
        return torch.complex(real.to(dtype), imag.to(dtype))

    def matrices(columns: list[Tensor]) -> tuple[Transfer, ...]:
        h2, hrho, inv_hrho, q0, q0_loss, v1_real, v1_imag, v2_real, v2_imag = columns
        v1_real, v1_imag = passage.sign * v1_real, passage.sign * v1_imag
        hrho, inv_hrho = (passage.sign * hrho).to(dtype), (passage.sign * inv_hrho).to(dtype)
        z = joined(h2 * (x_real - q0), h2 * (x_imag - loss * q0_loss))
        v1, v2 = joined(v1_real, loss * v1_imag), joined(v2_real, loss * v2_imag)
        eta = complex_eta_functions(z)
        p = transfer(z, v1, v2, hrho, inv_hrho, eta)
        by_z = transfer_by_z(z, v1, v2, hrho, inv_hrho, eta)
        if direction == ALONG_X:
            return p, scaled(by_z, h2.to(dtype))
        of_real = 2.0 if direction == ALONG_FREQUENCY else 0.0
        of_imag = of_real * loss + (1.0 if direction == ALONG_LOSS else 0.0)
        dz = joined(-of_real * h2 * q0, -of_imag * h2 * q0_loss)
        dv1 = joined(of_real * v1_real, of_imag * v1_imag)
        dv2 = joined(of_real * v2_real, of_imag * v2_imag)
        by_moments = transfer_by_moments(z, v1, dv1, dv2, hrho, inv_hrho, eta)
        return p, added(scaled(by_z, dz), by_moments)

    f, g, df, dg = (torch.complex(*parts[i : i + 2]) for i in (0, 2, 4, 6))
    passed: list[tuple[Tensor, ...]] = []
    for p, d in passage.each(_COLUMNS, matrices):
        df, dg = advance_derivative(p, d, f, g, df, dg)
        f, g = advance(p, f, g)
        passed.append((f.real, f.imag, g.real, g.imag))
    rows = [part for value in (f, g, df, dg) for part in (value.real, value.imag)]
    new, factor = rescaled(rows, torch.stack(rows[:4]).abs().sum(dim=0))
    kept = [torch.stack(part) for part in zip(*passed, strict=True)] if keep else None
    return [*new, log - factor.to(log.dtype).log()], kept


_CARRIES = {
    (direction, keep): functools.partial(_carry, direction, keep)
    for direction in (ALONG_X, ALONG_LOSS, ALONG_FREQUENCY)
    for keep in (False, True)
}
