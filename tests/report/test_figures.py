"""The figures of posteriors: nothing is cut off, left out, or drawn where there is nothing."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from oceaninv.posterior import Posterior
from oceaninv.report import report
from oceaninv.report.figures import corner, plot_marginals, sound_speed
from oceaninv.report.files import write_figures

LONG = "network of many words + importance re-weighting of all the draws"


@pytest.fixture(scope="module")
def named(pressure: Posterior) -> list[Posterior]:
    """Two posteriors with names that take much room."""
    return [
        replace(pressure, attributes={**pressure.attributes, "method": f"{LONG} {end}"})
        for end in ("once", "again")
    ]


def test_no_figure_is_cut_at_its_edges(named: list[Posterior], tmp_path: Path) -> None:
    for path in write_figures(named, tmp_path):
        assert _white_margin(path.read_bytes()), path.name
    plot_marginals(named, tmp_path / "both.png")
    assert _white_margin((tmp_path / "both.png").read_bytes())


def test_no_figure_of_the_report_is_cut_at_its_edges(
    named: list[Posterior], tmp_path: Path
) -> None:
    report(named, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    images = re.findall(r'base64,([^"]+)" alt="([^"]+)"', page)
    assert len(images) == 5
    for image, title in images:
        assert _white_margin(base64.b64decode(image)), title


def test_legends_are_no_wider_than_their_figures(named: list[Posterior]) -> None:
    figure = sound_speed(named)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


def test_labels_of_neighbouring_pairs_do_not_meet(pressure: Posterior) -> None:
    figure = corner([pressure])
    figure.draw_without_rendering()
    labelled = [axes for axes in figure.axes if axes.get_xlabel()]
    assert len(labelled) == len(pressure.names)
    for axes in labelled:
        low, high = axes.get_xlim()
        places = [(t - low) / (high - low) for t in axes.get_xticks()]
        assert len([p for p in places if 0.05 < p < 0.95]) > 1
        assert not [p for p in places if 0 <= p < 0.05 or 0.95 < p <= 1]


def _white_margin(png: bytes) -> bool:
    """Whether nothing is drawn up to the edge of an image."""
    pixels = matplotlib.image.imread(io.BytesIO(png))[..., :3]
    edges = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(),
                            pixels[:, :3].ravel(), pixels[:, -3:].ravel()])  # fmt: skip
    return bool((edges == 1).all())
