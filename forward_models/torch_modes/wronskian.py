"""Complex shooting: the Wronskian whose zeros are the modes; see ``normal_modes.wronskian``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from forward_models.normal_modes.steps import H2, HRHO, INV_HRHO, Q0I, Q0R, V1I, V1R, V2I, V2R
from forward_models.normal_modes.wronskian import ALONG_FREQUENCY, ALONG_LOSS, ALONG_X
from forward_models.torch_modes.lossless import unit_at
from forward_models.torch_modes.propagator import (
    Transfer,
    complex_eta_functions,
    transfer,
    transfer_by_moments,
    transfer_by_z,
)
from forward_models.torch_modes.shots import Block, Ends, Shots, make_shots, rows_of
from forward_models.torch_modes.states import (
    advance,
    advance_derivative,
    complex_starts,
    each_step,
    rescale,
)
from forward_models.torch_modes.table import Lanes, Table

_COLUMNS = (H2, HRHO, INV_HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I)
_COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}

# Called with a block, φ and ψ after each of its steps (step, shot) and the logarithms of the scales
# taken out before it.
Watch = Callable[[Block, Tensor, Tensor, Tensor], None]


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
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """States (φ, ψ, ∂φ, ∂ψ) of all lanes at their nodes, from above and from below, and log scales."""
    at, share = x[shots.lane], loss[shots.lane]
    starts = complex_starts(table, lanes, ends, x, loss, direction)
    state = [row[shots.order].to(_COMPLEX[dtype]) for row in starts]
    logs = torch.zeros_like(share)
    if watch is not None:
        watch(Block(-1, 1, len(shots.lane)), state[0][None], state[1][None], logs)
    for block in shots.blocks:
        n = block.alive
        columns = table.columns(_COLUMNS, rows_of(shots, table, block))
        new, phi, psi = carry(
            columns, at[:n], share[:n], shots.sign[:n], direction, *(row[:n] for row in state)
        )
        for row, values in zip(state, new, strict=True):
            row[:n] = values
        if watch is not None:
            watch(block, torch.stack(phi), torch.stack(psi), logs)
        logs[:n] += rescale(state, n).log()
    above, below = shots.unsorted(torch.stack(state).to(torch.complex128))
    return above, below, shots.unsorted(logs)


def carry(
    columns: list[Tensor],
    x: Tensor,
    loss: Tensor,
    sign: Tensor,
    direction: int,
    f: Tensor,
    g: Tensor,
    df: Tensor,
    dg: Tensor,
) -> tuple[tuple[Tensor, ...], list[Tensor], list[Tensor]]:
    """φ, ψ, ∂φ, ∂ψ some steps further, and φ and ψ after each; columns are (step, shot)."""
    dtype, kind = f.real.dtype, f.dtype
    h2, hrho, inv_hrho, q0, q0_loss, v1_real, v1_imag, v2_real, v2_imag = columns
    v1_real, v1_imag = sign * v1_real, sign * v1_imag
    hrho, inv_hrho = (sign * hrho).to(dtype), (sign * inv_hrho).to(dtype)
    z = torch.complex(h2 * (x.real - q0), h2 * (x.imag - loss * q0_loss)).to(kind)
    v1 = torch.complex(v1_real, loss * v1_imag).to(kind)
    v2 = torch.complex(v2_real, loss * v2_imag).to(kind)
    eta = complex_eta_functions(z)
    p = transfer(z, v1, v2, hrho, inv_hrho, eta)
    by_z = transfer_by_z(z, v1, v2, hrho, inv_hrho, eta)
    if direction == ALONG_X:
        h2 = h2.to(dtype)
        change = Transfer(*(h2 * row for row in by_z))
    else:
        of_real = 2.0 if direction == ALONG_FREQUENCY else 0.0
        of_imag = of_real * loss + (1.0 if direction == ALONG_LOSS else 0.0)
        dz = torch.complex(-h2 * of_real * q0, -h2 * of_imag * q0_loss).to(kind)
        dv1 = torch.complex(of_real * v1_real, of_imag * v1_imag).to(kind)
        dv2 = torch.complex(of_real * v2_real, of_imag * v2_imag).to(kind)
        by_moments = transfer_by_moments(z, v1, dv1, dv2, hrho, inv_hrho, eta)
        change = Transfer(*(a * dz + b for a, b in zip(by_z, by_moments, strict=True)))
    phi, psi = [], []
    for here, d in each_step(p, change):
        df, dg = advance_derivative(here, d, f, g, df, dg)
        f, g = advance(here, f, g)
        phi.append(f)
        psi.append(g)
    return (f, g, df, dg), phi, psi
