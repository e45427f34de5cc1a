"""The training loop: knows pairs (v, features), an objective and the clock; nothing of the sea."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from oceaninv.inference.checkpoint import (
    check_same,
    optimiser_tensors,
    read_tensors,
    restore_optimiser,
    with_prefix,
    write_tensors,
)
from oceaninv.inference.networks import Network, new_network
from oceaninv.inference.objectives import DEFAULT_OBJECTIVE, Objective, Step, make_objective
from oceaninv.inference.training_checks import check_fit, first_own_epoch, held_out
from oceaninv.scenario.training import Training
from oceaninv.threads import one_thread

# index (b,), generator -> normal scores v (b, d) and features (b, p), float32; noise drawn afresh
Draw = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
# done, total, one line of text
Progress = Callable[[int, int, str], None]

_STANDARDISE_WITH = 4096  # draws that give the features' mean and spread
_WARM_UP = 0.02  # share of the training in which the learning rate rises
_MAP_RATE = 0.3  # of the map's rate to its critic's: two time scales (Heusel et al. 2017)
_EXPLODED = 100.0  # a validation score so far above the best is no longer learning
_SPLIT, _INIT, _VALIDATION, _EPOCH, _SCORE = range(5)  # streams of random numbers of one seed


class TrainingError(RuntimeError):
    """Training ran and gave nothing usable."""


@dataclass(frozen=True)
class Fit:
    """A trained network and the record of its training (plain JSON values)."""

    estimator: Network
    record: dict[str, Any]


def fit(
    draw: Draw,
    n: int,
    settings: Training,
    *,
    seed: int,
    objective: str = DEFAULT_OBJECTIVE,
    estimator: str = "cinn",
    checkpoint: Path | None = None,
    resume: bool = False,
    guesses: int = 0,
    together: int = 1,
    fingerprint: str = "",
    max_minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress | None = None,
) -> Fit:
    """Train a fresh network on n simulations, with noise drawn anew in every epoch.

    Held-out simulations with fixed noise give the validation score, for the cINN the exact
    E[log N(v; 0, I) − log q(v | y)], minus the nats that the network knows beyond the prior.
    The state of the best score is kept; for other objectives than nll, the best among the epochs
    of the objective itself, after its nll warm start. The learning rate follows a cosine over
    the epochs, or over `max_minutes` where that ends first. Where a critic moves the map, a
    running average of the map's weights is what is scored and kept.

    Args:
        draw: gives pairs by index, see `Draw`
        n: number of simulations that can be indexed
        settings: of network and training
        seed: of split, initial weights, order and noise
        objective: a name of `objectives.OBJECTIVES`, or a hybrid
        estimator: a name of `networks.ESTIMATORS`
        checkpoint: file kept after every epoch; None: nothing is written
        resume: go on from the checkpoint where there is one
        guesses: with how many guesses of the posterior the features end, see `Estimator`
        together: simulations in a row that share an environment: they are held out together
        fingerprint: of the data; a checkpoint of other data or settings is refused
        max_minutes: limit of time
        clock: that measures it, in seconds; `time.process_time` where others use the machine
        progress: called after each epoch

    Raises:
        InputError: as `check_fit`, or a checkpoint of another training
        TrainingError: the loss became NaN before any epoch was finished
    """
    check_fit(settings, objective, estimator)
    loop = _Loop(draw, n, settings, seed, objective, estimator, guesses, together, clock)
    identity = {
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "objective": objective,
        "estimator": estimator,
        "n": n,
        "fingerprint": fingerprint,
    }
    if resume and checkpoint is not None and checkpoint.exists():
        loop.restore(*read_tensors(checkpoint), identity=identity, path=checkpoint)
    if not loop.history and progress:
        progress(0, settings.epochs, "training")

    limit = math.inf if max_minutes is None else 60 * max_minutes
    while loop.stopped is None:
        with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
            torch.manual_seed(_number(seed, _EPOCH, len(loop.history), 1))
            loop.run_epoch(limit)
        if checkpoint is not None:
            write_tensors(checkpoint, loop.tensors(), {**identity, **loop.header()})
        if progress:
            last = loop.history[-1]
            progress(
                len(loop.history),
                settings.epochs,
                f"{last['validation']:.3f} {loop.estimator.score_name} "
                f"(best {loop.best_score:.3f})",
            )

    if loop.best_epoch == 0:
        raise TrainingError(f"{loop.stopped}; nothing was learned")
    loop.estimator.load_state_dict(loop.best)
    loop.estimator.eval().requires_grad_(False)
    record = {
        "objective": objective,
        "estimator": estimator,
        "seed": seed,
        "n_simulations": n,
        "epochs": len(loop.history),
        "best_epoch": loop.best_epoch,
        "stopped": loop.stopped,
        "validation": loop.best_score,
        "validation_is": loop.estimator.score_name,
        "seconds": round(loop.seconds, 1),
        "history": loop.history,
    }
    return Fit(loop.estimator, record)


class _Loop:
    """State of a training between epochs; everything that a checkpoint must hold."""

    def __init__(
        self,
        draw: Draw,
        n: int,
        settings: Training,
        seed: int,
        objective: str,
        estimator: str,
        guesses: int,
        together: int,
        clock: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.draw, self.settings, self.seed = draw, settings, seed
        first = torch.arange(0, n, together)
        first = first[torch.randperm(len(first), generator=generator_of(seed, _SPLIT))]
        order = (first[:, None] + torch.arange(together)).flatten()
        aside = held_out(n, together, settings)
        held, rest = (part[part < n] for part in (order[:aside], order[aside:]))
        self.train_index = rest
        self.validation = self._held_out(held)

        v, features = draw(self.train_index[:_STANDARDISE_WITH], generator_of(seed, _INIT))
        self.estimator = new_network(
            estimator, v.shape[1], features.shape[1], settings, guesses, _number(seed, _INIT)
        )
        self.estimator.standardise(v, features)
        flow = self.estimator.flow
        seen = flow.latents if settings.critic_form == "latent" else flow.dim
        context = self.estimator.condition(features[:2]).context.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_number(seed, _INIT, 1))
            self.objective: Objective = make_objective(objective, seen, context, settings)
        self.warm_start: Objective = make_objective("nll", seen, context, settings)
        self.optimiser = torch.optim.AdamW(
            self.estimator.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        critic = self.objective.critic
        self.critic_optimiser = (
            torch.optim.Adam(critic.parameters(), lr=settings.learning_rate, betas=(0.5, 0.9))
            if critic
            else None
        )
        # the weights' running average; None: the weights themselves are kept
        self.average = copy.deepcopy(self.estimator) if critic and settings.ema else None
        self.steps = 0
        self.first_own_epoch = first_own_epoch(self.objective)
        self.best: dict[str, Tensor] = _copy(self.estimator)
        self.best_score, self.best_epoch = math.inf, 0
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self.stopped: str | None = None

    def run_epoch(self, limit: float) -> None:
        """One pass over the simulations, the validation score, and the decision to go on."""
        begun, before = self.clock(), self.seconds
        epoch = len(self.history)
        objective = self.warm_start if epoch < self.objective.warm_start_epochs else self.objective
        map_moves = objective.critic is None or epoch >= self.first_own_epoch

        losses = []
        finite = True
        share = 0.0
        self.estimator.train()
        for position, v, features, generator in self._batches(epoch):
            self.seconds = before + self.clock() - begun
            share = max((epoch + position) / self.settings.epochs, self.seconds / limit)
            if share >= 1:
                break
            rate = self.settings.learning_rate * _schedule(share)
            _set_rate(self.optimiser, rate * (_MAP_RATE if objective.critic else 1))
            if self.critic_optimiser:
                _set_rate(self.critic_optimiser, rate)
            losses.append(self._learn(objective, v, features, generator, share, map_moves))
            finite = math.isfinite(losses[-1])
            if not finite:
                break

        score = self._score() if finite else math.nan
        self.seconds = before + self.clock() - begun
        self.history.append(
            {
                "loss": float(np.mean(losses)) if losses else 0.0,
                "validation": score,
                "learning_rate": self.optimiser.param_groups[0]["lr"],
                "seconds": round(self.seconds, 1),
            }
        )
        exploded = score > min(self.best_score, 0.0) + _EXPLODED
        better = score < self.best_score or (epoch == self.first_own_epoch and math.isfinite(score))
        if better and not exploded:
            self.best, self.best_score = _copy(self.average or self.estimator), score
            self.best_epoch = epoch + 1
        self._decide(share, score, exploded, limit)

    @one_thread()
    def _learn(
        self,
        objective: Objective,
        v: Tensor,
        features: Tensor,
        generator: torch.Generator,
        share: float,
        map_moves: bool,
    ) -> float:
        """One step; the map's loss, 0 while it does not move, NaN where anything was not finite."""
        conditions = self.estimator.condition(features)
        # divergences do not change with the coordinates: the objective sees the flow alone
        u, context = conditions.whiten(v), conditions.context
        step = Step(self.estimator.flow, u, context, generator, share)
        for loss in objective.critic_losses(step):
            assert self.critic_optimiser is not None
            assert objective.critic is not None
            if not self._step(self.critic_optimiser, loss, objective.critic):
                return math.nan
        if not map_moves:
            return 0.0
        loss = objective.loss(step)
        own = self.estimator.own_loss(v, features)
        loss = loss if own is None else loss + own
        if not self._step(self.optimiser, loss, self.estimator):
            return math.nan
        self._take_average()
        return loss.item()

    def _decide(self, share: float, score: float, exploded: bool, limit: float) -> None:
        epoch = len(self.history)
        since = epoch - max(self.best_epoch, self.first_own_epoch)
        kept = f"the state of epoch {self.best_epoch} was kept; lower training.learning_rate"
        if not math.isfinite(score):
            self.stopped = f"the loss became NaN in epoch {epoch}; {kept}"
        elif exploded:
            self.stopped = (
                f"the validation score exploded to {score:.4g} in epoch {epoch} "
                f"(best {self.best_score:.4g}); {kept}"
            )
        elif epoch >= self.settings.epochs:
            self.stopped = f"all {epoch} epochs done"
        elif share >= 1 or self.seconds >= limit:
            early = epoch <= self.first_own_epoch
            self.stopped = f"the time was up in epoch {epoch}" + early * ", still warming up by nll"
        elif since >= self.settings.patience:
            self.stopped = f"no improvement on held-out data for {since} epochs"

    def _step(self, optimiser: torch.optim.Optimizer, loss: Tensor, module: nn.Module) -> bool:
        """Step unless loss or gradient are not finite; whether they were."""
        if not torch.isfinite(loss):
            return False
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.settings.gradient_clip)
        if not torch.isfinite(norm):
            return False
        optimiser.step()
        return True

    @torch.no_grad()
    def _take_average(self) -> None:
        """Move the average towards the weights; by more at the start, when it knows little."""
        if self.average is None:
            return
        self.steps += 1
        decay = min(self.settings.ema, (1 + self.steps) / (10 + self.steps))
        for mean, weight in zip(
            self.average.parameters(), self.estimator.parameters(), strict=True
        ):
            mean.lerp_(weight, 1 - decay)

    def _batches(self, epoch: int) -> Iterator[tuple[float, Tensor, Tensor, torch.Generator]]:
        """Position in the epoch from 0 to 1, pairs with fresh noise, and a generator."""
        generator = generator_of(self.seed, _EPOCH, epoch)
        order = self.train_index[torch.randperm(len(self.train_index), generator=generator)]
        # a last short batch would be noisy: it is left out, another one each epoch
        size = min(self.settings.batch_size, len(order))
        whole = len(order) // size
        for i in range(whole):
            v, features = self.draw(order[i * size : (i + 1) * size], generator)
            yield i / whole, v, features, generator

    def _held_out(self, index: Tensor) -> list[tuple[Tensor, Tensor]]:
        generator = generator_of(self.seed, _VALIDATION)
        repeated = index.repeat(self.settings.validation_draws)
        return [self.draw(part, generator) for part in repeated.split(4096)]

    @torch.no_grad()
    def _score(self) -> float:
        """The mean score over the held-out pairs."""
        network = self.average or self.estimator
        network.eval()
        generator = generator_of(self.seed, _SCORE)
        scores = [network.score(v, features, generator) for v, features in self.validation]
        return torch.cat(scores).double().mean().item()

    def tensors(self) -> dict[str, Tensor]:
        """Everything with numbers in it, by name."""
        parts = {f"now.{k}": t for k, t in self.estimator.state_dict().items()}
        parts |= {f"best.{k}": t for k, t in self.best.items()}
        parts |= optimiser_tensors("optimiser.", self.optimiser)
        if self.average is not None:
            parts |= {f"average.{k}": t for k, t in self.average.state_dict().items()}
        if self.objective.critic is not None and self.critic_optimiser is not None:
            state = self.objective.critic.state_dict()
            parts |= {f"critic.{k}": t for k, t in state.items()}
            parts |= optimiser_tensors("critic_optimiser.", self.critic_optimiser)
        return parts

    def header(self) -> dict[str, Any]:
        """The rest of the state, plain JSON values."""
        return {
            "history": self.history,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "steps": self.steps,
            "seconds": self.seconds,
            "stopped": self.stopped,
        }

    def restore(
        self,
        tensors: dict[str, Tensor],
        header: dict[str, Any],
        *,
        identity: dict[str, Any],
        path: Path,
    ) -> None:
        """Take the state of a checkpoint, after a look at what it was a training of."""
        check_same(path, header, identity)
        self.estimator.load_state_dict(with_prefix("now.", tensors))
        self.best = with_prefix("best.", tensors)
        restore_optimiser("optimiser.", self.optimiser, tensors)
        if self.objective.critic is not None and self.critic_optimiser is not None:
            self.objective.critic.load_state_dict(with_prefix("critic.", tensors))
            restore_optimiser("critic_optimiser.", self.critic_optimiser, tensors)
        if self.average is not None:
            self.average.load_state_dict(with_prefix("average.", tensors))
        self.history, self.steps = header["history"], header["steps"]
        self.best_score, self.best_epoch = header["best_score"], header["best_epoch"]
        self.seconds, self.stopped = header["seconds"], header["stopped"]


def _schedule(share: float) -> float:
    """Factor of the learning rate after this share of the training: a ramp, then half a cosine."""
    return min(share / _WARM_UP + 0.05, 1.0) * 0.5 * (1 + math.cos(math.pi * share))


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def _number(*key: int) -> int:
    """A 63-bit seed from a key of integers; other keys give independent streams."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def generator_of(*key: int) -> torch.Generator:
    """A generator of its own for each key of integers."""
    return torch.Generator().manual_seed(_number(*key))
