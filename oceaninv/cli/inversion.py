"""``oceaninv simulate``, ``train``, ``infer`` and ``mcmc``: from a scenario to a posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oceaninv.cli.command import Seed, hint, progress_bar, register, say, table
from oceaninv.cli.outputs import check_outputs
from oceaninv.errors import InputError
from oceaninv.files import check_folder

if TYPE_CHECKING:
    from torch import Tensor

    from oceaninv.diagnostics.mismatch import Mismatch
    from oceaninv.inference import Model
    from oceaninv.measurement import Measurement
    from oceaninv.posterior import Posterior
    from oceaninv.scenario import Scenario

_HINT_DRAWS = 150  # draws of the network, for either time convention, that the hint is judged by
_TWO_SIGMA = 1.96  # normal score of the ends of a central 95 % interval

ScenarioName = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="Built-in name or YAML file.")
]
MeasurementPath = Annotated[Path, typer.Argument(metavar="MEASUREMENT.nc", help="Measurement.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")]
PosteriorPath = Annotated[
    Path, typer.Option("--output", "-o", metavar="posterior.nc", help="Posterior to write.")
]


class Estimator(StrEnum):
    """Families of networks that can be trained."""

    cinn = "cinn"
    inn = "inn"


class Form(StrEnum):
    """What an objective compares."""

    latent = "latent"
    data = "data"


class Schedule(StrEnum):
    """How the weight of a hybrid objective changes over the training."""

    constant = "constant"
    ramp = "ramp"
    decay = "decay"


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    register(app, simulate)
    register(app, train)
    register(app, infer)
    register(app, mcmc)


def simulate(
    scenario: ScenarioName,
    n: Annotated[int, typer.Option("-n", min=1, help="Number of simulations.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR.zarr", help="Training set to write.")
    ],
    seed: Seed = 0,
    resume: Resume = False,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Dask scheduler to compute on."),
    ] = None,
) -> None:
    """Simulates a training set: draws from the prior and their noise-free data.

    Example: `oceaninv simulate swellex96-vla -n 100000 -o swellex.zarr`
    """
    check_folder(output.parent, output)
    from oceaninv.simulation import write_training_set

    with progress_bar() as progress:
        write_training_set(
            scenario,
            n,
            output,
            seed=seed,
            resume=resume,
            scheduler=scheduler,
            progress=lambda done, total: progress(done, total, "simulating"),
        )
    say(f"{output}: {n} simulations of {scenario}")


def train(
    scenario: ScenarioName,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL/", help="Model directory to write.")
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR.zarr", help="Training set; default: simulate one."),
    ] = None,
    simulations: Annotated[
        int | None,
        typer.Option("-n", min=1, help="Simulations; default: as the scenario says."),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            metavar="NAME",
            help="nll, vina-kl, vina-reverse-kl, vina-js, vina-chi2, vina-hellinger, vina-pr, mmd, "
            "sinkhorn, or a hybrid such as nll+vina-js.",
        ),
    ] = "nll",
    estimator: Annotated[
        Estimator,
        typer.Option("--estimator", help="Conditional network, or x ↔ (y, z)."),
    ] = Estimator.cinn,
    form: Annotated[
        Form | None,
        typer.Option("--form", help="Compare latents, or unknowns; default: as the scenario says."),
    ] = None,
    hybrid_weight: Annotated[
        float | None,
        typer.Option("--hybrid-weight", help="Weight of NAME in nll+NAME."),
    ] = None,
    hybrid_schedule: Annotated[
        Schedule | None,
        typer.Option("--hybrid-schedule", help="How that weight goes over the training."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            help="Settings of a paper: vina (its architecture), vina-released (its code as it is).",
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", min=0.0, help="End the network's epochs after this time."),
    ] = None,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Trains the network of a scenario.

    An earlier model in MODEL/ is set aside: its `model.json`, renamed `previous.json`, can be
    renamed back until the new model is written. A killed run leaves MODEL/train.partial, from which
    `--resume` goes on; it is removed when the model is written or another training begins.

    Example: `oceaninv train swellex96-2p --seed 1 -o model/`
    """
    check_folder(output)
    if "+" not in objective:
        for option, value in (
            ("--hybrid-weight", hybrid_weight),
            ("--hybrid-schedule", hybrid_schedule),
        ):
            _has_effect(option, value, f"--objective {objective}", "a hybrid such as nll+vina-js")
    if objective == "nll":
        _has_effect("--form", form, "--objective nll", "another objective")
    from oceaninv.inference import train as run
    from oceaninv.scenario.training import preset_settings

    given = {
        "critic_form": form and form.value,
        "hybrid_weight": hybrid_weight,
        "hybrid_schedule": hybrid_schedule and hybrid_schedule.value,
    }
    settings = preset_settings(preset) if preset is not None else {}
    settings |= {name: value for name, value in given.items() if value is not None}
    with progress_bar() as progress:
        model = run(
            scenario,
            out=output,
            data=data,
            seed=seed,
            objective=objective,
            estimator=estimator.value,
            settings=settings,
            n_simulations=simulations,
            max_minutes=max_minutes,
            resume=resume,
            progress=progress,
        )
    from oceaninv.diagnostics.familiarity import keep_familiarity, learn_familiarity

    keep_familiarity(learn_familiarity(model, seed=seed), output)
    for name, value in model.record.items():
        if isinstance(value, int | float | str):
            say(f"{name:24} {value}")
    left = model.record.get("remaining_divergence")
    if left:  # a finished model of an earlier version, which --resume reads, has none
        say(
            f"remaining divergence     {left['estimate']:.4f} nats at least (twice the "
            "Jensen-Shannon divergence, given the network's summary of the data), "
            f"by a fresh critic, 95 % interval {left['lower']:.4f} to {left['upper']:.4f}"
        )
    say(f"{output}: {estimator.value} of {model.scenario.name}")


