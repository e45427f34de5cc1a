"""What an objective is given at each step, and what it must answer."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn


class InvertibleMap(Protocol):
    """A map between the unknowns v and latents z, given a context h, in both directions.

    Attributes:
        dim: number of unknowns
        latents: number of latents that `to_latent` gives
        noise: number of standard normals that `to_data` takes
    """

    dim: int
    latents: int
    noise: int

    def to_latent(self, v: Tensor, context: Tensor, generator: torch.Generator) -> Tensor:
        """Latents (n, latents) of v (n, dim): standard normal where the map is perfect."""

    def to_data(self, z: Tensor, context: Tensor) -> Tensor:
        """Draws v (n, dim) from standard normals z (n, noise)."""

    def negative_log_likelihood(
        self, v: Tensor, context: Tensor, generator: torch.Generator
    ) -> Tensor:
        """−log q(v | h), (n,), or a bound of it."""


class Step(NamedTuple):
    """One batch.

    Attributes:
        map: what is trained
        v: (n, dim), draws of the unknowns, whitened
        context: (n, c), the summary of their measurements
        generator: of the draws of z
        share: of the training that has passed, 0 to 1
    """

    map: InvertibleMap
    v: Tensor
    context: Tensor
    generator: torch.Generator
    share: float


class Objective(Protocol):
    """A loss of the map, and of a critic where there is one.

    Attributes:
        critic: its network; None where there is none
        warm_start_epochs: epochs of `nll` before it takes over
    """

    critic: nn.Module | None
    warm_start_epochs: int

    def loss(self, step: Step) -> Tensor:
        """Scalar that the map minimises, the critic held fixed."""

    def critic_losses(self, step: Step) -> Iterable[Tensor]:
        """One scalar for each step of the critic, the map held fixed."""


def two_samples(step: Step, form: str, *, moving: bool) -> tuple[Tensor, Tensor]:
    """What is compared at the contexts of a batch: draws of P (n, ·) and of Q (n, ·).

    latent form: P has T(v; h), Q has z; data form: P has v, Q has T⁻¹(z; h).

    Args:
        step: the batch
        form: "latent" or "data"
        moving: with gradients to the map
    """
    n = len(step.v)
    context = step.context if moving else step.context.detach()
    with torch.set_grad_enabled(moving and torch.is_grad_enabled()):
        if form == "latent":
            base = torch.randn(n, step.map.latents, generator=step.generator)
            return step.map.to_latent(step.v, context, step.generator), base
        base = torch.randn(n, step.map.noise, generator=step.generator)
        return step.v, step.map.to_data(base, context)
