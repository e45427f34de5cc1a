import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from oceaninv.diagnostics.calibrate import verdict
from oceaninv.errors import InputError
from oceaninv.posterior import Posterior, summarise
from oceaninv.report import report
from oceaninv.report.calibration import calibration, plot_calibration
from oceaninv.report.content import Table, provenance, sections, warnings_of
from oceaninv.report.data_fit import bartlett, data_fit
from oceaninv.report.figures import marginals, sound_speed
from oceaninv.report.files import write_figures
from oceaninv.report.style import prior_in_words, rounded


@pytest.fixture(scope="module")
def page(pressure: Posterior, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "r.html"
    attributes = {**pressure.attributes, "method": "MCMC (emcee)", "rhat": 1.2, "ess": 80.0}
    chain = replace(
        pressure,
        log_weight=None,
        chains=4,
        attributes={
            **attributes,
            "converged": 0,
            "warning": "<b>rough</b>",
            "fallback": "Chains went on.",
        },
    )
    report([pressure, chain], path)
    assert path.stat().st_size < 5_000_000
    return path.read_text(encoding="utf-8")


def test_report_is_one_file_that_asks_for_nothing_else(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "url(" not in page
    assert "<script" not in page
    images = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(images) == 5
    assert "Chains went on." in page
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)


def test_report_can_be_read_on_a_narrow_screen(page: str) -> None:
    """Figures and tables keep a readable size and scroll by themselves, the page does not."""
    for part in ("img src", "table"):
        count = len(re.findall(f"<{part}", page))
        assert count == len(re.findall(f'<div class="scroll"><{part}', page)) > 0
    assert re.search(
        r"@media \(max-width: \d+rem\) \{.*?dl \{ grid-template-columns: 1fr; \}", page, re.S
    )


def test_report_is_well_formed(page: str) -> None:
    checker = _Balanced()
    checker.feed(page)
    assert checker.open == []
    assert checker.errors == []


def test_report_tells_every_unknown_with_prior_and_interval(page: str, pressure: Posterior) -> None:
    for row in summarise(pressure):
        line = re.search(rf"<tr><td>{re.escape(row.long_name)}</td>.*?</tr>", page)
        assert line is not None, row.name
        assert prior_in_words(pressure, row.name) in line[0]
        assert rounded(row.median, row.sd) in line[0]
        interval = f"{rounded(row.lower, row.sd)} to {rounded(row.upper, row.sd)}"
        assert interval in line[0]


def test_report_warns_before_it_tells_results(page: str) -> None:
    results = page.index("<h2>Results</h2>")
    assert page.index("have not converged (R-hat 1.200, 80 effective draws)") < results
    assert page.index("&lt;b&gt;rough&lt;/b&gt;") < results
    assert "<b>rough" not in page


def test_report_says_where_the_numbers_come_from(page: str, pressure: Posterior) -> None:
    assert str(pressure.attributes["data_hash"])[:16] in page
    assert pressure.scenario.hash()[:16] in page
    assert "numpy" in dict(provenance([pressure]))["test"]
    assert "C2ST 0.5" in page  # the same draws twice


def test_posteriors_of_other_data_are_warned_of(pressure: Posterior) -> None:
    other = replace(pressure, attributes={**pressure.attributes, "data_hash": "another"})
    assert warnings_of([pressure, other]) == ["The posteriors are of different measurements."]
    assert warnings_of([pressure, pressure]) == []


def test_pdf_has_a_page_for_each_part(loss: Posterior, tmp_path: Path) -> None:
    report(loss, tmp_path / "r.pdf")
    content = (tmp_path / "r.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert re.search(rb"/Count 8\b", content)


def test_marginals_span_the_prior_and_depth_points_down(pressure: Posterior) -> None:
    panels = [axes for axes in marginals([pressure]).axes if axes.get_visible()]
    assert len(panels) == len(pressure.names)
    for axes in panels:
        low, high = axes.get_xlim()
        name = axes.get_xlabel().replace("\n", " ")
        i = next(
            i for i, text in enumerate(pressure.long_names) if name.lower().startswith(text.lower())
        )
        assert low == pytest.approx(
            float(pressure.scenario.prior.lower[i]), abs=0.02 * (high - low)
        )
        assert high == pytest.approx(
            float(pressure.scenario.prior.upper[i]), abs=0.02 * (high - low)
        )
    for axes in (*sound_speed([pressure]).axes, data_fit(pressure).axes[0]):
        assert axes.get_ylabel() == "Depth (m)"
        assert axes.yaxis_inverted()


def test_propagation_loss_points_down_and_its_offset_is_found(loss: Posterior) -> None:
    shifted = replace(loss, observed=replace(loss.observed, data=loss.observed.data + 7.0))
    axes, moved = data_fit(loss).axes[0], data_fit(shifted).axes[0]
    assert axes.yaxis_inverted()

    def offset(title: str) -> float:
        found = re.search(r"offset ([+-][\d.]+) dB", title)
        assert found
        return float(found[1])

    assert offset(moved.get_title("left")) - offset(axes.get_title("left")) == pytest.approx(
        7, 0.05
    )
    assert "dB re 1 m²" in axes.get_ylabel()


def test_bartlett_is_one_for_the_right_replica_whatever_the_source() -> None:
    rng = np.random.default_rng(0)
    replica = rng.standard_normal((2, 3, 6)) + 1j * rng.standard_normal((2, 3, 6))
    source = np.exp(1j * rng.random(3)) * rng.random(3)
    data = source[:, None] * replica[0]
    csdm = np.einsum("fi,fj->fij", data, data.conj())
    power = bartlett(csdm, replica)
    assert power[0] == pytest.approx(np.ones(3))
    inner = np.abs(np.sum(replica[1].conj() * data, -1)) ** 2
    expected = inner / np.sum(np.abs(replica[1]) ** 2, -1) / np.sum(np.abs(data) ** 2, -1)
    assert power[1] == pytest.approx(expected)


def test_a_network_alone_without_likelihood_can_be_reported(
    pressure: Posterior, tmp_path: Path
) -> None:
    raw = replace(
        pressure,
        log_weight=None,
        log_likelihood=np.full_like(pressure.log_likelihood, np.nan),
        sample_stats={"lp": np.full_like(pressure.log_likelihood, np.nan)},
    )
    report(raw, tmp_path / "raw.html")
    text = re.sub(r"base64,[^\"]+", "", (tmp_path / "raw.html").read_text(encoding="utf-8"))
    assert not re.search(r"\bnan\b", text)
    quality = text[text.index("<h2>Quality of the draws</h2>") :]
    assert "<td>800</td>" in quality
    assert "<img" not in quality  # neither weights nor likelihoods to draw
    assert "draws.png" not in [path.name for path in write_figures([raw], tmp_path)]


def test_effective_draws_are_those_that_the_run_told(pressure: Posterior) -> None:
    told = {"effective_sample_size": 612.4, "sample_efficiency": 0.7655}
    weighted = replace(pressure, attributes={**pressure.attributes, **told})
    *_, quality = sections([weighted])
    (table,) = (part for part in quality.parts if isinstance(part, Table))
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert (row["Effective draws"], row["Efficiency"]) == ("612", "76.5%")


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1)])
def test_a_comparison_that_cannot_be_made_is_left_out_with_its_cause(
    pressure: Posterior, tmp_path: Path, order: tuple[int, ...]
) -> None:
    def of(method: str, n: int) -> Posterior:
        return replace(
            pressure,
            samples=pressure.samples[:n],
            log_likelihood=pressure.log_likelihood[:n],
            log_weight=None,
            sample_stats={name: values[:n] for name, values in pressure.sample_stats.items()},
            attributes={**pressure.attributes, "method": method},
        )

    posteriors = [of("one", 800), of("two", 2), of("three", 800)]
    shown = [posteriors[i] for i in order]
    report(shown, tmp_path / "r.html")
    report(shown, tmp_path / "r.pdf")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    last = shown[-1].attributes["method"]
    if last == "three":
        assert "one against three: C2ST 0.5" in page
        assert "two against three</caption>" in page
        assert "2 different draws of the first are too few to compare" in page
    else:
        assert page.count("2 different draws of the second are too few to compare") == 2


