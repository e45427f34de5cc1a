"""How many environments a second does the forward model solve, how exactly, and what makes it slow?

    python benchmarks/forward_speed.py [-n 200] [--repeat 3] [--seed 1] [--keep]

One environment is 13 tones from 49 to 388 Hz with the pressure at 21 receivers and 6 ranges: the
SWellEx-96 case and the ten random cases of ``tests/reference``. A batch is the case itself, by
which the error is measured in the same run, and copies with the speeds and the thickness of every
layer moved by up to 1 %; the ten random cases and their copies are one batch.

How the cost grows is shown on 100 m of water over sediment: with the frequency, with the number of
layers, and with the knots of a cast that is sampled ever more finely. So is what a gradient costs,
in evaluations of what it is of. The first call is that of a new process with an empty cache of
kernels: what compilation costs, once on a machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import finish

from forward_models import Environment, HalfSpace, Layer, pressure, solve_modes, stack
from oceaninv.cli.command import table

sys.path.append(str(Path(__file__).parents[1] / "tests" / "reference"))
from reference_cases import Case, load_case

KINDS = ("perturbative", "exact")
SETS = (("swellex", ["swellex"]), ("random", [f"rand{i:02d}" for i in range(10)]))
_MOVED = 0.01  # largest relative change of a copy
_SAME = (
    "density",
    "attenuation_top",
    "attenuation_bottom",
    "half_space_sound_speed",
    "half_space_density",
    "half_space_attenuation",
)


_FIRST_CALL = """
import time; start = time.perf_counter()
from forward_models import Environment, HalfSpace, Layer, pressure
guide = Environment.from_layers([Layer([0, 100], [1500, 1480])], HalfSpace(1700, 1500, 0.5))
pressure(guide, [100.0], source_depth=[30], receiver_depth=[50], range_m=[2000.0])
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Batch:
    """Environments with their geometry: the reference ``cases`` are at the rows ``at``."""

    environment: Environment
    cases: list[Case]
    at: list[int]
    source_depth: torch.Tensor
    receiver_depth: torch.Tensor
    range_m: torch.Tensor


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
    """Times both sets by both treatments of attenuation, tone by tone, and how cost grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=200, help="environments of each set")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; the fastest counts")
    parser.add_argument("--seed", type=int, default=1, help="of the copies' changes")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    sets = {name: batch_of([load_case(n) for n in names], chosen.n, rng) for name, names in SETS}
    threads = min(os.cpu_count() or 1, chosen.n)  # the solver's own rule: one a core
    answer: dict[str, object] = {"threads": threads, "n": chosen.n}
    rows = []
    for name, batch in sets.items():
        for kind in KINDS:
            timing = measure(batch, kind, chosen.repeat)
            answer[f"{name}_{kind}_per_second"] = round(timing.per_second, 1)
            answer[f"{name}_{kind}_largest_error"] = float(f"{max(timing.errors):.2g}")
            rows.append(
                (
                    f"{name}, {kind}",
                    f"{timing.per_second:.0f}",
                    f"{timing.environments / statistics.median(timing.seconds):.0f}",
                    f"{timing.environments}",
                    f"{threads}",
                    f"{statistics.median(timing.errors):.1e}",
                    f"{max(timing.errors):.1e}",
                )
            )
    header = ("set", "fastest", "median", "environments", "threads", "error", "largest")
    speed = table(header, rows)
    by_tone, answer["swellex_ms_by_tone"] = cost_by_tone(sets["swellex"], chosen.repeat)
    growth, answer["growth"] = cost_growth(chosen.repeat)
    likelihoods = gradient_cost(sets["swellex"], chosen.repeat)
    answer["gradient_likelihoods"] = round(likelihoods, 2)
    answer["first_call_seconds"] = seconds = round(first_call(), 1)
    tables = (
        "Environments a second (13 tones, 21 receivers, 6 ranges); error of the pressure of the\n"
        "reference cases, relative L2 over receivers and ranges of a tone, median and largest\n\n"
        f"{speed}\n\nSWellEx-96, each tone by itself: milliseconds an environment\n\n{by_tone}"
        "\n\nHow the cost grows: exact modes, 64 environments of 100 m of water, milliseconds an\n"
        f"environment and microseconds by modes and layers\n\n{growth}\n\n"
        "A misfit of the SWellEx-96 pressure with its gradient by ten unknowns costs "
        f"{likelihoods:.1f} misfits\n"
        f"First call with an empty cache of kernels: {seconds} s"
    )
    finish("forward_speed", tables, answer, seed=chosen.seed, keep=chosen.keep)


def batch_of(cases: list[Case], n: int, rng: np.random.Generator) -> Batch:
    """One batch of ``n`` environments: as many of each case, which comes first."""
    each = max(1, n // len(cases))

    def of_all(values: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.repeat(np.array(values, float), each, axis=0))

    return Batch(
        stack([copies(case, each, rng) for case in cases]),
        cases,
        [each * i for i in range(len(cases))],
        of_all([case.source_depth for case in cases]),
        of_all([case.receiver_depth for case in cases]),
        of_all([1000.0 * np.array(case.range_km) for case in cases]),
    )


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


def measure(batch: Batch, kind: str, repeat: int) -> Timing:
    """Times the pressure of a batch; the first, untimed call also compiles."""
    p = solve(batch, kind)
    errors = [
        error
        for case, row in zip(batch.cases, batch.at, strict=True)
        for error in errors_of(case, p[row], kind)
    ]
    seconds = repeated(lambda: solve(batch, kind), repeat)
    return Timing(len(batch.environment), seconds, errors)


def repeated(call: Callable[[], object], repeat: int) -> list[float]:
    """Seconds of each of ``repeat`` calls."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def solve(batch: Batch, kind: str, tones: list[float] | None = None, **how: Any) -> torch.Tensor:
    """Pressure (B, F, 1, R, K) of the cases' geometry.

    The limit of phase speed is that of the half-space, where the cases do not set another; ``how``
    is for ``pressure``.
    """
    limits = {case.env["c_high"] for case in batch.cases}
    return pressure(
        batch.environment,
        list(batch.cases[0].answers) if tones is None else tones,
        source_depth=batch.source_depth,
        receiver_depth=batch.receiver_depth,
        range_m=batch.range_m,
        c_high=limits.pop() if len(limits) == 1 else None,
        attenuation=kind,
        **how,
    )


