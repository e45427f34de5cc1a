"""The invertible layers of the flow: a conditional Gaussian layer and spline couplings.

Every layer maps `x (n, d)` to `y (n, d)`, given numbers computed from the context, and returns with
it the log-determinant `(n,)` of dy/dx, in both directions. All start as the identity.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

TAIL = 5.0  # the splines act on [-TAIL, TAIL] and are the identity outside
MIN_BIN = 1e-3
MIN_SLOPE = 1e-3
# softplus(UNIT_SLOPE) + MIN_SLOPE = 1: zero parameters give a spline of slope one
UNIT_SLOPE = math.log(math.expm1(1.0 - MIN_SLOPE))


class GaussianLayer(nn.Module):
    """Whitening by a Gaussian that depends on the context, y = L(h) (x − μ(h)).

    L is lower triangular with diagonal exp(s), so that a Gaussian posterior needs no other layer
    and the couplings after it only have to learn what is not Gaussian.
    log|dy/dx| = Σ s_i.
    """

    MAX_LOG_SCALE = 7.0
    below: Tensor

    def __init__(self, dim: int, context: int) -> None:
        super().__init__()
        self.dim = dim
        self.head = nn.Linear(context, dim * (dim + 3) // 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        rows, columns = torch.tril_indices(dim, dim, -1)
        self.register_buffer("below", rows * dim + columns, persistent=False)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (n, d) at the context (n or 1, c) to y (n, d), log|dy/dx| (n,)."""
        mean, log_scale, matrix = self._condition(context)
        y = (matrix @ (x - mean).unsqueeze(-1)).squeeze(-1)
        return y, log_scale.sum(-1).expand(len(x))

    def inverse(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Map y (n, d) back to x (n, d), log|dx/dy| (n,)."""
        mean, log_scale, matrix = self._condition(context)
        x = torch.linalg.solve_triangular(matrix, y.unsqueeze(-1), upper=False).squeeze(-1) + mean
        return x, -log_scale.sum(-1).expand(len(y))

    def _condition(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        d = self.dim
        mean, raw, below = self.head(context).split([d, d, d * (d - 1) // 2], dim=-1)
        log_scale = soft_clamp(raw, self.MAX_LOG_SCALE)
        scale = log_scale.exp()
        # rows share their scale: L = diag(e^s) (1 + strictly lower), well conditioned to learn
        unit = below.new_zeros(len(below), d * d).index_copy(1, self.below, below).view(-1, d, d)
        matrix = scale.unsqueeze(-1) * (unit + torch.eye(d, dtype=unit.dtype, device=unit.device))
        return mean, log_scale, matrix


class Coupling(nn.Module):
    """Conditional coupling: the second part of x moves, given its first part and the context.

    Affine, then monotone rational-quadratic spline (Durkan et al. 2019, Neural Spline Flows):
    y_b = spline(x_b e^s + t), with s, t and the knots from a small residual network of
    (x_a, context). The order of the variables is set outside, by static permutations.

    Args:
        dim: number of variables d; the first d // 2 stay as they are
        hidden: width of the network
        bins: number of spline bins; 0: affine, without a spline
        clamp: bound of |s|
    """

    def __init__(self, dim: int, hidden: int, bins: int, clamp: float = 3.0) -> None:
        super().__init__()
        self.kept = dim // 2
        self.moved = dim - self.kept
        self.bins, self.clamp = bins, clamp
        self.enter = nn.Linear(self.kept, hidden) if self.kept else None
        self.middle = nn.Linear(hidden, hidden)
        self.leave = nn.Linear(hidden, self.moved * (3 * bins + 1 if bins else 2))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (n, d) at the projected context (n or 1, hidden) to y (n, d), log|dy/dx| (n,)."""
        kept, moved = x.split([self.kept, self.moved], dim=-1)
        log_scale, shift, knots = self._condition(kept, projected)
        y = moved.mT * log_scale.exp() + shift
        slope = log_scale.expand_as(y)
        if self.bins:
            y, log_slope = spline(y, knots)
            slope = log_slope + log_scale
        return torch.cat([kept, y.mT], -1), slope.sum(0)

    def inverse(self, y: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Map y (n, d) back to x (n, d), log|dx/dy| (n,)."""
        kept, after = y.split([self.kept, self.moved], dim=-1)
        log_scale, shift, knots = self._condition(kept, projected)
        moved = after.mT
        slope = -log_scale.expand_as(moved)
        if self.bins:
            moved, log_slope = spline(moved, knots, inverse=True)
            slope = log_slope - log_scale
        moved = (moved - shift) * (-log_scale).exp()
        return torch.cat([kept, moved.mT], -1), slope.sum(0)

    def _condition(self, kept: Tensor, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log s and t (m, n or 1), and the numbers of the spline (m, 3 bins − 1, n or 1).

        Rows last: sums over a few bins are then those of long vectors, at half the time.
        """
        hidden = projected if self.enter is None else projected + self.enter(kept)
        hidden = functional.silu(hidden)
        hidden = hidden + functional.silu(self.middle(hidden))
        out = torch.addmm(self.leave.bias[:, None], self.leave.weight, hidden.mT)
        out = out.unflatten(0, (self.moved, -1))
        log_scale = soft_clamp(out[:, 0], self.clamp)
        return log_scale, out[:, 1], out[:, 2:]


def soft_clamp(x: Tensor, bound: float) -> Tensor:
    """Smoothly keep x inside (−bound, bound); the identity to second order at zero."""
    return bound * torch.tanh(x / bound)


def spline(x: Tensor, raw: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """Monotone rational-quadratic spline with linear tails, and the log of its slope, fused.

    In the bin [x_k, x_k + w] → [y_k, y_k + h], with ξ = (x − x_k)/w, σ = h/w and knot slopes
    δ_k, δ_{k+1}:

        y = y_k + h (σ ξ² + δ_k ξ(1−ξ)) / (σ + (δ_{k+1} + δ_k − 2σ) ξ(1−ξ))

    (Gregory & Delbourgo 1982; Durkan et al. 2019, eqs. 4 to 8).

    Args:
        x: (m, n) values
        raw: (m, 3 bins − 1, n or 1) unconstrained widths, heights, inner slopes; zero: identity
        inverse: solve for x at given y instead

    Returns:
        the value and the log of its derivative with respect to the argument, each of x's shape
    """
    bins = (raw.shape[1] + 1) // 3
    left, width = _edges(raw[:, :bins])
    low, height = _edges(raw[:, bins : 2 * bins])
    slope = functional.pad(raw[:, 2 * bins :], (0, 0, 1, 1))
    slope = functional.softplus(slope + UNIT_SLOPE) + MIN_SLOPE  # the two ends: slope one

    inside = x.abs() < TAIL
    clamped = x.clamp(-TAIL, TAIL)
    knots = low if inverse else left
    index = (clamped[:, None] >= knots[:, 1:]).sum(1, keepdim=True)
    tables = (left, width, low, height, slope[:, :-1], slope[:, 1:])
    x0, w, y0, h, d0, d1 = (
        table.expand(-1, -1, x.shape[1]).gather(1, index)[:, 0] for table in tables
    )
    sigma = h / w
    bend = d0 + d1 - 2 * sigma

    if inverse:
        rise = clamped - y0
        a = h * (sigma - d0) + rise * bend
        b = h * d0 - rise * bend
        c = -sigma * rise
        root = (b * b - 4 * a * c).clamp_min(0).sqrt()
        xi = (2 * c / (-b - root)).clamp(0, 1)  # the form that keeps its digits when a → 0
        value = x0 + xi * w
    else:
        xi = (clamped - x0) / w
    hump = xi * (1 - xi)
    denominator = sigma + bend * hump
    if not inverse:
        value = y0 + h * (sigma * xi * xi + d0 * hump) / denominator
    numerator = d1 * xi * xi + 2 * sigma * hump + d0 * (1 - xi) ** 2
    log_slope = 2 * sigma.log() + numerator.log() - 2 * denominator.log()
    if inverse:
        log_slope = -log_slope
    return torch.where(inside, value, x), torch.where(inside, log_slope, 0.0)


def _edges(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Left edges and sizes of the bins of [−TAIL, TAIL], (m, bins, n) each."""
    bins = raw.shape[1]
    share = MIN_BIN + (1 - MIN_BIN * bins) * raw.softmax(1)
    right = share.cumsum(1)
    left = functional.pad(right[:, :-1], (0, 0, 1, 0))
    return 2 * TAIL * left - TAIL, 2 * TAIL * share