def _has_effect(option: str, value: object, chosen: str, instead: str) -> None:
    """Raises InputError where an option is given that `chosen` makes no use of."""
    if value is not None:
        raise InputError(
            f"{option}: {value} has no effect with {chosen}; leave it out, or use {instead}"
        )


def infer(
    measurement: MeasurementPath,
    output: PosteriorPath,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME|MODEL/",
            help="Trained model; default: the built-in one of the measurement's scenario.",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=1, metavar="N", help="Draws to keep.")
    ] = 10_000,
    raw: Annotated[
        bool, typer.Option("--raw", help="Keep the network's draws, without re-weighting.")
    ] = False,
    max_seconds: Annotated[
        float,
        typer.Option(
            "--max-seconds",
            min=0.0,
            help="Longest time spent on re-weighting; twice that where chains have to go on.",
        ),
    ] = 40.0,
    seed: Seed = 0,
) -> None:
    """Posterior of a measurement, re-weighted to the exact likelihood unless `--raw`.

    Where the weights are too uneven to be relied on, Markov chains go on from them, and a mixture
    fitted to theirs is re-weighted.

    Example: `oceaninv infer elba.nc --model north-elba-1993 -o posterior.nc`
    """
    check_outputs({"--output": output}, [measurement, model])
    from oceaninv.diagnostics.mismatch import with_mismatch
    from oceaninv.inference import Model
    from oceaninv.inference import infer as run
    from oceaninv.posterior import write_posterior

    observed = _read(measurement)
    loaded = None if model is None else Model.load(model)
    with progress_bar() as progress:
        posterior = run(
            observed,
            model=loaded,
            samples=samples,
            raw=raw,
            max_seconds=max_seconds,
            seed=seed,
            progress=progress,
        )
    if raw:  # what does not fit may then be the network's fault
        write_posterior(posterior, output)
        _print_results(posterior, output)
        return
    name = model or str(posterior.attributes["model"])
    loaded = loaded or Model.load(name)
    found = _mismatch(posterior, loaded, name, seed)
    posterior = with_mismatch(posterior, found)
    write_posterior(posterior, output)
    _print_results(posterior, output)
    _tell(found)
    _hint_at_conjugate(loaded.scenario, observed, lambda: _network_draws(loaded, observed, seed))


