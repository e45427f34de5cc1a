"""How many environments a second does the tensor path solve on each device, against the compiled?

    python benchmarks/device_speed.py [-n 40] [--n-device 20000] [--repeat 3] [--seed 1] [--keep]

The sets, the geometry and the errors are those of ``forward_speed.py``; both paths run in turn in
one process. A device that is not there is named. Waste is the share of lane-steps that shots spend
waiting for others; on CUDA the operations of the shots' lane-steps, counted, are set against the
float64 peak of the card.
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
_WARP = 32


@dataclass
class Work:
    """Lane-steps that shots needed and that were made, by the kind of shooting."""

    useful: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)

    def counting(self, kind: str, make_shots: Callable[..., Shots]) -> Callable[..., Shots]:
        """``make_shots`` that also counts."""

        def counted(*arguments: Any) -> Shots:
            shots = make_shots(*arguments)
            self.useful[kind] += shots.useful
            self.made[kind] += shots.made if shots.blocks else _in_warps(shots.count)
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
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--seed", type=int, default=1, help="of the copies' changes")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    found = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    names = {device: device_name(device) for device in found}
    missing = [device for device in ("cpu", "cuda") if device not in found]
    answer: dict[str, object] = {"devices": names, "not_found": missing}
    rows = []
    for name, cases in SETS:
        small, large = (
            batch_of([load_case(case) for case in cases], n, np.random.default_rng(chosen.seed))
            for n in (chosen.n, chosen.n_device if "cuda" in found else chosen.n)
        )
        for device in found:
            for kind in KINDS:
                for precision in PRECISIONS if device == "cuda" else ("double",):
                    batch = large if device == "cuda" else small
                    key = f"{name}_{kind}_{device}_{precision}"
                    row, answer[key] = measure(batch, small, kind, device, precision, chosen.repeat)
                    rows.append((f"{name}, {kind}, {device}", precision, *row))
    for device in missing:
        rows.append((f"{device}: NOT FOUND", *("-" * 7)))
    header = ("set, device", "precision", "per second", "to compiled", "error", "waste")
    text = table((*header, "TFLOP/s", "peak"), rows)
    title = (
        "Environments a second on tensors (13 tones, 21 receivers, 6 ranges), the ratio to the\n"
        "compiled path in the same run, largest error of the reference cases' pressure\n\n"
    )
    where = "\n\n" + "\n".join(f"{device}: {name}" for device, name in names.items())
    finish("device_speed", title + text + where, answer, seed=chosen.seed, keep=chosen.keep)


def measure(
    batch: Batch, small: Batch, kind: str, device: str, precision: str, repeat: int
) -> tuple[tuple[str, ...], dict[str, float | None]]:
    """A row of the table, and its numbers; the compiled path and the count have ``small``."""
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
    work = Work()
    with counted(work):
        finished(small, kind, **how)
    flops = work.flops / len(small.environment)
    per_second = 1.0 / min(tensors)
    achieved, peak = flops * per_second / 1e12, peak_of(device)
    share = None if peak is None else achieved / peak
    row = (
        f"{per_second:.0f}",
        f"{min(compiled) * per_second:.2f}",
        f"{max(errors):.1e}",
        f"{work.waste:.1%}",
        f"{achieved:.2g}",
        "-" if share is None else f"{share:.1%}",
    )
    return row, {
        "n": len(batch.environment),
        "per_second": round(per_second, 1),
        "compiled_per_second": round(1.0 / min(compiled), 1),
        "largest_error": float(f"{max(errors):.2g}"),
        "waste": round(work.waste, 4),
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


def _in_warps(count: torch.Tensor) -> int:
    """Steps that are made by threads which wait for the longest of their warp."""
    padded = torch.nn.functional.pad(count, (0, -count.numel() % _WARP)).view(-1, _WARP)
    return int(padded.max(dim=1).values.sum()) * _WARP if count.numel() else 0


def device_name(device: str) -> str:
    """What the device is."""
    return (
        torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    )


def peak_of(device: str) -> float | None:
    """Float64 peak of the card in 10¹² operations a second, None where it is not known."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next((peak for card, peak in PEAK.items() if card in name), None)


if __name__ == "__main__":
    main()
