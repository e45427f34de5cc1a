"""Shots through lossy guides as kernels: the Wronskian, and Newton's method for its zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from forward_models.torch_modes.kernels.launch import KINDS, WARP, on
from forward_models.torch_modes.kernels.propagation import (
    ALONG_X,
    H2,
    HALF_SPACE,
    HRHO,
    N_COLUMNS,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
    by,
    complex_step,
    minus,
    over,
    plus,
    square_root,
    times,
)
from forward_models.torch_modes.shots import Ends, Shots
from forward_models.torch_modes.states import LARGE_STATE
from forward_models.torch_modes.table import Lanes, Table


@triton.jit
def _complex(
    table,
    row,
    sign,
    count,
    x_real,
    x_imag,
    loss,
    state,
    logs,
    n,
    waiting,
    LARGE: tl.constexpr,
    pointer,
    hangs,
    column,
    item,
    start,
    kept,
    kept_log,
    n_depths,
    DIRECTION: tl.constexpr,
    KEEP: tl.constexpr,
    KIND: tl.constexpr,
    LANES: tl.constexpr,
):
    shot = tl.program_id(0) * LANES + tl.arange(0, LANES)
    held = shot < n
    row = tl.load(row + shot, mask=held, other=0)
    sign = tl.load(sign + shot, mask=held, other=1)
    count = tl.load(count + shot, mask=held, other=0)
    x_real = tl.load(x_real + shot, mask=held, other=0.0)
    x_imag = tl.load(x_imag + shot, mask=held, other=0.0)
    loss = tl.load(loss + shot, mask=held, other=0.0)
    f = (
        tl.load(state + shot, mask=held, other=0.0),
        tl.load(state + n + shot, mask=held, other=0.0),
    )
    g = (
        tl.load(state + 2 * n + shot, mask=held, other=0.0),
        tl.load(state + 3 * n + shot, mask=held, other=0.0),
    )
    df = (
        tl.load(state + 4 * n + shot, mask=held, other=0.0),
        tl.load(state + 5 * n + shot, mask=held, other=0.0),
    )
    dg = (
        tl.load(state + 6 * n + shot, mask=held, other=0.0),
        tl.load(state + 7 * n + shot, mask=held, other=0.0),
    )
    log = tl.zeros([LANES], tl.float64)
    way = sign.to(KIND)
    last = tl.max(count)
    if KEEP:
        # Depths hang on nodes: ``pointer`` is at the next one on the way, in the sorted list.
        pointer = tl.load(pointer + shot, mask=held, other=-1)
        item = tl.load(item + shot, mask=held, other=0)
        start = tl.load(start + shot, mask=held, other=0)
        lane = tl.where(shot < n // 2, shot, shot - n // 2).to(tl.int64)
        # A shot up also keeps its state at the match node, a shot down leaves that to it.
        stop = tl.where(held, tl.where(sign < 0, count + 1, count), 0)
        last += 1
    for i in range(last):
        if KEEP:
            here = start + sign * i
            inside = (pointer >= 0) & (pointer < n_depths) & (i < stop)
            place = item * n_depths + pointer
            hit = inside & (tl.load(hangs + place, mask=inside, other=-1) == here)
            while tl.max(hit.to(tl.int32)) > 0:
                pair = lane * n_depths + tl.load(column + place, mask=hit, other=0)
                tl.store(kept + 4 * pair, f[0].to(tl.float64), mask=hit)
                tl.store(kept + 4 * pair + 1, f[1].to(tl.float64), mask=hit)
                tl.store(kept + 4 * pair + 2, g[0].to(tl.float64), mask=hit)
                tl.store(kept + 4 * pair + 3, g[1].to(tl.float64), mask=hit)
                tl.store(kept_log + pair, log, mask=hit)
                pointer += tl.where(hit, sign, 0)
                inside = hit & (pointer >= 0) & (pointer < n_depths)
                place = item * n_depths + pointer
                hit = inside & (tl.load(hangs + place, mask=inside, other=-1) == here)
        at = table + tl.where(i < count, row + sign * i, waiting) * N_COLUMNS
        f, g, df, dg = complex_step(at, x_real, x_imag, loss, way, f, g, df, dg, DIRECTION, KIND)
        if i % 4 == 3:
            size = tl.abs(f[0]) + tl.abs(f[1]) + tl.abs(g[0]) + tl.abs(g[1])
            scale = tl.where(size > LARGE, 1.0 / size, 1.0)
            f = by(f, scale)
            g = by(g, scale)
            df = by(df, scale)
            dg = by(dg, scale)
            log -= tl.log(scale.to(tl.float64))
    tl.store(state + shot, f[0], mask=held)
    tl.store(state + n + shot, f[1], mask=held)
    tl.store(state + 2 * n + shot, g[0], mask=held)
    tl.store(state + 3 * n + shot, g[1], mask=held)
    tl.store(state + 4 * n + shot, df[0], mask=held)
    tl.store(state + 5 * n + shot, df[1], mask=held)
    tl.store(state + 6 * n + shot, dg[0], mask=held)
    tl.store(state + 7 * n + shot, dg[1], mask=held)
    tl.store(logs + shot, log, mask=held)


@triton.jit
def _decay(x_real, x_imag, loss, q_real, q_imag):
    """γ and dγ/dx below, on the sheet where waves leak past cut-off."""
    leaky = x_real < q_real
    real, imag = x_real - q_real, x_imag - loss * q_imag
    root = square_root((tl.abs(real) + 1e-200, tl.where(leaky, -imag, imag)))
    gamma = (tl.where(leaky, root[1], root[0]), tl.where(leaky, -root[0], root[1]))
    size = gamma[0] * gamma[0] + gamma[1] * gamma[1]
    return gamma, (0.5 * gamma[0] / size, -0.5 * gamma[1] / size)


@triton.jit
def _arrival(
    table,
    row,
    sign: tl.constexpr,
    count,
    x_real,
    x_imag,
    loss,
    f,
    g,
    dg,
    waiting,
    LARGE: tl.constexpr,
    KIND: tl.constexpr,
):
    """φ, ψ, ∂φ, ∂ψ at the match node, float64 and of unit size; ∂φ is nothing at the start."""
    f = (f.to(KIND), tl.zeros_like(f).to(KIND))
    df = (f[1], f[1])
    g = (g[0].to(KIND), g[1].to(KIND))
    dg = (dg[0].to(KIND), dg[1].to(KIND))
    for i in range(tl.max(count)):
        at = table + tl.where(i < count, row + sign * i, waiting) * N_COLUMNS
        f, g, df, dg = complex_step(at, x_real, x_imag, loss, sign, f, g, df, dg, ALONG_X, KIND)
        if i % 4 == 3:
            size = tl.abs(f[0]) + tl.abs(f[1]) + tl.abs(g[0]) + tl.abs(g[1])
            scale = tl.where(size > LARGE, 1.0 / size, 1.0)
            f, g, df, dg = by(f, scale), by(g, scale), by(df, scale), by(dg, scale)
    f = (f[0].to(tl.float64), f[1].to(tl.float64))
    g = (g[0].to(tl.float64), g[1].to(tl.float64))
    df = (df[0].to(tl.float64), df[1].to(tl.float64))
    dg = (dg[0].to(tl.float64), dg[1].to(tl.float64))
    scale = 1.0 / (tl.abs(f[0]) + tl.abs(f[1]) + tl.abs(g[0]) + tl.abs(g[1]))
    return by(f, scale), by(g, scale), by(df, scale), by(dg, scale)


@triton.jit
def _newton(
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
    loss,
    tolerance,
    x,
    converged,
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
    loss = tl.load(loss + lane, mask=held, other=0.0)
    tolerance = tl.load(tolerance + lane, mask=held, other=0.0)
    x_real = tl.load(x + 2 * lane, mask=held, other=0.0)
    x_imag = tl.load(x + 2 * lane + 1, mask=held, other=0.0)
    deep, short = upper > 0, lower < size
    top_row, bottom_row = first + upper, first + lower - 1
    deep_row = table + tl.where(deep, first + tl.minimum(upper, size - 1), first) * N_COLUMNS
    short_row = table + tl.where(short, bottom_row, first) * N_COLUMNS
    space, rigid = kind == HALF_SPACE, kind == RIGID
    one = tl.full([LANES], 1.0, tl.float64)
    zero = tl.zeros([LANES], tl.float64)
    active = held
    good = lane < 0
    turn = 0
    going = tl.max(active.to(tl.int32)) > 0
    while going:
        gamma, slope = _decay(
            x_real, x_imag, loss, tl.load(deep_row + Q0R), tl.load(deep_row + Q0I)
        )
        inverse = tl.where(deep, tl.load(deep_row + THICKNESS) / tl.load(deep_row + HRHO), 0.0)
        gamma, slope = by(gamma, inverse), by(slope, inverse)
        top_f = one if TOP_IS_RIGID else zero
        top_g = zero if TOP_IS_RIGID else one
        f, g, df, dg = _arrival(
            table,
            top_row,
            1,
            tl.where(active, node - upper, 0),
            x_real,
            x_imag,
            loss,
            tl.where(deep, one, top_f),
            (tl.where(deep, gamma[0], top_g), gamma[1]),
            slope,
            waiting,
            LARGE,
            KIND,
        )
        gamma, slope = _decay(
            x_real, x_imag, loss, tl.load(short_row + Q0R), tl.load(short_row + Q0I)
        )
        inverse = tl.load(short_row + THICKNESS) / tl.load(short_row + HRHO)
        bottom, bottom_slope = _decay(x_real, x_imag, loss, q_real, q_imag)
        on_bottom = tl.where(space, 1.0 / rho, 0.0)
        bottom, bottom_slope = by(bottom, on_bottom), by(bottom_slope, on_bottom)
        vacuum = tl.where(space | rigid, zero, one)
        u, v, du, dv = _arrival(
            table,
            bottom_row,
            -1,
            tl.where(active, lower - node, 0),
            x_real,
            x_imag,
            loss,
            tl.where(short, one, 1.0 - vacuum),
            (
                -tl.where(short, gamma[0] * inverse, bottom[0] + vacuum),
                -tl.where(short, gamma[1] * inverse, bottom[1]),
            ),
            (
                -tl.where(short, slope[0] * inverse, bottom_slope[0]),
                -tl.where(short, slope[1] * inverse, bottom_slope[1]),
            ),
            waiting,
            LARGE,
            KIND,
        )
        value = minus(times(f, v), times(u, g))
        change = minus(plus(times(df, v), times(f, dv)), plus(times(du, g), times(u, dg)))
        move = over(value, change)
        length = tl.sqrt(move[0] * move[0] + move[1] * move[1])
        x_real = tl.where(active, x_real - move[0], x_real)
        x_imag = tl.where(active, x_imag - move[1], x_imag)
        done = active & (length < tolerance)
        good = good | done
        active = active & (length >= tolerance) & (length < 1e300)
        turn += 1
        going = (tl.max(active.to(tl.int32)) > 0) & (turn < TURNS)
    tl.store(x + 2 * lane, x_real, mask=held)
    tl.store(x + 2 * lane + 1, x_imag, mask=held)
    tl.store(converged + lane, good, mask=held)


@triton.jit
def _least_decay(
    table, item, node, first, size, x, result, n, FAR: tl.constexpr, LANES: tl.constexpr
):
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    held = lane < n
    item = tl.load(item + lane, mask=held, other=0)
    node = tl.load(node + lane, mask=held, other=0)
    first = tl.load(first + item)
    size = tl.where(held, tl.load(size + item), 0)
    x_real = tl.load(x + 2 * lane, mask=held, other=0.0)
    x_imag = tl.load(x + 2 * lane + 1, mask=held, other=0.0)
    least = tl.full([LANES], float("inf"), tl.float64)
    best = node
    for j in range(tl.max(size)):
        inside = j < size
        at = table + tl.where(inside, first + j, first) * N_COLUMNS
        q = tl.load(at + Q0R)
        gamma = square_root((x_real - q, x_imag - tl.load(at + Q0I)))[0]
        better = inside & (q > x_real) & (gamma < least)
        least = tl.where(better, gamma, least)
        best = tl.where(better, j, best)
    low, high = tl.minimum(best, node), tl.maximum(best, node)
    nepers = tl.zeros([LANES], tl.float64)
    for j in range(tl.max(high - low)):
        inside = low + j < high
        at = table + tl.where(inside, first + low + j, first) * N_COLUMNS
        q = tl.load(at + Q0R)
        gamma = square_root((x_real - q, x_imag - tl.load(at + Q0I)))[0]
        nepers += tl.where(inside, gamma * tl.sqrt(tl.load(at + H2)), 0.0)
    tl.store(result + lane, tl.where(nepers > FAR, best, node), mask=held)


class Hanging(NamedTuple):
    """Depths at which a complex shot keeps φ and ψ: where they hang, and what was kept.

    ``step`` (items, D) holds the steps of an item's depths in rising order, ``column`` where each
    belongs; ``kept`` (lanes, D, 4) takes Re φ, Im φ, Re ψ, Im ψ and ``log`` (lanes, D) the
    logarithm of the scale taken out.
    """

    step: Tensor
    column: Tensor
    kept: Tensor
    log: Tensor

    @classmethod
    def at(cls, step: Tensor, n: int) -> Hanging:
        """With room for n lanes, at the steps (items, D) given."""
        rising, column = torch.sort(step, dim=1)
        kept = torch.empty((n, step.shape[1], 4), dtype=torch.float64, device=step.device)
        return cls(rising, column, kept, torch.empty_like(kept[..., 0]))


def carry_complex(
    table: Table,
    lanes: Lanes,
    shots: Shots,
    shot: Sequence[Tensor],
    state: Tensor,
    logs: Tensor,
    direction: int,
    hanging: Hanging | None,
) -> None:
    """φ, ψ, ∂φ, ∂ψ in parts (8, shots) to the match nodes, and the logs of their scales, in place.

    ``shot`` is Re x, Im x and the share of the loss of each shot.
    """
    n = shots.lane.numel()
    if n == 0:
        return
    item = start = pointer = shots.count  # not read where nothing is kept
    if hanging is None:
        hanging = Hanging(item[None], item, state, logs)
        keep = False
    else:
        keep = True
        item = lanes.item.repeat(2)
        start = shots.row + (shots.sign < 0) - table.first[item]
        # The first depth at or below the start of a shot down, the last at or above it of one up.
        below = torch.searchsorted(hanging.step[item], (start + (shots.sign < 0))[:, None])[:, 0]
        pointer = torch.where(shots.sign > 0, below, below - 1)
    with on(table.device):
        _complex[triton.cdiv(n, WARP),](
            table.rows,
            shots.row,
            shots.sign,
            shots.count,
            *shot,
            state,
            logs,
            n,
            table.waiting,
            LARGE_STATE[state.dtype],
            pointer,
            hanging.step,
            hanging.column,
            item,
            start,
            hanging.kept,
            hanging.log,
            hanging.step.shape[1],
            DIRECTION=direction,
            KEEP=keep,
            KIND=KINDS[state.dtype],
            LANES=WARP,
            num_warps=1,
        )


def newton(
    table: Table,
    lanes: Lanes,
    ends: Ends,
    x: Tensor,
    loss: Tensor,
    tolerance: Tensor,
    turns: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """(x, converged): roots of W nearest to ``x``, after a move below ``tolerance``."""
    x = x.clone()
    n = len(lanes)
    converged = torch.zeros(n, dtype=torch.bool, device=x.device)
    if n == 0:
        return x, converged
    with on(table.device):
        _newton[triton.cdiv(n, WARP),](
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
            loss,
            tolerance,
            torch.view_as_real(x),
            converged,
            n,
            table.waiting,
            LARGE_STATE[dtype],
            TURNS=turns,
            TOP_IS_RIGID=table.top_is_rigid,
            KIND=KINDS[dtype],
            LANES=WARP,
            num_warps=1,
        )
    return x, converged


def least_decay(table: Table, lanes: Lanes, x: Tensor, far: float) -> Tensor:
    """(lane,) nodes of least decay where those are more than ``far`` nepers away.

    The rule is that of ``normal_modes.complex_modes``.
    """
    result = torch.empty_like(lanes.node)
    n = len(lanes)
    if n:
        with on(table.device):
            _least_decay[triton.cdiv(n, WARP),](
                table.rows,
                lanes.item,
                lanes.node,
                table.first,
                table.size,
                torch.view_as_real(x),
                result,
                n,
                FAR=far,
                LANES=WARP,
                num_warps=1,
            )
    return result
