"""``oceaninv convert`` and ``oceaninv synthesize``: measurement files, real and made."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from oceaninv.cli.command import Seed, hint, numbers, register, say
from oceaninv.cli.outputs import check_outputs
from oceaninv.errors import InputError

Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="measurement.nc", help="Measurement to write.")
]


class Format(StrEnum):
    """Formats that can be converted."""

    saga = "saga"


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    register(app, convert)
    register(app, synthesize)


def convert(
    format_: Annotated[Format, typer.Argument(metavar="FORMAT", help="Format of the file: saga.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="What to convert.")],
    output: Output,
    time_convention: Annotated[
        str,
        typer.Option("--time-convention", help="That of the file: exp(+iwt) or exp(-iwt)."),
    ] = "exp(+iwt)",
    snapshots: Annotated[
        int | None,
        typer.Option(
            "--snapshots", min=1, help="Snapshots behind a cross-spectral matrix; default: its rank"
        ),
    ] = None,
    receiver_depth: Annotated[
        str | None,
        typer.Option(
            "--receiver-depth",
            metavar="M,M…|A:B:N",
            help="Depths of the phones, where those in the file are placeholders.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            metavar="NAME|FILE",
            help="Check tones, receivers and time convention against it; keep its name for infer.",
        ),
    ] = None,
) -> None:
    """Converts recorded data to a measurement file.

    Example: `oceaninv convert saga elba.in --scenario north-elba-1993 -o elba.nc`
    """
    if len(files) != 1:
        raise InputError(f"{files[1]}: a SAGA measurement is one file; convert one at a time")
    depths = numbers(receiver_depth, "--receiver-depth") or None
    check_outputs({"--output": output}, [*files, scenario])
    from oceaninv.measurement import read_saga, write_measurement

    measurement = read_saga(
        files[0],
        time_convention=time_convention,
        n_snapshots=snapshots,
        receiver_depth=depths,
    )
    told = None
    if scenario:
        from oceaninv.likelihood import conjugate_hint, fit_candidates
        from oceaninv.scenario import load_scenario

        loaded = load_scenario(scenario)
        told = conjugate_hint(loaded, measurement, fit_candidates(loaded, measurement, seed=0))
        # `oceaninv infer` chooses its model by this
        named = {**measurement.attributes, "scenario": loaded.name}
        measurement = replace(measurement, attributes=named)
    write_measurement(measurement, output)
    say(
        f"{output}: {measurement.kind}, {len(measurement.frequency)} tones, "
        f"{len(measurement.receiver_depth)} receivers, {measurement.n_snapshots} snapshots"
    )
    if told:
        hint(told)


def synthesize(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Name or YAML file.")],
    output: Output,
    seed: Seed = 0,
    snapshots: Annotated[
        int, typer.Option("--snapshots", min=1, help="Snapshots to draw (complex data).")
    ] = 1,
) -> None:
    """Draws a measurement from a scenario: unknowns from the prior, noise from its noise model.

    Example: `oceaninv synthesize swellex96-vla --seed 1 -o measurement.nc`
    """
    check_outputs({"--output": output}, [scenario])
    from oceaninv.measurement import write_measurement
    from oceaninv.measurement.synthetic import synthetic_measurement
    from oceaninv.scenario import load_scenario

    loaded = load_scenario(scenario)
    measurement, truth = synthetic_measurement(loaded, seed=seed, n_snapshots=snapshots)
    write_measurement(measurement, output)
    for (name, value), unit in zip(truth.items(), loaded.units, strict=True):
        say(f"{name:30} {value:12.6g} {unit}")
    say(f"{output}: {measurement.kind} drawn from {loaded.name} with seed {seed}")
