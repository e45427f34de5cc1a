"""What does `infer` make of measurements that no training has seen?

For held-out measurements drawn from a scenario: the share of the network's own draws that count
after re-weighting, the share of all draws once the proposal has been refined, the time, and whether
the posterior passed its checks. A classifier (C2ST: 0.5 cannot be told apart, 1 apart) compares the
network's raw draws with the posterior that `infer` ends with, and where `references.py` has sampled
the measurement, both with those references.

    python benchmarks/efficiency.py swellex96-vla
    python benchmarks/efficiency.py swellex96-vla --keep     # also writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from record import finish
from references import FOLDER, agreed

from oceaninv import infer
from oceaninv.diagnostics import c2st
from oceaninv.inference import Model
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import equal_weight

SEED = 20_000  # far from the seeds of training
DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description="re-weighting of held-out measurements")
    parser.add_argument("model", help="built-in name or model directory")
    parser.add_argument("-n", type=int, default=20, help="held-out measurements")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    model = Model.load(arguments.model)
    references = agreed(FOLDER / f"{model.scenario.name}.npz", model.scenario)
    lines = [
        "measurement  network alone  refined  likelihoods  seconds  reliable  C2ST raw"
        "  to reference: raw  re-weighted"
    ]
    print(lines[0], flush=True)
    rows = []
    for i in range(arguments.n):
        measurement, _ = synthetic_measurement(model.scenario, seed=SEED + i)
        begun = time.perf_counter()
        posterior = infer(measurement, model=model, seed=i)
        seconds = time.perf_counter() - begun
        raw = infer(measurement, model=model, seed=i, raw=True, samples=DRAWS)
        rng = np.random.default_rng(i)
        pair = [np.asarray(equal_weight(p, DRAWS, rng)) for p in (raw, posterior)]
        exact = references.get(SEED + i)
        to_exact = (
            [np.nan] * 2 if exact is None else [c2st(d, exact, seed=i).accuracy for d in pair]
        )
        of = posterior.attributes
        reliable = bool(of["reliable"])
        row = (
            float(of["network_efficiency"]),
            float(of["sample_efficiency"]),
            float(of["n_likelihoods"]),
            seconds,
            float(reliable),
            c2st(*pair, seed=i).accuracy if reliable else np.nan,
            *to_exact,
        )
        rows.append(row)
        lines.append(
            f"{i:11d}  {row[0]:13.3f}  {row[1]:7.3f}  {row[2]:11.0f}  {seconds:7.1f}"
            f"  {'yes' if reliable else 'NO':>8}  {row[5]:8.3f}  {row[6]:17.3f}"
            f"  {row[7]:11.3f}"
        )
        print(lines[-1], flush=True)
    table = np.array(rows)
    median = np.median(table[:, :4], axis=0)
    lines.append(
        f"median       {median[0]:13.3f}  {median[1]:7.3f}  {median[2]:11.0f}  {median[3]:7.1f}"
        f"  {table[:, 4].mean():8.0%}  {np.nanmean(table[:, 5]):8.3f} (mean)"
    )
    compared = table[~np.isnan(table[:, 6]), 6:]
    if len(compared):
        lines.append(
            f"C2ST to the references of {len(compared)}, mean: raw {compared[:, 0].mean():.3f}, "
            f"re-weighted {compared[:, 1].mean():.3f}"
        )
    finish(
        f"efficiency_{model.name}",
        "\n".join(lines),
        {
            "network_efficiency_median": median[0],
            "sample_efficiency_median": median[1],
            "likelihoods_median": median[2],
            "seconds_median": median[3],
            "reliable": table[:, 4].mean(),
            "c2st_raw_mean": float(np.nanmean(table[:, 5])),
            "references": len(compared),
            "c2st_raw_to_reference_mean": float(compared[:, 0].mean()) if len(compared) else None,
            "c2st_reweighted_to_reference_mean": (
                float(compared[:, 1].mean()) if len(compared) else None
            ),
            "n": arguments.n,
        },
        seed=SEED,
        keep=arguments.keep,
    )


if __name__ == "__main__":
    main()
