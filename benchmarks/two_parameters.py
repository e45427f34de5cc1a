"""How close is the shipped network to the exact posterior of swellex96-2p?

The exact one is a dense grid over both unknowns: noise-free data are solved on a coarse grid and
interpolated by cubic splines to a fine one (the error of that is printed), the likelihood is then
evaluated everywhere. For held-out measurements drawn from the scenario, a classifier (C2ST: 0.5
cannot be told apart, 1 apart) compares it with the raw network and with the re-weighted draws.

    python benchmarks/two_parameters.py
    python benchmarks/two_parameters.py --keep     # also writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from record import finish
from scipy.interpolate import RectBivariateSpline

from oceaninv import infer, load_scenario
from oceaninv.diagnostics import c2st
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import equal_weight
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

NAME = "swellex96-2p"
COARSE = (121, 41)  # 0.3 m by 1.5 m/s
FINE = (2881, 481)
SEED = 20_000  # far from the seeds of training


def main() -> None:
    parser = argparse.ArgumentParser(description="swellex96-2p against its dense-grid posterior")
    parser.add_argument("-n", type=int, default=20, help="held-out measurements")
    parser.add_argument("--draws", type=int, default=2000, help="draws of each that are compared")
    parser.add_argument("--model", default=NAME, help="model directory or built-in name")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    scenario = load_scenario(NAME)
    replica_at, error = interpolated_replica(scenario)
    lines = [
        f"replica interpolation error, largest of 100 draws: {error:.1e} relative",
        "measurement  C2ST raw  C2ST re-weighted  sample efficiency  seconds",
    ]
    rows = []
    for i in range(arguments.n):
        measurement, _ = synthetic_measurement(scenario, seed=SEED + i)
        exact = grid_posterior(scenario, measurement, replica_at, arguments.draws, SEED + i)
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


def interpolated_replica(
    scenario: Scenario,
) -> tuple[Callable[[np.ndarray, np.ndarray], torch.Tensor], float]:
    """Noise-free data on any grid of both unknowns, and the largest relative error of 100 draws."""
    first, second = (
        np.linspace(*bounds, n) for bounds, n in zip(ranges(scenario), COARSE, strict=True)
    )
    grid = torch.tensor(np.stack(np.meshgrid(first, second, indexing="ij"), -1).reshape(-1, 2))
    values = torch.cat([predict(scenario, part) for part in grid.split(1000)])
    shape = values.shape[1:]
    table = values.reshape(*COARSE, -1).numpy()
    splines = [
        [RectBivariateSpline(first, second, part(table[:, :, j])) for part in (np.real, np.imag)]
        for j in range(table.shape[2])
    ]

    def at(a: np.ndarray, b: np.ndarray) -> torch.Tensor:
        columns = [re.ev(a, b) + 1j * im.ev(a, b) for re, im in splines]
        return torch.from_numpy(np.stack(columns, -1)).reshape(-1, *shape)

    theta = scenario.prior.sample(100, np.random.default_rng(SEED))
    exact = predict(scenario, theta)
    off = (at(theta[:, 0].numpy(), theta[:, 1].numpy()) - exact).norm(dim=-1)
    return at, float((off / exact.norm(dim=-1)).max())


def grid_posterior(
    scenario: Scenario,
    measurement: Measurement,
    replica_at: Callable[[np.ndarray, np.ndarray], torch.Tensor],
    draws: int,
    seed: int,
) -> np.ndarray:
    """Draws of the posterior on the fine grid, each moved evenly within its cell: (draws, 2)."""
    first, second = (
        np.linspace(*bounds, n) for bounds, n in zip(ranges(scenario), FINE, strict=True)
    )
    likelihood = log_likelihood(scenario, measurement)
    rows = []
    for block in np.array_split(first, 60):
        a, b = (part.ravel() for part in np.meshgrid(block, second, indexing="ij"))
        theta = torch.tensor(np.stack([a, b], -1))
        rows.append(likelihood.of_replica(replica_at(a, b), theta).numpy())
    log_density = np.concatenate(rows)  # the prior is flat
    weight = np.exp(log_density - log_density.max())
    rng = np.random.default_rng(seed)
    index = rng.choice(weight.size, size=draws, p=weight / weight.sum())
    cell = np.array([first[1] - first[0], second[1] - second[0]])
    centre = np.stack([first[index // second.size], second[index % second.size]], -1)
    low, high = np.transpose(ranges(scenario))
    return np.clip(centre + (rng.random((draws, 2)) - 0.5) * cell, low, high)


def ranges(scenario: Scenario) -> list[tuple[float, float]]:
    """Bounds of both unknowns."""
    bounds = scenario.prior.from_normal(torch.tensor([[-40.0] * 2, [40.0] * 2]).double())
    return [(float(low), float(high)) for low, high in bounds.T]


if __name__ == "__main__":
    main()
