"""The figures of a report as files of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from oceaninv.files import whole_file
from oceaninv.posterior import Posterior
from oceaninv.report.data_fit import data_fit
from oceaninv.report.figures import corner, marginals, sound_speed, weights
from oceaninv.report.style import save

_FIGURES: dict[str, Callable[[list[Posterior]], Figure | None]] = {
    "marginals": marginals,
    "corner": corner,
    "sound_speed": sound_speed,
    "data_fit": lambda posteriors: data_fit(posteriors[0]),
    "draws": weights,
}


def write_figures(posteriors: list[Posterior], folder: str | Path) -> list[Path]:
    """Writes each figure of the report on posteriors of one problem to a PNG file.

    Returns:
        The files, ``folder/marginals.png`` and so on; none of a figure with nothing to show.
    """
    paths = []
    for name, draw in _FIGURES.items():
        figure = draw(posteriors)
        if figure is None:
            continue
        path = Path(folder) / f"{name}.png"
        with whole_file(path) as temporary:
            save(figure, temporary)
        paths.append(path)
    return paths
