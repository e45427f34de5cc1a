"""Whether a network has seen the like of a measurement: a test in the space of its summary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.inference import Model
from oceaninv.inference.checkpoint import read_tensors, write_tensors
from oceaninv.inference.features import measured_features
from oceaninv.measurement import Measurement, scenario_noise
from oceaninv.scenario.predict import correlation_length, predict

FILE = "familiarity.safetensors"
SIMULATIONS = 2000
IN_PASSING = 600  # where a measurement waits for them: other snapshots than a model keeps them for
_AT_A_TIME = 200
_SCHEMA = 1
_STREAM = 0xFA317  # keeps these simulations apart from others of the same seed
_FLOOR = 1e-6  # of the largest variance; a direction that never varies says nothing


@dataclass(frozen=True)
class Familiarity:
    r"""Where the summaries of simulated measurements lie.

    The distance of a summary h is Mahalanobis', $(h - m)^T S^{-1} (h - m)$, with mean and
    covariance of one half of the simulations; the other half gives its distribution, whatever
    shape the cloud has. A measurement unlike all that the network was trained on lies far out
    (M. Schmitt, P.-C. Bürkner, U. Köthe and S. T. Radev, Detecting model misspecification in
    amortized Bayesian inference with neural networks, GCPR 2023).

    Attributes:
        mean: m, (c,).
        whitener: W with W W^T = S^-1, (c, c).
        null: sorted distances of simulations, (n,).
    """

    mean: Tensor
    whitener: Tensor
    null: Tensor

    def p_value(self, summary: Tensor) -> Tensor:
        """Share of simulations that lie farther out than each summary (k, c): (k,)."""
        farther = len(self.null) - torch.searchsorted(self.null, self._distance(summary))
        return (farther + 1) / (len(self.null) + 1)

    def _distance(self, summary: Tensor) -> Tensor:
        return ((summary.double() - self.mean) @ self.whitener).square().sum(-1)


def learn_familiarity(
    model: Model, n: int = SIMULATIONS, *, n_snapshots: int = 1, seed: int = 0
) -> Familiarity:
    """Simulate n measurements of the model's scenario and summarise them by its network."""
    rng = np.random.default_rng([seed, _STREAM])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    theta = model.scenario.prior.sample(n, rng)
    replica = predict(model.scenario, theta)
    good = torch.isfinite(replica.abs()).all(-1).all(-1)
    theta, replica = theta[good], replica[good]
    length = correlation_length(model.scenario, theta)
    noise, parts = scenario_noise(model.scenario), []
    for some in torch.arange(len(theta)).split(_AT_A_TIME):  # snapshots fill the memory
        data = noise.simulate(replica[some], length[some], generator, n_snapshots)
        data = data if data.is_complex() else data[:, 0]
        parts.append(summaries(model, measured_features(data, model.aid)))
    summary = torch.cat(parts)
    half = len(summary) // 2
    mean = summary[:half].mean(0)
    value, vector = torch.linalg.eigh(torch.cov(summary[:half].mT))
    whitener = vector / value.clamp_min(_FLOOR * float(value[-1])).sqrt()
    known = Familiarity(mean, whitener, torch.empty(0, dtype=torch.float64))
    return Familiarity(mean, whitener, known._distance(summary[half:]).sort().values)


def familiarity(model: Model, measurement: Measurement, known: Familiarity) -> float:
    """P-value of a measurement: small where its summary is like that of no simulation."""
    return float(known.p_value(summaries(model, model.features(measurement)))[0])


@torch.no_grad()
def summaries(model: Model, features: Tensor) -> Tensor:
    """What the network makes of features (n, p) before its map, (n, c) float64.

    An INN whose observation is the features themselves has no summary: they are taken as they are.
    """
    summary = model.estimator.summary
    return (features if summary is None else summary(features)).double()


def keep_familiarity(known: Familiarity, directory: str | Path) -> Path:
    """Write what `learn_familiarity` found beside the model that it belongs to."""
    path = Path(directory) / FILE
    tensors = {"mean": known.mean, "whitener": known.whitener.float(), "null": known.null}
    write_tensors(path, tensors, {"familiarity": _SCHEMA, "weights": _weights(Path(directory))})
    return path


def kept_familiarity(directory: str | Path) -> Familiarity | None:
    """Read what `keep_familiarity` wrote; None where it is absent or of other weights."""
    path = Path(directory) / FILE
    if not path.is_file():
        return None
    tensors, header = read_tensors(path)
    if header.get("familiarity") != _SCHEMA or header.get("weights") != _weights(Path(directory)):
        return None
    try:
        return Familiarity(tensors["mean"], tensors["whitener"].double(), tensors["null"])
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]} is absent; remove the file") from None


def _weights(directory: Path) -> str:
    content = json.loads((directory / "model.json").read_text(encoding="utf-8"))
    return str(content["weights_sha256"])
