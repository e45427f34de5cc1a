"""What is the exact posterior of twenty held-out measurements of a scenario?

The measurements are draws of the scenario from seeds that no training used. The posterior of
`swellex96-2p` is a dense grid; that of other scenarios is taken from two samplers that have nothing
in common but the likelihood, ensembles of walkers (emcee) and nested sampling (nautilus). They
must agree: R-hat below 1.01, more than 2,000 effective draws of each, and a classifier (C2ST) that
tells them apart in fewer than 53 of 100 cases. Walkers' draws resemble those shortly before them,
which the classifier sees too: where it does, the walkers run anew to twice as many effective draws,
and to twice as many again.

    python benchmarks/references.py north-elba-1993
    python benchmarks/references.py north-elba-1993 --resume    # go on with a run that was killed
    python benchmarks/references.py north-elba-1993 --keep      # also writes benchmarks/results/

After each measurement `references/SCENARIO.npz` is written anew with all that are done. It has, by
measurement, `seed` (of `synthetic_measurement`), `data` (the measurement), `truth`, `draws`
(2,000, float32, in the scenario's units; of two samplers, 1,000 of each, emcee's first),
`log_evidence` and its error, and what is in the table. Times are processor seconds.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from grid import NAME as ON_GRID
from grid import coarse_replicas, grid_posterior
from record import finish

from oceaninv import load_scenario
from oceaninv.diagnostics import c2st
from oceaninv.ensemble.draws import ChainSettings
from oceaninv.files import whole_file
from oceaninv.mcmc import mcmc
from oceaninv.measurement import Measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import Posterior, equal_weight, read_posterior
from oceaninv.scenario import Scenario

SEED = 20_000  # far from the seeds of training
FOLDER = Path(__file__).parent / "references"
DRAWS = 2000
MEASUREMENTS = 20
NESTED = ChainSettings(walkers=1000, effective_samples=3000, max_steps=20_000, samples=20_000)
ENSEMBLES = [
    ChainSettings(walkers=192, effective_samples=effective, max_steps=50_000, samples=20_000)
    for effective in (2100, 4200, 8400)
]
LIMITS = {"rhat": 1.01, "ess": 2000.0, "c2st": 0.53}

Row = dict[str, np.ndarray | float | int]


def main() -> None:
    parser = argparse.ArgumentParser(description="reference posteriors of held-out measurements")
    parser.add_argument("scenario", help="built-in scenario")
    parser.add_argument("-n", type=int, default=MEASUREMENTS, help="held-out measurements")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the first")
    parser.add_argument("--resume", action="store_true", help="go on with what is there")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the references")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scenario = load_scenario(arguments.scenario)
    arguments.out.mkdir(exist_ok=True)
    path = arguments.out / f"{scenario.name}.npz"
    rows = read(path, scenario) if arguments.resume and path.exists() else []
    coarse = coarse_replicas(scenario) if scenario.name == ON_GRID else None
    for seed in range(arguments.seed, arguments.seed + arguments.n):
        if any(row["seed"] == seed for row in rows):
            continue
        measurement, truth = synthetic_measurement(scenario, seed=seed)
        if coarse is None:
            work = arguments.out / f"{scenario.name}.work"
            work.mkdir(exist_ok=True)
            row = by_samplers(scenario, measurement, seed, work, arguments.resume)
        else:
            row = on_grid(scenario, measurement, seed, coarse)
        row |= {
            "seed": seed,
            "data": measurement.data.numpy(),
            "truth": np.array(list(truth.values())),
        }
        rows.append(row)
        write(path, scenario, rows)
        print(line(row), flush=True)
    answer = summary(rows)
    finish(
        f"references_{scenario.name}",
        "\n".join([counted(rows), "", header(rows[0]), *map(line, rows)]),
        answer,
        seed=arguments.seed,
        keep=arguments.keep,
    )


def on_grid(scenario: Scenario, measurement: Measurement, seed: int, coarse: torch.Tensor) -> Row:
    begun = time.process_time()
    draws, evidence = grid_posterior(scenario, measurement, coarse, DRAWS, seed)
    return {
        "draws": draws.astype(np.float32),
        "log_evidence": evidence,
        "log_evidence_error": 0.0,
        "seconds_grid": time.process_time() - begun,
    }


def by_samplers(
    scenario: Scenario, measurement: Measurement, seed: int, work: Path, resume: bool
) -> Row:
    def sampled(name: str, settings: ChainSettings) -> tuple[Posterior, float]:
        out = work / f"{seed}-{name}-{settings.effective_samples}.nc"
        if resume and out.exists():  # of a run that was killed after it
            return read_posterior(out), np.nan
        begun = time.process_time()
        posterior = mcmc(
            measurement,
            scenario,
            sampler=name,
            seed=seed,
            out=out,
            resume=resume,
            settings=settings,
            progress=None,
        )
        return posterior, time.process_time() - begun

    nested = sampled("nautilus", NESTED)
    for settings in ENSEMBLES:
        row = compared({"emcee": sampled("emcee", settings), "nautilus": nested}, seed)
        if agree(row):
            break
    return row


def compared(found: dict[str, tuple[Posterior, float]], seed: int) -> Row:
    """What two samplers found, and the processor seconds of each, as a row of the references."""
    rng = np.random.default_rng(seed)
    drawn = {name: equal_weight(p, DRAWS, rng) for name, (p, _) in found.items()}
    of = {name: p.attributes for name, (p, _) in found.items()}
    half = DRAWS // 2
    return {
        "draws": np.concatenate([d[:half] for d in drawn.values()]).astype(np.float32),
        "log_evidence": float(of["nautilus"]["log_evidence"]),
        "log_evidence_error": float(of["nautilus"]["log_evidence_error"]),
        "rhat": float(of["emcee"]["rhat"]),
        "c2st": c2st(drawn["emcee"], drawn["nautilus"], seed=seed).accuracy,
        **{f"ess_{name}": float(a["ess"]) for name, a in of.items()},
        **{f"likelihoods_{name}": int(a["n_likelihoods"]) for name, a in of.items()},
        **{f"seconds_{name}": seconds for name, (_, seconds) in found.items()},
    }


def agree(row: Row) -> bool:
    """Whether the two samplers found the same; a grid needs no second one."""
    return "rhat" not in row or bool(
        row["rhat"] < LIMITS["rhat"]
        and min(row["ess_emcee"], row["ess_nautilus"]) > LIMITS["ess"]
        and row["c2st"] < LIMITS["c2st"]
    )


def write(path: Path, scenario: Scenario, rows: list[Row]) -> None:
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            names=np.array(scenario.prior.names),
            scenario_hash=np.array(scenario.hash()),
            **columns,
        )


def read(path: Path, scenario: Scenario) -> list[Row]:
    """The measurements of a file, if they are of this version of the scenario."""
    with np.load(path, allow_pickle=False) as file:
        known = str(file["scenario_hash"])
        if known != scenario.hash():
            raise SystemExit(
                f"{path}: is of another version of {scenario.name}; make it again without --resume"
            )
        columns = {
            name: file[name] for name in file.files if name not in {"names", "scenario_hash"}
        }
    return [
        {name: values[i] for name, values in columns.items()} for i in range(len(columns["seed"]))
    ]


def agreed(path: Path, scenario: Scenario) -> dict[int, np.ndarray]:
    """Draws (m, d) of the posteriors on which the samplers agree, by seed; none without a file."""
    rows = read(path, scenario) if path.is_file() else []
    return {int(row["seed"]): np.asarray(row["draws"], float) for row in rows if agree(row)}


def counted(rows: list[Row]) -> str:
    """How many measurements of the twenty there are, and on how many the samplers agree."""
    done = f"{len(rows)} of {MEASUREMENTS} measurements"
    if "rhat" not in rows[0]:
        return f"{done}, each on a dense grid"
    return f"{done}; the two samplers agree on {sum(map(agree, rows))}"


def header(row: Row) -> str:
    if "rhat" not in row:
        return "   seed  log evidence  seconds"
    return (
        "   seed  log evidence           R-hat  effective draws   C2ST  agree      likelihoods"
        "       processor seconds\n"
        "                                      emcee  nautilus                  emcee  nautilus"
        "    emcee  nautilus"
    )


def line(row: Row) -> str:
    if "rhat" not in row:
        return f"{row['seed']:7d}  {row['log_evidence']:12.2f}  {row['seconds_grid']:7.1f}"
    return (
        f"{row['seed']:7d}  {row['log_evidence']:12.2f} ± {row['log_evidence_error']:4.2f}"
        f"  {row['rhat']:7.4f}  {row['ess_emcee']:6.0f}  {row['ess_nautilus']:8.0f}"
        f"  {row['c2st']:5.3f}  {'yes' if agree(row) else 'NO':>5}"
        f"  {row['likelihoods_emcee']:9d}  {row['likelihoods_nautilus']:8d}"
        f"  {row['seconds_emcee']:7.0f}  {row['seconds_nautilus']:8.0f}"
    )


def summary(rows: list[Row]) -> dict[str, object]:
    answer: dict[str, object] = {"n": len(rows), "agree": sum(map(agree, rows))}
    for name in rows[0]:
        if name.startswith(("seconds_", "likelihoods_")):
            answer[f"{name}_mean"] = float(np.nanmean([row[name] for row in rows]))
    if "c2st" in rows[0]:
        answer["c2st_mean"] = float(np.mean([row["c2st"] for row in rows]))
        answer["c2st_max"] = float(np.max([row["c2st"] for row in rows]))
    return answer


if __name__ == "__main__":
    main()
