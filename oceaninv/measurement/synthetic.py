"""Synthetic measurements: the scenario's own physics and noise, at known parameters."""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.measurement.data import Measurement
from oceaninv.measurement.noise import scenario_noise
from oceaninv.scenario.predict import correlation_length, predict
from oceaninv.scenario.schema import Scenario

_ROUNDS = 20  # redraws before the prior is said to be at fault


def synthetic_measurement(
    scenario: Scenario,
    theta: Tensor | None = None,
    *,
    seed: int,
    n_snapshots: int = 1,
) -> tuple[Measurement, dict[str, float]]:
    """Draw a measurement at theta (d,), or at a draw from the prior.

    Returns:
        The measurement (pressure of K snapshots, or levels) and the true parameters by name,
        which are kept in its attributes too.

    Raises:
        InputError: no mode propagates at these parameters, or snapshots of levels.
    """
    if n_snapshots != 1 and scenario.data == "transmission_loss":
        raise InputError(
            f"{scenario.name}: n_snapshots: {n_snapshots} of transmission loss, which has none; "
            "leave the number out"
        )
    if theta is None:
        theta = scenario.prior.sample(1, np.random.default_rng(seed))[0]
    theta = theta.to(torch.float64).reshape(1, -1)
    truth = dict(zip(scenario.names, theta[0].tolist(), strict=True))
    replica = predict(scenario, theta)
    if not _audible(replica).all():
        raise InputError(f"{scenario.name}: no mode propagates at {truth}; choose other parameters")
    return _noisy(scenario, theta, replica, seed, n_snapshots)[0], truth


def synthetic_measurements(
    scenario: Scenario, n: int, *, seed: int, n_snapshots: int = 1
) -> tuple[list[Measurement], Tensor, Tensor]:
    """Draw n measurements at draws from the prior, all at once.

    Draws in which no mode propagates are left out and drawn again, as the likelihood excludes
    them.

    Returns:
        The measurements, their true parameters (n, d) and their noise-free data.

    Raises:
        InputError: hardly any draw from the prior has a propagating mode.
    """
    rng = np.random.default_rng(seed)
    theta, replica = torch.empty(0), torch.empty(0)
    for _ in range(_ROUNDS):
        fresh = scenario.prior.sample(n - len(theta), rng)
        data = predict(scenario, fresh)
        heard = _audible(data)
        theta = torch.cat([theta, fresh[heard]]) if len(theta) else fresh[heard]
        replica = torch.cat([replica, data[heard]]) if len(replica) else data[heard]
        if len(theta) == n:
            return _noisy(scenario, theta, replica, seed, n_snapshots), theta, replica
    raise InputError(
        f"{scenario.name}: unknowns: most draws from the prior have no propagating mode; "
        "narrow the priors"
    )


def _audible(replica: Tensor) -> Tensor:
    return torch.isfinite(replica.abs()).all(-1).all(-1)


def _noisy(
    scenario: Scenario, theta: Tensor, replica: Tensor, seed: int, n_snapshots: int
) -> list[Measurement]:
    """Measurements at theta (n, d), whose noise-free data are at hand."""
    generator = torch.Generator().manual_seed(seed)
    data = scenario_noise(scenario).simulate(
        replica, correlation_length(scenario, theta), generator, n_snapshots
    )
    is_level = scenario.data == "transmission_loss"
    return [
        Measurement(
            frequency=torch.tensor(scenario.frequency, dtype=torch.float64),
            receiver_depth=torch.tensor(scenario.receiver_depth, dtype=torch.float64),
            kind="transmission_loss" if is_level else "pressure",
            data=of_one[0] if is_level else of_one,
            range_m=torch.tensor(scenario.range_m, dtype=torch.float64),
            n_snapshots=1 if is_level else n_snapshots,
            attributes={
                "title": f"Synthetic measurement of {scenario.name}",
                "source": "unknown",
                "history": f"oceaninv.measurement.synthetic_measurement, seed {seed}",
                "scenario": scenario.name,
                "scenario_hash": scenario.hash(),
                "seed": seed,
                "true_parameters": json.dumps(dict(zip(scenario.names, truth, strict=True))),
            },
            name=f"synthetic {scenario.name}",
        )
        for of_one, truth in zip(data, theta.tolist(), strict=True)
    ]
