"""A report as a PDF: tables on pages of their own, a figure a page."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from oceaninv.posterior import Posterior
from oceaninv.report.content import Picture, Table, provenance, sections, warnings_of
from oceaninv.report.style import GREY, INK

_PAGE = (11.69, 8.27)  # A4 across, inches


def write_pdf(posteriors: list[Posterior], path: Path) -> None:
    """Write the report on posteriors of one problem."""
    scenario = posteriors[0].scenario
    with PdfPages(path, metadata={"Title": f"{scenario.title}: posterior"}) as pages:
        for number, section in enumerate(sections(posteriors)):
            for part in section.parts:
                title = f"{scenario.title}: results" if number == 0 else section.title
                notes = "\n".join(warnings_of(posteriors)) if number == 0 else section.text
                page = (
                    _table_page(title, notes, part)
                    if isinstance(part, Table)
                    else _picture_page(section.title, part)
                )
                pages.savefig(page, bbox_inches="tight", pad_inches=0.4)
        page = _text_page("Provenance", provenance(posteriors))
        pages.savefig(page, bbox_inches="tight", pad_inches=0.4)


def _picture_page(title: str, picture: Picture) -> Figure:
    # Outside of the figure's own area, whatever its layout: the page is cut to what is drawn.
    figure = picture.figure
    caption = textwrap.fill(picture.caption, int(13 * figure.get_size_inches()[0]))
    figure.text(0.01, 1.01, title, va="bottom", fontsize=14, color=INK)
    figure.text(0.01, -0.01, caption, va="top", fontsize=9, color=GREY)
    return figure


def _table_page(title: str, notes: str, table: Table) -> Figure:
    figure = Figure(figsize=_PAGE)
    axes = figure.add_axes((0.05, 0.05, 0.9, 0.75))
    axes.set_axis_off()
    figure.text(0.05, 0.93, title, fontsize=15, color=INK, wrap=True)
    figure.text(0.05, 0.86, notes, fontsize=9, color=GREY, wrap=True)
    figure.text(0.05, 0.82, table.caption, fontsize=11, color=INK)
    widths = [
        max(len(cell) for cell in column) + 2
        for column in zip(table.header, *table.rows, strict=True)
    ]
    drawn = axes.table(
        [list(row) for row in table.rows],
        colLabels=list(table.header),
        colWidths=[width / sum(widths) for width in widths],
        loc="upper left",
        cellLoc="right",
        edges="horizontal",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    drawn.scale(1.0, 1.5)
    for (row, column), cell in drawn.get_celld().items():
        cell.set_edgecolor("#dddddd")
        if column == 0:
            cell.set_text_props(ha="left")
        if row == 0:
            cell.set_text_props(weight="bold")
    return figure


def _text_page(title: str, rows: list[tuple[str, str]]) -> Figure:
    figure = Figure(figsize=_PAGE)
    figure.text(0.05, 0.93, title, fontsize=15, color=INK)
    for i, (name, value) in enumerate(rows):
        figure.text(0.05, 0.86 - 0.07 * i, name, fontsize=9, weight="bold", va="top", color=INK)
        figure.text(0.27, 0.86 - 0.07 * i, value, fontsize=9, va="top", color=INK, wrap=True)
    return figure
