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
from oceaninv.report.figures import corner, marginals, plot_marginals, sound_speed, weights
from oceaninv.report.files import write_figures
from oceaninv.report.style import COLOURS

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


def test_bands_of_sound_speed_have_the_colours_of_the_legend(pressure: Posterior) -> None:
    """Opaque ones: transparent bands darken where they lie on each other, as all but one do."""
    figure = sound_speed([pressure])
    drawn = {str(band.get_label()): band for band in figure.axes[1].collections}
    patches = dict(
        zip(
            [text.get_text() for text in figure.legends[0].get_texts()],
            figure.legends[0].legend_handles,
            strict=True,
        )
    )
    shades = []
    for share in (95, 90, 50):
        band = drawn[f"test, {share} %"]
        shade = tuple(band.get_facecolor()[0])
        assert shade[3] == 1
        assert band.get_alpha() is None
        assert patches[f"test, {share} %"].get_facecolor() == pytest.approx(shade)  # type: ignore[union-attr]
        shades.append(sum(shade))
    assert shades == sorted(shades, reverse=True)


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


def test_every_one_of_many_posteriors_is_drawn_in_a_look_of_its_own(pressure: Posterior) -> None:
    many = [pressure] * 15
    figure = weights(many)
    assert figure is not None
    whole, seabed = sound_speed(many).axes[:2]
    panels = [axes for axes in marginals(many).axes if axes.get_visible()]
    for axes in (*panels, *figure.axes, whole, seabed):
        looks = {
            (line.get_color(), line.get_linestyle())
            for line in axes.lines
            if line.get_color() in COLOURS and line.get_linestyle() not in ("None", "--")
        }
        # the sound speed of the first is shown in bands, its median in black
        assert len(looks) == (14 if axes in (whole, seabed) else 15)


def test_pairs_show_every_one_of_many_posteriors(pressure: Posterior) -> None:
    pair = next(
        axes for axes in corner([pressure] * 7).axes if axes.collections and axes.get_ylabel()
    )
    assert len(pair.collections) == 7


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("of", ["one", "all"])
def test_constant_unknowns_have_a_place_but_no_correlation(
    pressure: Posterior, tmp_path: Path, of: str
) -> None:
    samples = pressure.samples.copy()
    shown = slice(0, 1) if of == "one" else slice(None)
    samples[:, shown] = samples[0, shown]
    constant = replace(pressure, samples=samples)
    report(constant, tmp_path / "r.html")
    figure = corner([constant])
    figure.draw_without_rendering()
    told = [text.get_text() for text in figure.axes[0].texts]
    d = len(pressure.names)
    assert len(told) == ((d - 1) * (d - 2) // 2 if of == "one" else 0)
    assert all(re.fullmatch(r"[+-]\d\.\d\d", text) for text in told)
    for axes in figure.axes:
        assert axes.xaxis.get_offset_text().get_text() == ""
        assert axes.yaxis.get_offset_text().get_text() == ""


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bottom", ["rigid", "vacuum"])
def test_one_sound_speed_above_a_bottom_without_sound_has_a_place(
    pressure: Posterior, bottom: str
) -> None:
    part = pressure.scenario.environment
    water = part.water.model_copy(update={"sound_speed": 1500.0})
    changes = {"water": water, "sediments": [], "half_space": None, "bottom": bottom}
    environment = part.model_copy(update=changes)
    scenario = pressure.scenario.model_copy(update={"environment": environment})
    figure = sound_speed([replace(pressure, scenario=scenario)])
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        assert low < 1500 < high
        speed, depth = axes.lines[0].get_xydata().T
        assert set(speed[np.isfinite(speed)]) == {1500.0}
        assert depth[np.isnan(speed)].min() > depth[np.isfinite(speed)].max()


def _white_margin(png: bytes) -> bool:
    """Whether nothing is drawn up to the edge of an image."""
    pixels = matplotlib.image.imread(io.BytesIO(png))[..., :3]
    edges = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(),
                            pixels[:, :3].ravel(), pixels[:, -3:].ravel()])  # fmt: skip
    return bool((edges == 1).all())
