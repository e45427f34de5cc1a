"""The network of a model: summary and flow together, float32, in normal scores of the unknowns."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from oceaninv.inference.flow import Flow, standard_normal_log_prob
from oceaninv.inference.guesses import guess_size, whitening
from oceaninv.inference.summary import Summary
from oceaninv.scenario.training import Training


@dataclass(frozen=True)
class Architecture:
    """All numbers that fix the shapes of the network; kept in `model.json`."""

    dim: int
    features: int
    guesses: int
    hidden: int
    depth: int
    context: int
    blocks: int
    coupling_hidden: int
    bins: int
    clamp: float = 3.0
    dropout: float = 0.0
    kind: str = "cinn"

    @classmethod
    def of(cls, dim: int, features: int, settings: Training, guesses: int = 0) -> "Architecture":
        """Shapes for `dim` unknowns and this many features, by the scenario's settings.

        The features end with this many guesses of the posterior, see `Estimator`.
        """
        return cls(
            dim=dim,
            features=features,
            guesses=guesses,
            hidden=settings.hidden,
            depth=settings.depth,
            context=settings.context,
            blocks=settings.blocks,
            coupling_hidden=settings.coupling_hidden,
            bins=settings.bins,
            clamp=settings.coupling_clamp,
            dropout=settings.dropout,
        )


class Conditions(NamedTuple):
    """What the flow depends on, for each row of features: (n, c), (n, d, d) and (n, d)."""

    context: Tensor
    matrix: Tensor  # lower triangular
    offset: Tensor

    def whiten(self, v: Tensor) -> Tensor:
        """Move v (n, d) to where the guess is a standard normal."""
        return (self.matrix @ v[..., None])[..., 0] - self.offset

    def colour(self, u: Tensor) -> Tensor:
        """Move u (n, d) back from there."""
        right = (u + self.offset)[..., None]
        return torch.linalg.solve_triangular(self.matrix, right, upper=False)[..., 0]

    def log_det(self) -> Tensor:
        """Logarithm of the determinant of `whiten`, (n,)."""
        return self.matrix.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def no_guess(context: Tensor, dim: int) -> Conditions:
    """Conditions of contexts (n, c) under which the flow sees the unknowns as they are."""
    return Conditions(
        context, torch.eye(dim).expand(len(context), dim, dim), context.new_zeros(1, dim)
    )


class Estimator(nn.Module):
    """q(v | y): a normal guess, and the flow about it, conditioned by the summary.

    The features may end with guesses of the posterior (`guesses`). For each unknown one of them,
    chosen by `standardise`, whitens v before the flow, which then need only learn what the guess
    misses.

    Args:
        architecture: shapes
        seed: of the initial weights and the permutations
    """

    choice: Tensor
    widening: Tensor
    score_name = "nats to the prior"  # what `score` is

    def __init__(self, architecture: Architecture, seed: int) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(seed)
            self.summary = Summary(
                a.features, hidden=a.hidden, depth=a.depth, context=a.context, dropout=a.dropout
            )
            self.flow = Flow(
                a.dim,
                a.context,
                blocks=a.blocks,
                hidden=a.coupling_hidden,
                bins=a.bins,
                clamp=a.clamp,
                generator=torch.Generator().manual_seed(seed),
            )
        self.register_buffer("choice", torch.zeros(a.dim, dtype=torch.long))
        self.register_buffer("widening", torch.ones(a.dim))

    @torch.no_grad()
    def standardise(self, v: Tensor, features: Tensor) -> None:
        """Fix the scales of the features, and for each unknown the guess that is best on average.

        Args:
            v: (n, d) draws from the prior
            features: (n, p) of their data
        """
        self.summary.standardise(features)
        if not self.architecture.guesses:
            return
        matrix, offset = self._guesses(features)
        white = (matrix @ v[:, None, :, None])[..., 0] - offset
        # widened to be right on average, a normal guess has E[log q] = -log sd + const
        widening = white.square().mean(0).sqrt()
        log_sd = -matrix.diagonal(dim1=-2, dim2=-1).log().mean(0)
        best = (widening.log() + log_sd).argmin(0)
        self.choice.copy_(best)
        self.widening.copy_(widening.gather(0, best[None])[0])

    def condition(self, features: Tensor) -> Conditions:
        """What the flow depends on, from features (n, p)."""
        context = self.summary(features)
        if not self.architecture.guesses:
            return no_guess(context, self.architecture.dim)
        matrix, offset = self._guesses(features)
        rows = torch.arange(len(self.choice))
        return Conditions(
            context,
            matrix[:, self.choice, rows] / self.widening[:, None],
            offset[:, self.choice, rows] / self.widening,
        )

    def log_prob(self, v: Tensor, conditions: Conditions) -> Tensor:
        """Log-density of q(v | y), (n,), at v (n, d) and the conditions of n or 1 features."""
        inner = self.flow.log_prob(conditions.whiten(v), conditions.context)
        return inner + conditions.log_det()

    def sample(
        self, conditions: Conditions, generator: torch.Generator, n: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """A draw for each row of conditions, or n for its only row: v (n, d), log q (n,)."""
        u, log_q = self.flow.sample(conditions.context, generator, n)
        return conditions.colour(u), log_q + conditions.log_det()

    def draw(
        self, conditions: Conditions, generator: torch.Generator, n: int | None = None
    ) -> Tensor:
        """As `sample`, without log q."""
        return self.sample(conditions, generator, n)[0]

    def score(self, v: Tensor, features: Tensor, generator: torch.Generator) -> Tensor:
        """log N(v; 0, I) − log q(v | y), (n,): minus the nats known beyond the prior."""
        return standard_normal_log_prob(v) - self.log_prob(v, self.condition(features))

    def own_loss(self, v: Tensor, features: Tensor) -> Tensor | None:
        """What is minimised beside any objective: nothing."""
        return None

    def _guesses(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What whitens v by each guess, (n, guesses, d, d) and (n, guesses, d)."""
        a = self.architecture
        size = guess_size(a.dim)
        return whitening(features[:, -a.guesses * size :].view(-1, a.guesses, size), a.dim)
