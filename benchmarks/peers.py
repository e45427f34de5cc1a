"""Is the network ahead of `sbi`'s default on the same simulations?

The peer is neural posterior estimation of the package sbi (NPE, its default spline flow). It sees
the features that our network sees; where ours fits each measurement first (`gauss_newton`), which
is more than a feature of the data, it sees those of the data. Both are judged by a classifier
(C2ST: 0.5 cannot be told apart) against reference posteriors, by `references/SCENARIO.npz` where
there is one and by our re-weighted posterior otherwise; and by their time. sbi trains with one draw
of the noise, as its interface has it; ours draws it anew in every epoch. A second network of ours
is to need less time than sbi: it has half of that for its epochs or, with `gauss_newton`, half of
the simulations and a fit to few of them. What comes before and after is in its seconds too.

    pip install '.[peers]'
    python benchmarks/peers.py swellex96-2p
    python benchmarks/peers.py swellex96-vla --ours train --keep     # writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import finish
from references import FOLDER, agreed

from oceaninv import infer, load_scenario, train
from oceaninv.diagnostics import c2st
from oceaninv.inference import Model
from oceaninv.inference.matched_field import MatchedField
from oceaninv.inference.training import noisy_pairs
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import equal_weight
from oceaninv.scenario import Scenario
from oceaninv.simulation import TrainingSet, load_training_set, simulate

SEED = 20_000  # of the measurements, far from the seeds of training
DRAWS = 2000
SAMPLES = 10_000
# With fits two minutes on two cores, a third of which the divergence that remains takes.
FEW_FITS = {"first_epochs": 4, "n_fits": 2500, "weighed_draws": 0}

Sampler = Callable[[Measurement, int, int], torch.Tensor]  # measurement, draws, seed -> (n, d)


def main() -> None:
    parser = argparse.ArgumentParser(description="sbi's NPE and ours on the same simulations")
    parser.add_argument("scenario", nargs="?", default="swellex96-2p", help="built-in scenario")
    parser.add_argument("--data", type=Path, help="training set of `oceaninv simulate`")
    parser.add_argument("--simulations", type=int, help="how many; default: as the scenario says")
    parser.add_argument("--ours", default="", help="'train', or a model; default: the built-in one")
    parser.add_argument("--references", type=Path, help="file of benchmarks/references.py")
    parser.add_argument("-n", type=int, default=20, help="measurements compared by C2ST")
    parser.add_argument("--timed", type=int, default=100, help="measurements sampled for the time")
    parser.add_argument("--max-epochs", type=int, help="end sbi's training at the latest")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    scenario = load_scenario(arguments.scenario)
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder) / "simulations.zarr"
        count = arguments.simulations or scenario.training.n_simulations
        if not arguments.data:
            simulate(scenario, count, data, seed=1)
        ours, our_seconds = our_model(scenario, data, arguments, Path(folder))
        peer, peer_seconds, epochs = sbi_estimator(ours, load_training_set(data), arguments, folder)
        samplers: dict[str, tuple[str, Sampler, float]] = {
            "ours": ("oceaninv, raw", partial(our_draws, ours), our_seconds),
            "sbi": ("sbi NPE, spline flow", partial(sbi_draws, peer, ours), peer_seconds),
        }
        fitted = scenario.training.gauss_newton > 0
        quick, seconds = trained(
            scenario,
            data,
            Path(folder) / "quick",
            max_minutes=None if fitted else 0.5 * peer_seconds / 60,
            settings=FEW_FITS if fitted else {},
            n_simulations=count // 2 if fitted else None,
        )
        samplers["quick"] = ("oceaninv, quick", partial(our_draws, quick), seconds)
    references = reference_draws(ours, arguments)
    ended = "until it converged"
    if arguments.max_epochs and epochs >= arguments.max_epochs:
        ended = "ended there, still improving"
    lines = [
        f"{scenario.name}, {count} simulations, {len(references)} measurements; sbi: {epochs} "
        f"epochs, {ended}",
        "",
        "method                C2ST   worst  outside prior  training (s)  10,000 draws each (s)",
    ]
    answer: dict[str, object] = {
        "scenario": scenario.name,
        "ours": arguments.ours or "built-in",
        "simulations": count,
        "n": len(references),
        "sbi_epochs": epochs,
    }
    for key, (name, sample, training) in samplers.items():
        scores, outside = [], []
        for i, (measurement, exact) in enumerate(references):
            draws = sample(measurement, 4 * DRAWS, i)
            inside = torch.isfinite(scenario.prior.log_prob(draws.double()))
            outside.append(1 - float(inside.double().mean()))
            kept = draws[inside][: len(exact)].double().numpy()
            scores.append(c2st(kept, exact[: len(kept)], seed=i).accuracy)
        begun = time.perf_counter()
        for i in range(arguments.timed):
            sample(references[i % len(references)][0], SAMPLES, i)
        seconds = time.perf_counter() - begun
        lines.append(
            f"{name:20}  {np.mean(scores):.3f}  {max(scores):.3f}  {np.mean(outside):13.2%}  "
            f"{training:12.0f}  {seconds:12.1f} for {arguments.timed}"
        )
        print(lines[-1], flush=True)
        answer |= {
            f"{key}_c2st": float(np.mean(scores)),
            f"{key}_outside_prior": float(np.mean(outside)),
            f"{key}_training_seconds": training,
            f"{key}_sampling_seconds": seconds,
        }
    finish(
        f"peers_{scenario.name.replace('-', '_')}",
        "\n".join(lines),
        answer,
        seed=SEED,
        keep=arguments.keep,
    )


def our_model(
    scenario: Scenario, data: Path, arguments: argparse.Namespace, folder: Path
) -> tuple[Model, float]:
    """Our network and the seconds of its training, simulations not counted."""
    if arguments.ours != "train":
        model = Model.load(arguments.ours or scenario.name)
        seconds = model.record["seconds"] + (model.record.get("preparation_seconds") or 0.0)
        return model, float(seconds)
    return trained(scenario, data, folder / "ours")


def trained(scenario: Scenario, data: Path, out: Path, **how: Any) -> tuple[Model, float]:
    """A network of seed 1, trained as ``how`` says, and the seconds of its training."""
    begun = time.perf_counter()
    model = train(scenario, out=out, data=data, seed=1, **how)
    return model, time.perf_counter() - begun


def sbi_estimator(
    ours: Model, training_set: TrainingSet, arguments: argparse.Namespace, folder: str
) -> tuple[Any, float, int]:
    """sbi's conditional flow, the seconds of its training, and its epochs."""
    from sbi.inference import NPE  # not a dependency of oceaninv
    from sbi.utils import BoxUniform

    scenario = ours.scenario
    count = arguments.simulations or len(training_set.parameters)
    draw = noisy_pairs(scenario, training_set, aid_of_peer(ours), "training set")
    generator = torch.Generator().manual_seed(1)
    features = torch.cat([draw(index, generator)[1] for index in torch.arange(count).split(4096)])
    lower = torch.as_tensor(np.asarray(scenario.prior.lower), dtype=torch.float32)
    upper = torch.as_tensor(np.asarray(scenario.prior.upper), dtype=torch.float32)
    torch.manual_seed(1)
    with contextlib.chdir(folder):  # where sbi leaves its logs
        inference = NPE(prior=BoxUniform(lower, upper), show_progress_bars=False)
    begun = time.perf_counter()
    inference.append_simulations(training_set.parameters[:count].float(), features)
    limit = {"max_num_epochs": arguments.max_epochs} if arguments.max_epochs else {}
    estimator = inference.train(**limit)
    seconds = time.perf_counter() - begun
    return estimator, seconds, int(inference.summary["epochs_trained"][-1])


