"""Priors of the unknowns, and their map to and from the standard normal.

Networks and samplers work in `v`, which is standard normal under the prior, and the map back
always lands inside the prior's support, so that no sample can fall outside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

# Share of the prior that float64 tells from nothing beside 1. At a bound v is that of so little,
# ±8.2, to stay finite.
_LEAST = 1e-16


@dataclass(frozen=True)
class Prior:
    r"""Independent priors of `d` named unknowns.

    $p(\theta) = \prod_i p_i(\theta_i)$ and $v_i = \Phi^{-1}(F_i(\theta_i)) \sim N(0, 1)$,
    with $F_i$ the distribution function of unknown $i$.

    Example:
        >>> prior = Prior(("water_depth",), (marginal({"uniform": [100.0, 120.0]}),))
        >>> prior.from_normal(torch.zeros(1, 1, dtype=torch.float64))
        tensor([[110.]], dtype=torch.float64)
    """

    names: tuple[str, ...]
    marginals: tuple[Marginal, ...]

    @property
    def dim(self) -> int:
        """Number of unknowns d."""
        return len(self.names)

    @property
    def lower(self) -> Tensor:
        """Lower ends of the support, (d,); -inf where there is none."""
        return torch.tensor([m.lower for m in self.marginals], dtype=torch.float64)

    @property
    def upper(self) -> Tensor:
        """Upper ends of the support, (d,); inf where there is none."""
        return torch.tensor([m.upper for m in self.marginals], dtype=torch.float64)

    def sample(self, n: int, seed: int | np.random.Generator) -> Tensor:
        """Draw n parameter vectors, (n, d) float64."""
        rng = np.random.default_rng(seed)
        return self.from_normal(torch.from_numpy(rng.standard_normal((n, self.dim))))

    def log_prob(self, theta: Tensor) -> Tensor:
        """Log density at theta (n, d), as (n,); -inf outside the support."""
        columns = [m.log_prob(x) for m, x in zip(self.marginals, theta.unbind(-1), strict=True)]
        return torch.stack(columns, -1).sum(-1)

    def to_normal(self, theta: Tensor) -> Tensor:
        """Map theta (n, d) inside the support to v (n, d), standard normal under the prior."""
        columns = [m.to_normal(x) for m, x in zip(self.marginals, theta.unbind(-1), strict=True)]
        return torch.stack(columns, -1)

    def from_normal(self, v: Tensor) -> Tensor:
        """Map v (n, d) to theta (n, d); inside the support whatever v."""
        columns = [m.from_normal(x) for m, x in zip(self.marginals, v.unbind(-1), strict=True)]
        return torch.stack(columns, -1)


class Marginal(Protocol):
    """Prior of one unknown; tensors of any one shape in and out."""

    @property
    def lower(self) -> float:
        """Lower end of the support."""
        ...

    @property
    def upper(self) -> float:
        """Upper end of the support."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density, -inf outside the support."""
        ...

    def to_normal(self, x: Tensor) -> Tensor:
        """Standard normal quantile of the distribution function at x."""
        ...

    def from_normal(self, v: Tensor) -> Tensor:
        """Inverse of `to_normal`, inside the support whatever v."""
        ...


def marginal(spec: Mapping[str, Sequence[float]]) -> Marginal:
    """Make a marginal from its YAML form, such as `{"uniform": [100, 120]}`.

    Forms: `uniform: [lower, upper]`, `normal: [mean, sd]`,
    `truncated_normal: [mean, sd, lower, upper]`, `log_uniform: [lower, upper]`.

    Raises:
        ValueError: an unknown kind, a wrong count of numbers, bounds in the wrong order, a
            standard deviation or logarithm of nothing; the message says the mend.
    """
    kinds = ", ".join(_KINDS)
    if len(spec) != 1:
        raise ValueError(f"give exactly one of {kinds}, not {sorted(spec) or 'nothing'}")
    ((kind, numbers),) = spec.items()
    if kind not in _KINDS:
        raise ValueError(f"unknown prior '{kind}'; choose one of {kinds}")
    make, wanted = _KINDS[kind]
    if len(numbers) != len(wanted):
        raise ValueError(f"{kind} takes [{', '.join(wanted)}], not {list(numbers)}")
    if not all(math.isfinite(x) for x in numbers):
        raise ValueError(f"{kind} takes finite numbers, not {list(numbers)}")
    return make(*(float(x) for x in numbers))


