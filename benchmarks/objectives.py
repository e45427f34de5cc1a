"""Which objective gives the best posterior in the same time?

Every objective trains the same network on the same simulations for the same time, seconds of the
processor on one thread, on three problems with a known posterior: `swellex96-2p` (dense grid), the
inverse-kinematics arm of Kruse et al. 2021 (importance sampling from the prior) and two moons of
sbibm (exact draws). The arm's end point carries normal noise of 0.05: without noise its posterior
has no density. The learning rate is chosen by the validation score on a seed that is not reported.
`inn nll` and `released vina-js` are the invertible network with the observation among its outputs,
as repaired and as released; they have no density.

    python benchmarks/objectives.py --seconds 20 --seeds 2 --tasks arm      # a first look
    python benchmarks/objectives.py --keep                                   # ten hours
    python benchmarks/objectives.py --seconds 10 --observations 3 --keep     # as kept; 90 minutes

Finished rows are kept in DIR/rows.jsonl (`--work DIR`) and not computed again; the table has all
that were made with the same settings.

log q: held-out log-density in normal scores, in nats beyond the prior. C2ST: raw draws against the
exact posterior, 0.5 cannot be told apart. coverage: mean error of the coverage at 50, 80, 90 and
95 %. sd ratio: of the posterior's to the exact one's, over unknowns and observations. Numbers are
means ± standard deviations over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from objective_tasks import TASKS, Task
from record import finish
from torch import Tensor

from oceaninv.diagnostics import c2st
from oceaninv.inference.estimator import Estimator
from oceaninv.inference.fitting import TrainingError, fit
from oceaninv.inference.networks import Network
from oceaninv.inference.objectives import OBJECTIVES
from oceaninv.scenario.training import PRESETS, with_settings

RATES = (5e-4, 2e-3)
LEVELS = torch.tensor([0.5, 0.8, 0.9, 0.95])
FOREVER = 100_000  # epochs: the clock ends training
STORE = "rows.jsonl"
TUNING_SEED = 1000
DRAWS = 2000  # of each posterior that C2ST sees
COMMON = {"warm_start_epochs": 5, "patience": FOREVER, "epochs": FOREVER}
COLUMNS = ("log_q", "c2st", "coverage", "sd_ratio", "seconds")


@dataclass(frozen=True)
class Entry:
    """An objective with its network."""

    objective: str
    estimator: str = "cinn"
    settings: tuple[tuple[str, object], ...] = ()


ENTRIES = {
    **{name: Entry(name) for name in OBJECTIVES},
    **{f"{n}, data": Entry(n, settings=(("critic_form", "data"),)) for n in ("vina-js", "vina-kl")},
    "vina-pr, λ ½": Entry("vina-pr", settings=(("pr_tradeoff", 0.5),)),
    "nll+vina-js": Entry("nll+vina-js"),
    "nll+mmd": Entry("nll+mmd"),
    "inn nll": Entry("nll", "inn"),
    "released vina-kl": Entry("vina-kl", "inn", tuple(PRESETS["vina-released"].items())),
    "released vina-js": Entry("vina-js", "inn", tuple(PRESETS["vina-released"].items())),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="objectives, on equal terms")
    parser.add_argument("--seconds", type=float, default=60, help="of each training")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--observations", type=int, default=5, help="of C2ST and sd ratio")
    parser.add_argument("--simulations", type=int, default=20_000, help="of each task")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--entries", default="", help="names separated by ;  default: all")
    parser.add_argument("--work", type=Path, default=Path("out/objectives"))
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    entries = [e.strip() for e in arguments.entries.split(";") if e.strip()] or list(ENTRIES)
    for task_name in arguments.tasks.split(","):
        task = TASKS[task_name](arguments.simulations, arguments.observations, arguments.work)
        for name in entries:
            train_seeds(name, task, arguments)
    table, answer = summary(finished(arguments))
    settings = {
        field: getattr(arguments, field)
        for field in ("seconds", "seeds", "simulations", "observations")
    }
    table = ", ".join(f"{field} {value:g}" for field, value in settings.items()) + "\n\n" + table
    answer |= settings
    finish("objectives", table, answer, seed=0, keep=arguments.keep)


def train_seeds(name: str, task: Task, arguments: argparse.Namespace) -> None:
    """All seeds of an entry, at the learning rate that the validation score chose."""
    key = {"task": task.name, "entry": name, **settings_of(arguments)}
    store = arguments.work / STORE
    tuning = {
        rate: kept(
            store,
            {**key, "seed": TUNING_SEED, "rate": rate},
            lambda rate=rate: {"validation": trained(name, task, arguments, TUNING_SEED, rate)[1]},
        )["validation"]
        for rate in RATES
    }
    rate = min(tuning, key=lambda r: (tuning[r] is None, tuning[r]))
    for seed in range(arguments.seeds):
        kept(
            store,
            {**key, "seed": seed, "rate": rate},
            lambda seed=seed: judged(name, task, arguments, seed, rate),
        )


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What rows of one table have in common."""
    return {
        "simulations": arguments.simulations,
        "observations": arguments.observations,
        "time": arguments.seconds,
    }


