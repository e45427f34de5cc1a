"""Problems with a known posterior, for `objectives.py`; unknowns as normal scores v."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from grid import NAME, coarse_replicas, grid_posterior
from torch import Tensor

from oceaninv.files import whole_file
from oceaninv.inference.features import measured_features
from oceaninv.inference.fitting import Draw
from oceaninv.inference.matched_field import simulate_references
from oceaninv.inference.training import noisy_pairs
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import load_scenario
from oceaninv.scenario.training import Training
from oceaninv.simulation import load_training_set, simulate

HELD_OUT = 2000
SEED = 30_000  # of held-out data, far from those of training
SMALL: dict[str, object] = {
    "hidden": 64, "depth": 1, "context": 32, "blocks": 6, "coupling_hidden": 64,
    "critic_hidden": 64, "batch_size": 512, "inn_observation": "features",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A problem.

    Attributes:
        name: in the table
        draw: pairs by index
        n: number of pairs
        held_out: v and features of other pairs
        observations: features (1, p) and draws of the exact posterior (m, d), each
        settings: of the network
        training: what `settings` change
        guesses: see `Estimator`
    """

    name: str
    draw: Draw
    n: int
    held_out: tuple[Tensor, Tensor]
    observations: list[tuple[Tensor, Tensor]]
    settings: dict[str, object]
    training: Training = field(default_factory=Training)
    guesses: int = 0


def arm(n: int, observations: int, work: Path) -> Task:
    """The planar arm of Kruse et al. 2021, its end point seen with normal noise of 0.05."""

    def exact(y: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        v = torch.randn(2_000_000, 4, generator=generator)
        log_weight = -0.5 * (arm_end(v) - y).square().sum(-1) / ARM_NOISE**2
        index = torch.multinomial(log_weight.softmax(0), 4000, True, generator=generator)
        return v[index]

    def see(v: Tensor, generator: torch.Generator) -> Tensor:
        return arm_end(v) + ARM_NOISE * torch.randn(len(v), 2, generator=generator)

    return _plain("arm", n, observations, 4, see, exact)


ARM_NOISE = 0.05


def arm_end(v: Tensor) -> Tensor:
    """End point (n, 2) of an arm of lengths ½, ½, 1; v (n, 4) scores of y0 and three angles."""
    height, one, two, three = (v * torch.tensor([0.25, 0.5, 0.5, 0.5])).unbind(-1)
    angles = torch.stack([one, one + two, one + two + three], -1)
    lengths = torch.tensor([0.5, 0.5, 1.0])
    across = (lengths * angles.cos()).sum(-1)
    return torch.stack([across, height + (lengths * angles.sin()).sum(-1)], -1)


def two_moons(n: int, observations: int, work: Path) -> Task:
    """Two moons as in sbibm (Lueckmann et al. 2021): θ uniform on [−1, 1]²."""

    def crescent(count: int, generator: torch.Generator) -> Tensor:
        angle = math.pi * (torch.rand(count, generator=generator) - 0.5)
        radius = 0.1 + 0.01 * torch.randn(count, generator=generator)
        return torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], -1)

    def see(v: Tensor, generator: torch.Generator) -> Tensor:
        theta = 2 * torch.special.ndtr(v) - 1
        along = -(theta[:, 0] + theta[:, 1]).abs() / math.sqrt(2)
        across = (theta[:, 1] - theta[:, 0]) / math.sqrt(2)
        return crescent(len(v), generator) + torch.stack([along, across], -1)

    def exact(y: Tensor, seed: int) -> Tensor:
        # y = p + shift(θ), and θ → shift has a constant Jacobian on either side of θ1 + θ2 = 0:
        # the posterior is the crescent's p = y − shift, either side alike, within the prior
        generator = torch.Generator().manual_seed(seed)
        along, across = (y - crescent(100_000, generator)).unbind(-1)
        side = torch.randint(0, 2, along.shape, generator=generator) * 2 - 1
        total, gap = -side * along * math.sqrt(2), across * math.sqrt(2)
        theta = torch.stack([(total - gap) / 2, (total + gap) / 2], -1)
        inside = (along <= 0) & (theta.abs() < 1).all(-1)
        return torch.special.ndtri((theta[inside].double() + 1) / 2).float()

    return _plain("two-moons", n, observations, 2, see, exact)


def swellex(n: int, observations: int, work: Path) -> Task:
    """`swellex96-2p` and its posterior on a dense grid; simulations are kept in the folder."""
    scenario = load_scenario(NAME)
    path, other = work / f"{NAME}-{n}.zarr", work / f"{NAME}-held-out.zarr"
    if not path.exists():
        simulate(scenario, n, path, seed=0, resume=True)
    if not other.exists():
        simulate(scenario, HELD_OUT, other, seed=SEED, resume=True)
    references = simulate_references(scenario, scenario.training.references)
    draw, held_out = (
        noisy_pairs(scenario, load_training_set(p), references, str(p)) for p in (path, other)
    )
    grid = work / f"{NAME}-grid.npy"
    if not grid.exists():
        with whole_file(grid) as temporary, open(temporary, "wb") as file:
            np.save(file, coarse_replicas(scenario).numpy())
    coarse = torch.from_numpy(np.load(grid))
    seen = []
    for i in range(observations):
        measurement, _ = synthetic_measurement(scenario, seed=SEED + i)
        draws, _ = grid_posterior(scenario, measurement, coarse, 4000, SEED + i)
        features = measured_features(measurement.data[None], references)
        seen.append((features, scenario.prior.to_normal(torch.from_numpy(draws)).float()))
    generator = torch.Generator().manual_seed(SEED)
    return Task(
        NAME,
        draw,
        n,
        held_out(torch.arange(HELD_OUT), generator),
        seen,
        {},
        scenario.training,
        references.n_guesses,
    )


TASKS: dict[str, Callable[[int, int, Path], Task]] = {
    NAME: swellex,
    "arm": arm,
    "two-moons": two_moons,
}


def _plain(
    name: str,
    n: int,
    observations: int,
    dim: int,
    see: Callable[[Tensor, torch.Generator], Tensor],
    exact: Callable[[Tensor, int], Tensor],
) -> Task:
    """A task of simulations that cost nothing, the same n in all trainings."""

    def pairs(count: int, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        v = torch.randn(count, dim, generator=generator)
        return v, see(v, generator)

    v, y = pairs(n, 0)
    _, seen = pairs(observations, SEED + 1)
    posteriors = [(row[None], exact(row, SEED + i)) for i, row in enumerate(seen)]

    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return v[index], y[index]

    return Task(name, draw, n, pairs(HELD_OUT, SEED), posteriors, SMALL)
