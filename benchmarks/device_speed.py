"""How many environments a second does the tensor path solve on a GPU, against the compiled path?

    python benchmarks/device_speed.py [-n 40] [--n-device 20000] [--repeat 3] [--seed 1] [--keep]

The sets, the geometry and the errors are those of ``forward_speed.py``; both paths run in turn in
one process. Without CUDA, which is then named as missing, torch's CPU device takes its place. The
operations of the shots, counted, are set against the float64 peak of the card.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from forward_speed import KINDS, SETS, Batch, batch_of, errors_of, solve
from record import finish
from reference_cases import load_case

from forward_models.torch_modes import lossless, mode_functions, phase, wronskian
from forward_models.torch_modes.shots import Shots
from oceaninv.cli.command import table

PRECISIONS = ("double", "mixed", "single")

# Float64 additions and multiplications of one lane-step, counted in the machine code.
FLOPS = {"phase": 153, "lossless": 189, "wronskian": 458, "mode_functions": 458}
# Float64 peak without tensor cores by name of the card, 10¹² a second (makers' data sheets).
PEAK = {"H200": 34.0, "H100": 34.0, "A100": 9.7, "V100": 7.8, "L40": 1.4, "T4": 0.25}


def main() -> None:
    """Times both sets by both treatments of attenuation in every precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-n", type=int, default=40, help="environments of each set where the CPU solves"
    )
    parser.add_argument("--n-device", type=int, default=20000, help="and of each set on a GPU")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--seed", type=int, default=1, help="of the copies' changes")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    answer: dict[str, object] = {"device": device_name(device)}
    rows = []
    for name, names in SETS:
        cases = [load_case(case) for case in names]
        small, large = (
            batch_of(cases, n, np.random.default_rng(chosen.seed))
            for n in (chosen.n, chosen.n_device if device == "cuda" else chosen.n)
        )
        for kind in KINDS:
            flops = flops_of(batch_of(cases, len(cases), np.random.default_rng(0)), kind)
            for precision in PRECISIONS if device == "cuda" else ("double",):
                row, answer[f"{name}_{kind}_{precision}"] = measure(
                    large, small, kind, device, precision, chosen.repeat, flops
                )
                rows.append((f"{name}, {kind}", precision, *row))
    if device != "cuda":
        rows.append(("cuda: NOT FOUND", *("-" * 6)))
    header = ("set", "precision", "per second", "to compiled", "error")
    text = table((*header, "TFLOP/s", "of peak"), rows)
    title = (
        f"Environments a second on tensors, {answer['device']}, 13 tones, 21 receivers, 6\n"
        "ranges; the ratio to the compiled path in the same run, error of the reference cases\n\n"
    )
    finish("device_speed", title + text, answer, seed=chosen.seed, keep=chosen.keep)


def measure(
    batch: Batch,
    small: Batch,
    kind: str,
    device: str,
    precision: str,
    repeat: int,
    flops: float,
) -> tuple[tuple[str, ...], dict[str, float | None]]:
    """A row of the table, and its numbers; the compiled path has ``small``."""
    how = {"device": device, "precision": precision}
    solve(small, kind)
    p = finished(batch, kind, **how).cpu()  # also the first, untimed call
    errors = [
        error
        for case, at in zip(batch.cases, batch.at, strict=True)
        for error in errors_of(case, p[at], kind)
    ]
    compiled, tensors = [], []
    for _ in range(repeat):
        compiled.append(timed(lambda: solve(small, kind)) / len(small.environment))
        tensors.append(timed(lambda: finished(batch, kind, **how)) / len(batch.environment))
    per_second = 1.0 / min(tensors)
    achieved, peak = flops * per_second / 1e12, peak_of(device)
    share = None if peak is None else achieved / peak
    row = (
        f"{per_second:.0f}",
        f"{min(compiled) * per_second:.2f}",
        f"{max(errors):.1e}",
        f"{achieved:.2g}",
        "-" if share is None else f"{share:.1%}",
    )
    return row, {
        "n": len(batch.environment),
        "per_second": round(per_second, 1),
        "compiled_per_second": round(1.0 / min(compiled), 1),
        "largest_error": float(f"{max(errors):.2g}"),
        "megaflop_per_environment": round(flops / 1e6, 1),
        "share_of_peak": None if share is None else round(share, 4),
    }


def finished(batch: Batch, kind: str, **how: Any) -> torch.Tensor:
    """The pressure, when it is there."""
    p = solve(batch, kind, **how)
    if p.is_cuda:
        torch.cuda.synchronize()
    return p


def timed(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def flops_of(batch: Batch, kind: str) -> float:
    """Operations of the shots that an environment needs, counted on the CPU."""
    steps: Counter[str] = Counter()

    def counting(name: str, make_shots: Callable[..., Shots]) -> Callable[..., Shots]:
        def counted(*arguments: Any) -> Shots:
            shots = make_shots(*arguments)
            steps[name] += shots.useful
            return shots

        return counted

    modules: dict[str, Any] = {
        "phase": phase,
        "lossless": lossless,
        "wronskian": wronskian,
        "mode_functions": mode_functions,
    }
    before = {name: module.make_shots for name, module in modules.items()}
    for name, module in modules.items():
        module.make_shots = counting(name, before[name])
    try:
        solve(batch, kind, device="cpu")
    finally:
        for name, module in modules.items():
            module.make_shots = before[name]
    return sum(FLOPS[name] * n for name, n in steps.items()) / len(batch.environment)


def device_name(device: str) -> str:
    """What the device is."""
    return (
        torch.cuda.get_device_name()
        if device == "cuda"
        else f"torch on {torch.get_num_threads()} threads"
    )


def peak_of(device: str) -> float | None:
    """Float64 peak of the card in 10¹² operations a second, None where it is not known."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((peak for card, peak in PEAK.items() if card in name), None)


if __name__ == "__main__":
    main()