@dataclass(frozen=True)
class _Uniform:
    """Uniform between lower and upper."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        _check_bounds(self.lower, self.upper)

    def log_prob(self, x: Tensor) -> Tensor:
        inside = (x >= self.lower) & (x <= self.upper)
        density = torch.full_like(x, -math.log(self.upper - self.lower))
        return torch.where(inside, density, -math.inf)

    def to_normal(self, x: Tensor) -> Tensor:
        width = self.upper - self.lower
        below, above = (x - self.lower) / width, (self.upper - x) / width
        return _normal_quantile(below.clamp(min=_LEAST), above.clamp(min=_LEAST))

    def from_normal(self, v: Tensor) -> Tensor:
        # Measured from the nearer end, so that both tails keep their precision.
        step = (self.upper - self.lower) * _below(-v.abs())
        x = torch.where(v < 0, self.lower + step, self.upper - step)
        return x.clamp(self.lower, self.upper)


@dataclass(frozen=True)
class _LogUniform:
    """Uniform in the logarithm between lower and upper, both positive."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        _check_bounds(self.lower, self.upper)
        if self.lower <= 0:
            raise ValueError(f"log_uniform: lower ({self.lower:g}) must be above 0")

    def log_prob(self, x: Tensor) -> Tensor:
        inside = (x >= self.lower) & (x <= self.upper)
        density = -x.clamp(self.lower).log() - math.log(math.log(self.upper / self.lower))
        return torch.where(inside, density, -math.inf)

    def to_normal(self, x: Tensor) -> Tensor:
        return self._exponent.to_normal(x.log())

    def from_normal(self, v: Tensor) -> Tensor:
        return self._exponent.from_normal(v).exp().clamp(self.lower, self.upper)

    @property
    def _exponent(self) -> _Uniform:
        return _Uniform(math.log(self.lower), math.log(self.upper))


@dataclass(frozen=True)
class _Normal:
    """Normal with a mean and a standard deviation."""

    mean: float
    sd: float

    def __post_init__(self) -> None:
        _check_sd(self.sd)

    @property
    def lower(self) -> float:
        return -math.inf

    @property
    def upper(self) -> float:
        return math.inf

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * ((x - self.mean) / self.sd) ** 2 - math.log(self.sd * math.sqrt(2 * math.pi))

    def to_normal(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sd

    def from_normal(self, v: Tensor) -> Tensor:
        return self.mean + self.sd * v


@dataclass(frozen=True)
class _TruncatedNormal:
    """Normal of a mean and a standard deviation, cut to lower and upper."""

    mean: float
    sd: float
    lower: float
    upper: float

    def __post_init__(self) -> None:
        _check_sd(self.sd)
        _check_bounds(self.lower, self.upper)
        if self._mass < 1e-6:
            raise ValueError(
                f"truncated_normal: [{self.lower:g}, {self.upper:g}] lies too far from the mean "
                f"({self.mean:g}); move the mean or the bounds"
            )

    def log_prob(self, x: Tensor) -> Tensor:
        inside = (x >= self.lower) & (x <= self.upper)
        density = _Normal(self.mean, self.sd).log_prob(x) - math.log(self._mass)
        return torch.where(inside, density, -math.inf)

    def to_normal(self, x: Tensor) -> Tensor:
        t = (x - self.mean) / self.sd
        (under, over_lower), (under_upper, over) = self._tails
        # Differences of tails on the side where t is, which are small and keep their digits.
        below = torch.where(t < 0, _below(t) - under, over_lower - _below(-t)) / self._mass
        above = torch.where(t < 0, under_upper - _below(t), _below(-t) - over) / self._mass
        # A tail of next to nothing beyond a bound leaves the bound itself far out.
        tiny = np.finfo(np.float64).tiny
        least_below, least_above = (_LEAST * cut / self._mass + tiny for cut in (under, over))
        return _normal_quantile(below.clamp(min=least_below), above.clamp(min=least_above))

    def from_normal(self, v: Tensor) -> Tensor:
        # From the nearer end, by sums of what is small.
        (under, _), (_, over) = self._tails
        below, above = under + self._mass * _below(v), over + self._mass * _below(-v)
        smaller = torch.special.ndtri(torch.minimum(below, above))
        t = torch.where(below < above, smaller, -smaller)
        return (self.mean + self.sd * t).clamp(self.lower, self.upper)

    @property
    def _tails(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Shares of the whole normal below and above lower, and below and above upper."""
        a, b = ((x - self.mean) / (self.sd * math.sqrt(2)) for x in (self.lower, self.upper))
        return (0.5 * math.erfc(-a), 0.5 * math.erfc(a)), (0.5 * math.erfc(-b), 0.5 * math.erfc(b))

    @property
    def _mass(self) -> float:
        (under, over_lower), (under_upper, over) = self._tails
        return over_lower - over if self.lower > self.mean else under_upper - under


_KINDS: dict[str, tuple[type[Marginal], tuple[str, ...]]] = {
    "uniform": (_Uniform, ("lower", "upper")),
    "normal": (_Normal, ("mean", "sd")),
    "truncated_normal": (_TruncatedNormal, ("mean", "sd", "lower", "upper")),
    "log_uniform": (_LogUniform, ("lower", "upper")),
}


def _normal_quantile(below: Tensor, above: Tensor) -> Tensor:
    """Phi^-1(below), given below and above = 1 - below; the smaller of the two is used."""
    tail = torch.special.ndtri(torch.minimum(below, above)).clamp(max=0.0)
    return torch.where(below < above, tail, -tail)


def _below(v: Tensor) -> Tensor:
    """Phi(v), to all digits in the lower tail, where that of torch has only absolute ones."""
    return 0.5 * torch.erfc(-v / math.sqrt(2))


def _check_bounds(lower: float, upper: float) -> None:
    if lower > upper:
        raise ValueError(f"lower ({lower:g}) is above upper ({upper:g}); swap them")
    if lower == upper:
        raise ValueError(f"lower and upper are both {lower:g}; write the number in place of it")


def _check_sd(sd: float) -> None:
    if sd <= 0:
        raise ValueError(f"sd ({sd:g}) must be above 0")
