"""``oceaninv compare``, ``calibrate`` and ``report``: judging and showing posteriors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oceaninv.cli.command import Seed, hint, progress_bar, register, say, table
from oceaninv.cli.outputs import check_figure, check_outputs
from oceaninv.errors import InputError
from oceaninv.files import check_folder, whole_file

_VERDICT = {True: "passes", False: "FAILS"}


def add_to(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    register(app, compare)
    register(app, calibrate)
    register(app, report)


def compare(
    posterior: Annotated[Path, typer.Argument(metavar="A.nc", help="Posterior to judge.")],
    reference: Annotated[Path, typer.Argument(metavar="B.nc", help="What it is judged by.")],
    plot: Annotated[
        Path, typer.Option("--plot", "-o", metavar="F.png", help="Figure of both.")
    ] = Path("compare.png"),
    seed: Seed = 0,
) -> None:
    """Distances between two posteriors: by parameter, and jointly by a classifier (C2ST).

    Example: `oceaninv compare posterior.nc mcmc.nc -o compare.png`
    """
    check_outputs({"--plot": plot}, [posterior, reference])
    check_figure("--plot", plot)
    from oceaninv.diagnostics import compare as run
    from oceaninv.posterior import read_posterior
    from oceaninv.report.figures import plot_marginals

    ours, theirs = read_posterior(posterior), read_posterior(reference)
    try:
        result = run(ours, theirs, seed=seed)
    except InputError as error:
        raise InputError(f"{posterior} and {reference}: {error}") from error
    header = ("parameter", "unit", "median A", "median B", "sd A / sd B", "Wasserstein / sd B")
    rows = [
        (
            row.name,
            row.unit,
            f"{row.median:.5g}",
            f"{row.reference_median:.5g}",
            f"{row.sd_ratio:.2f}",
            f"{row.wasserstein:.3f}",
        )
        for row in result.rows
    ]
    say(table(header, rows))
    say(
        f"C2ST {result.c2st.accuracy:.3f} ± {result.c2st.error:.3f} with {result.draws} draws of "
        "each (0.5: cannot be told apart, 1: apart)"
    )
    with whole_file(plot) as temporary:
        plot_marginals([ours, theirs], temporary)
    say(f"{plot}: marginals of both")
    if not result.same_data:
        hint("the two posteriors are of different measurements")


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL/|NAME", help="Trained model.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="calibration.nc", help="Result.")
    ],
    n: Annotated[int, typer.Option("-n", min=20, help="Simulations.")] = 500,
    reweighted: Annotated[
        bool, typer.Option("--reweighted", help="Judge the re-weighted posteriors; much slower.")
    ] = False,
    draws: Annotated[int, typer.Option("--draws", min=10, help="Draws of each posterior.")] = 1000,
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", "--plot", metavar="F.png|.pdf", help="Figure; default: beside the result."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write the summary into the model's model.json.")
    ] = False,
    seed: Seed = 0,
) -> None:
    """Calibration of a model over fresh simulations: ranks, coverage, TARP, a classifier.

    Example: `oceaninv calibrate model/ -n 500 -o calibration.nc`
    """
    figure = figure or (output.with_suffix(".png") if output.name else output)
    check_outputs({"--output": output, "--figure": figure}, [model])
    check_figure("--figure", figure)
    from oceaninv.diagnostics import calibrate as run
    from oceaninv.diagnostics.keeping import content_to_keep_in, keep_calibration
    from oceaninv.inference import Model
    from oceaninv.report.calibration import plot_calibration

    loaded = Model.load(model)
    if keep:
        content_to_keep_in(model)
    with progress_bar() as progress:
        result = run(
            loaded,
            n,
            seed=seed,
            reweighted=reweighted,
            draws=draws,
            progress=lambda done, total, _: progress(done, total, "calibrating"),
        )
    with whole_file(output) as temporary:
        result.to_netcdf(temporary, engine="netcdf4")
    with whole_file(figure) as temporary:
        plot_calibration(result, temporary)
    header = ("coverage of", *(f"{level:.0%}" for level in result["level"].values), "p-value", "")
    kinds = (
        ("parameter", "coverage", "p_value", "passes", ""),
        ("joint", "expected_coverage", "joint_p_value", "joint_passes", "joint: "),
    )
    rows = [
        (
            f"{prefix}{name}",
            *(f"{share:.1%}" for share in result[shares].sel({dim: name}).values),
            f"{float(result[p_value].sel({dim: name})):.3f}",
            _VERDICT[bool(result[passes].sel({dim: name}))],
        )
        for dim, shares, p_value, passes, prefix in kinds
        for name in result[dim].values
    ]
    say(table(header, rows))
    say(
        f"{result.attrs['near']} of {result['coverage'].size} coverages of parameters are within "
        f"2 points of their level; of an exact sampler {result.attrs['near_expected']:.1f} would be"
    )
    say("")
    header = ("truth told from draws", "C2ST", "p-value", "", "sd / prior sd", "information (nat)")
    worth = {
        str(p): (f"{float(w.sharpness):.3f}", f"{float(w.information):.2f}")
        for p in result["parameter"].values
        for w in [result.sel(parameter=p)]
    }
    worth["joint"] = ("", f"{float(result.attrs['information_joint']):.2f}")
    rows = [
        (
            f"classifier: {name}",
            f"{float(told.c2st):.3f}",
            f"{float(told.c2st_p_value):.3f}",
            _VERDICT[bool(told.c2st_passes)],
            *worth[name],
        )
        for name in map(str, result["told"].values)
        for told in [result.sel(told=name)]
    ]
    say(table(header, rows))
    whole = _VERDICT[bool(result.attrs["passes"])]
    alpha = float(result.attrs["alpha"])
    say(f"{model} {whole} with {n} simulations (each test at p = {alpha:.2g})")
    say(f"{output}: calibration; {figure}: its figure")
    if keep:
        say(f"{keep_calibration(result, model)}: summary of the calibration")


def report(
    posteriors: Annotated[list[Path], typer.Argument(metavar="posterior.nc…", help="One or more.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="report.html|.pdf", help="Report to write.")
    ],
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="FOLDER", help="Write the figures as PNG files too."),
    ] = None,
) -> None:
    """The report: one self-contained file with tables, figures and provenance.

    Example: `oceaninv report posterior.nc mcmc.nc -o report.html`
    """
    check_outputs({"--output": output}, posteriors)
    if figures:
        check_folder(figures)
    from oceaninv.posterior import read_posterior
    from oceaninv.report import report as run
    from oceaninv.report.document import check_suffix

    check_suffix(output)
    loaded = [read_posterior(path) for path in posteriors]
    run(loaded, output)
    say(f"{output}: report")
    if figures:
        from oceaninv.report.files import write_figures

        for path in write_figures(loaded, figures):
            say(f"{path}: figure")
