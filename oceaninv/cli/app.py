"""The commands, put together from their modules.

Only light modules are imported here and at the top of the command modules: ``oceaninv --help``
answers at once, and each command imports what it needs when it runs.
"""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from oceaninv.cli import forward, inversion, measurement, results, scenario
from oceaninv.cli.command import OneLine

app = typer.Typer(
    name="oceaninv",
    cls=OneLine,
    help="Geoacoustic inversion with calibrated uncertainty.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oceaninv {version('oceaninv')}")
        raise typer.Exit


@app.callback()
def _start(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Geoacoustic inversion with calibrated uncertainty."""


forward.add_to(app)
scenario.add_to(app)
measurement.add_to(app)
inversion.add_to(app)
results.add_to(app)


def main() -> None:
    """Entry point of the ``oceaninv`` command."""
    _write_any_character()
    app()


def _write_any_character() -> None:
    """Has files and pipes take UTF-8, in which scenarios are read, and terminals what they can.

    Elsewhere than on Linux and macOS Python would take a code page without ↔ or, often, ³.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not closed from the start
            own = stream.isatty() or "PYTHONIOENCODING" in os.environ
            stream.reconfigure(
                encoding=stream.encoding if own else "utf-8", errors="backslashreplace"
            )
