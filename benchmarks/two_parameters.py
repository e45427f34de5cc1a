"""How close is the shipped network to the exact posterior of swellex96-2p?

The exact one is a dense grid over both unknowns (`grid.py`). For held-out measurements drawn from
the scenario, a classifier (C2ST: 0.5 cannot be told apart, 1 apart) compares it with the raw
network and with the re-weighted draws.

    python benchmarks/two_parameters.py
    python benchmarks/two_parameters.py --keep     # also writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from grid import NAME, coarse_replicas, grid_posterior
from record import finish

from oceaninv import infer, load_scenario
from oceaninv.diagnostics import c2st
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import equal_weight

SEED = 20_000  # far from the seeds of training


def main() -> None:
    parser = argparse.ArgumentParser(description="swellex96-2p against its dense-grid posterior")
    parser.add_argument("-n", type=int, default=20, help="held-out measurements")
    parser.add_argument("--draws", type=int, default=2000, help="draws of each that are compared")
    parser.add_argument("--model", default=NAME, help="model directory or built-in name")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    scenario = load_scenario(NAME)
    coarse = coarse_replicas(scenario)
    lines = ["measurement  C2ST raw  C2ST re-weighted  sample efficiency  seconds"]
    print(lines[0], flush=True)
    rows = []
    for i in range(arguments.n):
        measurement, _ = synthetic_measurement(scenario, seed=SEED + i)
        exact, _ = grid_posterior(scenario, measurement, coarse, arguments.draws, SEED + i)
        scores = []
        begun = time.perf_counter()
        weighted = infer(
            measurement, model=arguments.model, seed=i, effective_samples=arguments.draws
        )
        seconds = time.perf_counter() - begun
        raw = infer(measurement, model=arguments.model, seed=i, raw=True, samples=arguments.draws)
        rng = np.random.default_rng(i)
        for posterior in (raw, weighted):
            draws = np.asarray(equal_weight(posterior, arguments.draws, rng))
            scores.append(c2st(draws, exact, seed=i).accuracy)
        efficiency = float(weighted.attributes["sample_efficiency"])
        rows.append((*scores, efficiency, seconds))
        lines.append(
            f"{i:11d}  {scores[0]:8.3f}  {scores[1]:16.3f}  {efficiency:17.3f}  {seconds:7.1f}"
        )
        print(lines[-1], flush=True)
    raw_mean, weighted_mean, _, seconds_mean = np.mean(rows, axis=0)
    lines.append(f"mean         {raw_mean:8.3f}  {weighted_mean:16.3f}")
    finish(
        "two_parameters",
        "\n".join(lines),
        {
            "c2st_raw": raw_mean,
            "c2st_reweighted": weighted_mean,
            "sample_efficiency_median": float(np.median([row[2] for row in rows])),
            "infer_seconds": seconds_mean,
            "n": arguments.n,
        },
        seed=SEED,
        keep=arguments.keep,
    )


if __name__ == "__main__":
    main()