def finished(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of these settings, also those of earlier runs with other tasks or entries."""
    lines = (arguments.work / STORE).read_text(encoding="utf-8").splitlines()
    return [
        row
        for row in map(json.loads, lines)
        if row.items() >= settings_of(arguments).items() and row["seed"] < arguments.seeds
    ]


def kept(store: Path, key: dict[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row of this key: from the file, or computed and added to it."""
    lines = store.read_text(encoding="utf-8").splitlines() if store.exists() else []
    for line in lines:
        row = json.loads(line)
        if all(row.get(field) == value for field, value in key.items()):
            return row
    row = {**key, **compute()}
    with store.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
    return row


def trained(
    name: str, task: Task, arguments: argparse.Namespace, seed: int, rate: float
) -> tuple[Network | None, float | None, float]:
    """The network, its validation score and the seconds of training; none where it diverged."""
    entry = ENTRIES[name]
    changes = {**task.settings, **COMMON, **dict(entry.settings), "learning_rate": rate}
    changes |= {"epochs": FOREVER}  # also where a preset says otherwise
    begun = time.process_time()
    try:
        result = fit(
            task.draw,
            task.n,
            with_settings(task.training, changes),
            seed=seed,
            objective=entry.objective,
            estimator=entry.estimator,
            guesses=task.guesses if entry.estimator == "cinn" else 0,
            max_minutes=arguments.seconds / 60,
            clock=time.process_time,
        )
    except TrainingError:
        return None, None, time.process_time() - begun
    return result.estimator, result.record["validation"], time.process_time() - begun


def judged(
    name: str, task: Task, arguments: argparse.Namespace, seed: int, rate: float
) -> dict[str, Any]:
    """One row: what a training gave, on measurements that were in no training set."""
    network, validation, seconds = trained(name, task, arguments, seed, rate)
    if network is None:
        return {"validation": None, "seconds": seconds}
    generator = torch.Generator().manual_seed(seed)
    scores, ratios = [], []
    for features, exact in task.observations:
        with torch.no_grad():
            conditions = network.condition(features)
            v = network.draw(conditions, generator, DRAWS)
        truth = exact[torch.randperm(len(exact), generator=generator)[:DRAWS]]
        scores.append(c2st(v.double().numpy(), truth.double().numpy(), seed=seed).accuracy)
        ratios.append((v.std(0) / truth.std(0)).log().mean().item())
    return {
        "validation": validation,
        "log_q": beyond_the_prior(network, task, seed),
        "c2st": float(np.mean(scores)),
        "coverage": coverage_error(network, task, generator),
        "sd_ratio": float(np.exp(np.mean(ratios))),
        "seconds": seconds,
    }


@torch.no_grad()
def beyond_the_prior(network: Network, task: Task, seed: int) -> float | None:
    """Mean log q(v | y) − log N(v; 0, I) over held-out pairs."""
    if not isinstance(network, Estimator):
        return None
    generator = torch.Generator().manual_seed(seed)
    parts = [
        -network.score(v, features, generator)
        for v, features in zip(*(t.split(1000) for t in task.held_out), strict=True)
    ]
    return torch.cat(parts).double().mean().item()


@torch.no_grad()
def coverage_error(network: Network, task: Task, generator: torch.Generator) -> float:
    """Mean over levels and unknowns of |coverage − level| of central intervals."""
    v, features = (t[:1000] for t in task.held_out)
    ranks: list[Tensor] = []
    for part, truth in zip(features.split(100), v.split(100), strict=True):
        conditions = network.condition(part.repeat_interleave(300, 0))
        draws = network.draw(conditions, generator).view(len(part), 300, -1)
        ranks.append((draws < truth[:, None]).float().mean(1))
    off_centre = (2 * torch.cat(ranks) - 1).abs()
    covered = (off_centre[..., None] < LEVELS).float().mean(0)
    return (covered - LEVELS).abs().mean().item()


def summary(rows: list[dict[str, Any]]) -> tuple[str, dict[str, object]]:
    """The table, mean ± sd over seeds, and the same numbers by name."""
    lines = [f"{'task':14} {'objective':18}" + "".join(f"{c:>18}" for c in COLUMNS)]
    answer: dict[str, object] = {}
    names = dict.fromkeys((row["task"], row["entry"]) for row in rows)
    for task, entry in sorted(names, key=lambda name: list(TASKS).index(name[0])):
        of_entry = [row for row in rows if (row["task"], row["entry"]) == (task, entry)]
        cells = []
        for column in COLUMNS:
            values = [row[column] for row in of_entry if row.get(column) is not None]
            if values:
                mean, sd = float(np.mean(values)), float(np.std(values))
                answer[f"{task}: {entry}: {column}"] = [round(mean, 4), round(sd, 4)]
                cells.append(f"{mean:9.3f} ± {sd:6.3f}")
            else:
                cells.append("-")
        lines.append(f"{task:14} {entry:18}" + "".join(f"{c:>18}" for c in cells))
    return "\n".join(lines), answer


if __name__ == "__main__":
    main()
