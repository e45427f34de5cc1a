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
        InputError: no mode propagates at these parameters.
    """
    if theta is None:
        theta = scenario.prior.sample(1, np.random.default_rng(seed))[0]
    theta = theta.to(torch.float64).reshape(1, -1)
    truth = dict(zip(scenario.names, theta[0].tolist(), strict=True))
    replica = predict(scenario, theta)
    if not torch.isfinite(torch.view_as_real(replica) if replica.is_complex() else replica).all():
        raise InputError(f"{scenario.name}: no mode propagates at {truth}; choose other parameters")
    generator = torch.Generator().manual_seed(seed)
    data = scenario_noise(scenario).simulate(
        replica, correlation_length(scenario, theta), generator, n_snapshots
    )[0]
    is_level = scenario.data == "transmission_loss"
    measurement = Measurement(
        frequency=torch.tensor(scenario.frequency, dtype=torch.float64),
        receiver_depth=torch.tensor(scenario.receiver_depth, dtype=torch.float64),
        kind="transmission_loss" if is_level else "pressure",
        data=data[0] if is_level else data,
        range_m=torch.tensor(scenario.range_m, dtype=torch.float64),
        n_snapshots=1 if is_level else n_snapshots,
        attributes={
            "title": f"Synthetic measurement of {scenario.name}",
            "source": "unknown",
            "history": f"oceaninv.measurement.synthetic_measurement, seed {seed}",
            "scenario": scenario.name,
            "scenario_hash": scenario.hash(),
            "seed": seed,
            "true_parameters": json.dumps(truth),
        },
        name=f"synthetic {scenario.name}",
    )
    return measurement, truth
