"""``oceaninv scenario list / show / check / new``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oceaninv.cli.command import BAD_INPUT, register, say
from oceaninv.errors import InputError
from oceaninv.files import whole_file

NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE.yaml", help="Scenario.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(
        help="Scenarios: environment, unknowns with priors, array, tones and noise.",
        no_args_is_help=True,
    )
    register(group, list_, "list")
    register(group, show)
    register(group, check)
    register(group, new)
    app.add_typer(group, name="scenario")


def list_() -> None:
    """Names and titles of the built-in scenarios.

    Example: `oceaninv scenario list`
    """
    from oceaninv.scenario import list_scenarios

    titles = list_scenarios()
    width = max(len(name) for name in titles)
    for name, title in titles.items():
        say(f"{name:{width}}  {title}")


def show(name: NameOrFile) -> None:
    """The YAML text of a scenario, to read or to start one's own from.

    Example: `oceaninv scenario show swellex96-vla > mine.yaml`
    """
    from oceaninv.scenario import scenario_text

    say(scenario_text(name).rstrip("\n"))


def check(file: NameOrFile) -> None:
    """All problems of a scenario file, one a line; exit code 2 when there are any.

    Example: `oceaninv scenario check mine.yaml`
    """
    from oceaninv.scenario import check_scenario, load_scenario

    problems = check_scenario(file)
    for problem in problems:
        typer.echo(f"oceaninv: {problem}", err=True)
    if problems:
        raise typer.Exit(BAD_INPUT)
    scenario = load_scenario(file)
    say(
        f"{file}: sound: {len(scenario.names)} unknowns, {len(scenario.frequency)} tones, "
        f"{len(scenario.receiver_depth)} receivers"
    )


def new(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="File to write.")],
) -> None:
    """A commented scenario to fill in.

    Example: `oceaninv scenario new mine.yaml`
    """
    from oceaninv.scenario import scenario_template

    if file.exists():
        raise InputError(f"{file}: exists already; choose another name or move it away")
    with whole_file(file) as temporary:
        temporary.write_text(scenario_template(), encoding="utf-8")
    say(f"{file}: edit it, then run `oceaninv scenario check {file}`")
