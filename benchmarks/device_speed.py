"""How many environments a second does the tensor path solve on each device, against the compiled?

    python benchmarks/device_speed.py [-n 40] [--n-device 20000] [--repeat 2] [--seed 1] [--keep]

The sets, the geometry and the errors are those of ``forward_speed.py``; both paths run in turn in
one process. A device that is not there is named. Waste is the share of lane-steps that shots spend
waiting for others; on CUDA the operations of all lane-steps, counted, are set against the float64
peak of the card.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from forward_speed import SETS, copies, errors_of
from record import finish
from reference_cases import Case, load_case

from forward_models import Environment, pressure
from forward_models.torch_modes import lossless, mode_functions, phase, wronskian
from oceaninv.cli.command import table

PRECISIONS = ("double", "mixed", "single")
KINDS = ("perturbative", "exact")

# Float64 additions and multiplications of one lane-step, counted as the fused form ran.
FLOPS = {"phase": 134, "lossless": 180, "wronskian": 404, "mode_functions": 404}
# Float64 peak without tensor cores by name of the card, 10¹² a second (makers' data sheets).
PEAK = {"H200": 34.0, "H100": 34.0, "A100": 9.7, "V100": 7.8, "L40": 1.4, "T4": 0.25}


@dataclass
class Work:
    """Lane-steps that shots needed and that were made, by the kind of shooting."""

    useful: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)

    def counting(self, kind: str, make_shots: Callable[..., Any]) -> Callable[..., Any]:
        """``make_shots`` that also counts."""

        def counted(*arguments: Any) -> Any:
            shots = make_shots(*arguments)
            self.useful[kind] += shots.useful
            self.made[kind] += shots.made
            return shots

        return counted

    @property
    def waste(self) -> float:
        """Share of the steps made that were waiting."""
        return 1.0 - self.useful.total() / max(self.made.total(), 1)

    @property
    def flops(self) -> float:
        """Operations of the steps needed."""
        return float(sum(FLOPS[kind] * steps for kind, steps in self.useful.items()))


def main() -> None:
    """Times every set on every device there is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=40, help="environments of each set on the CPU")
    parser.add_argument("--n-device", type=int, default=20000, help="and of each set on a GPU")
    parser.add_argument("--repeat", type=int, default=2, help="repetitions; the fastest counts")
    parser.add_argument("--seed", type=int, default=1, help="of the copies' changes")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    found = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    missing = [device for device in ("cpu", "cuda") if device not in found]
    answer: dict[str, object] = {"devices": found, "not_found": missing, "n": chosen.n}
    rows = []
    for name, cases in SETS.items():
        for device in found:
            n = chosen.n if device == "cpu" else chosen.n_device
            rng = np.random.default_rng(chosen.seed)
            batches = [
                (case, copies(case, max(1, n // len(cases)), rng)) for case in map(load_case, cases)
            ]
            for kind in KINDS:
                rows += measure(name, device, kind, batches, chosen.repeat, answer)
    for device in missing:
        rows.append((f"{device}: NOT FOUND", *("-" * 7)))
    text = table(
        (
            "set, device",
            "precision",
            "per second",
            "to compiled",
            "error",
            "waste",
            "TFLOP/s",
            "peak",
        ),
        rows,
    )
    title = (
        "Environments a second on tensors (13 tones, 21 receivers, 6 ranges), the ratio to the\n"
        "compiled path in the same run, largest error of the reference cases' pressure\n\n"
    )
    finish("device_speed", title + text, answer, seed=chosen.seed, keep=chosen.keep)


def measure(
    name: str,
    device: str,
    kind: str,
    batches: list[tuple[Case, Environment]],
    repeat: int,
    answer: dict[str, object],
) -> list[tuple[str, ...]]:
    """Rows of the table for one set on one device, and numbers into ``answer``."""
    environments = sum(len(environment) for _, environment in batches)
    # On a GPU the compiled path would need minutes: it is measured on the CPU's share.
    reference = [(case, environment[:200]) for case, environment in batches]
    compiled_count = sum(len(environment) for _, environment in reference)
    rows = []
    for precision in PRECISIONS if device != "cpu" else ("double",):
        seconds: dict[str, list[float]] = {"compiled": [], "tensors": []}
        solve(batches[0][0], batches[0][1][:1], kind)
        results, work = [], Work()
        if device != "cpu":  # kernels are made for the first large batch
            solve_all(batches, kind, device=device, precision=precision)
        for _ in range(repeat):
            seconds["compiled"].append(timed(reference, kind)[0])
            elapsed, results = timed(batches, kind, device=device, precision=precision)
            seconds["tensors"].append(elapsed)
        with counted(work):
            solve_all(reference, kind, device=device, precision=precision)
        per_second = environments / min(seconds["tensors"])
        compiled = compiled_count / min(seconds["compiled"])
        errors = [
            error
            for (case, _), result in zip(batches, results, strict=True)
            for error in errors_of(case, result[0].cpu(), kind)
        ]
        achieved = work.flops / compiled_count * per_second / 1e12
        peak = peak_of(device)
        key = f"{name}_{kind}_{device}_{precision}"
        answer[f"{key}_per_second"] = round(per_second, 1)
        answer[f"{key}_compiled_per_second"] = round(compiled, 1)
        answer[f"{key}_largest_error"] = float(f"{max(errors):.2g}")
        answer[f"{key}_waste"] = round(work.waste, 4)
        answer[f"{key}_megaflop_per_environment"] = round(work.flops / compiled_count / 1e6, 1)
        answer[f"{key}_share_of_peak"] = None if peak is None else round(achieved / peak, 4)
        rows.append(
            (
                f"{name}, {kind}, {device}",
                precision,
                f"{per_second:.1f}",
                f"{per_second / compiled:.2f}",
                f"{max(errors):.1e}",
                f"{work.waste:.1%}",
                f"{achieved:.2g}",
                "-" if peak is None else f"{achieved / peak:.1%}",
            )
        )
    return rows


def solve(case: Case, environment: Environment, kind: str, **how: Any) -> torch.Tensor:
    """Pressure (B, F, 1, R, K) of the case's geometry."""
    return pressure(
        environment,
        list(case.answers),
        source_depth=case.source_depth,
        receiver_depth=case.receiver_depth,
        range_m=[1000.0 * r for r in case.range_km],
        c_high=case.env["c_high"],
        attenuation=kind,
        **how,
    )


def solve_all(batches: list[tuple[Case, Environment]], kind: str, **how: Any) -> list[torch.Tensor]:
    """The pressures of all batches, finished."""
    results = [solve(case, environment, kind, **how) for case, environment in batches]
    if results[0].is_cuda:
        torch.cuda.synchronize()
    return results


def timed(
    batches: list[tuple[Case, Environment]], kind: str, **how: Any
) -> tuple[float, list[torch.Tensor]]:
    """(seconds, pressures) of ``solve_all``."""
    start = time.perf_counter()
    result = solve_all(batches, kind, **how)
    return time.perf_counter() - start, result


@contextmanager
def counted(work: Work) -> Iterator[None]:
    """Counts the lane-steps of all shooting inside."""
    modules: dict[str, Any] = {
        "phase": phase,
        "lossless": lossless,
        "wronskian": wronskian,
        "mode_functions": mode_functions,
    }
    before = {kind: module.make_shots for kind, module in modules.items()}
    for kind, module in modules.items():
        module.make_shots = work.counting(kind, before[kind])
    try:
        yield
    finally:
        for kind, module in modules.items():
            module.make_shots = before[kind]


def peak_of(device: str) -> float | None:
    """Float64 peak of the card in 10¹² operations a second, None where it is not known."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((peak for card, peak in PEAK.items() if card in name), None)


if __name__ == "__main__":
    main()
