"""Whether the data fit what the posterior says of them: by tone, by receiver and as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from oceaninv.diagnostics.pivots import Candidates, pivots
from oceaninv.likelihood import Likelihood

Array = NDArray[np.float64]

_SMALLEST = 1e-300


@dataclass(frozen=True)
class Misfit:
    """P-values of a measurement under the posterior's own predictions.

    Attributes:
        tone: (F,), the tone fits, in size and, of three receivers or more, in the pattern of what
            is left.
        receiver: (R,), the receiver fits what the others predict, over all tones; NaN where there
            is only one.
        overall: all tones together.
        spread: the noise has no more outliers than the scenario says.
        gain: as `Pivots.gain`.
        worst: as `Pivots.worst`.
    """

    tone: Array
    receiver: Array
    overall: float
    spread: float
    gain: NDArray[np.complex128]
    worst: tuple[int, int]


def misfit_of_draws(
    likelihood: Likelihood, drawn: Candidates, *, without: list[int] | None = None, seed: int
) -> Misfit:
    """Misfit of a measurement to draws of its posterior.

    Args:
        likelihood: of the measurement.
        drawn: draws of the posterior, with their noise-free data.
        without: receivers that do not count (of complex data).
        seed: of the noise that the measurement is compared with.
    """
    found = pivots(likelihood, drawn, without=without or [], seed=seed)
    asked = [found.size] if found.pattern is None else [found.size, found.pattern]
    by_tone = np.sum([_surprise(p) for p in asked], axis=0)
    by_receiver = _surprise(found.receiver).sum(1)
    n_tones = by_tone.shape[1]
    alone = found.receiver.shape[2] == 1
    return Misfit(
        # -ln of a uniform number is exponential; sums of them have gamma distributions
        tone=over_draws(special.gammaincc(len(asked), by_tone)),
        receiver=np.array([np.nan])
        if alone
        else over_draws(special.gammaincc(n_tones, by_receiver)),
        overall=float(over_draws(special.gammaincc(len(asked) * n_tones, by_tone.sum(1)))),
        spread=float(over_draws(found.spread)),
        gain=found.gain,
        worst=found.worst,
    )


def over_draws(p: Array) -> Array:
    r"""One p-value of those at m draws, (m, ...) -> (...), by the Cauchy combination.

    The p-values at the draws are each uniform but depend on each other, in a way that nobody
    knows. The mean of $\tan((1/2 - p_i)\pi)$ has nonetheless the tail of a Cauchy variable, all
    the better the smaller the p-value (Y. Liu and J. Xie, J. Am. Stat. Assoc. 115, 393 (2020)).
    """
    score = np.tan((0.5 - np.clip(p, 1e-15, 1 - 1e-15)) * np.pi).mean(0)
    return 0.5 - np.arctan(score) / np.pi


def _surprise(p: Array) -> Array:
    return -np.log(np.maximum(p, _SMALLEST))
