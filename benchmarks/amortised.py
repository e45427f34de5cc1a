"""What does one more measurement cost, and after how many has training paid for itself?

For held-out measurements of each scenario: simulator calls and processor seconds of the shipped
network's raw draws, of the same re-weighted to the exact likelihood, and of Markov chains without a
network, to as many effective draws. Training is what the model's record says (simulations, seconds)
and the time of its simulations, at the measured time of one. It has paid for itself after

    N = training / (chains − network)

measurements, in seconds and in calls. Raw draws are no exact posterior; the other two are.

    python benchmarks/amortised.py
    python benchmarks/amortised.py swellex96-2p -n 2 --effective-samples 500
    python benchmarks/amortised.py --keep    # also writes benchmarks/results/
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from record import finish

from oceaninv import infer
from oceaninv.ensemble.draws import ChainSettings
from oceaninv.inference import Model
from oceaninv.inference.model import OTHER_FITS
from oceaninv.inference.normal_fits import NormalFits
from oceaninv.mcmc import mcmc
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import Posterior
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

SCENARIOS = ("swellex96-2p", "swellex96-vla", "north-elba-1993")
SEED = 20_000  # far from the seeds of training
METHODS = ("raw", "re-weighted", "chains")
SOLVES = 256


@dataclass(frozen=True)
class Cost:
    """Of one measurement, means over several."""

    calls: float
    seconds: float
    effective: float
    reliable: float


def fit_calls(model: Model) -> int:
    """Environments solved for one normal fit, at most; neighbours count as whole ones."""
    if not isinstance(model.aid, NormalFits):
        return 0
    return (model.aid.steps + 1) * (model.scenario.prior.dim + 1)


def simulated(model: Model) -> float:
    """Environments solved for the training set."""
    training = model.scenario.training
    count = training.n_simulations if training.gauss_newton else model.record["n_simulations"]
    return float(count / training.geometries)


def training_calls(model: Model) -> float:
    """Environments solved for the training."""
    training = model.scenario.training
    if training.gauss_newton:  # the record is of the last network, trained on the fits
        each = fit_calls(model) + (training.weighed_draws + 1 if training.weighed_draws else 0)
        return simulated(model) + model.record["n_simulations"] * each
    return simulated(model) + training.references


def training_seconds(model: Model) -> float:
    """Of the networks, and of what was solved for them that the record does not time."""
    solved, record = simulated(model), model.record
    if record.get("preparation_seconds") is None:
        solved += model.scenario.training.references
    prepared = record.get("preparation_seconds") or 0.0
    return float(record["seconds"] + prepared + solved * seconds_of_one(model.scenario))


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of one more measurement")
    parser.add_argument("scenario", nargs="*", default=SCENARIOS, help="built-in models")
    parser.add_argument("-n", type=int, default=5, help="measurements of each")
    parser.add_argument("--effective-samples", type=int, default=2000)
    parser.add_argument("--max-steps", type=int, default=20_000, help="of a chain")
    parser.add_argument("--max-seconds", type=float, default=600.0, help="of re-weighting")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"{'scenario':16}  {'method':11}  {'calls':>8}  {'seconds':>8}  effective  reliable"
        "   pays after (seconds / calls)"
    ]
    print(lines[0], flush=True)
    answer: dict[str, object] = {"n": arguments.n}
    for name in arguments.scenario:
        model = Model.load(name)
        simulations = training_calls(model)
        training = training_seconds(model)
        cost = costs(model, arguments)
        rows = [f"{name:16}  {'training':11}  {simulations:8.0f}  {training:8.1f}"]
        answer[f"{name} training_calls"] = simulations
        answer[f"{name} training_seconds"] = training
        for method, of in cost.items():
            reliable = "-" if math.isnan(of.reliable) else f"{of.reliable:.0%}"
            row = (
                f"{name:16}  {method:11}  {of.calls:8.0f}  {of.seconds:8.1f}"
                f"  {of.effective:9.0f}  {reliable:>8}"
            )
            if method != "chains":
                pays = (
                    pays_after(training, of.seconds, cost["chains"].seconds),
                    pays_after(simulations, of.calls, cost["chains"].calls),
                )
                row += "  {:>10} / {}".format(*("never" if n is None else n for n in pays))
                answer[f"{name} {method} pays_after_seconds"] = pays[0]
                answer[f"{name} {method} pays_after_calls"] = pays[1]
            answer[f"{name} {method} calls"] = of.calls
            answer[f"{name} {method} seconds"] = of.seconds
            rows.append(row)
        print("\n".join(rows), flush=True)
        lines += rows
    finish("amortised", "\n".join(lines), answer, seed=SEED, keep=arguments.keep)


def costs(model: Model, arguments: argparse.Namespace) -> dict[str, Cost]:
    size = arguments.effective_samples
    settings = ChainSettings(
        effective_samples=size, max_steps=arguments.max_steps, samples=max(size, 1000)
    )
    of: dict[str, list[Cost]] = {method: [] for method in METHODS}
    for seed in range(SEED, SEED + arguments.n):
        measurement, _ = synthetic_measurement(model.scenario, seed=seed)
        run: dict[str, Callable[[], Posterior]] = {
            "raw": lambda m=measurement: infer(m, model=model, raw=True, samples=size),
            "re-weighted": lambda m=measurement: infer(
                m,
                model=model,
                effective_samples=size,
                max_seconds=arguments.max_seconds,
            ),
            "chains": lambda m=measurement: mcmc(m, model.scenario, settings=settings),
        }
        for method, posterior in run.items():
            extra = 0 if method == "chains" else (1 + OTHER_FITS) * fit_calls(model)
            of[method].append(measured(posterior, size, extra))
    return {
        method: Cost(
            *(
                float(np.mean([getattr(cost, field) for cost in of_method]))
                for field in Cost.__dataclass_fields__
            )
        )
        for method, of_method in of.items()
    }


def measured(run: Callable[[], Posterior], size: int, extra_calls: int) -> Cost:
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # chains that ended early are counted
        attributes = run().attributes
    seconds = time.process_time() - begun
    return Cost(
        calls=float(attributes["n_likelihoods"]) + extra_calls,
        seconds=seconds,
        effective=float(attributes.get("effective_sample_size", attributes.get("ess", size))),
        reliable=float(attributes.get("reliable", attributes.get("converged", math.nan))),
    )


def seconds_of_one(scenario: Scenario) -> float:
    """Processor seconds of one simulation, in a batch."""
    theta = scenario.prior.sample(SOLVES, SEED)
    predict(scenario, theta[:8])  # compiles
    begun = time.process_time()
    predict(scenario, theta)
    return (time.process_time() - begun) / SOLVES


def pays_after(training: float, network: float, chains: float) -> int | None:
    """Measurements; None where the network costs more than the chains do."""
    return math.ceil(training / (chains - network)) if chains > network else None


if __name__ == "__main__":
    main()
