"""Shots through lossless guides as kernels: ``phase``, ``lossless``, ``ends_of`` and the search."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from forward_models.normal_modes.rates import TAIL
from forward_models.torch_modes.kernels.launch import KINDS, WARP, on
from forward_models.torch_modes.kernels.propagation import (
    H2,
    HALF_SPACE,
    HRHO,
    INV_HRHO,
    N_COLUMNS,
    PERTURBED_HALF_SPACE,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    V1I,
    V1R,
    V2I,
    V2R,
    angle,
    phase_step,
    real_by_moments,
    real_by_z,
    real_etas,
    real_transfer,
)
from forward_models.torch_modes.shots import Ends, Shots
from forward_models.torch_modes.states import LARGE_STATE
from forward_models.torch_modes.table import Lanes, Table

_TAIL = tl.constexpr(TAIL)


@triton.jit
def _phase(
    table,
    row,
    sign,
    count,
    x,
    state,
    n,
    waiting,
    LARGE: tl.constexpr,
    KIND: tl.constexpr,
    LANES: tl.constexpr,
):
    shot = tl.program_id(0) * LANES + tl.arange(0, LANES)
    held = shot < n
    row = tl.load(row + shot, mask=held, other=0)
    sign = tl.load(sign + shot, mask=held, other=1)
    count = tl.load(count + shot, mask=held, other=0)
    x = tl.load(x + shot, mask=held, other=0.0)
    f = tl.load(state + shot, mask=held, other=0.0)
    g = tl.load(state + n + shot, mask=held, other=0.0)
    df = tl.load(state + 2 * n + shot, mask=held, other=0.0)
    dg = tl.load(state + 3 * n + shot, mask=held, other=0.0)
    zeros = tl.zeros([LANES], KIND)
    way = sign.to(KIND)
    negative = f < 0
    for i in range(tl.max(count)):
        at = table + tl.where(i < count, row + sign * i, waiting) * N_COLUMNS
        f, g, df, dg, zeros, negative = phase_step(at, x, way, f, g, df, dg, zeros, negative, KIND)
        if i % 4 == 3:
            size = tl.abs(f) + tl.abs(g)
            scale = tl.where(size > LARGE, 1.0 / size, 1.0)
            f, g, df, dg = f * scale, g * scale, df * scale, dg * scale
    tl.store(state + shot, f, mask=held)
    tl.store(state + n + shot, g, mask=held)
    tl.store(state + 2 * n + shot, df, mask=held)
    tl.store(state + 3 * n + shot, dg, mask=held)
    tl.store(state + 4 * n + shot, zeros, mask=held)


@triton.jit
def _lossless(
    table,
    row,
    sign,
    count,
    x,
    state,
    n,
    waiting,
    LARGE: tl.constexpr,
    KIND: tl.constexpr,
    LANES: tl.constexpr,
):
    shot = tl.program_id(0) * LANES + tl.arange(0, LANES)
    held = shot < n
    row = tl.load(row + shot, mask=held, other=0)
    sign = tl.load(sign + shot, mask=held, other=1)
    count = tl.load(count + shot, mask=held, other=0)
    x = tl.load(x + shot, mask=held, other=0.0)
    f = tl.load(state + shot, mask=held, other=0.0)
    g = tl.load(state + n + shot, mask=held, other=0.0)
    fx = tl.load(state + 2 * n + shot, mask=held, other=0.0)
    gx = tl.load(state + 3 * n + shot, mask=held, other=0.0)
    fl = tl.load(state + 4 * n + shot, mask=held, other=0.0)
    gl = tl.load(state + 5 * n + shot, mask=held, other=0.0)
    way = sign.to(KIND)
    for i in range(tl.max(count)):
        at = table + tl.where(i < count, row + sign * i, waiting) * N_COLUMNS
        h2 = tl.load(at + H2)
        z = (h2 * (x - tl.load(at + Q0R))).to(KIND)
        dz = (-h2 * tl.load(at + Q0I)).to(KIND)
        hrho = way * tl.load(at + HRHO).to(KIND)
        inv_hrho = way * tl.load(at + INV_HRHO).to(KIND)
        v1 = way * tl.load(at + V1R).to(KIND)
        dv1 = way * tl.load(at + V1I).to(KIND)
        v2 = tl.load(at + V2R).to(KIND)
        dv2 = tl.load(at + V2I).to(KIND)
        factor = h2.to(KIND)
        xi, eta0, eta1, eta2, eta3, eta4 = real_etas(z)
        p11, p12, p21, p22 = real_transfer(z, v1, v2, hrho, inv_hrho, xi, eta0, eta1, eta2, eta3)
        d11, d12, d21, d22 = real_by_z(z, v1, v2, hrho, inv_hrho, eta0, eta1, eta2, eta3, eta4)
        m11, m12, m21, m22 = real_by_moments(z, v1, dv1, dv2, hrho, inv_hrho, eta1, eta2, eta3)
        of_f = d11 * f + d12 * g
        of_g = d21 * f + d22 * g
        by_f = p11 * fx + p12 * gx + factor * of_f
        gx = p21 * fx + p22 * gx + factor * of_g
        fx = by_f
        by_f = p11 * fl + p12 * gl + dz * of_f + m11 * f + m12 * g
        gl = p21 * fl + p22 * gl + dz * of_g + m21 * f + m22 * g
        fl = by_f
        after = p11 * f + p12 * g
        g = p21 * f + p22 * g
        f = after
        if i % 4 == 3:
            size = tl.abs(f) + tl.abs(g)
            scale = tl.where(size > LARGE, 1.0 / size, 1.0)
            f, g, fx, gx, fl, gl = (
                f * scale,
                g * scale,
                fx * scale,
                gx * scale,
                fl * scale,
                gl * scale,
            )
    tl.store(state + shot, f, mask=held)
    tl.store(state + n + shot, g, mask=held)
    tl.store(state + 2 * n + shot, fx, mask=held)
    tl.store(state + 3 * n + shot, gx, mask=held)
    tl.store(state + 4 * n + shot, fl, mask=held)
    tl.store(state + 5 * n + shot, gl, mask=held)


@triton.jit
def _ends(table, row, sign, room, x, end, n, waiting, LAST: tl.constexpr, LANES: tl.constexpr):
    shot = tl.program_id(0) * LANES + tl.arange(0, LANES)
    held = shot < n
    row = tl.load(row + shot, mask=held, other=0)
    sign = tl.load(sign + shot, mask=held, other=1)
    room = tl.load(room + shot, mask=held, other=0)
    x = tl.load(x + shot, mask=held, other=0.0)
    decay = tl.zeros([LANES], tl.float64)
    # Where nothing decays so far the shot begins at the end of the guide.
    reached = room
    arrived = room <= 0
    i = 0
    going = tl.min(arrived.to(tl.int32)) == 0
    while going:
        at = table + tl.where(i < room, row + sign * i, waiting) * N_COLUMNS
        h2 = tl.load(at + H2)
        z = h2 * (x - tl.load(at + Q0R))
        # The waiting step has no thickness: nothing decays nor oscillates there.
        oscillates = z < 0 if LAST else (z <= 0) & (h2 > 0)
        decay = tl.where(oscillates, 0.0, decay + tl.sqrt(tl.maximum(z, 0.0)))
        i += 1
        new = (decay > _TAIL) & (i <= room)
        if LAST:
            reached = tl.where(oscillates, room, reached)
            new = new & (reached == room)
            reached = tl.where(new, i, reached)
            going = i < tl.max(room)
        else:
            reached = tl.where(new & ~arrived, i, reached)
            arrived = arrived | new | (i >= room)
            going = tl.min(arrived.to(tl.int32)) == 0
    tl.store(end + shot, reached, mask=held)


@triton.jit
def _decay(x, row):
    rho = tl.load(row + HRHO) / tl.load(row + THICKNESS)
    gamma = tl.sqrt(tl.maximum(x - tl.load(row + Q0R), 1e-200))
    return gamma / rho, 0.5 / (gamma * rho)


@triton.jit
def _arrival(
    table,
    row,
    sign: tl.constexpr,
    count,
    x,
    f,
    g,
    df,
    dg,
    waiting,
    LARGE: tl.constexpr,
    KIND: tl.constexpr,
):
    """φ, ψ, ∂φ, ∂ψ and the zeros of φ at the match node, float64 and of unit size."""
    f, g, df, dg = f.to(KIND), g.to(KIND), df.to(KIND), dg.to(KIND)
    zeros = tl.zeros_like(f)
    negative = f < 0
    for i in range(tl.max(count)):
        at = table + tl.where(i < count, row + sign * i, waiting) * N_COLUMNS
        f, g, df, dg, zeros, negative = phase_step(at, x, sign, f, g, df, dg, zeros, negative, KIND)
        if i % 4 == 3:
            size = tl.abs(f) + tl.abs(g)
            scale = tl.where(size > LARGE, 1.0 / size, 1.0)
            f, g, df, dg = f * scale, g * scale, df * scale, dg * scale
    f, g = f.to(tl.float64), g.to(tl.float64)
    df, dg = df.to(tl.float64), dg.to(tl.float64)
    scale = 1.0 / (tl.abs(f) + tl.abs(g))
    # Angles are of states with φ not negative.
    scale = tl.where(f < 0, -scale, scale)
    return f * scale, g * scale, df * scale, dg * scale, zeros.to(tl.float64)


@triton.jit
def _search(
    table,
    item,
    node,
    upper,
    lower,
    first,
    size,
    kind,
    q_bottom,
    rho_bottom,
    scale,
    order,
    tolerance,
    least,
    x,
    low,
    high,
    n,
    waiting,
    LARGE: tl.constexpr,
    TURNS: tl.constexpr,
    TOP_IS_RIGID: tl.constexpr,
    KIND: tl.constexpr,
    LANES: tl.constexpr,
):
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    held = lane < n
    item = tl.load(item + lane, mask=held, other=0)
    node = tl.load(node + lane, mask=held, other=0)
    upper = tl.load(upper + lane, mask=held, other=0)
    lower = tl.load(lower + lane, mask=held, other=1)
    first = tl.load(first + item)
    size = tl.load(size + item)
    kind = tl.load(kind + item)
    q_real, q_imag = tl.load(q_bottom + 2 * item), tl.load(q_bottom + 2 * item + 1)
    rho = tl.load(rho_bottom + item)
    scale = tl.load(scale + lane, mask=held, other=1.0)
    target = tl.load(order + lane, mask=held, other=0.0) * 3.141592653589793
    tolerance = tl.load(tolerance + lane, mask=held, other=0.0)
    least = tl.load(least + lane, mask=held, other=0.0)
    at = tl.load(x + lane, mask=held, other=0.0)
    a = tl.load(low + lane, mask=held, other=0.0)
    b = tl.load(high + lane, mask=held, other=0.0)
    deep, short = upper > 0, lower < size
    top_row, bottom_row = first + upper, first + lower - 1
    deep_row = table + tl.where(deep, first + tl.minimum(upper, size - 1), first) * N_COLUMNS
    short_row = table + tl.where(short, bottom_row, first) * N_COLUMNS
    active = held
    turn = 0
    going = tl.max(active.to(tl.int32)) > 0
    while going:
        decay, slope = _decay(at, deep_row)
        one = tl.full([LANES], 1.0, tl.float64)
        zero = tl.zeros([LANES], tl.float64)
        top_f = one if TOP_IS_RIGID else zero
        top_g = zero if TOP_IS_RIGID else one
        f, g, df, dg, above = _arrival(
            table,
            top_row,
            1,
            tl.where(active, node - upper, 0),
            at,
            tl.where(deep, one, top_f),
            tl.where(deep, decay, top_g),
            zero,
            tl.where(deep, slope, zero),
            waiting,
            LARGE,
            KIND,
        )
        decay, slope = _decay(at, short_row)
        # The decay into the half-space, of real part alone, with the loss or without.
        away = at - q_real
        lossy = kind == PERTURBED_HALF_SPACE
        modulus = tl.where(lossy, tl.sqrt(away * away + q_imag * q_imag), tl.maximum(away, 0.0))
        modulus += 1e-200
        gamma = tl.sqrt(tl.where(lossy, 0.5 * (modulus + away), modulus))
        space = lossy | (kind == HALF_SPACE)
        rigid = kind == RIGID
        bottom_g = tl.where(space, gamma / rho, tl.where(rigid, zero, one))
        bottom_slope = tl.where(space, 0.5 * gamma / (modulus * rho), zero)
        u, v, du, dv, below = _arrival(
            table,
            bottom_row,
            -1,
            tl.where(active, lower - node, 0),
            at,
            tl.where(short | space | rigid, one, zero),
            -tl.where(short, decay, bottom_g),
            zero,
            -tl.where(short, slope, bottom_slope),
            waiting,
            LARGE,
            KIND,
        )
        f, df, u, du = scale * f, scale * df, scale * u, scale * du
        theta = 3.141592653589793 * (above + below) + angle(f * v - g * u, f * u + g * v)
        by_x = (g * df - f * dg) / (f * f + g * g) - (v * du - u * dv) / (u * u + v * v)
        excess = theta - target
        new_a = tl.where(excess > 0, at, a)
        new_b = tl.where(excess > 0, b, at)
        new = at - excess / by_x
        # The phase of two ducts is a staircase, on which Newton's method may only crawl.
        inside = (new >= new_a) & (new <= new_b) & ((turn % 4 != 3) | (turn <= 8))
        new = tl.where(inside, new, 0.5 * (new_a + new_b))
        moved = tl.abs(new - at)
        at = tl.where(active, new, at)
        a = tl.where(active, new_a, a)
        b = tl.where(active, new_b, b)
        active = active & (moved > tolerance) & (b - a > least)
        turn += 1
        going = (tl.max(active.to(tl.int32)) > 0) & (turn < TURNS)
    tl.store(x + lane, at, mask=held)
    tl.store(low + lane, a, mask=held)
    tl.store(high + lane, b, mask=held)


def carry_phase(table: Table, shots: Shots, x: Tensor, state: Tensor) -> None:
    """φ, ψ, ∂φ, ∂ψ and the zeros of φ (5, shots) from their starts to the match nodes, in place."""
    _real(_phase, table, shots, x, state)


def carry_lossless(table: Table, shots: Shots, x: Tensor, state: Tensor) -> None:
    """φ, ψ and their derivatives by x and by the loss (6, shots) to the match nodes, in place."""
    _real(_lossless, table, shots, x, state)


def _real(kernel: Any, table: Table, shots: Shots, x: Tensor, state: Tensor) -> None:
    n = shots.lane.numel()
    if n == 0:
        return
    with on(table.device):
        kernel[triton.cdiv(n, WARP),](
            table.rows,
            shots.row,
            shots.sign,
            shots.count,
            x,
            state,
            n,
            table.waiting,
            LARGE_STATE[state.dtype],
            KIND=KINDS[state.dtype],
            LANES=WARP,
            num_warps=1,
        )


def reach(
    table: Table, row: Tensor, sign: Tensor, room: Tensor, x: Tensor, *, last: bool
) -> Tensor:
    """(shots,) steps from the match node to where a shot starts, ``room`` at most."""
    end = torch.empty_like(room)
    n = room.numel()
    if n:
        with on(table.device):
            _ends[triton.cdiv(n, WARP),](
                table.rows,
                row,
                sign,
                room,
                x,
                end,
                n,
                table.waiting,
                LAST=last,
                LANES=WARP,
                num_warps=1,
            )
    return end


def search(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    order: Tensor,
    bracket: tuple[Tensor, Tensor, Tensor],
    tolerance: Tensor,
    scale: Tensor,
    least: Tensor,
    turns: int,
    dtype: torch.dtype,
) -> None:
    """Narrows (x, low, high) in place until a move is below ``tolerance``, a bracket ``least``.

    ``order`` is the number of zeros of each mode, ``scale`` that of φ in the phase.
    """
    n = len(lanes)
    if n == 0:
        return
    with on(table.device):
        _search[triton.cdiv(n, WARP),](
            table.rows,
            lanes.item,
            lanes.node,
            ends.upper,
            ends.lower,
            table.first,
            table.size,
            table.kind,
            torch.view_as_real(table.q_bottom),
            table.rho_bottom,
            scale,
            order,
            tolerance,
            least,
            *bracket,
            n,
            table.waiting,
            LARGE_STATE[dtype],
            TURNS=turns,
            TOP_IS_RIGID=table.top_is_rigid,
            KIND=KINDS[dtype],
            LANES=WARP,
            num_warps=1,
        )