def test_what_cannot_be_reported_is_refused(pressure: Posterior, loss: Posterior) -> None:
    with pytest.raises(InputError, match=r"end the name in \.html or \.pdf"):
        report(pressure, "r.doc")
    with pytest.raises(InputError, match="no posterior given"):
        report([], "r.html")
    with pytest.raises(InputError, match="give posteriors of one scenario"):
        report([pressure, loss], "r.html")
    unknowns = dict(pressure.scenario.unknowns)
    name, unknown = next(iter(unknowns.items()))
    unknowns[name] = unknown.model_copy(update={"unit": "fathom"})
    scenario = pressure.scenario.model_copy(update={"unknowns": unknowns})
    with pytest.raises(InputError, match=f"report: {name} is in '{unknown.unit}' and in 'fathom'"):
        report([pressure, replace(pressure, scenario=scenario)], "r.html")
    with pytest.raises(InputError, match=r"16 posteriors are more than .*; give at most 15"):
        report([pressure] * 16, "r.html")


def test_calibration_figure_marks_what_fails(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ranks = np.stack([rng.random(200), rng.random(200) ** 2], -1)
    result = verdict(["good", "bad"], ranks, rng.random(200), rng.random(200))
    plot_calibration(result, tmp_path / "c.svg")
    assert (tmp_path / "c.svg").read_text().count("bad: fails") >= 1
    assert "good: fails" not in (tmp_path / "c.svg").read_text()


def test_calibration_figure_says_what_is_grey() -> None:
    """Not the same: a curve of coverage may leave its bounds where the test of ranks passes."""
    rng = np.random.default_rng(0)
    result = verdict(["a", "b"], rng.random((100, 2)), rng.random(100), rng.random(100))
    figure = calibration(result)
    assert figure.subfigs[0].get_supxlabel() == "Rank of the truth (grey: the test passes)"
    for axes in figure.subfigs[1].axes:
        assert axes.get_xlabel() == "Level (grey: 95 % bounds at one level)"


@pytest.mark.parametrize("d", [2, 5])
def test_the_lowest_panel_of_each_column_of_ranks_has_its_numbers(d: int) -> None:
    rng = np.random.default_rng(0)
    names = [f"unknown {i}" for i in range(d)]
    result = verdict(names, rng.random((100, d)), rng.random(100), rng.random(100))
    panels = [axes for axes in calibration(result).axes[: d + 2] if axes.get_visible()]
    columns = min(4, d + 2)
    numbered = [axes.xaxis.get_tick_params()["labelbottom"] for axes in panels]
    assert numbered == [False] * (d + 2 - columns) + [True] * columns


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [(1572.345, 8.9, "1572.3"), (0.12345, 0.08, "0.123"), (5387.2, 31.0, "5387"), (3.0, 0.0, "3")],
)
def test_numbers_have_as_many_decimals_as_they_deserve(
    value: float, spread: float, text: str
) -> None:
    assert rounded(value, spread) == text


class _Balanced(HTMLParser):
    """Open elements and closings that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.errors: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)
