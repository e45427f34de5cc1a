"""The invertible network with the observation among its outputs, x ↔ (ŷ, z): the INN.

Ardizzone et al. (2019, ICLR) fit ŷ = T_y(x) to y by supervision and T_z(x) to a standard normal
that does not depend on y; VINA adds a variational f-divergence for the second. Draws of the
posterior are T⁻¹(y, z) with z ~ N(0, I). Where measurements carry noise that published form cannot
be exact: T_y(x) is at best the mean of y given x, and fewer numbers go in than come out.

Here x is padded with noise ε of its own to the length of (ŷ, z), and ŷ is y with a Gaussian spread
that is learned, whitened by a triangular W. T is then a bijection between (x, ε) and
(W(ŷ − y), z), all standard normal given y where T is perfect, with the density

    log q(x, ε | y) = log N(W(T_y − y); 0, I) + log|W| + log N(T_z; 0, I) + log|dT/d(x, ε)|,

and every objective of `objectives` is a divergence of posteriors as it is for the cINN; `nll`
bounds that of x alone, by Jensen's inequality over ε. ŷ = y and zeros beside x
(`inn_smoothing: none`, `inn_padding: 0`) give the published form.

What stands for y is a learned regression of x, so that ŷ has as many numbers as x, or the features
as they are. The density of x alone would need an integral over ε and is not available.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from oceaninv.errors import InputError
from oceaninv.inference.couplings import Coupling
from oceaninv.inference.estimator import Conditions, no_guess
from oceaninv.inference.flow import permutations, standard_normal_log_prob
from oceaninv.inference.summary import Summary
from oceaninv.scenario.training import Training

_GAIN = 5.0  # single numbers, unlike the output of a layer, move by one learning rate a step


@dataclass(frozen=True)
class InnArchitecture:
    """All numbers that fix the network; kept in `model.json`."""

    dim: int
    features: int
    observation: str
    hidden: int
    depth: int
    blocks: int
    coupling_hidden: int
    bins: int
    clamp: float
    smoothing: str
    padding: float
    supervised_weight: float
    kind: str = "inn"

    @classmethod
    def of(cls, dim: int, features: int, settings: Training) -> "InnArchitecture":
        """Shapes for `dim` unknowns and this many features, by the scenario's settings."""
        return cls(
            dim=dim,
            features=features,
            observation=settings.inn_observation,
            hidden=settings.hidden,
            depth=settings.depth,
            blocks=settings.blocks,
            coupling_hidden=settings.coupling_hidden,
            bins=settings.bins,
            clamp=settings.coupling_clamp,
            smoothing=settings.inn_smoothing,
            padding=settings.inn_padding,
            supervised_weight=settings.supervised_weight,
        )

    @property
    def observed(self) -> int:
        """Length m of what stands for y."""
        return self.features if self.observation == "features" else self.dim


