"""``oceaninv modes`` and ``oceaninv field``: the forward model on Acoustics Toolbox files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from oceaninv.cli.command import hint, numbers, progress_bar, register, say
from oceaninv.cli.outputs import check_figure, check_outputs
from oceaninv.files import whole_file

if TYPE_CHECKING:
    import xarray as xr


class Attenuation(StrEnum):
    """How loss enters the eigenproblem."""

    exact = "exact"
    perturbative = "perturbative"


class Method(StrEnum):
    """How the field is computed."""

    modes = "modes"
    spectral = "spectral"


EnvPath = Annotated[Path, typer.Argument(metavar="FILE.env", help="Acoustics Toolbox environment.")]
Frequencies = Annotated[
    str | None,
    typer.Option("--frequency", "-f", metavar="HZ,HZ…", help="Frequencies; default: the file's."),
]
CHigh = Annotated[
    float | None,
    typer.Option("--c-high", metavar="M/S", help="Largest phase speed; default: the file's."),
]
Loss = Annotated[
    Attenuation,
    typer.Option(
        "--attenuation", help="Complex modes, or real ones with first-order loss as in KRAKEN."
    ),
]
Leaky = Annotated[
    bool,
    typer.Option("--leaky", help="With the modes that leak into the half-space, up to c-high."),
]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    register(app, modes)
    register(app, field)


def modes(
    file: EnvPath,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="modes.nc", help="Result.")],
    frequency: Frequencies = None,
    depth: Annotated[
        str | None,
        typer.Option(
            "--depth",
            metavar="M,M…|A:B:N",
            help="Depths of the mode functions; default: the file's sources and receivers.",
        ),
    ] = None,
    c_high: CHigh = None,
    attenuation: Loss = Attenuation.exact,
    leaky: Leaky = False,
) -> None:
    """Normal modes of an Acoustics Toolbox file.

    Example: `oceaninv modes pekeris.env -f 20,100 --depth 5:95:10 -o modes.nc`
    """
    frequencies, depths = numbers(frequency, "--frequency"), numbers(depth, "--depth")
    check_outputs({"--output": output}, [file])
    from oceaninv.forward import modes_of_file

    with progress_bar() as progress, _named(file):
        dataset = modes_of_file(
            file,
            frequency=frequencies,
            depth=depths,
            c_high=c_high,
            attenuation=attenuation.value,
            leaky=leaky,
            progress=progress,
        )
    with whole_file(output) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4")
    counts = ", ".join(
        f"{int(n)} at {f:g} Hz"
        for f, n in zip(dataset["frequency"].values, dataset["n_modes"].values, strict=True)
    )
    say(f"{output}: modes: {counts}")
    _hint_at_cut_off(dataset["n_modes"] == 0)


def field(
    file: EnvPath,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="field.nc", help="Result.")],
    frequency: Frequencies = None,
    source_depth: Annotated[
        str | None,
        typer.Option("--source-depth", metavar="M,M…|A:B:N", help="Default: the .flp or .env."),
    ] = None,
    receiver_depth: Annotated[
        str | None,
        typer.Option("--receiver-depth", metavar="M,M…|A:B:N", help="Default: the .flp or .env."),
    ] = None,
    range_km: Annotated[
        str | None,
        typer.Option("--range-km", metavar="A:B:N|KM,KM…", help="Default: the .flp."),
    ] = None,
    c_high: CHigh = None,
    attenuation: Loss = Attenuation.exact,
    leaky: Leaky = False,
    incoherent: Annotated[
        bool | None,
        typer.Option(
            "--incoherent/--coherent",
            help="Sum squares of modes, without their interference; default: the .flp.",
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="Sum of modes, or the full field by integration over all wavenumbers (slower).",
        ),
    ] = Method.modes,
    truncation: Annotated[
        bool,
        typer.Option(
            "--truncation",
            help="Say from which range on the modes alone are right, against the full field.",
        ),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="F.png", help="Figure of the propagation loss.")
    ] = None,
) -> None:
    """Pressure and propagation loss (TL) of an Acoustics Toolbox file.

    What is not given is read from the `.flp` file beside it. A file of several profiles gives the
    field of adiabatic modes, the profiles at the ranges `RPROF` of the `.flp` file.

    Modes with phase speeds above the seabed's, or above `--c-high`, are missing close to the
    source: `--truncation` says how close, `--method spectral` computes the field with nothing
    missing.

    Example: `oceaninv field pekeris.env -f 100 --range-km 0.1:10:500 -o field.nc --plot field.png`
    """
    given = {
        "frequency": numbers(frequency, "--frequency"),
        "source_depth": numbers(source_depth, "--source-depth"),
        "receiver_depth": numbers(receiver_depth, "--receiver-depth"),
        "range_km": numbers(range_km, "--range-km"),
    }
    beside = file.with_suffix(".flp") if file.name else None  # '.' has no name
    check_outputs({"--output": output, "--plot": plot}, [file, beside])
    check_figure("--plot", plot)
    from oceaninv.forward import field_of_file, ranges_within

    coherence: Literal["coherent", "incoherent"] | None = None
    if incoherent is not None:
        coherence = "incoherent" if incoherent else "coherent"

    with progress_bar() as progress, _named(file):
        dataset = field_of_file(
            file,
            **given,
            c_high=c_high,
            attenuation=attenuation.value,
            leaky=leaky,
            coherence=coherence,
            method=method.value,
            truncation=truncation,
            progress=progress,
        )
    with whole_file(output) as temporary:
        dataset.to_netcdf(temporary, engine="netcdf4")
    sizes = " x ".join(f"{size} {name}" for name, size in dataset.sizes.items())
    say(f"{output}: field: {sizes}")
    loss = dataset["transmission_loss"]
    _hint_at_cut_off(loss.isnull().all([dim for dim in loss.dims if dim != "frequency"]))
    if truncation:
        shortest, longest = (float(end(dataset["range"])) for end in (min, max))
        tones = dataset["frequency"].values
        near, far = ranges_within(dataset, 0.01), ranges_within(dataset, 0.1)
        for tone, one, ten in zip(tones, near, far, strict=True):
            say(
                f"{tone:g} Hz: modes alone are within 1 % of the full field "
                f"{_beyond(one, shortest, longest)}, 10 % {_beyond(ten, shortest, longest)}"
            )
    if "comment" in dataset.attrs:
        hint(dataset.attrs["comment"])
    if plot:
        from oceaninv.report.field import plot_field

        with whole_file(plot) as temporary:
            plot_field(dataset, temporary)
        say(f"{plot}: propagation loss")


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Has errors of the model name the file in place of the environment's row in a batch of one."""
    from forward_models.errors import ModelInputError

    try:
        yield
    except ModelInputError as error:
        line = str(error).removeprefix("environment 0: ")
        raise ModelInputError(line if file.name in line else f"{file}: {line}") from error


def _hint_at_cut_off(silent: xr.DataArray) -> None:
    """Says at which of the frequencies there is no mode: they are below the first cut-off."""
    below = silent["frequency"].values[silent.values]
    if len(below):
        hint(f"no mode propagates at {', '.join(f'{f:g}' for f in below)} Hz")


def _beyond(range_m: float, shortest: float, longest: float) -> str:
    """Where something holds that holds from ``range_m`` on, of ranges between two bounds."""
    if range_m > longest:
        return f"nowhere up to {longest / 1000.0:.3g} km"
    if range_m == shortest:
        return "at all these ranges"
    return f"beyond {range_m / 1000.0:.3g} km"
