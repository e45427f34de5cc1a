"""Two posteriors of one problem, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oceaninv.diagnostics.c2st import C2st, c2st
from oceaninv.diagnostics.distances import wasserstein
from oceaninv.errors import InputError
from oceaninv.posterior import Posterior, check_units, equal_weight, summarise

_FEWEST = 200  # draws below which a classifier learns nothing
_FEWEST_DIFFERENT = 10  # two for each of the classifier's folds


@dataclass(frozen=True)
class ComparisonRow:
    """One unknown in both posteriors; `wasserstein` is in standard deviations of the reference."""

    name: str
    unit: str
    median: float
    reference_median: float
    sd_ratio: float
    wasserstein: float


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: by unknown, and jointly by the classifier.

    Attributes:
        rows: one for each unknown.
        c2st: joint classifier test.
        draws: draws of each posterior given to the classifier.
        same_data: whether both come from the same numbers.
    """

    rows: tuple[ComparisonRow, ...]
    c2st: C2st
    draws: int
    same_data: bool


def compare(
    posterior: Posterior, reference: Posterior, *, seed: int = 0, draws: int = 4000
) -> Comparison:
    """Distance of a posterior from a reference, by unknown and jointly.

    Args:
        posterior: the one to judge.
        reference: what it is judged by, such as MCMC.
        seed: of the resampling and of the classifier.
        draws: equally weighted draws of each for the classifier; fewer where a Markov chain has
            fewer effective ones, because a classifier recognises neighbours in a chain.

    Raises:
        InputError: the two have different unknowns, or one in different units, or one of the two
            has too few different draws.
    """
    if posterior.names != reference.names:
        raise InputError(
            f"unknowns: {', '.join(posterior.names)} against {', '.join(reference.names)}; compare "
            "posteriors of one scenario"
        )
    check_units(posterior, reference, "unknowns")
    rng = np.random.default_rng(seed)
    n = min(draws, *(_independent(p) for p in (posterior, reference)))
    judged, judge = (equal_weight(p, n, rng) for p in (posterior, reference))
    different, _, which = min(
        (len(np.unique(drawn, axis=0)), len(p.samples), name)  # as many of both are drawn
        for drawn, p, name in ((judged, posterior, "the first"), (judge, reference, "the second"))
    )
    if different < _FEWEST_DIFFERENT:
        raise InputError(
            f"{different} different draws of {which} are too few to compare; make it again with "
            f"more, {_FEWEST_DIFFERENT} at least"
        )
    distance = wasserstein(
        posterior.samples, posterior.weights, reference.samples, reference.weights
    )
    pairs = zip(summarise(posterior), summarise(reference), distance, strict=True)
    rows = tuple(
        ComparisonRow(
            name=ours.name,
            unit=ours.unit,
            median=ours.median,
            reference_median=theirs.median,
            sd_ratio=ours.sd / theirs.sd,
            wasserstein=float(w),
        )
        for ours, theirs, w in pairs
    )
    return Comparison(
        rows=rows,
        c2st=c2st(judged, judge, seed=seed),
        draws=n,
        same_data=posterior.attributes.get("data_hash") == reference.attributes.get("data_hash"),
    )


def _independent(posterior: Posterior) -> int:
    chain = float(posterior.attributes.get("ess", len(posterior.samples)))
    return int(min(len(posterior.samples), max(chain, _FEWEST)))
