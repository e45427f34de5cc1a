"""Writes the report, in the format that the file name asks for."""

from __future__ import annotations

from pathlib import Path

from oceaninv.errors import InputError
from oceaninv.files import whole_file
from oceaninv.posterior import Posterior, check_units
from oceaninv.report.html import html
from oceaninv.report.pdf import write_pdf
from oceaninv.report.style import MOST_LOOKS


def report(posteriors: Posterior | list[Posterior], path: str | Path) -> None:
    """Write the report on one posterior, or on several of one problem.

    The first posterior is shown in full; the others beside it. `.html` is one file with all
    figures inside; `.pdf` has a page for each table and figure.

    Raises:
        InputError: another suffix, no posterior or too many, or posteriors with different unknowns
            or units.
    """
    path = Path(path)
    shown = [posteriors] if isinstance(posteriors, Posterior) else posteriors
    if not shown:
        raise InputError("report: no posterior given; give at least one file")
    for other in shown[1:]:
        if other.names != shown[0].names:
            raise InputError(
                f"report: unknowns {', '.join(shown[0].names)} and {', '.join(other.names)} "
                "differ; give posteriors of one scenario"
            )
        check_units(shown[0], other, "report")
    if len(shown) > MOST_LOOKS:
        raise InputError(
            f"report: {len(shown)} posteriors are more than figures can tell apart; give at most "
            f"{MOST_LOOKS}"
        )
    check_suffix(path)
    with whole_file(path) as temporary:
        if path.suffix == ".html":
            temporary.write_text(html(shown), encoding="utf-8")
        else:
            write_pdf(shown, temporary)


def check_suffix(path: Path) -> None:
    """Checks that the name of a report ends in a format that reports can have.

    Raises:
        InputError: another suffix, or none.
    """
    if path.suffix not in (".html", ".pdf"):
        raise InputError(f"{path}: cannot write '{path.suffix}'; end the name in .html or .pdf")
