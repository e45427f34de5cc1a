"""Real shooting with the first-order effect of loss beside it; see ``normal_modes.lossless``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from forward_models.normal_modes.steps import H2, HRHO, INV_HRHO, Q0I, Q0R, V1I, V1R, V2I, V2R
from forward_models.torch_modes.blocks import Passage, run
from forward_models.torch_modes.propagator import (
    Transfer,
    added,
    advance,
    advance_derivative,
    eta_functions,
    scaled,
    transfer,
    transfer_by_moments,
    transfer_by_z,
)
from forward_models.torch_modes.shots import Ends, make_shots, passage_of
from forward_models.torch_modes.states import real_starts, rescaled
from forward_models.torch_modes.table import Lanes, Table

_COLUMNS = (H2, HRHO, INV_HRHO, Q0R, Q0I, V1R, V1I, V2R, V2I)


def lossless(
    table: Table, lanes: Lanes, ends: Ends, x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """(W, ∂W/∂x, Im ∂W/∂loss) of each lane of the lossless guide, with one common factor."""
    shots = make_shots(table, lanes, ends)
    at = x[shots.lane]
    state = torch.stack(real_starts(table, lanes, ends, x))[:, shots.order].to(dtype)
    if table.kernels:
        table.kernels.carry_lossless(table, shots, at, state)
    for block in shots.blocks:
        n = block.alive
        run(carry, passage_of(shots, table, block), [at[:n]], [row[:n] for row in state])
    above, below = shots.unsorted(state.to(torch.float64))
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
    passage: Passage, shot: Sequence[Tensor], state: Sequence[Tensor]
) -> tuple[list[Tensor], None]:
    """φ, ψ, their derivatives by x and by the loss after a block; ``shot`` is x."""
    (x,), (f, g, fx, gx, fl, gl) = shot, state
    dtype = f.dtype

    def matrices(columns: list[Tensor]) -> tuple[Transfer, ...]:
        h2, hrho, inv_hrho, q0, q0_loss, v1, v1_loss, v2, v2_loss = columns
        z, z_loss = (h2 * (x - q0)).to(dtype), (-h2 * q0_loss).to(dtype)
        hrho, inv_hrho, v1, v1_loss = (
            (passage.sign * c).to(dtype) for c in (hrho, inv_hrho, v1, v1_loss)
        )
        h2, v2, v2_loss = (c.to(dtype) for c in (h2, v2, v2_loss))
        eta = eta_functions(z)
        by_z = transfer_by_z(z, v1, v2, hrho, inv_hrho, eta)
        by_moments = transfer_by_moments(z, v1, v1_loss, v2_loss, hrho, inv_hrho, eta)
        p = transfer(z, v1, v2, hrho, inv_hrho, eta)
        return p, scaled(by_z, h2), added(scaled(by_z, z_loss), by_moments)

    for p, by_x, by_loss in passage.each(_COLUMNS, matrices):
        fx, gx = advance_derivative(p, by_x, f, g, fx, gx)
        fl, gl = advance_derivative(p, by_loss, f, g, fl, gl)
        f, g = advance(p, f, g)
    return rescaled([f, g, fx, gx, fl, gl], f.abs() + g.abs())[0], None
