"""Is a network calibrated whatever its seed?

Trains a scenario's network with five seeds, each with its own noise, weights and order (and its
own simulations, unless `--data` gives them), and measures on fresh simulations how often the raw
posterior's intervals hold the truth.

    python benchmarks/seeds.py swellex96-2p
    python benchmarks/seeds.py swellex96-2p --resume    # go on with a run that was killed
    python benchmarks/seeds.py swellex96-2p --keep      # also writes benchmarks/results/

Models are kept in `--out`, by default `out/seeds`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from record import finish

from oceaninv import load_scenario, train
from oceaninv.diagnostics import calibrate

FIRST, SIMULATED = 101, 20_000  # seeds: of the first training, and of what it is judged on
LOW = 0.87  # coverage of a 90 % interval that is below this is a network not to be used


def main() -> None:
    parser = argparse.ArgumentParser(description="calibration of networks of several seeds")
    parser.add_argument("scenario", help="built-in scenario")
    parser.add_argument("--seeds", type=int, default=5, help="networks")
    parser.add_argument("-n", type=int, default=1000, help="simulations that judge each")
    parser.add_argument("--data", type=Path, help="training set of `oceaninv simulate`")
    parser.add_argument("--out", type=Path, default=Path("out/seeds"), help="folder of the models")
    parser.add_argument("--resume", action="store_true", help="go on with what is there")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    scenario = load_scenario(arguments.scenario)
    lines = [
        f"coverage of 90 % intervals, {arguments.n} simulations",
        "",
        f"{'seed':>5}  {'validation':>10}  {'minutes':>7}  {'lowest':>6}  {'mean':>5}  unknown",
    ]
    print(lines[-1], flush=True)
    rows = []
    for seed in range(FIRST, FIRST + arguments.seeds):
        begun = time.perf_counter()
        model = train(
            scenario,
            out=arguments.out / f"{scenario.name}-{seed}",
            data=arguments.data,
            seed=seed,
            resume=arguments.resume,
        )
        minutes = (time.perf_counter() - begun) / 60
        result = calibrate(model, arguments.n, seed=SIMULATED)
        coverage = result["coverage"].sel(level=0.9)
        lowest = int(np.argmin(coverage.values))
        rows.append((float(coverage.min()), float(coverage.mean()), minutes))
        lines.append(
            f"{seed:5d}  {model.record['validation']:10.3f}  {minutes:7.1f}  {rows[-1][0]:6.3f}"
            f"  {rows[-1][1]:5.3f}  {scenario.names[lowest]}"
        )
        print(lines[-1], flush=True)
    low = sum(row[0] < LOW for row in rows)
    lines += ["", f"below {LOW}: {low} of {len(rows)}"]
    finish(
        f"seeds_{scenario.name}",
        "\n".join(lines),
        {
            "below": low,
            "seeds": len(rows),
            "lowest": min(row[0] for row in rows),
            "mean": float(np.mean([row[1] for row in rows])),
            "minutes_mean": float(np.mean([row[2] for row in rows])),
            "n": arguments.n,
        },
        seed=FIRST,
        keep=arguments.keep,
    )


if __name__ == "__main__":
    main()