@torch.no_grad()
def sbi_draws(
    estimator: Any, ours: Model, measurement: Measurement, n: int, seed: int
) -> torch.Tensor:
    """Draws of sbi's flow as they come; its posterior object would reject those outside."""
    torch.manual_seed(seed)  # sbi draws from the global generator
    seen = replace(ours, aid=aid_of_peer(ours)).features(measurement)
    return estimator.sample((n,), condition=seen)[:, 0]


def aid_of_peer(ours: Model) -> MatchedField | None:
    return ours.aid if isinstance(ours.aid, MatchedField) else None


def our_draws(model: Model, measurement: Measurement, n: int, seed: int) -> torch.Tensor:
    return model.sample(measurement, n, torch.Generator().manual_seed(seed))[0]


def reference_draws(
    ours: Model, arguments: argparse.Namespace
) -> list[tuple[Measurement, np.ndarray]]:
    """Held-out measurements, each with equally weighted draws of its posterior, (m, d)."""
    path = arguments.references or FOLDER / f"{ours.scenario.name}.npz"
    if path.is_file():
        kept = list(agreed(path, ours.scenario).items())[: arguments.n]
        return [(synthetic_measurement(ours.scenario, seed=s)[0], draws) for s, draws in kept]
    print(f"no {path}: our re-weighted posteriors are the reference", flush=True)
    pairs = []
    for i in range(arguments.n):
        measurement, _ = synthetic_measurement(ours.scenario, seed=SEED + i)
        posterior = infer(measurement, model=ours, seed=i, effective_samples=DRAWS)
        rng = np.random.default_rng(i)
        pairs.append((measurement, np.asarray(equal_weight(posterior, DRAWS, rng))))
    return pairs


if __name__ == "__main__":
    main()
