"""Classifier two-sample test: can a small network tell two samples apart?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceaninv.threads import one_thread

Array = NDArray[np.float64]

_EPOCHS = 60
_BATCH = 256
_RATE = 3e-3
_DECAY = 1e-3


@dataclass(frozen=True)
class C2st:
    """Held-out accuracy, 0.5 where the samples cannot be told apart, and its standard error.

    The error is that of independent outcomes, good enough to read the accuracy by but not for a
    p-value: draws of one fold teach the networks that judge the others, and where the samples are
    alike the accuracy varies 1.3 times as much (150 pairs of samples of 300 draws, 50 of 1200).
    `joint_test` judges independently.
    """

    accuracy: float
    error: float


def c2st(a: Array, b: Array, *, seed: int, folds: int = 5) -> C2st:
    r"""Accuracy with which a classifier tells draws of a from draws of b.

    A network of two hidden layers is trained on all folds but one and scored on that one, for
    each in turn; the best possible accuracy is $\frac12 + \frac12 \mathrm{TV}(a, b)$ with TV the
    total variation distance (Lopez-Paz & Oquab 2017, ICLR).

    Resampled posteriors and Markov chains hold copies of a draw. A classifier that has seen one
    copy knows the others by heart, so all copies of a draw are kept in one fold. Fewer different
    draws then mean a larger error, which is computed from their number.

    Args:
        a: equally weighted draws, (n, d).
        b: equally weighted draws, (n, d), as many.
        seed: of the folds and of the networks.
        folds: number of parts.

    Raises:
        ValueError: samples of different shape, or fewer different draws than folds.
    """
    if a.shape != b.shape:
        raise ValueError(f"samples of shapes {a.shape} and {b.shape}; give as many of each")
    rng = np.random.default_rng(seed)
    x = np.concatenate([a, b])
    label = np.repeat([0.0, 1.0], len(a))
    unique, group = np.unique(x, axis=0, return_inverse=True)
    group = group.ravel()
    if len(unique) < 2 * folds:
        raise ValueError(f"{len(unique)} different draws are too few for {folds} folds")
    fold = (rng.permutation(len(unique)) % folds)[group]
    spread = x.std(0)
    x = (x - x.mean(0)) / np.where(spread > 0, spread, 1.0)
    with one_thread():
        score = _held_out_scores(
            torch.from_numpy(x).float(),
            torch.from_numpy(label).float(),
            torch.from_numpy(fold),
            seed,
        )
    accuracy = float(np.mean((score.numpy() > 0) == (label > 0.5)))
    # Copies share their outcome: the error is that of so many independent draws.
    copies = np.bincount(group)
    independent = copies.sum() ** 2 / np.sum(copies.astype(float) ** 2)
    return C2st(accuracy, math.sqrt(accuracy * (1 - accuracy) / independent))


def _held_out_scores(x: Tensor, label: Tensor, fold: Tensor, seed: int) -> Tensor:
    """Score (n,) of every draw by the network that was trained without its fold.

    The networks of all folds are trained at once, along the first axis of every tensor.
    """
    generator = torch.Generator().manual_seed(seed)
    folds = int(fold.max()) + 1
    training = [torch.nonzero(fold != k)[:, 0] for k in range(folds)]
    size = min(len(index) for index in training)
    parameters = initial_parameters(folds, x.shape[1], max(32, 10 * x.shape[1]), generator)
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
    steps = _EPOCHS * math.ceil(size / _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(_EPOCHS):
        order = torch.stack(
            [index[torch.randperm(len(index), generator=generator)[:size]] for index in training]
        )
        for batch in order.split(_BATCH, dim=1):
            logit = network_output(x[batch], parameters)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, label[batch])
            optimiser.zero_grad()
            (folds * loss).backward()
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        scores = network_output(x.expand(folds, -1, -1), parameters)
    return scores.gather(0, fold[None])[0]


def initial_parameters(
    networks: int, d: int, width: int, generator: torch.Generator
) -> list[Tensor]:
    """Weights and biases of networks with two hidden layers, along the first axis of each."""
    parameters = []
    for n_in, n_out in ((d, width), (width, width), (width, 1)):
        weight = torch.randn(networks, n_in, n_out, generator=generator) * math.sqrt(2 / n_in)
        parameters += [weight.requires_grad_(), torch.zeros(networks, 1, n_out, requires_grad=True)]
    return parameters


def network_output(x: Tensor, parameters: list[Tensor]) -> Tensor:
    """Output (networks, n) for x (networks, n, d)."""
    w1, b1, w2, b2, w3, b3 = parameters
    hidden = torch.relu(torch.relu(x @ w1 + b1) @ w2 + b2)
    return (hidden @ w3 + b3).squeeze(-1)
