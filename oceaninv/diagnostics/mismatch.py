"""Is this measurement like what the model was trained on? Findings, each with its p-value.

Five questions, each asked at a fifth of the false-alarm rate: is the network's summary of the
data like that of simulations; do all tones together fit; does each tone; does each receiver; are
there outliers. Within a question Holm's procedure (for receivers, one left out after another)
allows for the number of tones and receivers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from oceaninv.diagnostics.familiarity import Familiarity, familiarity
from oceaninv.diagnostics.misfit import Misfit, misfit_of_draws
from oceaninv.diagnostics.pivots import Candidates
from oceaninv.inference import Model
from oceaninv.likelihood import Likelihood, log_likelihood
from oceaninv.measurement.noise import ComplexNoise
from oceaninv.posterior import Posterior, equal_weight
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

Array = NDArray[np.float64]
Kind = Literal["summary", "overall", "tone", "receiver", "outliers"]

FALSE_ALARM = 0.05  # probability of any finding where the scenario is right
_LEVEL = FALSE_ALARM / 5  # of each question
_DRAWS = 64  # of the posterior
_SOUND = 400  # draws of the prior that show what sound looks like
_STREAM = 0x50D  # keeps those apart from the truth of `synthesize` with the same seed
_MOST_RECEIVERS = 3  # left out one after another
_WITHOUT = (", even without that receiver", ", even without those receivers")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the scenario says.

    Attributes:
        kind: which question found it.
        where: the tone or the receiver, such as "148 Hz"; empty for the others.
        p_value: corrected for the number of tones or receivers.
        text: a sentence.
    """

    kind: Kind
    where: str
    p_value: float
    text: str


@dataclass(frozen=True)
class Mismatch:
    """All answers for one measurement.

    Attributes:
        findings: what is not as it should be; empty where all is well.
        summary: p-value of the network's summary; NaN where there is no network.
        misfit: the p-values of tones and receivers, all receivers included.
    """

    findings: tuple[Finding, ...]
    summary: float
    misfit: Misfit


def mismatch(
    posterior: Posterior,
    model: Model | None = None,
    known: Familiarity | None = None,
    *,
    seed: int = 0,
) -> Mismatch:
    """Compare a measurement with what its scenario, posterior and network expect.

    Args:
        posterior: of the measurement, by `infer` or `mcmc`.
        model: whose network summarises the data, with
        known: what it makes of simulations; without both, that question is not asked.
        seed: of all randomness.

    Returns:
        Findings that occur with a probability of about 5 % where scenario and posterior are right.
    """
    scenario = posterior.scenario
    rng = np.random.default_rng([seed, 2])
    theta = torch.from_numpy(equal_weight(posterior, _DRAWS, rng))
    drawn = Candidates(theta, predict(scenario, theta), what_sound_looks_like(scenario, seed))
    summary = math.nan
    if model is not None and known is not None:
        summary = familiarity(model, posterior.observed, known)
    return judge(log_likelihood(scenario, posterior.observed), drawn, summary, seed=seed)


def judge(likelihood: Likelihood, drawn: Candidates, summary: float, *, seed: int) -> Mismatch:
    """The same from draws whose noise-free data are at hand, and the summary's p-value."""
    first = misfit_of_draws(likelihood, drawn, seed=seed)
    receivers, rest = _receivers(likelihood, drawn, first, seed)
    left_out = "" if rest is first else _WITHOUT[len(receivers) > 1]
    tones = _tones(likelihood.scenario, rest, left_out)
    findings = [*receivers, *tones]
    if rest.spread <= _LEVEL:
        findings.append(_outliers(likelihood.scenario, rest, left_out))
    if rest.overall <= _LEVEL and not tones:
        findings.append(
            Finding(
                "overall",
                "",
                rest.overall,
                f"all tones together fit worse than noise explains{left_out} "
                f"({_p(rest.overall)}): "
                "the physics of the scenario is not that of the data",
            )
        )
    if summary <= _LEVEL:
        findings.append(
            Finding(
                "summary",
                "",
                summary,
                "the network's summary of the data is unlike those it was trained on "
                f"({_p(summary)})",
            )
        )
    return Mismatch(tuple(findings), summary, first)


