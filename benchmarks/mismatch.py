"""How often does `infer` say that a measurement is not like the scenario, rightly and wrongly?

Measurements are drawn from the scenario itself (false alarms) and from it with one thing wrong:
the sound-speed profile, the tilt of the array, the tails of the noise, one receiver, one tone.
Each posterior is the network's, re-weighted, of a few hundred draws, and is judged as by `infer`.

    python benchmarks/mismatch.py
    python benchmarks/mismatch.py --model swellex96-vla -n 100 --power 40
    python benchmarks/mismatch.py --keep     # also writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from record import finish
from scipy.stats import binomtest

from oceaninv.diagnostics.familiarity import familiarity, learn_familiarity
from oceaninv.diagnostics.mismatch import Finding, Mismatch, judge, what_sound_looks_like
from oceaninv.diagnostics.pivots import Candidates
from oceaninv.inference import Model
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement, scenario_noise
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import correlation_length, predict
from oceaninv.weighted import resample

SEED = 40_000  # far from the seeds of training
DRAWS = 64

Tensor = torch.Tensor
Draw = Callable[[Scenario, int, torch.Generator], Tensor]  # data (n, 1, F, R)


def main() -> None:
    parser = argparse.ArgumentParser(description="False alarms and power of the mismatch findings")
    parser.add_argument("--model", default="swellex96-2p", help="model directory or built-in name")
    parser.add_argument("-n", type=int, default=600, help="measurements of the scenario itself")
    parser.add_argument("--power", type=int, default=100, help="measurements of each mismatch")
    parser.add_argument("--likelihoods", type=int, default=128, help="for each posterior")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    model = Model.load(arguments.model)
    known = learn_familiarity(model)
    sound = what_sound_looks_like(model.scenario, 0)
    lines = [f"{'measurements':34}  {'n':>4}  flagged  (95 %)          right  seconds  found by"]
    print(lines[0], flush=True)
    answer: dict[str, object] = {"model": model.name, "likelihoods": arguments.likelihoods}
    for name, draw, expected in suite(model.scenario):
        n = arguments.power if expected else arguments.n
        generator = torch.Generator().manual_seed(SEED)
        data = draw(model.scenario, n, generator)
        begun = time.perf_counter()
        found = [
            judged(model, known, sound, d, arguments.likelihoods, SEED + i)
            for i, d in enumerate(data)
        ]
        seconds = (time.perf_counter() - begun) / n
        flagged = sum(bool(f.findings) for f in found)
        right = sum(any(is_right(g, expected) for g in f.findings) for f in found)
        interval = binomtest(flagged, n).proportion_ci()
        kinds = ("summary", "overall", "tone", "receiver", "outliers")
        by = ", ".join(
            f"{k} {sum(any(g.kind == k for g in f.findings) for f in found) / n:.0%}" for k in kinds
        )
        told = f"{right / n:6.0%}" if expected else "     –"
        lines.append(
            f"{name:34}  {n:4d}  {flagged / n:7.1%}  ({interval.low:5.1%}, {interval.high:6.1%})  "
            f"{told}  {seconds:7.2f}  {by}"
        )
        print(lines[-1], flush=True)
        key = name.replace(" ", "_").replace(",", "").replace("°", "")
        answer[key] = flagged / n
        if not expected:
            answer |= {"false_alarm_low": interval.low, "false_alarm_high": interval.high, "n": n}
    finish(
        f"mismatch_{model.name.replace('-', '_')}",
        "\n".join(lines),
        answer,
        seed=SEED,
        keep=arguments.keep,
    )


def judged(
    model: Model, known: Any, sound: Tensor, data: Tensor, likelihoods: int, seed: int
) -> Mismatch:
    """The findings of one measurement (1, F, R)."""
    scenario = model.scenario
    measurement = Measurement(
        frequency=torch.tensor(scenario.frequency, dtype=torch.float64),
        receiver_depth=torch.tensor(scenario.receiver_depth, dtype=torch.float64),
        kind="pressure",
        data=data,
    )
    likelihood = log_likelihood(scenario, measurement)
    theta, log_q = model.sample(measurement, likelihoods, torch.Generator().manual_seed(seed))
    replica = predict(scenario, theta)
    log_weight = likelihood.of_replica(replica, theta) + scenario.prior.log_prob(theta) - log_q
    index = resample(log_weight.numpy(), likelihoods, DRAWS, np.random.default_rng(seed))
    drawn = Candidates(theta[index], replica[index], sound)
    return judge(likelihood, drawn, familiarity(model, measurement, known), seed=seed)


def is_right(finding: Finding, expected: set[tuple[str, str]]) -> bool:
    """Whether a finding names what is wrong: its kind and, where that says it all, its place."""
    return any(finding.kind == kind and place in ("", finding.where) for kind, place in expected)


def suite(scenario: Scenario) -> list[tuple[str, Draw, set[tuple[str, str]]]]:
    """Name, how the data are drawn, and the finding that would be the right one."""
    receiver, tone = len(scenario.receiver_depth) // 2, len(scenario.frequency) // 2
    place = {("receiver", f"{scenario.receiver_depth[receiver]:g} m")}
    hertz = {("tone", f"{scenario.frequency[tone]:g} Hz")}
    anything = {("overall", "")}
    return [
        ("the scenario itself", itself, set()),
        ("profile, mixed to 60 m", other(profile=mixed), anything),
        ("profile, 10 m/s slower below 100 m", other(profile=cooled), anything),
        ("tilt of 6 degrees", other(tilt=6.0), anything),
        ("tilt of 12 degrees", other(tilt=12.0), anything),
        ("Student-t noise, 3 degrees", student(3.0), {("outliers", "")}),
        ("Student-t noise, 2 degrees", student(2.0), {("outliers", "")}),
        ("dead receiver", one_receiver(receiver, 0.01), place),
        ("reversed receiver", one_receiver(receiver, -1.0), place),
        ("one tone of another place", one_tone(tone), hertz),
    ]


def itself(scenario: Scenario, n: int, generator: torch.Generator) -> Tensor:
    theta = truths(scenario, n, generator)
    return noisy(scenario, theta, predict(scenario, theta), generator)


def other(*, profile: Any = None, tilt: float | None = None) -> Draw:
    """The physics of another scenario, told to be that of this one."""

    def draw(scenario: Scenario, n: int, generator: torch.Generator) -> Tensor:
        changed = scenario.model_dump(mode="json")
        if profile:
            water = changed["environment"]["water"]
            water["sound_speed"] = [[z, profile(z, c)] for z, c in water["sound_speed"]]
        theta = truths(scenario, n, generator)
        if tilt is not None:  # an expression may name the unknown, which stays
            array = scenario.array.model_copy(update={"tilt": tilt})  # type: ignore[union-attr]
            truth = scenario.model_copy(update={"array": array})
        else:
            truth = Scenario.model_validate(changed)
        return noisy(scenario, theta, predict(truth, theta), generator)

    return draw


def mixed(z: float, c: float) -> float:
    return 1495.0 if z <= 60 else c


def cooled(z: float, c: float) -> float:
    return c - 10.0 * min(1.0, max(0.0, (z - 60) / 40))


def student(degrees: float) -> Draw:
    """White noise of unit variance, each value divided by its own chi variable."""

    def draw(scenario: Scenario, n: int, generator: torch.Generator) -> Tensor:
        theta = truths(scenario, n, generator)
        replica = predict(scenario, theta)
        noise, (tones, phones) = scenario_noise(scenario), replica.shape[1:]
        snr_db = noise.snr_db
        if not isinstance(snr_db, int | float):
            snr_db = snr_db.from_normal(torch.randn(n, 1, tones, 1, generator=generator).double())
        source, white = (
            torch.randn(n, 1, tones, k, generator=generator, dtype=replica.dtype)
            for k in (1, phones)
        )
        unit = replica / torch.linalg.vector_norm(replica, dim=-1, keepdim=True)
        signal = 10 ** (torch.as_tensor(snr_db) / 20) * source * phones**0.5 * unit[:, None]
        chi2 = np.random.default_rng(SEED).chisquare(degrees, white.shape)
        heavy = white / torch.from_numpy(chi2 / degrees).sqrt()
        length = correlation_length(scenario, theta)[:, None, None]
        return signal + noise.covariance.correlate(heavy, length)

    return draw


def one_receiver(receiver: int, factor: float) -> Draw:
    """All that one receiver heard, multiplied by a factor."""

    def draw(scenario: Scenario, n: int, generator: torch.Generator) -> Tensor:
        data = itself(scenario, n, generator)
        data[..., receiver] *= factor
        return data

    return draw


def one_tone(tone: int) -> Draw:
    """One tone of a measurement at other unknowns."""

    def draw(scenario: Scenario, n: int, generator: torch.Generator) -> Tensor:
        data, other_data = itself(scenario, n, generator), itself(scenario, n, generator)
        data[:, :, tone] = other_data[:, :, tone]
        return data

    return draw


def truths(scenario: Scenario, n: int, generator: torch.Generator) -> Tensor:
    v = torch.randn(n, scenario.prior.dim, generator=generator, dtype=torch.float64)
    return scenario.prior.from_normal(v)


def noisy(scenario: Scenario, theta: Tensor, replica: Tensor, generator: torch.Generator) -> Tensor:
    return scenario_noise(scenario).simulate(
        replica, correlation_length(scenario, theta), generator
    )


if __name__ == "__main__":
    main()
