"""A classifier that tries to tell the truth from draws of the posterior, given the data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr
from torch import Tensor

from oceaninv.diagnostics.c2st import initial_parameters, network_output
from oceaninv.threads import one_thread

Array = NDArray[np.float64]

PARTS = 5
_NETWORKS = 3  # their mean score: what one has learned by heart of few simulations is its own
_EPOCHS = 40
_BATCH = 64
_RATE = 3e-3
_DECAY = 1e-2
_WIDTH = 32
_WORST_SCORE = 50.0  # log likelihoods that differ by more than this are alike to the classifier


@dataclass(frozen=True)
class JointTest:
    """Answer of `joint_test`, for each unknown and, last, for all together.

    Attributes:
        accuracy: share of pairs (truth, draw) told apart rightly, of those judged; 0.5 is perfect,
            (t,).
        error: its standard error where nothing can be told apart.
        p_value: probability of so high an accuracy if the posteriors are exact, (t,).
    """

    accuracy: Array
    error: float
    p_value: Array


def joint_test(
    truth: Array,
    draws: Array,
    mean: Array,
    sd: Array,
    guesses: Array,
    score: Array,
    *,
    seed: int,
) -> JointTest:
    r"""Can a classifier tell $(\theta^*, d)$ from $(\theta, d)$ with $\theta \sim q(\theta | d)$?

    For each simulation a network sees the truth and M draws, each beside a summary of the data,
    and says which is the truth. Of five parts of the simulations each but the first is judged by
    networks that were trained on those before it. If q is exact, truth and draws can be
    exchanged: the rank of the truth's score among the M others is uniform, whatever the networks
    have learned before (a test quantity as in Modrák et al. 2023, arXiv 2211.02383, that is
    learned). So the ranks of the J simulations judged are independent of each other (prequential:
    A. P. Dawid, J. R. Stat. Soc. A 147, 278 (1984)), and their mean, the accuracy, has mean 1/2
    and variance $(M + 2) / (12 M J)$. Cross-validation would judge all of them, but not
    independently: each would also have taught the networks that judge the others, and the
    variance would be half as large again. A sampler that ignores the data, which ranks of the
    unknowns cannot see, is told by the summary and by the likelihood.

    Args:
        truth: normal scores of the truths, (n, d).
        draws: those of draws of the posteriors, (n, M, d).
        mean: means of further draws, (n, d).
        sd: their standard deviations, (n, d).
        guesses: guesses of the unknowns from the data that know nothing of q, (n, g, d).
        score: log likelihoods of truth and draws, (n, 1 + M); only seen by the joint test.
        seed: of parts and networks.
    """
    n, m = draws.shape[:2]
    candidates = np.concatenate([truth[:, None], draws], 1)
    by_unknown = _inputs(candidates, mean, sd, guesses)  # (d, n, 1 + m, p)
    relative = np.clip(score - score.max(1, keepdims=True), -_WORST_SCORE, 0) / 5
    together = np.concatenate([*by_unknown, relative[..., None]], -1)[None]
    order = np.random.default_rng(seed).permutation(n)
    with one_thread():
        rank = torch.cat([_held_out_ranks(_scaled(x), order, seed) for x in (by_unknown, together)])
    accuracy = rank.mean(1).numpy()
    error = math.sqrt((m + 2) / (12 * m * rank.shape[1]))
    return JointTest(accuracy, error, ndtr(-(accuracy - 0.5) / error))


def _inputs(candidates: Array, mean: Array, sd: Array, guesses: Array) -> Array:
    """What the classifier of each unknown sees, (d, n, 1 + M, p)."""
    whitened = (candidates - mean[:, None]) / np.maximum(sd, 1e-6)[:, None]
    whitened = np.clip(whitened, -8, 8)
    missed = [candidates - guess[:, None] for guess in guesses.transpose(1, 0, 2)]
    of_data = [
        np.broadcast_to(x[:, None], candidates.shape) for x in (mean, np.log(np.maximum(sd, 1e-6)))
    ]
    columns = [whitened, *missed]
    columns += [x**2 for x in columns] + of_data
    return np.stack(columns, -1).transpose(2, 0, 1, 3)


def _scaled(x: Array) -> Tensor:
    spread = x.std((1, 2), keepdims=True)
    return torch.from_numpy((x - x.mean((1, 2), keepdims=True)) / np.where(spread > 0, spread, 1))


def _held_out_ranks(x: Tensor, order: NDArray[np.int64], seed: int) -> Tensor:
    """Rank (t, j) in [0, 1] of the truth's score by networks trained on the parts before its own.

    The networks of all tests are trained at once, along the first axis of every tensor.
    """
    tests, _, choices, _ = x.shape
    x = x.float()
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.from_numpy(part) for part in np.array_split(order, PARTS)]
    ranks = []
    for k in range(1, PARTS):
        networks = _trained(x, torch.cat(parts[:k]), generator)
        with torch.no_grad():
            of_each = network_output(_for_networks(x, parts[k]), networks)
        score = of_each.view(tests, _NETWORKS, -1, choices).mean(1)
        truth, others = score[..., :1], score[..., 1:]
        ranks.append((truth > others).double().mean(-1) + 0.5 * (truth == others).double().mean(-1))
    return torch.cat(ranks, 1)


def _trained(x: Tensor, rows: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Networks that were taught to find the truth, the first choice, in these rows of x."""
    tests, _, choices, p = x.shape
    parameters = initial_parameters(tests * _NETWORKS, p, _WIDTH, generator)
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=_DECAY)
    steps = _EPOCHS * math.ceil(len(rows) / _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(_EPOCHS):
        for batch in rows[torch.randperm(len(rows), generator=generator)].split(_BATCH):
            score = network_output(_for_networks(x, batch), parameters)
            score = score.view(tests * _NETWORKS, -1, choices)
            loss = -score.log_softmax(-1)[..., 0].mean(-1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return parameters


def _for_networks(x: Tensor, rows: Tensor) -> Tensor:
    """Choices of these rows, for each network of each test: (networks, choices, p)."""
    return x[:, rows].flatten(1, 2).repeat_interleave(_NETWORKS, 0)
