"""Mode functions at depths within steps, as a kernel over pairs of mode and depth."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from forward_models.normal_modes.wronskian import ALONG_X
from forward_models.torch_modes.kernels.launch import on
from forward_models.torch_modes.kernels.propagation import (
    H2,
    HRHO,
    N_COLUMNS,
    Q0I,
    Q0R,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    by,
    complex_etas,
    minus,
    plus,
    times,
)
from forward_models.torch_modes.states import half_space_decay, is_half_space
from forward_models.torch_modes.table import Lanes, Table

_PAIRS = 128  # of a program


@triton.jit
def _within(
    table,
    row,
    offset,
    x,
    loss,
    gamma,
    soft,
    factor,
    kept,
    result,
    n,
    n_depths,
    PAIRS: tl.constexpr,
):
    pair = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    held = pair < n
    row = tl.load(row + pair, mask=held, other=-2)
    offset = tl.load(offset + pair, mask=held, other=0.0)
    lane = tl.where(held, pair // n_depths, 0)
    scale = (tl.load(factor + 2 * pair, mask=held), tl.load(factor + 2 * pair + 1, mask=held))
    some = held & (row > -2)
    f = (
        tl.load(kept + 4 * pair, mask=some, other=0.0),
        tl.load(kept + 4 * pair + 1, mask=some, other=0.0),
    )
    g = (
        tl.load(kept + 4 * pair + 2, mask=some, other=0.0),
        tl.load(kept + 4 * pair + 3, mask=some, other=0.0),
    )
    share = tl.load(loss + lane)
    # In the half-space the mode decays; on a rigid bottom it is what it is, and not in it.
    angle = -tl.load(gamma + 2 * lane + 1) * offset
    size = tl.exp(-tl.load(gamma + 2 * lane) * offset)
    on_bottom = tl.where(offset < 1e-6, 1.0, 0.0)
    is_hard = tl.load(soft + lane) == 0
    below = (
        tl.where(is_hard, on_bottom, size * tl.cos(angle)),
        tl.where(is_hard, 0.0, size * tl.sin(angle)),
    )
    in_step = row >= 0
    at = table + tl.where(in_step, row, 0) * N_COLUMNS
    h2 = tl.load(at + H2)
    h = tl.load(at + THICKNESS)
    a = tl.where(in_step, tl.minimum(offset / h, 1.0), 0.0)
    b = a - 1.0
    # u' in [-1, 1] over the part: U = a u' + b, see ``mode_functions``.
    to_q0 = 1.5 * (b * b + a * a / 3.0) - 0.5
    q1 = (tl.load(at + V1R) / h2, share * tl.load(at + V1I) / h2)
    q2 = (-tl.load(at + V2R) / h2, -share * tl.load(at + V2I) / h2)
    part = (a * h) * (a * h)
    z = (
        part * (tl.load(x + 2 * lane) - tl.load(at + Q0R) - q1[0] * b - q2[0] * to_q0),
        part * (tl.load(x + 2 * lane + 1) - share * tl.load(at + Q0I) - q1[1] * b - q2[1] * to_q0),
    )
    v1 = by(plus(q1, by(q2, 3.0 * b)), part * a)
    v2 = by(q2, -part * a * a)
    w = by(times(v1, v1), 1.0 / 24.0)
    xi, eta0, eta1, eta2, eta3, _ = complex_etas(z)
    p11 = minus(plus(xi, by(times(v1, eta1), 0.5)), times(w, eta2))
    p12 = minus(minus(eta0, by(times(v2, eta2), 0.5)), times(w, eta3))
    inside = plus(times(p11, f), by(times(p12, g), a * tl.load(at + HRHO)))
    outside = times(f, below)
    phi = (
        tl.where(in_step, inside[0], outside[0]),
        tl.where(in_step, inside[1], outside[1]),
    )
    phi = times(phi, scale)
    tl.store(result + 2 * pair, tl.where(some, phi[0], 0.0), mask=held)
    tl.store(result + 2 * pair + 1, tl.where(some, phi[1], 0.0), mask=held)


def within_steps(
    table: Table,
    lanes: Lanes,
    row: Tensor,
    offset: Tensor,
    x: Tensor,
    loss: Tensor,
    factor: Tensor,
    kept: Tensor,
) -> Tensor:
    """(lane, D) ``factor`` times φ at ``offset`` (m) below where the kept state (lane, D, 4) is.

    ``row`` is that of the table in which the depth lies, -1 below the last, -2 where φ is nothing.
    """
    kind = table.kind[lanes.item]
    gamma, _ = half_space_decay(x, loss, table.q_bottom[lanes.item], kind, ALONG_X)
    result = torch.empty_like(factor)
    n = row.numel()
    with on(table.device):
        _within[triton.cdiv(n, _PAIRS),](
            table.rows,
            row,
            offset,
            torch.view_as_real(x),
            loss,
            torch.view_as_real(gamma),
            is_half_space(kind),
            torch.view_as_real(factor),
            kept,
            torch.view_as_real(result),
            n,
            row.shape[1],
            PAIRS=_PAIRS,
            num_warps=4,
        )
    return result
