"""The network of a model: summary and flow together, float32, in normal scores of the unknowns."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from oceaninv.inference.flow import Flow
from oceaninv.inference.summary import Summary
from oceaninv.scenario.training import Training


@dataclass(frozen=True)
class Architecture:
    """All numbers that fix the shapes of the network; kept in `model.json`."""

    dim: int
    features: int
    hidden: int
    depth: int
    context: int
    blocks: int
    coupling_hidden: int
    bins: int

    @classmethod
    def of(cls, dim: int, features: int, settings: Training) -> "Architecture":
        """Shapes for `dim` unknowns and this many features, by the scenario's settings."""
        return cls(
            dim=dim,
            features=features,
            hidden=settings.hidden,
            depth=settings.depth,
            context=settings.context,
            blocks=settings.blocks,
            coupling_hidden=settings.coupling_hidden,
            bins=settings.bins,
        )


class Estimator(nn.Module):
    """q(v | y): the flow conditioned by the summary of the features of y.

    Args:
        architecture: shapes
        seed: of the initial weights and the permutations
    """

    def __init__(self, architecture: Architecture, seed: int) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(seed)
            self.summary = Summary(a.features, hidden=a.hidden, depth=a.depth, context=a.context)
            self.flow = Flow(
                a.dim,
                a.context,
                blocks=a.blocks,
                hidden=a.coupling_hidden,
                bins=a.bins,
                generator=torch.Generator().manual_seed(seed),
            )

    def log_prob(self, v: Tensor, features: Tensor) -> Tensor:
        """Log-density of q(v | y), (n,), at v (n, d) and features (n or 1, p)."""
        return self.flow.log_prob(v, self.summary(features))

    def sample(
        self, features: Tensor, generator: torch.Generator, n: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """A draw for each row of features, or n for its only row: v (n, d), log q (n,)."""
        return self.flow.sample(self.summary(features), generator, n)
