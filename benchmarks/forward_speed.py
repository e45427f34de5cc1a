"""How many environments a second does the forward model solve, and how exactly?

    python benchmarks/forward_speed.py [-n 200] [--repeat 3] [--seed 1] [--keep]

One environment is 13 tones from 49 to 388 Hz with the pressure at 21 receivers and 6 ranges: the
SWellEx-96 case and the ten random cases of ``tests/reference``. A batch is the case itself, by
which the error is measured in the same run, and copies with the speeds and the thickness of every
layer moved by up to 1 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from record import finish

from forward_models import Environment, pressure, solve_modes
from oceaninv.cli.command import table

sys.path.append(str(Path(__file__).parents[1] / "tests" / "reference"))
from reference_cases import Case, load_case

KINDS = ("perturbative", "exact")
SETS = {"swellex": ["swellex"], "random": [f"rand{i:02d}" for i in range(10)]}
_MOVED = 0.01  # largest relative change of a copy
_SAME = (
    "density",
    "attenuation_top",
    "attenuation_bottom",
    "half_space_sound_speed",
    "half_space_density",
    "half_space_attenuation",
)


@dataclass(frozen=True)
class Timing:
    """Environments in all, seconds of each repetition, and the errors of the references in it."""

    environments: int
    seconds: list[float]
    errors: list[float]

    @property
    def per_second(self) -> float:
        """Of the fastest repetition: what else runs on the machine can only slow it."""
        return self.environments / min(self.seconds)


def main() -> None:
    """Times both sets by both treatments of attenuation, then tone by tone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=200, help="environments of each set")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--seed", type=int, default=1, help="of the copies' changes")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    sets = {
        name: [(case, copies(case, max(1, chosen.n // len(cases)), rng)) for case in cases]
        for name, cases in ((name, [load_case(n) for n in names]) for name, names in SETS.items())
    }
    threads = {  # the solver's own rule: one a core, at most one an environment
        name: min(os.cpu_count() or 1, len(batches[0][1])) for name, batches in sets.items()
    }
    answer: dict[str, object] = {"threads": threads, "n": chosen.n}
    rows = []
    for name, batches in sets.items():
        for kind in KINDS:
            timing = measure(batches, kind, chosen.repeat)
            answer[f"{name}_{kind}_per_second"] = round(timing.per_second, 1)
            answer[f"{name}_{kind}_largest_error"] = float(f"{max(timing.errors):.2g}")
            rows.append(
                (
                    f"{name}, {kind}",
                    f"{timing.per_second:.0f}",
                    f"{timing.environments / statistics.median(timing.seconds):.0f}",
                    f"{timing.environments}",
                    f"{threads[name]}",
                    f"{statistics.median(timing.errors):.1e}",
                    f"{max(timing.errors):.1e}",
                )
            )
    header = ("set", "fastest", "median", "environments", "threads", "error", "largest")
    speed = table(header, rows)
    cost, by_tone = cost_by_tone(sets["swellex"][0], chosen.repeat)
    answer["swellex_ms_by_tone"] = by_tone
    tables = (
        "Environments a second (13 tones, 21 receivers, 6 ranges); error of the pressure of the\n"
        "reference cases, relative L2 over receivers and ranges of a tone, median and largest\n\n"
        f"{speed}\n\nSWellEx-96, each tone by itself: milliseconds an environment\n\n{cost}"
    )
    finish("forward_speed", tables, answer, seed=chosen.seed, keep=chosen.keep)


def copies(case: Case, n: int, rng: np.random.Generator) -> Environment:
    """The environment of a case, and n - 1 like it."""
    one = case.environment
    segments = [len(layer["z"]) - 1 for layer in case.env["layers"]]
    factor = 1.0 + _MOVED * rng.uniform(-1, 1, (2, n, len(segments)))
    factor[:, 0] = 1.0  # the case itself
    thicker, faster = torch.from_numpy(np.repeat(factor, segments, axis=2))
    thickness = one.thickness * thicker
    same = {
        name: getattr(one, name).expand(n, *getattr(one, name).shape[1:]).contiguous()
        for name in _SAME
    }
    return replace(
        one,
        thickness=thickness,
        sound_speed_top=one.sound_speed_top * faster,
        sound_speed_bottom=one.sound_speed_bottom * faster,
        water_depth=thickness[:, : segments[0]].sum(1),
        **same,
    )


def measure(batches: list[tuple[Case, Environment]], kind: str, repeat: int) -> Timing:
    """Times the pressure of all batches together; the first, untimed call also compiles."""
    solve(*batches[0], kind)
    seconds, errors = [], []
    for repetition in range(repeat):
        start = time.perf_counter()
        results = [solve(case, environment, kind) for case, environment in batches]
        seconds.append(time.perf_counter() - start)
        if repetition == 0:
            for (case, _), result in zip(batches, results, strict=True):
                errors += errors_of(case, result[0], kind)
    return Timing(sum(len(environment) for _, environment in batches), seconds, errors)


def solve(
    case: Case, environment: Environment, kind: str, tones: list[float] | None = None
) -> torch.Tensor:
    """Pressure (B, F, 1, R, K) of the case's geometry."""
    return pressure(
        environment,
        list(case.answers) if tones is None else tones,
        source_depth=case.source_depth,
        receiver_depth=case.receiver_depth,
        range_m=[1000.0 * r for r in case.range_km],
        c_high=case.env["c_high"],
        attenuation=kind,
    )


def errors_of(case: Case, p: torch.Tensor, kind: str) -> list[float]:
    """Relative L2 error of p (F, 1, R, K) at each tone."""
    return [
        float(np.linalg.norm(p[i, 0].numpy() - a.p[kind]) / np.linalg.norm(a.p[kind]))
        for i, a in enumerate(case.answers.values())
    ]


def cost_by_tone(
    batch: tuple[Case, Environment], repeat: int
) -> tuple[str, dict[str, dict[str, float]]]:
    """Milliseconds an environment at each tone by itself: a table, and numbers by kind and tone."""
    case, environment = batch
    tones = list(case.answers)
    counts = solve_modes(environment[0], tones, c_high=case.env["c_high"]).n_modes[0].tolist()
    cost: dict[str, dict[str, float]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for tone in tones:
            seconds = []
            for _ in range(repeat):
                start = time.perf_counter()
                solve(case, environment, kind, [tone])
                seconds.append(time.perf_counter() - start)
            cost[kind][f"{tone:g}"] = round(1000 * min(seconds) / len(environment), 4)
    rows = [
        (f"{tone:g}", f"{count}", *(f"{cost[kind][f'{tone:g}']:.3f}" for kind in KINDS))
        for tone, count in zip(tones, counts, strict=True)
    ]
    return table(("Hz", "modes", *KINDS), rows), cost


if __name__ == "__main__":
    main()
