"""The conditional flow: an invertible map v -> z given a context, and the density it defines."""

import math

import torch
from torch import Tensor, nn

from oceaninv.inference.couplings import Coupling, GaussianLayer


class Flow(nn.Module):
    """Conditional invertible neural network z = T(v; h) with base density N(0, I).

        log q(v | h) = log N(T(v; h); 0, I) + log|dT/dv|

    One Gaussian layer, then couplings with static permutations between them. The context is
    projected once for all couplings. At initialisation T is the identity, so that q is N(0, I):
    with v the normal score of the unknowns, the untrained flow is exactly the prior.

    Args:
        dim: number of unknowns d, at least 1
        context: length of the context h
        blocks: number of couplings (0: a conditional Gaussian)
        hidden: width of each coupling's network
        bins: bins of each spline, see `Coupling`
        clamp: bound of each coupling's log-scale
        generator: draws the permutations

    Example:
        >>> flow = Flow(dim=3, context=8, blocks=4, hidden=32, bins=8,
        ...             generator=torch.Generator().manual_seed(0))
        >>> v, log_q = flow.sample(torch.zeros(5, 8), torch.Generator().manual_seed(1))
        >>> v.shape, log_q.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    orders: Tensor
    returns: Tensor

    def __init__(
        self,
        dim: int,
        context: int,
        *,
        blocks: int,
        hidden: int,
        bins: int,
        clamp: float = 3.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.dim = self.latents = self.noise = dim
        self.gaussian = GaussianLayer(dim, context)
        self.project = nn.Linear(context, blocks * hidden) if blocks else nn.Identity()
        self.couplings = nn.ModuleList(Coupling(dim, hidden, bins, clamp) for _ in range(blocks))
        orders = permutations(dim, blocks, generator)
        self.register_buffer("orders", orders)
        self.register_buffer("returns", orders.argsort(-1))

    def forward(self, v: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map v (n, d) at the context (n or 1, c) to z (n, d), log|dz/dv| (n,)."""
        x, log_det = self.gaussian(v, context)
        for order, coupling, projected in self._steps(context):
            x, step = coupling(x[:, self.orders[order]], projected)
            log_det = log_det + step
        return x, log_det

    def inverse(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map z (n, d) back to v (n, d), log|dv/dz| (n,)."""
        x = z
        log_det = z.new_zeros(len(z))
        for order, coupling, projected in reversed(self._steps(context)):
            x, step = coupling.inverse(x, projected)
            x = x[:, self.returns[order]]
            log_det = log_det + step
        v, step = self.gaussian.inverse(x, context)
        return v, log_det + step

    def log_prob(self, v: Tensor, context: Tensor) -> Tensor:
        """Log-density of v (n, d) given the context (n or 1, c): (n,)."""
        z, log_det = self(v, context)
        return standard_normal_log_prob(z) + log_det

    def to_latent(self, v: Tensor, context: Tensor, generator: torch.Generator) -> Tensor:
        """z (n, d) of v (n, d); nothing is drawn."""
        return self(v, context)[0]

    def to_data(self, z: Tensor, context: Tensor) -> Tensor:
        """v (n, d) of z (n, d)."""
        return self.inverse(z, context)[0]

    def negative_log_likelihood(
        self, v: Tensor, context: Tensor, generator: torch.Generator
    ) -> Tensor:
        """−log q(v | h), (n,); nothing is drawn."""
        return -self.log_prob(v, context)

    def sample(
        self, context: Tensor, generator: torch.Generator, n: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """One draw for each row of the context (or n draws for its only row), with log-density.

        Returns:
            v (n, d) and log q(v | h) (n,)
        """
        rows = len(context) if n is None else n
        z = torch.randn(rows, self.dim, generator=generator, dtype=context.dtype)
        v, log_det = self.inverse(z, context)
        return v, standard_normal_log_prob(z) - log_det

    def _steps(self, context: Tensor) -> list[tuple[int, Coupling, Tensor]]:
        if not len(self.couplings):
            return []
        projected = self.project(context).chunk(len(self.couplings), dim=-1)
        return list(zip(range(len(projected)), self.couplings, projected, strict=True))  # type: ignore[arg-type]


def standard_normal_log_prob(x: Tensor) -> Tensor:
    """Log-density of N(0, I) at x (..., d): (...)."""
    return -0.5 * (x * x).sum(-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi)


def permutations(dim: int, blocks: int, generator: torch.Generator) -> Tensor:
    """(blocks, dim) orders: a random one, then the halves swapped, then a random one, ...

    A coupling moves the second half; the swap makes the next one move the first, so that every
    variable moves at least once in each pair of couplings.
    """
    swap = torch.arange(dim).roll(dim - dim // 2)
    orders = [
        torch.randperm(dim, generator=generator) if i % 2 == 0 else swap for i in range(blocks)
    ]
    return torch.stack(orders) if orders else torch.empty(0, dim, dtype=torch.long)
