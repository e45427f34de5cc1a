"""Is a network calibrated whatever its seed?

Trains a scenario's network with five seeds, each with its own noise, weights and order (and its
own simulations, unless `--data` gives them), and measures on fresh simulations how often the raw
posterior's intervals hold the truth.

    python benchmarks/seeds.py swellex96-2p
    python benchmarks/seeds.py swellex96-2p --resume    # go on with a run that was killed
    python benchmarks/seeds.py swellex96-2p --keep      # also writes benchmarks/results/

Models, and what each is worth, are kept in `--out`, by default `out/seeds`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import finish

from oceaninv import load_scenario, train
from oceaninv.diagnostics import calibrate
from oceaninv.files import whole_file
from oceaninv.scenario import Scenario

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
        kept = arguments.out / f"{scenario.name}-{seed}.json"
        if arguments.resume and kept.exists():
            row = json.loads(kept.read_text(encoding="utf-8"))
        else:
            row = of_seed(scenario, seed, arguments)
            with whole_file(kept) as temporary:
                temporary.write_text(json.dumps(row) + "\n", encoding="utf-8")
        rows.append(row)
        lines.append(
            f"{seed:5d}  {row['validation']:10.3f}  {row['minutes']:7.1f}  {row['lowest']:6.3f}"
            f"  {row['mean']:5.3f}  {row['unknown']}"
        )
        print(lines[-1], flush=True)
    low = sum(row["lowest"] < LOW for row in rows)
    lines += ["", f"below {LOW}: {low} of {len(rows)}"]
    finish(
        f"seeds_{scenario.name}",
        "\n".join(lines),
        {
            "below": low,
            "seeds": len(rows),
            "lowest": min(row["lowest"] for row in rows),
            "mean": float(np.mean([row["mean"] for row in rows])),
            "minutes_mean": float(np.mean([row["minutes"] for row in rows])),
            "n": arguments.n,
        },
        seed=FIRST,
        keep=arguments.keep,
    )


def of_seed(scenario: Scenario, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What the network of a seed is worth: score, minutes of training, and coverage."""
    begun = time.perf_counter()
    model = train(
        scenario,
        out=arguments.out / f"{scenario.name}-{seed}",
        data=arguments.data,
        seed=seed,
        resume=arguments.resume,
    )
    minutes = (time.perf_counter() - begun) / 60
    coverage = calibrate(model, arguments.n, seed=SIMULATED)["coverage"].sel(level=0.9)
    return {
        "validation": model.record["validation"],
        "minutes": minutes,
        "lowest": float(coverage.min()),
        "mean": float(coverage.mean()),
        "unknown": scenario.names[int(np.argmin(coverage.values))],
    }


if __name__ == "__main__":
    main()
