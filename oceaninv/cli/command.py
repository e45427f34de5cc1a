"""What all commands share: errors as one line, exit codes, progress, lists of numbers."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from oceaninv.errors import InputError

FAILED, BAD_INPUT = 1, 2
_MOST_VALUES = 1_000_000  # of an option
_INTERRUPTED = 130  # how typer tells Ctrl-C, or by Abort in its earlier versions
# Of click, or of typer's own copy of it.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

Progress = Callable[[int, int, str], None]
Command = Callable[..., None]

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Seed = Annotated[
    int, typer.Option("--seed", help="Seed of all random numbers.", min=0, max=2**32 - 1)
]


def register(app: typer.Typer, function: Command, name: str | None = None) -> None:
    """Adds a command: ``function`` with ``--debug``, its errors told in one line.

    Bad input leaves with exit code 2, whatever else goes wrong with 1.
    """

    @functools.wraps(function)
    def run(*, debug: bool, **arguments: Any) -> None:
        try:
            with _plain_warnings(debug):
                function(**arguments)
        except KeyboardInterrupt:
            rest = "; go on with --resume" if "resume" in arguments else ""
            typer.echo(f"oceaninv: stopped{rest}", err=True)
            raise typer.Exit(FAILED) from None
        except BrokenPipeError:  # whoever read the output has seen enough: typer ends silently
            raise
        except Exception as error:
            if debug or isinstance(error, typer.Exit | typer.Abort):
                raise
            code, line = _told(error)
            typer.echo(f"oceaninv: {' '.join(line.split())}", err=True)
            raise typer.Exit(code) from None

    signature = inspect.signature(function, eval_str=True)
    option = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    app.command(name)(run)


class OneLine(TyperGroup):
    """The group of all commands, which tells wrong use in one line as it does bad input."""

    def main(
        self,
        args: Sequence[str] | None = None,
        *rest: Any,
        standalone_mode: bool = True,
        **how: Any,
    ) -> Any:
        """Runs the command line; see ``typer.core.TyperGroup``."""
        run = functools.partial(super().main, args, *rest, **how)
        if not standalone_mode:
            return run(standalone_mode=False)
        try:
            code = run(standalone_mode=False)
        except typer.Abort:
            code = _INTERRUPTED
        except UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":  # which shows the help
                return run()
            typer.echo(_misused(error, sys.argv[1:] if args is None else args), err=True)
            sys.exit(BAD_INPUT)
        if code == _INTERRUPTED:  # before a command had begun
            typer.echo("oceaninv: stopped", err=True)
            sys.exit(FAILED)
        sys.exit(code if isinstance(code, int) else 0)


def numbers(text: str | None, option: str) -> list[float]:
    """The numbers of ``1,2,5`` or of ``A:B:N`` (N evenly spaced from A to B); none of None.

    Raises:
        InputError: anything else, or a number that is not finite.

    Example:
        >>> numbers("0.5,2", "--range-km"), numbers("0:10:3", "--range-km")
        ([0.5, 2.0], [0.0, 5.0, 10.0])
    """
    if text is None:
        return []
    try:
        if ":" in text:
            first, last, count = text.split(":")
            start, stop, n = float(first), float(last), int(count)
            if n < 2:
                raise ValueError
            some = range(min(n, _MOST_VALUES + 1))
            values = [start + (stop - start) * i / (n - 1) for i in some]
        else:
            values = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values or any(abs(v) == float("inf") or v != v for v in values):
        raise InputError(f"{option}: {text!r} is no list; write 1,2,5 or FIRST:LAST:COUNT")
    if len(values) > _MOST_VALUES:
        raise InputError(f"{option}: {text!r} are too many; give {_MOST_VALUES} at most")
    return values


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on the terminal with rate and time left; silent when stderr is no terminal.

    Yields a function to call with steps done, steps in all, and what is being done.
    """
    if not sys.stderr.isatty() or os.environ.get("NO_PROGRESS"):
        yield lambda done, total, what: None  # a disabled bar of rich before 14.3 ends with a line
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g}/s" if task.speed else "", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(
            task, completed=done, total=total, description=what
        )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns under a header, the first column to the left.

    Example:
        >>> print(table(("parameter", "median"), [("depth", "12.5"), ("range", "5")]))
        parameter  median
        depth        12.5
        range           5
    """
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def say(text: str) -> None:
    """Prints a line of results."""
    typer.echo(text)


def hint(text: str) -> None:
    """Prints advice, set apart from results, to stderr."""
    typer.echo(f"hint: {text}", err=True)


@contextmanager
def _plain_warnings(debug: bool) -> Iterator[None]:
    """Has warnings told in one line each, without the place in the source that raised them."""
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _warn
        yield


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def _misused(error: Any, words: Sequence[str]) -> str:
    """The line of wrong use: command, option, what was given, and what it should be."""
    command = error.ctx.command_path if error.ctx else "oceaninv"
    line = " ".join(error.format_message().split()).rstrip(".")
    for option in getattr(getattr(error, "param", None), "opts", []):
        for word, following in pairwise([*words, ""]):
            if word == option and f"'{following}'" not in line:
                line = line.replace(": ", f": {following}: ", 1)
    return f"oceaninv: {line[:1].lower()}{line[1:]}; '{command} --help' shows how"


def _told(error: Exception) -> tuple[int, str]:
    """Exit code and line of an error."""
    if isinstance(error, InputError):
        return BAD_INPUT, str(error)
    if isinstance(error, FileNotFoundError):
        return BAD_INPUT, f"{error.filename}: no such file; check the path"
    if isinstance(error, IsADirectoryError | NotADirectoryError | PermissionError):
        return BAD_INPUT, f"{error.filename}: {error.strerror}; check the path"
    # forward_models imports torch, which a mistyped path should not have to wait for
    from forward_models.errors import ModelInputError

    if isinstance(error, ModelInputError):
        return BAD_INPUT, str(error)
    return FAILED, f"failed: {type(error).__name__}: {error} (--debug shows where)"