class InnMap(nn.Module):
    """T: (x, ε) ↔ (ŷ, z), d + m numbers each, with ŷ of length m.

    Args:
        dim: number of unknowns d
        observed: length m of y
        blocks, hidden, bins, clamp: of the couplings, see `Coupling`
        smoothing: "learned": ŷ spreads about y; "none": it is y
        padding: spread of ε
        generator: draws the permutations
    """

    orders: Tensor
    returns: Tensor
    restore: Tensor

    def __init__(
        self,
        dim: int,
        observed: int,
        *,
        blocks: int,
        hidden: int,
        bins: int,
        clamp: float,
        smoothing: str,
        padding: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.dim, self.observed, self.padding = dim, observed, padding
        self.smoothed = smoothing == "learned"
        self.noise = dim + observed
        self.latents = self.noise if self.smoothed else dim
        if self.smoothed:
            self.log_scale = nn.Parameter(torch.zeros(observed))
            self.below = nn.Parameter(torch.zeros(observed, observed))
        self.offsets = nn.Parameter(torch.zeros(blocks, 1, hidden))
        self.couplings = nn.ModuleList(
            Coupling(self.noise, hidden, bins, clamp) for _ in range(blocks)
        )
        orders = permutations(self.noise, blocks, generator)
        self.register_buffer("orders", orders)
        self.register_buffer("returns", orders.argsort(-1))
        place = torch.arange(self.noise)
        for order in orders:
            place = place[order]
        # undoes all permutations: untrained, T is the identity, ŷ = x where they are as many
        self.register_buffer("restore", place.argsort())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (x, ε), (n, d + m), to (ŷ, z), (n, m + d), and log|dT| (n,)."""
        log_det = x.new_zeros(len(x))
        for coupling, order, offset in zip(self.couplings, self.orders, self.offsets, strict=True):
            x, step = coupling(x[:, order], offset)
            log_det = log_det + step
        return x[:, self.restore], log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Map (ŷ, z) back to (x, ε), and log|dT⁻¹| (n,)."""
        log_det = y.new_zeros(len(y))
        y = y[:, self.restore.argsort()]
        layers = list(zip(self.couplings, self.returns, self.offsets, strict=True))
        for coupling, order, offset in reversed(layers):
            assert isinstance(coupling, Coupling)
            y, step = coupling.inverse(y, offset)
            y = y[:, order]
            log_det = log_det + step
        return y, log_det

    def to_latent(self, v: Tensor, context: Tensor, generator: torch.Generator) -> Tensor:
        """(W(ŷ − y), z), (n, m + d), of x and fresh ε; as published z alone, (n, d)."""
        out, _ = self(self._padded(v, generator))
        y, z = out.split([self.observed, self.dim], -1)
        return torch.cat([(y - context) @ self.whitening().T, z], -1) if self.smoothed else z

    def to_data(self, z: Tensor, context: Tensor) -> Tensor:
        """x (n, d) of standard normals (n, m + d); as published those of ŷ go unused."""
        normal, z = z.split([self.observed, self.dim], -1)
        y = context.expand_as(normal)
        if self.smoothed:
            spread = torch.linalg.solve_triangular(self.whitening(), normal.T, upper=False)
            y = y + spread.T
        return self.inverse(torch.cat([y, z], -1))[0][:, : self.dim]

    def negative_log_likelihood(
        self, v: Tensor, context: Tensor, generator: torch.Generator
    ) -> Tensor:
        """log p(ε) − log q(x, ε | y), (n,), at least −log q(x | y) on average over ε ~ p."""
        if not self.smoothed or self.padding == 0:
            raise InputError(
                "training: an inn without inn_smoothing and inn_padding has no likelihood; choose "
                "an objective without nll and warm_start_epochs: 0"
            )
        padded = self._padded(v, generator)
        out, log_det = self(padded)
        y, z = out.split([self.observed, self.dim], -1)
        of_y = standard_normal_log_prob((y - context) @ self.whitening().T)
        of_y = of_y + _GAIN * self.log_scale.sum()
        log_q = of_y + standard_normal_log_prob(z) + log_det
        of_noise = standard_normal_log_prob(padded[:, self.dim :] / self.padding)
        return of_noise - self.observed * math.log(self.padding) - log_q

    def whitening(self) -> Tensor:
        """W (m, m), lower triangular: W(ŷ − y) is standard normal."""
        unit = torch.eye(self.observed, dtype=self.below.dtype) + _GAIN * self.below.tril(-1)
        return (_GAIN * self.log_scale).exp()[:, None] * unit

    def _padded(self, v: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(len(v), self.observed, generator=generator)
        return torch.cat([v, self.padding * noise], -1)


class InnEstimator(nn.Module):
    """Posterior by T⁻¹(y, z), with the same methods as the cINN's `Estimator` except a density.

    Args:
        architecture: shapes
        seed: of the initial weights and the permutations
    """

    mean: Tensor
    scale: Tensor
    score_name = "energy score"  # what `score` is

    def __init__(self, architecture: InnArchitecture, seed: int) -> None:
        super().__init__()
        self.architecture = architecture
        a = architecture
        self.summary: Summary | None = None
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global generator
            torch.manual_seed(seed)
            if a.observation == "summary":
                self.summary = Summary(a.features, hidden=a.hidden, depth=a.depth, context=a.dim)
            self.flow = InnMap(
                a.dim,
                a.observed,
                blocks=a.blocks,
                hidden=a.coupling_hidden,
                bins=a.bins,
                clamp=a.clamp,
                smoothing=a.smoothing,
                padding=a.padding,
                generator=torch.Generator().manual_seed(seed),
            )
        self.register_buffer("mean", torch.zeros(a.features))
        self.register_buffer("scale", torch.ones(a.features))

    @torch.no_grad()
    def standardise(self, v: Tensor, features: Tensor) -> None:
        """Fix the scales of the features (n, p)."""
        if self.summary is not None:
            self.summary.standardise(features)
        self.mean.copy_(features.mean(0))
        spread = features.std(0)
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def condition(self, features: Tensor) -> Conditions:
        """What stands for y, (n, m), without gradients: the map must not move its own target."""
        if self.summary is None:
            y = (features - self.mean) / self.scale
        else:
            with torch.no_grad():
                y = self.summary(features)
        return no_guess(y, self.architecture.dim)

    def draw(
        self, conditions: Conditions, generator: torch.Generator, n: int | None = None
    ) -> Tensor:
        """A draw for each row of conditions, or n for its only row: (n, d)."""
        rows = len(conditions.context) if n is None else n
        z = torch.randn(rows, self.flow.noise, generator=generator)
        return self.flow.to_data(z, conditions.context)

    def score(self, v: Tensor, features: Tensor, generator: torch.Generator) -> Tensor:
        """‖x − v‖ − ½‖x − x'‖, (n,), with draws x, x': the energy score (Gneiting & Raftery 2007).

        Smallest on average for the posterior, and for it alone.
        """
        conditions = self.condition(features)
        x, other = self.draw(conditions, generator), self.draw(conditions, generator)
        return (x - v).norm(dim=-1) - 0.5 * (x - other).norm(dim=-1)

    def own_loss(self, v: Tensor, features: Tensor) -> Tensor | None:
        """The regression of v by the summary, and as published λ_s E‖T_y(x) − y‖."""
        terms = []
        if self.summary is not None:
            terms.append(functional.mse_loss(self.summary(features), v))
        if not self.flow.smoothed and self.architecture.supervised_weight:
            zeros = v.new_zeros(len(v), self.flow.observed)
            y = self.flow(torch.cat([v, zeros], -1))[0][:, : self.flow.observed]
            gap = (y - self.condition(features).context).norm(dim=-1).mean()
            terms.append(self.architecture.supervised_weight * gap)
        return torch.stack(terms).sum() if terms else None
