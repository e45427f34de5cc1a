"""What every sampler takes and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oceaninv.ensemble.checkpoint import Checkpoint

Array = NDArray[np.float64]
LogDensity = Callable[[Array], Array]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ChainSettings:
    """How long and how wide a run is.

    Attributes:
        ensembles: independent ensembles, 2 or more: R-hat compares them. Nested sampling has one
            run only.
        walkers: walkers of each ensemble, even; None for the larger of 32 and 8 per unknown. In
            nested sampling: live points; None for 2000.
        effective_samples: the run ends when every unknown has as many (in bulk, tails, mean and
            standard deviation), and R-hat is below 1.01.
        max_steps: the run ends here at the latest, after the starting phase. A step of nested
            sampling is a batch of 100 likelihoods.
        samples: number of draws kept, spread evenly over the run.
        max_seconds: the run ends after this time at the latest.
    """

    ensembles: int = 4
    walkers: int | None = None
    effective_samples: int = 1000
    max_steps: int = 20_000
    samples: int = 10_000
    max_seconds: float = float("inf")


@dataclass(frozen=True)
class Draws:
    """What a sampler returns.

    Attributes:
        v: draws, (n, d), chain after chain.
        log_likelihood: (n,).
        chains: number of independent chains.
        attributes: what the sampler measured; `converged` is 1 or 0.
        log_weight: (n,); None where the draws have equal weight.
    """

    v: Array
    log_likelihood: Array
    chains: int
    attributes: dict[str, str | float | int]
    log_weight: Array | None = None


class Sampler(Protocol):
    """A way to draw from N(v; 0, I) L(v)."""

    def __call__(
        self,
        log_likelihood: LogDensity,
        dim: int,
        settings: ChainSettings,
        seed: int,
        checkpoint: Checkpoint | None = None,
        identity: dict[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Draws:
        """Draws of the posterior; see the samplers."""
        ...
