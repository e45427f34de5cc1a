"""A report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import io
from html import escape

from matplotlib.figure import Figure

from oceaninv.posterior import Posterior
from oceaninv.report.content import Picture, Section, Table, provenance, sections, warnings_of
from oceaninv.report.style import names_of, save

_DPI = 165

_STYLE = """
:root { color-scheme: light; --ink: #1d2530; --soft: #5b6674; --line: #dfe4ea; --sea: #0a4d75; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f6f8; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
header { background: var(--sea); color: #fff; padding: 2.2rem 0 1.8rem; }
header > *, main, footer > * { width: min(1080px, 100% - 2rem); margin-inline: auto; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 auto .4rem; }
header p { margin: 0 auto; opacity: .9; }
main { padding: 1.2rem 0 1rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.2rem 1.5rem 1.4rem; margin: 1.2rem 0; }
h2 { font-size: 1.25rem; margin: 0 0 .6rem; color: var(--sea); }
p { margin: .3rem 0 .8rem; } .soft, figcaption { color: var(--soft); font-size: .92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; font-size: .95rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .38rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 600; border-bottom-width: 2px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
tbody tr:last-child td { border-bottom: none; }
figure { margin: .6rem 0 0; } figure img { max-width: max(100%, 40rem); height: auto;
  display: block; margin: 0 auto .5rem; }
.warning { background: #fff4e0; border: 1px solid #e8b04a; border-radius: 10px;
  padding: .7rem 1.2rem; margin: 1.2rem 0; }
footer { color: var(--soft); font-size: .88rem; padding-bottom: 2.5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) { section { padding: 1rem; } th, td { padding-inline: .4rem; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
@media print { figure img { max-width: 100%; }
  body, section { background: #fff; } section { break-inside: avoid; } }
"""


def html(posteriors: list[Posterior]) -> str:
    """The report as HTML, with styles and figures inside."""
    scenario = posteriors[0].scenario
    observed = posteriors[0].observed.attributes.get("title", "")
    body = "".join(_section(section) for section in sections(posteriors))
    warnings = "".join(
        f'<div class="warning" role="alert">{escape(text)}</div>'
        for text in warnings_of(posteriors)
    )
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in provenance(posteriors)
    )
    title = scenario.title or scenario.name
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: posterior</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1><p>{escape(_byline(posteriors, str(observed)))}</p>"
        f"</header>\n<main>{warnings}{body}</main>\n"
        f"<footer><div><h2>Provenance</h2><dl>{rows}</dl></div></footer>\n</body>\n</html>\n"
    )


def _byline(posteriors: list[Posterior], observed: str) -> str:
    return ". ".join(part for part in (observed, " and ".join(names_of(posteriors))) if part)


def _section(section: Section) -> str:
    parts = "".join(
        _table(part) if isinstance(part, Table) else _picture(part, section.title)
        for part in section.parts
    )
    text = f'<p class="soft">{escape(section.text)}</p>' if section.text else ""
    return f"<section><h2>{escape(section.title)}</h2>{text}{parts}</section>\n"


def _table(table: Table) -> str:
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _picture(picture: Picture, title: str) -> str:
    image = _png(picture.figure)
    width = int.from_bytes(image[16:20]) / _DPI  # of the image, in its header: inches
    source = base64.b64encode(image).decode()
    return (
        f'<figure><div class="scroll"><img src="data:image/png;base64,{source}" '
        f'alt="{escape(title)}" style="width:{96 * width:.0f}px"></div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    save(figure, buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
