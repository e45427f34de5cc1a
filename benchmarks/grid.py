"""The exact posterior of swellex96-2p: a dense grid over its two unknowns.

The likelihood is computed at the centre of every coarse cell, and once more on a fine grid in all
cells that lie, or have a neighbour, within 12 nats of the best.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import binary_dilation

from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

NAME = "swellex96-2p"
CELLS = (180, 60)  # 0.2 m by 1 m/s
REFINED = (6, 4)  # parts of a cell: 0.03 m by 0.25 m/s, a third of a narrow posterior's sd
DEPTH = 12.0  # nats


def coarse_replicas(scenario: Scenario) -> torch.Tensor:
    """Noise-free data at the centre of every coarse cell; the same for all measurements."""
    return torch.cat([predict(scenario, part) for part in cells(scenario)[0].split(1000)])


def grid_posterior(
    scenario: Scenario, measurement: Measurement, coarse: torch.Tensor, draws: int, seed: int
) -> tuple[np.ndarray, float]:
    """Draws on the refined grid, each moved evenly within its cell, (draws, 2); log evidence."""
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
    drawn = centre[index] + (rng.random((draws, 2)) - 0.5) * size / np.array(REFINED)
    evidence = log_density.max() + np.log(weight.sum() / (np.prod(CELLS) * np.prod(REFINED)))
    return drawn, float(evidence)


def cells(scenario: Scenario, number: tuple[int, int] = CELLS) -> tuple[torch.Tensor, np.ndarray]:
    """Centres of all cells, (n, 2), the second unknown fastest, and the size of one."""
    prior = scenario.prior
    low, high = prior.lower.numpy(), prior.upper.numpy()
    size = (high - low) / number
    axes = [start + (np.arange(n) + 0.5) * w for start, n, w in zip(low, number, size, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    return torch.from_numpy(grid), size
