"""Real shooting with the first-order effect of loss beside it; see ``normal_modes.lossless``."""

from __future__ import annotations

import torch
from torch import Tensor

from forward_models.normal_modes.steps import H2, HRHO, INV_HRHO, Q0I, Q0R, V1I, V1R, V2I, V2R
from forward_models.torch_modes.propagator import (
    Transfer,
    eta_functions,
    transfer,
    transfer_by_moments,
    transfer_by_z,
)
from forward_models.torch_modes.shots import Ends, make_shots, rows_of
from forward_models.torch_modes.states import (
    advance,
    advance_derivative,
    each_step,
    real_starts,
    rescale,
)
from forward_models.torch_modes.table import Lanes, Table

_COLUMNS = (H2, HRHO, INV_HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I)


def lossless(
    table: Table, lanes: Lanes, ends: Ends, x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """(W, ∂W/∂x, Im ∂W/∂loss) of each lane of the lossless guide, with one common factor."""
    shots = make_shots(table, lanes, ends)
    at = x[shots.lane]
    state = [row[shots.order].to(dtype) for row in real_starts(table, lanes, ends, x)]
    for block in shots.blocks:
        n = block.alive
        columns = table.columns(_COLUMNS, rows_of(shots, table, block))
        new = carry(columns, at[:n], shots.sign[:n], *(row[:n] for row in state))
        for row, values in zip(state, new, strict=True):
            row[:n] = values
        rescale(state, n)
    above, below = shots.unsorted(torch.stack(state).to(torch.float64))
    f, g, fx, gx, fl, gl = above
    u, v, ux, vx, ul, vl = below
    unit = unit_at(table, lanes, x)
    size = torch.hypot(f, unit * g) * torch.hypot(u, unit * v) / unit
    value = (f * v - u * g) / size
    slope = (fx * v + f * vx - ux * g - u * gx) / size
    lossy = (fl * v + f * vl - ul * g - u * gl) / size
    return value, slope, lossy


def unit_at(table: Table, lanes: Lanes, x: Tensor) -> Tensor:
    """φ over ψ in size at the match node: a density over a vertical wavenumber."""
    row = table.first[lanes.item] + torch.minimum(lanes.node, table.size[lanes.item] - 1)
    q, h2, hrho = table.columns((Q0R, H2, HRHO), row)
    kappa = ((q - x.real).abs() + 1e-12 * x.abs()).sqrt()
    return hrho / (h2.sqrt() * kappa)


def carry(
    columns: list[Tensor],
    x: Tensor,
    sign: Tensor,
    f: Tensor,
    g: Tensor,
    fx: Tensor,
    gx: Tensor,
    fl: Tensor,
    gl: Tensor,
) -> tuple[Tensor, ...]:
    """φ, ψ and their derivatives by x and by the loss some steps further; columns (step, shot)."""
    dtype = f.dtype
    h2, hrho, inv_hrho, q0, q0_loss, v1, v1_loss, v2, v2_loss = columns
    z, z_loss = (h2 * (x - q0)).to(dtype), (-h2 * q0_loss).to(dtype)
    hrho, inv_hrho, v1, v1_loss = ((sign * c).to(dtype) for c in (hrho, inv_hrho, v1, v1_loss))
    h2, v2, v2_loss = (c.to(dtype) for c in (h2, v2, v2_loss))
    eta = eta_functions(z)
    p = transfer(z, v1, v2, hrho, inv_hrho, eta)
    by_z = transfer_by_z(z, v1, v2, hrho, inv_hrho, eta)
    by_loss = transfer_by_moments(z, v1, v1_loss, v2_loss, hrho, inv_hrho, eta)
    by_loss = Transfer(*(a * z_loss + b for a, b in zip(by_z, by_loss, strict=True)))
    by_x = Transfer(*(h2 * a for a in by_z))
    for here, d_x, d_loss in each_step(p, by_x, by_loss):
        fx, gx = advance_derivative(here, d_x, f, g, fx, gx)
        fl, gl = advance_derivative(here, d_loss, f, g, fl, gl)
        f, g = advance(here, f, g)
    return f, g, fx, gx, fl, gl
