"""What a report says, whatever it is set in: sections, tables and figures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from matplotlib.figure import Figure

from oceaninv.diagnostics.compare import compare
from oceaninv.errors import InputError
from oceaninv.posterior import Posterior, summarise
from oceaninv.report.data_fit import data_fit, left_out
from oceaninv.report.figures import corner, marginals, sound_speed, weights
from oceaninv.report.style import names_of, pretty_unit, prior_in_words, rounded
from oceaninv.weighted import effective_size


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column is a name, the others are numbers."""

    caption: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Picture:
    """A figure with what it shows in words."""

    caption: str
    figure: Figure


@dataclass(frozen=True)
class Section:
    """A title with text, tables and pictures."""

    title: str
    text: str
    parts: list[Table | Picture]


def warnings_of(posteriors: list[Posterior]) -> list[str]:
    """What a reader must know before trusting any number."""
    told = []
    for p, name in zip(posteriors, names_of(posteriors), strict=True):
        if "warning" in p.attributes:
            told.append(f"{name}: {p.attributes['warning']}")
        if p.attributes.get("mismatch", "none") != "none":
            told.append(f"{name}: the data are not like the scenario: {p.attributes['mismatch']}.")
        if p.attributes.get("converged") == 0:
            stands = f"{p.attributes['ess']:.0f} effective draws"
            what = "nested sampling was ended early"
            if "rhat" in p.attributes:
                what = "the chains have not converged"
                stands = f"R-hat {p.attributes['rhat']:.3f}, {stands}"
            told.append(f"{name}: {what} ({stands}); give more steps.")
    hashes = {p.attributes.get("data_hash") for p in posteriors}
    if len(hashes) > 1:
        told.append("The posteriors are of different measurements.")
    if len({p.scenario.hash() for p in posteriors}) > 1:
        told.append("The posteriors are of scenarios that differ in physics, priors or noise.")
    return told


def sections(posteriors: list[Posterior]) -> Iterator[Section]:
    """The sections of the report on posteriors of one problem, in order."""
    names = names_of(posteriors)
    yield Section(
        "Results",
        "Median and central 95 % interval of each unknown, with the draw of highest posterior "
        "density (best).",
        [_results(p, name) for p, name in zip(posteriors, names, strict=True)],
    )
    yield Section(
        "Marginal densities",
        "",
        [
            Picture(
                "Each unknown over the whole of its prior (grey). The 95 % interval of "
                f"{names[0]} is shaded; triangles mark the best draws"
                f"{', a dotted line the truth' if _synthetic(posteriors[0]) else ''}.",
                marginals(posteriors),
            )
        ],
    )
    yield Section(
        "Sound speed",
        "",
        [
            Picture(
                "Sound speed against depth below the surface, with what the prior allows.",
                sound_speed(posteriors),
            )
        ],
    )
    yield _fit(posteriors, names)
    judged = [(p, n) for p, n in zip(posteriors, names, strict=True) if "mismatch" in p.attributes]
    if judged:
        yield _likeness(*judged[0])
    if len(posteriors) > 1:
        yield Section(
            "Agreement",
            "Distance of each posterior from the last: Wasserstein in its standard deviations, "
            "and the accuracy of a classifier that tries to tell the draws apart (C2ST; 0.5 is "
            "perfect agreement).",
            _agreement(posteriors, names),
        )
    yield Section(
        "Pairs of unknowns",
        "",
        [
            Picture(
                "Regions of 50 and 90 % of the probability; above the diagonal the correlation "
                f"by {names[0]}. Axes show where the posterior lies, not the whole prior.",
                corner(posteriors),
            )
        ],
    )
    spread = weights(posteriors)
    yield Section(
        "Quality of the draws",
        " ".join(
            f"{name}: {p.attributes['fallback']}"
            for p, name in zip(posteriors, names, strict=True)
            if "fallback" in p.attributes
        ),
        [
            _quality(posteriors, names),
            *(
                []
                if spread is None
                else [
                    Picture(
                        "Left: how evenly weight is spread over the draws (on the dashed line: "
                        "evenly). Right: log likelihood of the draws.",
                        spread,
                    )
                ]
            ),
        ],
    )


def provenance(posteriors: list[Posterior]) -> list[tuple[str, str]]:
    """Where the numbers come from: name and value."""
    first = posteriors[0]
    rows = [
        ("Scenario", f"{first.scenario.name}, SHA-256 {first.scenario.hash()[:16]}"),
        ("Reference", first.scenario.reference),
        ("Measurement", str(first.observed.attributes.get("title", first.observed.name))),
        ("History of the data", str(first.observed.attributes.get("history", ""))),
    ]
    for p, name in zip(posteriors, names_of(posteriors), strict=True):
        model = f"model {p.attributes['model']}, " if "model" in p.attributes else ""
        data = str(p.attributes.get("data_hash", "unknown"))[:16]
        rows.append(
            (
                name,
                f"{model}seed {p.attributes.get('seed', '?')}, data SHA-256 {data}, "
                f"{p.attributes.get('versions', '')}",
            )
        )
    rows.append(("Report made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")))
    return [(name, value) for name, value in rows if value]