def errors_of(case: Case, p: torch.Tensor, kind: str) -> list[float]:
    """Relative L2 error of p (F, 1, R, K) at each tone."""
    return [
        float(np.linalg.norm(p[i, 0].numpy() - a.p[kind]) / np.linalg.norm(a.p[kind]))
        for i, a in enumerate(case.answers.values())
    ]


def cost_by_tone(batch: Batch, repeat: int) -> tuple[str, dict[str, dict[str, float]]]:
    """Milliseconds an environment at each tone by itself: a table, and numbers by kind and tone."""
    case = batch.cases[0]
    tones = list(case.answers)
    counts = solve_modes(case.environment, tones, c_high=case.env["c_high"]).n_modes[0].tolist()
    cost: dict[str, dict[str, float]] = {
        kind: {
            f"{tone:g}": round(
                1000
                * min(repeated(lambda k=kind, t=tone: solve(batch, k, [t]), repeat))
                / len(batch.environment),
                4,
            )
            for tone in tones
        }
        for kind in KINDS
    }
    rows = [
        (f"{tone:g}", f"{count}", *(f"{cost[kind][f'{tone:g}']:.3f}" for kind in KINDS))
        for tone, count in zip(tones, counts, strict=True)
    ]
    return table(("Hz", "modes", *KINDS), rows), cost


