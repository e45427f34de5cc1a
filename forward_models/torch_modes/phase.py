"""The phase Θ(x) that counts real modes; the definition is in ``normal_modes.phase``."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from forward_models.normal_modes.steps import H2, HRHO, INV_HRHO, Q0R, V1R, V2R
from forward_models.torch_modes.blocks import Passage, run
from forward_models.torch_modes.propagator import (
    Middle,
    Transfer,
    advance,
    advance_derivative,
    eta_functions,
    middle,
    scaled,
    transfer,
    transfer_by_z,
)
from forward_models.torch_modes.shots import Ends, make_shots, passage_of
from forward_models.torch_modes.states import real_starts, rescaled
from forward_models.torch_modes.table import Lanes, Table

_COLUMNS = (H2, HRHO, INV_HRHO, Q0R, V1R, V2R)


def phase(
    table: Table, lanes: Lanes, ends: Ends, x: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(Θ, dΘ/dx) at each x, float64; Θ = nπ at the mode of n interior zeros.

    ``ends`` hold for the x given or a smaller one; states are of type ``dtype``.
    """
    shots = make_shots(table, lanes, ends)
    at = x[shots.lane]
    starts = real_starts(table, lanes, ends, x)[:4]
    state = torch.stack([*starts, torch.zeros_like(starts[0])])[:, shots.order].to(dtype)
    if table.kernels:
        table.kernels.carry_phase(table, shots, at, state)
    for block in shots.blocks:
        n = block.alive
        run(carry, passage_of(shots, table, block), [at[:n]], [row[:n] for row in state])
    scale = scale_of(table, lanes)
    above, below = shots.unsorted(state.to(torch.float64))
    upper, slope = _angle(above, scale)
    lower, d_lower = _angle(below, scale)
    return math.pi * (above[4] + below[4]) + upper - lower, slope - d_lower


def scale_of(table: Table, lanes: Lanes) -> Tensor:
    """What φ is multiplied by before the angle of the state is taken.

    Any fixed positive scale gives the same roots; this one makes Θ nearly linear in phase.
    """
    h2, q0, inv_hrho = table.columns((H2, Q0R, INV_HRHO), table.first[lanes.item] + lanes.node)
    return ((q0 - table.x_min[lanes.item]).clamp(min=1e-12) * h2).sqrt() * inv_hrho


def carry(
    passage: Passage, shot: Sequence[Tensor], state: Sequence[Tensor]
) -> tuple[list[Tensor], None]:
    """φ, ψ, ∂φ/∂x, ∂ψ/∂x and the zeros of φ after a block; ``shot`` is x."""
    (x,), (f, g, df, dg, zeros) = shot, state
    dtype = f.dtype

    def matrices(columns: list[Tensor]) -> tuple[Transfer, Transfer, Middle]:
        h2, hrho, inv_hrho, q0, v1, v2 = columns
        # The difference of numbers that are nearly alike, before anything is rounded.
        z = (h2 * (x - q0)).to(dtype)
        hrho, inv_hrho, v1 = ((passage.sign * c).to(dtype) for c in (hrho, inv_hrho, v1))
        h2, v2 = h2.to(dtype), v2.to(dtype)
        eta = eta_functions(z)
        by_z = transfer_by_z(z, v1, v2, hrho, inv_hrho, eta)
        matrix = transfer(z, v1, v2, hrho, inv_hrho, eta)
        return matrix, scaled(by_z, h2), middle(z, hrho, eta)

    negative = f < 0
    for p, d, half in passage.each(_COLUMNS, matrices):
        df, dg = advance_derivative(p, d, f, g, df, dg)
        between = half.of_phi * f + half.of_psi * g < 0
        f, g = advance(p, f, g)
        zeros = zeros + (negative ^ between) + (between ^ (f < 0))
        negative = f < 0
    new, _ = rescaled([f, g, df, dg], f.abs() + g.abs())
    return [*new, zeros], None


def _angle(state: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """(θ, dθ/dx) in [0, π] with φ scaled against ψ."""
    sign = torch.where(state[0] < 0, -1.0, 1.0)
    f, df = sign * scale * state[0], sign * scale * state[2]
    g, dg = sign * state[1], sign * state[3]
    return torch.atan2(f, g), (g * df - f * dg) / (f * f + g * g)