def what_sound_looks_like(scenario: Scenario, seed: int) -> torch.Tensor:
    """Noise-free data at draws of the prior, (p, F, N)."""
    rng = np.random.default_rng([seed, _STREAM])
    replica = predict(scenario, scenario.prior.sample(_SOUND, rng))
    return replica[torch.isfinite(replica.abs()).all(-1).all(-1)]


def with_mismatch(posterior: Posterior, found: Mismatch) -> Posterior:
    """The posterior with the answers in its attributes, `mismatch` and `mismatch_p_...`."""
    misfit = found.misfit
    told: dict[str, str | float | int] = {
        "mismatch": "; ".join(f.text for f in found.findings) or "none",
        "mismatch_p_summary": found.summary,
        "mismatch_p_overall": misfit.overall,
        "mismatch_p_outliers": misfit.spread,
        "mismatch_p_tone": _as_json(misfit.tone),
        "mismatch_p_receiver": _as_json(misfit.receiver),
    }
    return replace(posterior, attributes={**posterior.attributes, **told})


def _receivers(
    likelihood: Likelihood, drawn: Candidates, first: Misfit, seed: int
) -> tuple[list[Finding], Misfit]:
    """Receivers that do not fit the others, and the misfit without them.

    One bad receiver spoils what is predicted for the others, so the worst is left out before the
    others are judged.
    """
    depth = likelihood.scenario.receiver_depth
    without: list[int] = []
    findings: list[Finding] = []
    current = first
    while len(depth) - len(without) > 2 and len(without) < _MOST_RECEIVERS:
        p = np.where(np.isin(np.arange(len(depth)), without), 1.0, current.receiver)
        worst = int(p.argmin())
        corrected = float(p[worst]) * (len(depth) - len(without))
        if corrected > _LEVEL:
            break
        where = f"{depth[worst]:g} m"
        findings.append(
            Finding(
                "receiver",
                where,
                corrected,
                f"the receiver at {where} does not fit the others ({_p(corrected)})"
                f"{_suspicion(current.gain[worst])}",
            )
        )
        if not isinstance(likelihood.noise, ComplexNoise):
            break
        without.append(worst)
        current = misfit_of_draws(likelihood, drawn, without=without, seed=seed)
    return findings, current


def _suspicion(gain: complex) -> str:
    if math.isnan(abs(gain)):
        return ""
    if abs(gain) < 0.25:
        return ": it looks dead"
    if abs(gain + 1) < 0.4:
        return ": its sign looks reversed"
    return f": as if its gain were {abs(gain):.1f} at {math.degrees(np.angle(gain)):.0f}°"


def _tones(scenario: Scenario, misfit: Misfit, left_out: str) -> list[Finding]:
    """Tones that do not fit, by Holm's procedure."""
    findings = []
    count = len(misfit.tone)
    for k, f in enumerate(np.argsort(misfit.tone)):
        corrected = float(misfit.tone[f]) * (count - k)
        if corrected > _LEVEL:
            break
        where = f"{scenario.frequency[f]:g} Hz"
        text = f"{where} does not fit{left_out} ({_p(corrected)})"
        findings.append(Finding("tone", where, corrected, text))
    return findings


def _outliers(scenario: Scenario, misfit: Misfit, left_out: str) -> Finding:
    tone, receiver = misfit.worst
    where = f"{scenario.frequency[tone]:g} Hz, {scenario.receiver_depth[receiver]:g} m"
    return Finding(
        "outliers",
        where,
        misfit.spread,
        f"the noise has outliers that the scenario does not expect{left_out} "
        f"({_p(misfit.spread)}), "
        f"the largest at {where}",
    )


def _p(value: float) -> str:
    return f"p = {value:.1g}" if value >= 1e-4 else "p below 0.0001"


def _as_json(p: Array) -> str:
    return json.dumps([None if math.isnan(x) else float(f"{x:.3g}") for x in p])