def mcmc(
    measurement: MeasurementPath,
    scenario: Annotated[
        str, typer.Option("--scenario", metavar="NAME|FILE", help="Built-in name or YAML file.")
    ],
    output: PosteriorPath,
    sampler: Annotated[
        str, typer.Option("--sampler", metavar="NAME", help="Sampler: emcee or nautilus.")
    ] = "emcee",
    walkers: Annotated[
        int | None,
        typer.Option("--walkers", min=2, help="Walkers of each ensemble; live points of nautilus."),
    ] = None,
    effective_samples: Annotated[
        int,
        typer.Option("--effective-samples", min=1, help="End when every unknown has as many."),
    ] = 2000,
    max_steps: Annotated[
        int, typer.Option("--max-steps", min=1, help="End after as many at the latest.")
    ] = 20000,
    samples: Annotated[
        int, typer.Option("--samples", min=1, metavar="N", help="Draws to keep.")
    ] = 10_000,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Reference posterior of a measurement by Markov chains, or nested sampling (nautilus).

    As `infer` it says of the measurement what is not like the scenario.

    Example: `oceaninv mcmc elba.nc --scenario north-elba-1993 -o mcmc.nc`
    """
    check_outputs({"--output": output}, [measurement, scenario])
    from oceaninv.diagnostics.mismatch import mismatch, with_mismatch
    from oceaninv.likelihood import fit_candidates
    from oceaninv.mcmc import ChainSettings
    from oceaninv.mcmc import mcmc as run
    from oceaninv.posterior import write_posterior
    from oceaninv.scenario import load_scenario

    observed, loaded = _read(measurement), load_scenario(scenario)
    settings = ChainSettings(
        walkers=walkers,
        effective_samples=effective_samples,
        max_steps=max_steps,
        samples=samples,
    )
    with progress_bar() as progress:
        posterior = run(
            observed,
            loaded,
            sampler=sampler,
            seed=seed,
            out=output,
            resume=resume,
            settings=settings,
            progress=progress,
        )
    found = mismatch(posterior, seed=seed)
    posterior = with_mismatch(posterior, found)
    write_posterior(posterior, output)
    _print_results(posterior, output)
    _tell(found)
    _hint_at_conjugate(loaded, observed, lambda: fit_candidates(loaded, observed, seed=seed))


def _read(path: Path) -> Measurement:
    """The measurement; tells where it says more of its source than is made use of."""
    from oceaninv.measurement import read_measurement

    measurement = read_measurement(path)
    if measurement.attributes.get("source") == "known":
        hint(f"{path}: source: 'known' is not made use of; the likelihood takes it as unknown")
    return measurement


def _print_results(posterior: Posterior, path: Path) -> None:
    """The table of results, what the run says of itself, and where the file is."""
    import torch

    from oceaninv.posterior import summarise

    ends = torch.tensor([[-_TWO_SIGMA], [_TWO_SIGMA]], dtype=torch.float64)
    low, high = posterior.scenario.prior.from_normal(ends.expand(2, len(posterior.names))).tolist()
    rows = [
        (
            row.long_name,
            row.unit,
            f"{low[i]:.5g} to {high[i]:.5g}",
            f"{row.median:.5g}",
            f"{row.lower:.5g} to {row.upper:.5g}",
        )
        for i, row in enumerate(summarise(posterior))
    ]
    say(table(("parameter", "unit", "prior 95 %", "median", "posterior 95 %"), rows))
    attributes = dict(posterior.attributes)
    if "log_evidence" in attributes:
        told = [f"sample efficiency {float(attributes['sample_efficiency']):.1%}"]
        if "rhat" not in attributes:
            told.append(f"effective draws {float(attributes['effective_sample_size']):.0f}")
        if "pareto_k" in attributes:
            told.append(f"Pareto k {float(attributes['pareto_k']):.2f}")
        value, error = (float(attributes[f"log_evidence{end}"]) for end in ("", "_error"))
        say(", ".join([*told, f"log evidence {value:.2f} ± {error:.2f}"]))
    if "fallback" in attributes:
        say(str(attributes["fallback"]))
    if "rhat" in attributes:
        say(
            f"R-hat {float(attributes['rhat']):.3f}, "
            f"effective draws {float(attributes['ess']):.0f}, "
            f"{attributes['steps']} steps of {attributes['walkers']} walkers in each ensemble"
        )
    say(f"{path}: posterior ({attributes['method']})")
    if "warning" in attributes:
        hint(str(attributes["warning"]))


def _mismatch(posterior: Posterior, model: Model, name: str, seed: int) -> Mismatch:
    """Whether the measurement is like what scenario and network expect."""
    from oceaninv.diagnostics.familiarity import IN_PASSING, kept_familiarity, learn_familiarity
    from oceaninv.diagnostics.mismatch import mismatch
    from oceaninv.inference.model import model_directory

    snapshots = posterior.observed.n_snapshots
    known = kept_familiarity(model_directory(name)) if snapshots == 1 else None
    if known is None:
        known = learn_familiarity(model, IN_PASSING, n_snapshots=snapshots)
    return mismatch(posterior, model, known, seed=seed)


def _tell(found: Mismatch) -> None:
    """A line for each finding, or that there is none."""
    for finding in found.findings:
        say(f"mismatch: {finding.text}")
    if not found.findings:
        network = not math.isnan(found.summary)
        asked = "tones, receivers, noise and summary" if network else "tones, receivers and noise"
        say(f"mismatch: none found; {asked} are as the scenario expects")


def _network_draws(model: Model, measurement: Measurement, seed: int) -> Tensor:
    """Draws of the network given the data and given their conjugate: fair to both readings."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    readings = (measurement, measurement.conjugate())
    return torch.cat([model.sample(m, _HINT_DRAWS, generator)[0] for m in readings])


def _hint_at_conjugate(
    scenario: Scenario, measurement: Measurement, candidates: Callable[[], Tensor]
) -> None:
    """Tells where the other time convention fits far better; levels have none."""
    from oceaninv.likelihood import conjugate_hint

    if measurement.kind != "transmission_loss":
        told = conjugate_hint(scenario, measurement, candidates())
        if told:
            hint(told)