def _results(posterior: Posterior, name: str) -> Table:
    rows = [
        (
            row.long_name,
            pretty_unit(row.unit),
            prior_in_words(posterior, row.name),
            rounded(row.median, row.sd),
            f"{rounded(row.lower, row.sd)} to {rounded(row.upper, row.sd)}",
            rounded(row.mean, row.sd),
            rounded(row.sd, row.sd),
            rounded(row.best, row.sd),
        )
        for row in summarise(posterior)
    ]
    header = ("Unknown", "Unit", "Prior", "Median", "95 % interval", "Mean", "Sd", "Best")
    return Table(name, header, rows)


def _fit(posteriors: list[Posterior], names: list[str]) -> Section:
    first = posteriors[0]
    if first.observed.kind == "transmission_loss":
        caption = (
            "Propagation loss against range: measured, and predicted by draws of the posterior "
            "after the offset of each tone; noise is not part of the band."
        )
    else:
        caption = (
            "Level and phase (relative to the strongest phone) against depth: measured, and "
            "predicted by draws of the posterior after one complex source factor for each tone; "
            "noise is not part of the band. The Bartlett power is 1 for a perfect fit."
        )
    told = " ".join(part for part in (f"{names[0]}. {caption}", left_out(first)) if part)
    return Section("Fit to the data", "", [Picture(told, data_fit(first))])


def _likeness(posterior: Posterior, name: str) -> Section:
    """P-values of all that could show data unlike the scenario."""
    of = posterior.attributes
    asked = [
        ("All tones together", of["mismatch_p_overall"]),
        ("Outliers of the noise", of["mismatch_p_outliers"]),
    ]
    if not math.isnan(float(of["mismatch_p_summary"])):  # there is a network
        asked.append(("Summary by the network", of["mismatch_p_summary"]))
    for kind, places, unit in (
        ("tone", posterior.scenario.frequency, "Hz"),
        ("receiver", posterior.scenario.receiver_depth, "m"),
    ):
        p = json.loads(str(of[f"mismatch_p_{kind}"]))
        asked += [
            (f"{kind.capitalize()} {place:g} {unit}", value)
            for place, value in zip(places, p, strict=False)
            if value is not None
        ]
    return Section(
        "Is the measurement like the scenario?",
        "Each p-value is the probability of so bad a fit where scenario, noise and posterior are "
        "right, with no receiver left out; those of tones and receivers are not corrected for "
        "their number. "
        + ("Nothing was found." if of["mismatch"] == "none" else f"Found: {of['mismatch']}."),
        [Table(name, ("Question", "p-value"), [(a, _number(p, ".2g")) for a, p in asked])],
    )


def _agreement(posteriors: list[Posterior], names: list[str]) -> list[Table | Picture]:
    parts: list[Table | Picture] = []
    reference = posteriors[-1]
    for p, name in zip(posteriors[:-1], names[:-1], strict=True):
        against = f"{name} against {names[-1]}"
        try:
            found = compare(p, reference, draws=2000)
        except InputError as error:
            parts.append(Table(against, ("Not compared",), [(f"{error}.",)]))
            continue
        rows = [
            (
                long_name,
                pretty_unit(row.unit),
                rounded(row.median, of.sd),
                rounded(row.reference_median, of.sd),
                f"{row.sd_ratio:.2f}",
                f"{row.wasserstein:.3f}",
            )
            for row, of, long_name in zip(
                found.rows, summarise(reference), reference.long_names, strict=True
            )
        ]
        header = ("Unknown", "Unit", "Median", "Reference", "Sd ratio", "Wasserstein")
        caption = f"{against}: C2ST {found.c2st.accuracy:.3f} ± {found.c2st.error:.3f}"
        parts.append(Table(caption, header, rows))
    return parts


def _quality(posteriors: list[Posterior], names: list[str]) -> Table:
    rows = []
    for p, name in zip(posteriors, names, strict=True):
        of = p.attributes
        # As the run told it: of all its draws, before weights were smoothed and draws left out.
        size = of.get("effective_sample_size", of.get("ess"))
        if size is None and p.log_weight is not None:
            size = effective_size(p.log_weight)
        rows.append(
            (
                name,
                f"{len(p.samples)}",
                _number(size, ".0f"),
                _number(of.get("sample_efficiency"), ".1%"),
                _number(of.get("pareto_k"), ".2f"),
                _number(of.get("rhat"), ".3f"),
                _with_error(of.get("log_evidence"), of.get("log_evidence_error")),
            )
        )
    header = (
        "Posterior", "Draws kept", "Effective draws", "Efficiency", "Pareto k", "R-hat",
        "Log evidence",
    )  # fmt: skip
    return Table("", header, rows)


def _with_error(value: object, error: object) -> str:
    return "" if value is None else f"{_number(value, '.2f')} ± {_number(error, '.2f')}"


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, float | int) and value == value else ""


def _synthetic(posterior: Posterior) -> bool:
    return "true_parameters" in posterior.observed.attributes
