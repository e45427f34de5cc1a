"""Sums of modes over a grid of sources, receivers and ranges, where no kernel does it.

Written in torch on the differentiable output of ``solve_modes``, so that gradients follow.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from forward_models.errors import ModelInputError

Coherence = Literal["coherent", "incoherent"]


def require_coherence(coherence: str) -> None:
    """Raises ModelInputError unless ``coherence`` is one of the two known kinds."""
    if coherence not in get_args(Coherence):
        raise ModelInputError(
            f"coherence: {coherence!r} is unknown; use 'coherent' or 'incoherent'"
        )


def travelled(phase: Tensor) -> Tensor:
    """i √2π exp(-iπ/4) exp(iΦ) / √Φ of the complex phase Φ = ∫k dr that a mode has gathered."""
    return math.sqrt(2.0 * math.pi) * torch.exp(1j * (phase + 0.25 * math.pi)) / phase.sqrt()


def sum_over_modes(source: Tensor, receiver: Tensor, radial: Tensor) -> Tensor:
    """Σ source(…, M, S) receiver(…, M, R) radial(…, M, K) over M: (…, S, R, K)."""
    pairs = (source[..., :, None] * receiver[..., None, :]).flatten(-2)
    total = pairs.transpose(-1, -2) @ radial
    return total.unflatten(-2, (source.shape[-1], receiver.shape[-1]))


def intensity(values: Tensor) -> Tensor:
    """|values|², with the gradient zero where it is zero."""
    return values.real**2 + values.imag**2


def root(values: Tensor) -> Tensor:
    """√values of what is not negative, with the gradient zero where it is zero."""
    zero = values <= 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, values).sqrt())
