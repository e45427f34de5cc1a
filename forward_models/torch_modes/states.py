"""What the shots of every kind share: states at their starts, and one step of a state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from forward_models.normal_modes.steps import (
    HALF_SPACE,
    HRHO,
    LARGE,
    PERTURBED_HALF_SPACE,
    Q0I,
    Q0R,
    RIGID,
    THICKNESS,
)
from forward_models.normal_modes.wronskian import ALONG_LOSS, ALONG_X
from forward_models.torch_modes.shots import Ends
from forward_models.torch_modes.table import Lanes, Table

# States beyond are scaled down after a block, in which they grow by 2e13 at most: their squares and
# products must not overflow.
LARGE_STATE = {torch.float64: LARGE, torch.float32: 1e3}
_TINY = 1e-200  # of γ², so that its root can be divided by


def real_starts(table: Table, lanes: Lanes, ends: Ends, x: Tensor) -> list[Tensor]:
    """φ, ψ, ∂φ/∂x, ∂ψ/∂x, Im ∂φ/∂loss, Im ∂ψ/∂loss of the shots down, then up, without loss."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    first, size = table.first[lanes.item], table.size[lanes.item]
    top_phi, top_psi = _surface(table, zero, one)

    def medium(row: Tensor) -> tuple[Tensor, ...]:
        q, loss, hrho, h = table.columns((Q0R, Q0I, HRHO, THICKNESS), row)
        rho = hrho / h
        gamma = (x - q).clamp(min=_TINY).sqrt()
        return gamma / rho, 0.5 / (gamma * rho), -0.5 * loss / (gamma * rho)

    deep = ends.upper > 0
    decay, by_x, by_loss = medium(first + ends.upper.clamp(max=size - 1))
    above = (
        torch.where(deep, one, top_phi),
        torch.where(deep, decay, top_psi),
        zero,
        torch.where(deep, by_x, zero),
        zero,
        torch.where(deep, by_loss, zero),
    )
    short = ends.lower < size
    decay, by_x, by_loss = medium(first + (ends.lower - 1).clamp(min=0))
    kind, q, rho = table.kind[lanes.item], table.q_bottom[lanes.item], table.rho_bottom[lanes.item]
    perturbed, space = kind == PERTURBED_HALF_SPACE, is_half_space(kind)
    gamma = torch.sqrt(x - torch.where(perturbed, q, q.real + 0j) + _TINY)
    of_loss = torch.where(perturbed, gamma.imag, -(0.5 * q.imag / gamma).real)
    below = (
        torch.where(short | space | (kind == RIGID), one, zero),
        -torch.where(
            short, decay, torch.where(space, gamma.real / rho, (kind != RIGID).to(x.dtype))
        ),
        zero,
        -torch.where(short, by_x, torch.where(space, (0.5 / gamma).real / rho, zero)),
        zero,
        -torch.where(short, by_loss, torch.where(space, of_loss / rho, zero)),
    )
    return [torch.cat(pair) for pair in zip(above, below, strict=True)]


def complex_starts(
    table: Table, lanes: Lanes, ends: Ends, x: Tensor, loss: Tensor, direction: int
) -> list[Tensor]:
    """φ, ψ and their derivatives along ``direction`` of the shots down, then those up."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    first, size = table.first[lanes.item], table.size[lanes.item]
    top_phi, top_psi = _surface(table, zero, one)

    def medium(row: Tensor) -> tuple[Tensor, Tensor]:
        q_real, q_imag, hrho, h = table.columns((Q0R, Q0I, HRHO, THICKNESS), row)
        kind = torch.full_like(row, HALF_SPACE)
        gamma, change = half_space_decay(x, loss, torch.complex(q_real, q_imag), kind, direction)
        return gamma * (h / hrho), change * (h / hrho)

    deep = ends.upper > 0
    gamma, change = medium(first + ends.upper.clamp(max=size - 1))
    above = (
        torch.where(deep, one, top_phi),
        torch.where(deep, gamma, top_psi),
        zero,
        torch.where(deep, change, zero),
    )
    short = ends.lower < size
    gamma, change = medium(first + (ends.lower - 1).clamp(min=0))
    kind, q, rho = table.kind[lanes.item], table.q_bottom[lanes.item], table.rho_bottom[lanes.item]
    space = is_half_space(kind)
    bottom, bottom_change = half_space_decay(x, loss, q, kind, direction)
    on_vacuum = (kind != RIGID).to(x.dtype)
    below = (
        torch.where(short | space | (kind == RIGID), one, zero),
        -torch.where(short, gamma, torch.where(space, bottom / rho, on_vacuum)),
        zero,
        -torch.where(short, change, torch.where(space, bottom_change / rho, zero)),
    )
    return [torch.cat(pair) for pair in zip(above, below, strict=True)]


def half_space_decay(
    x: Tensor, loss: Tensor, q: Tensor, kind: Tensor, direction: int
) -> tuple[Tensor, Tensor]:
    """(γ, ∂γ): decay of a mode into the half-space, γ = √(x - q), and its derivative."""
    at_loss = torch.complex(q.real, loss * q.imag)
    # Past cut-off (Re x < Re q) the outgoing branch: a mode that leaks downwards.
    leaky = x.real < q.real
    gamma = torch.sqrt(torch.where(leaky, at_loss - x, x - at_loss) + _TINY)
    gamma = torch.where(leaky, -1j * gamma, gamma)
    if direction == ALONG_X:
        change = 0.5 / gamma
    elif direction == ALONG_LOSS:
        change = torch.complex(torch.zeros_like(loss), -0.5 * q.imag) / gamma
    else:
        change = -at_loss / gamma
    perturbed = kind == PERTURBED_HALF_SPACE
    whole = torch.sqrt(x - q + _TINY)
    nothing = torch.zeros_like(loss)
    if direction == ALONG_LOSS:
        first_order = torch.complex(nothing, whole.imag)
    else:
        by_x = 1.0 if direction == ALONG_X else -2.0 * q.real
        first_order = torch.complex((0.5 * by_x / whole).real, nothing)
    real = torch.complex(whole.real, nothing)
    return torch.where(perturbed, real, gamma), torch.where(perturbed, first_order, change)


def rescaled(state: Sequence[Tensor], size: Tensor) -> tuple[list[Tensor], Tensor]:
    """(state, factor): states whose ``size`` has grown large are brought back to size one."""
    factor = torch.where(size > LARGE_STATE[size.dtype], 1.0 / size, 1.0)
    return [row * factor for row in state], factor


def _surface(table: Table, zero: Tensor, one: Tensor) -> tuple[Tensor, Tensor]:
    return (one, zero) if table.top_is_rigid else (zero, one)


def is_half_space(kind: Tensor) -> Tensor:
    """Whether waves decay below the last step."""
    return (kind == HALF_SPACE) | (kind == PERTURBED_HALF_SPACE)