def gradient_cost(batch: Batch, repeat: int) -> float:
    """Time of a misfit and its gradient by ten unknowns of each environment, in misfits alone.

    The unknowns move water depth, source depth and range, and scale or shift speeds, thicknesses,
    densities and attenuations of the water and what is below.
    """
    one = batch.environment
    water = (one.thickness.cumsum(1) <= one.water_depth[:, None] + 1e-6).double()
    below = 1.0 - water
    last_water = water.cumsum(1) * water == water.sum(1, keepdim=True)

    def misfit(unknowns: torch.Tensor) -> torch.Tensor:
        u = [column[:, None] for column in unknowns.unbind(1)]
        moved = replace(
            one,
            thickness=one.thickness + u[0] * last_water + u[1] * below * one.thickness,
            water_depth=one.water_depth + u[0][:, 0],
            sound_speed_top=one.sound_speed_top + u[2] * water + u[3] * below,
            sound_speed_bottom=one.sound_speed_bottom + u[2] * water + u[4] * below,
            density=one.density * (1 + u[5] * below + u[7] * water),
            attenuation_top=one.attenuation_top * (1 + u[6] * below),
            attenuation_bottom=one.attenuation_bottom * (1 + u[6] * below),
        )
        p = solve(
            replace(
                batch,
                environment=moved,
                source_depth=batch.source_depth + u[8],
                range_m=batch.range_m + u[9],
            ),
            "exact",
        )
        return p.abs().square().log().sum()

    unknowns = torch.zeros(len(one), 10, dtype=torch.float64)

    def with_gradient() -> None:
        by = unknowns.clone().requires_grad_()
        (slope,) = torch.autograd.grad(misfit(by), by)
        assert (slope != 0).all()  # all ten matter

    with_gradient()
    both = min(repeated(with_gradient, repeat))
    return both / min(repeated(lambda: misfit(unknowns), repeat))


def cost_growth(repeat: int) -> tuple[str, list[dict[str, float]]]:
    """Milliseconds an environment with frequency, layers and knots: a table, and its numbers."""
    known = {"frequency": 500.0, "layers": 4, "knots": 25}
    tried = {
        "frequency": [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0],
        "layers": [2, 4, 8, 16, 32],
        "knots": [25, 100, 400, 1600],
    }
    answer = []
    for name, values in tried.items():
        for value in values:
            setting = known | {name: value}
            environment = layered(int(setting["layers"]), int(setting["knots"]))
            tones = [float(setting["frequency"])]
            modes = float(solve_modes(environment, tones).n_modes.double().mean())
            call = partial(
                pressure,
                environment,
                tones,
                source_depth=[30.0],
                receiver_depth=np.linspace(5, 95, 21),
                range_m=np.linspace(1000, 6000, 6),
            )
            call()
            ms = 1000 * min(repeated(call, repeat)) / len(environment)
            share = 1000 * ms / (modes * setting["layers"])
            answer.append(setting | {"modes": modes, "ms": round(ms, 4), "us_share": share})
    rows = [
        (
            f"{row['frequency']:g}",
            f"{row['layers']}",
            f"{row['knots']}",
            f"{row['modes']:.0f}",
            f"{row['ms']:.3f}",
            f"{row['us_share']:.2f}",
        )
        for row in answer
    ]
    return table(("Hz", "layers", "knots", "modes", "ms", "µs / mode / layer"), rows), answer


def layered(layers: int, knots: int, n: int = 64) -> Environment:
    """Water with a smooth duct sampled at ``knots`` depths over ``layers`` - 1 sediments of 40 m.

    A batch of ``n`` in which the speed of the water is moved by up to 1 m/s.
    """
    depth = np.linspace(0.0, 100.0, knots)
    water = 1500.0 - 15.0 * np.sin(np.pi * depth / 100.0) ** 2
    edges = np.linspace(100.0, 140.0, layers)
    sediments = [
        Layer([top, bottom], [1550.0 + 2.0 * top, 1550.0 + 2.0 * bottom], 1600.0 + top, 0.2)
        for top, bottom in pairwise(edges.tolist())
    ]
    return stack(
        [
            Environment.from_layers(
                [Layer(depth, water + moved), *sediments], HalfSpace(1900.0, 2000.0, 0.2)
            )
            for moved in np.linspace(-1.0, 1.0, n)
        ]
    )


def first_call() -> float:
    """Seconds of a first call in a new process, with an empty cache of kernels."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-c", _FIRST_CALL]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
