"""Exponential covariance of errors along a line, whitened in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ExponentialCovariance:
    r"""$C_{ij} = \exp(-|x_i - x_j| / \ell)$ of N points on one or several separate lines.

    Along a line this is a first-order autoregression: with the points in order,
    $\phi_i = \exp(-(x_i - x_{i-1}) / \ell)$ and $e_1 = x_1$,
    $e_i = (x_i - \phi_i x_{i-1}) / \sqrt{1 - \phi_i^2}$ the $e_i$ are independent with unit
    variance, and $\ln|C| = \sum_i \ln(1 - \phi_i^2)$. So $C^{-1}$ costs O(N) at any $\ell$, which
    may differ from one batch entry to the next; $\ell = 0$ gives the identity.

    Source: C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning (MIT
    Press, 2006), app. B (Ornstein-Uhlenbeck process).

    Attributes:
        order: (N,) index that sorts the points line by line.
        gap: (N,) m, distance to the point before in that order; inf at the start of a line.
    """

    order: Tensor
    gap: Tensor

    @classmethod
    def on_lines(cls, lines: Sequence[Sequence[float]]) -> ExponentialCovariance:
        """Covariance of points given line after line; errors of two lines are independent.

        Raises:
            ValueError: two points of a line at the same place.
        """
        orders, gaps, start = [], [], 0
        for line in lines:
            x = torch.tensor(list(line), dtype=torch.float64)
            order = x.argsort()
            gap = torch.full_like(x, torch.inf)
            gap[1:] = x[order].diff()
            if (gap <= 0).any():
                raise ValueError("two points at the same place; their errors cannot be told apart")
            orders.append(order + start)
            gaps.append(gap)
            start += len(x)
        return cls(torch.cat(orders), torch.cat(gaps))

    def whiten(self, x: Tensor, length: Tensor) -> Tensor:
        """Give e = L^-1 x, so that e'e = x' C^-1 x, for x (..., N) and length (...), in m.

        `length` broadcasts against the batch axes of x. The result is in the sorted order.
        """
        phi, scale = self._coefficients(length, x)
        x = x[..., self.order.to(x.device)]
        before = torch.nn.functional.pad(x[..., :-1], (1, 0))
        return (x - phi * before) / scale

    def correlate(self, e: Tensor, length: Tensor) -> Tensor:
        """Inverse of `whiten`: x = L e, of covariance C where e is independent of unit variance."""
        phi, scale = self._coefficients(length, e)
        innovation = e * scale
        columns = [innovation[..., 0]]
        for i in range(1, e.shape[-1]):
            columns.append(phi[..., i] * columns[-1] + innovation[..., i])
        return torch.stack(columns, -1)[..., self.order.argsort().to(e.device)]

    def log_det(self, length: Tensor) -> Tensor:
        """ln|C| for length (...), as (...)."""
        _, scale = self._coefficients(length, length)
        return 2 * scale.log().sum(-1)

    def _coefficients(self, length: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Phi and sqrt(1 - phi^2), (..., N)."""
        # A gap over a length of 0 is inf, so that phi = 0: independent errors.
        ratio = self.gap.to(length.device) / length[..., None]
        phi, scale = torch.exp(-ratio), torch.sqrt(-torch.expm1(-2 * ratio))
        real = like.real.dtype
        return phi.to(like.device, real), scale.to(like.device, real)
