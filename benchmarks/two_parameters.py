"""How close is the shipped network to the exact posterior of swellex96-2p?

The exact one is a dense grid over both unknowns: the likelihood is computed at the centre of every
coarse cell, and once more on a fine grid in all cells that lie, or have a neighbour, within 12
nats of the best. For held-out measurements drawn from the scenario, a classifier (C2ST: 0.5
cannot be told apart, 1 apart) compares it with the raw network and with the re-weighted draws.

    python benchmarks/two_parameters.py
    python benchmarks/two_parameters.py --keep     # also writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from record import finish
from scipy.ndimage import binary_dilation

from oceaninv import infer, load_scenario
from oceaninv.diagnostics import c2st
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import equal_weight
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

NAME = "swellex96-2p"
CELLS = (180, 60)  # 0.2 m by 1 m/s
REFINED = (6, 4)  # parts of a cell: 0.03 m by 0.25 m/s, a third of a narrow posterior's sd
DEPTH = 12.0  # nats
SEED = 20_000  # far from the seeds of training


def main() -> None:
    parser = argparse.ArgumentParser(description="swellex96-2p against its dense-grid posterior")
    parser.add_argument("-n", type=int, default=20, help="held-out measurements")
    parser.add_argument("--draws", type=int, default=2000, help="draws of each that are compared")
    parser.add_argument("--model", default=NAME, help="model directory or built-in name")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    scenario = load_scenario(NAME)
    coarse = torch.cat([predict(scenario, part) for part in cells(scenario)[0].split(1000)])
    lines = ["measurement  C2ST raw  C2ST re-weighted  sample efficiency  seconds"]
    print(lines[0], flush=True)
    rows = []
    for i in range(arguments.n):
        measurement, _ = synthetic_measurement(scenario, seed=SEED + i)
        exact = grid_posterior(scenario, measurement, coarse, arguments.draws, SEED + i)
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


def grid_posterior(
    scenario: Scenario, measurement: Measurement, coarse: torch.Tensor, draws: int, seed: int
) -> np.ndarray:
    """Draws of the posterior on the refined grid, each moved evenly within its cell: (draws, 2)."""
    likelihood = log_likelihood(scenario, measurement)
    theta, size = cells(scenario)
    value = likelihood.of_replica(coarse, theta).numpy().reshape(CELLS)
    keep = binary_dilation(value > value.max() - DEPTH, structure=np.ones((3, 3)))
    first, second = (
        ((np.arange(n) + 0.5) / n - 0.5) * width for n, width in zip(REFINED, size, strict=True)
    )
    offset = np.stack(np.meshgrid(first, second, indexing="ij"), -1).reshape(-1, 2)
    centre = (theta.numpy()[keep.ravel()][:, None] + offset).reshape(-1, 2)
    log_density = likelihood(torch.from_numpy(centre)).numpy()  # the prior is flat
    weight = np.exp(log_density - log_density.max())
    rng = np.random.default_rng(seed)
    index = rng.choice(weight.size, size=draws, p=weight / weight.sum())
    return centre[index] + (rng.random((draws, 2)) - 0.5) * size / np.array(REFINED)


def cells(scenario: Scenario) -> tuple[torch.Tensor, np.ndarray]:
    """Centres of the coarse cells, (n, 2), and the size of one."""
    low, high = np.transpose(ranges(scenario))
    size = (high - low) / CELLS
    axes = [start + (np.arange(n) + 0.5) * w for start, n, w in zip(low, CELLS, size, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return torch.from_numpy(grid), size


def ranges(scenario: Scenario) -> list[tuple[float, float]]:
    """Bounds of both unknowns."""
    bounds = scenario.prior.from_normal(torch.tensor([[-40.0] * 2, [40.0] * 2]).double())
    return [(float(low), float(high)) for low, high in bounds.T]


if __name__ == "__main__":
    main()
