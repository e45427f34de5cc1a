"""Critics: functions g(z, h) of a latent, or an unknown, and a measurement's summary."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm


class Critic(nn.Module):
    """g(z, h), a smooth network that starts as zero; its gradient in z can be penalised.

    The quadratic form z†A(h)z + b(h)†z is added to a network of (z, h): the log-ratio of two
    Gaussians is then inside the family, and the network has only to learn what is not Gaussian.

    Args:
        dim: number of latents d
        context: length of the summary h
        hidden: width of the network
        spectral: keep every inner layer's spectral norm at 1 (Miyato et al. 2018). The last layer
            and the quadratic form stay free, so that the ratio may be as steep as it is.
    """

    def __init__(self, dim: int, context: int, hidden: int, *, spectral: bool = False) -> None:
        super().__init__()
        self.dim = dim
        # h enters as the summary network left it; its scale is set by training, so normalise it
        self.norm = nn.LayerNorm(context, elementwise_affine=False)
        self.from_context = nn.Linear(context, hidden)
        self.from_latent = nn.Linear(dim, hidden)
        self.middle = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(2))
        self.leave = nn.Linear(hidden, 1)
        self.form = nn.Linear(context, dim * (dim + 1))
        for layer in (self.leave, self.form):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if spectral:
            for layer in (self.from_context, self.from_latent, *self.middle):
                spectral_norm(layer)

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        """Value g (n,) at z (n, d) and h (n, c)."""
        h = self.norm(context)
        x = functional.silu(self.from_latent(z) + self.from_context(h))
        for layer in self.middle:
            x = x + functional.silu(layer(x))
        linear, square = self.form(h).split([self.dim, self.dim**2], dim=-1)
        square = square.view(-1, self.dim, self.dim)
        quadratic = torch.einsum("ni,nij,nj->n", z, square, z) / self.dim
        return self.leave(x).squeeze(-1) + (linear * z).sum(-1) + quadratic


def gradient_penalty(critic: nn.Module, z: Tensor, context: Tensor) -> Tensor:
    """R1 penalty E‖∂g/∂z‖² (Mescheder, Geiger & Nowozin 2018), a scalar to be differentiated."""
    z = z.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(z, context).sum(), z, create_graph=True)
    return gradient.square().sum(-1).mean()
