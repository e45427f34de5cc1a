"""The summary network: features of a measurement -> the context that conditions the flow."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Summary(nn.Module):
    """Standardise, one linear layer (a bank of matched fields), residual blocks, a linear layer.

    Args:
        features: number of features p
        hidden: width
        depth: number of residual blocks
        context: length of the summary h
        dropout: share of the last layer's inputs left out in training
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, features: int, *, hidden: int, depth: int, context: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.enter = nn.Linear(features, hidden)
        self.blocks = nn.ModuleList(Residual(hidden) for _ in range(depth))
        self.leave = nn.Linear(hidden, context)

    def standardise(self, features: Tensor) -> None:
        """Take mean and standard deviation of each feature from `features` (n, p)."""
        self.mean.copy_(features.mean(0))
        spread = features.std(0)
        # a feature that never changes carries nothing; a scale of one keeps it finite
        self.scale.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, p) to their summary (n, context)."""
        x = self.enter((features - self.mean) / self.scale)
        for block in self.blocks:
            x = block(x)
        return self.leave(functional.dropout(functional.silu(x), self.dropout, self.training))


class Residual(nn.Module):
    """x + W₂ σ(W₁ LayerNorm(x)), a no-op at initialisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, width)."""
        return x + self.leave(functional.silu(self.enter(self.norm(x))))
