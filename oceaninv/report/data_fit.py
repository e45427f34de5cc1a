"""How well the posterior explains the data: measured against predicted, tone by tone."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from oceaninv.posterior import Posterior
from oceaninv.report.style import COLOURS, INK, legend, quiet

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

_MOST = 20  # tones, or pairs of tone and receiver, that are shown
_MOST_COLUMNS = 5  # of tones: what is wider is too small to be read on a page
_LOSS = "Propagation loss (dB re 1 m²)"


def data_fit(posterior: Posterior) -> Figure:
    """Measured and predicted data: level and phase against depth, or loss against range.

    Bands and bars hold 90 % of the noise-free predictions of the posterior. Each prediction is
    brought to the measurement by what is unknown: a complex source factor for each tone, or an
    offset in dB.
    """
    if posterior.observed.kind == "transmission_loss":
        return _loss_against_range(posterior)
    return _array_data(posterior)


def left_out(posterior: Posterior) -> str:
    """A sentence on what `data_fit` has no room for; empty where it shows all."""
    observed = posterior.observed
    count, what = len(observed.frequency), "tones"
    if observed.kind == "transmission_loss":
        count, what = count * len(observed.receiver_depth), "pairs of tone and receiver"
    return f"The first {_MOST} of {count} {what} are shown." if count > _MOST else ""


def bartlett(csdm: Complex, replica: Complex) -> Array:
    r"""Bartlett power $g^\dagger \hat R g / (\|g\|^2 \mathrm{tr} \hat R)$, 1 for a perfect fit.

    Args:
        csdm: sample cross-spectral matrices, (F, R, R).
        replica: (m, F, R).

    Returns:
        (m, F).
    """
    power = np.einsum("mfi,fij,mfj->mf", replica.conj(), csdm, replica).real
    size = np.sum(np.abs(replica) ** 2, -1) * np.trace(csdm, axis1=1, axis2=2).real
    return power / size


def _array_data(posterior: Posterior) -> Figure:
    observed = posterior.observed
    depth = observed.receiver_depth.numpy()
    csdm = observed.csdm.numpy()
    replica = posterior.posterior_predictive.astype(np.complex128)
    power = bartlett(csdm, replica)
    tones = observed.frequency.numpy()[:_MOST]
    # The strongest eigenvector is what the phones saw of the source, whatever the snapshots.
    value, vector = np.linalg.eigh(csdm)
    measured = vector[..., -1] * np.sqrt(value[:, -1:])
    scale = np.sum(replica.conj() * measured, -1) / np.sum(np.abs(replica) ** 2, -1)
    fitted = scale[..., None] * replica

    strips = -(-len(tones) // _MOST_COLUMNS)  # of levels above phases
    columns = -(-len(tones) // strips)
    if columns == 1:
        figure = Figure(figsize=(8.5, 5.0), layout="constrained")
        panels = figure.subplots(1, 2, squeeze=False, sharey=True).T
    else:
        figure = Figure(figsize=(2.4 * columns + 0.8, 7.2 * strips + 0.4), layout="constrained")
        panels = figure.subplots(2 * strips, columns, squeeze=False, sharey=True)
    pairs = panels.reshape(strips, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    for axes in pairs[len(tones) :].ravel():
        axes.set_visible(False)
    for f, tone in enumerate(tones):
        level, phase = pairs[f]
        _level(level, depth, measured[f], fitted[:, f])
        _phase(phase, depth, measured[f], fitted[:, f])
        middle, low, high = np.nanquantile(power[:, f], [0.5, 0.05, 0.95])
        level.set_title(
            f"{tone:g} Hz\nBartlett {middle:.3f}\n({low:.3f} to {high:.3f})", fontsize=10
        )
    margin = 0.04 * (depth.max() - depth.min())
    panels[0, 0].set_ylim(depth.max() + margin, depth.min() - margin)
    for row in panels:
        row[0].set_ylabel("Depth (m)")
    legend(figure, panels[0, 0], "outside lower center", columns=3)
    return figure


def _level(axes: Axes, depth: Array, measured: Complex, fitted: Complex) -> None:
    reference = np.abs(measured).max()
    with np.errstate(divide="ignore"):
        data = 20 * np.log10(np.abs(measured) / reference)
        predicted = 20 * np.log10(np.abs(fitted) / reference)
    order = np.argsort(depth)
    low, middle, high = np.nanquantile(predicted[:, order], [0.05, 0.5, 0.95], axis=0)
    axes.fill_betweenx(depth[order], low, high, color=COLOURS[0], alpha=0.3, lw=0,
                       label="predicted, 90 %")  # fmt: skip
    axes.plot(middle, depth[order], color=COLOURS[0], lw=1.5, label="predicted, median")
    axes.plot(data, depth, "o", ms=4, color=INK, label="measured")
    # A phone in a null is far down in dB and would squeeze all the others.
    axes.set_xlim(max(min(data.min(), low.min()), -40.0) - 2, max(data.max(), high.max()) + 2)
    axes.set_xlabel("Level (dB re maximum)")
    axes.grid(color="#eeeeee", lw=0.6)
    quiet(axes)


def _phase(axes: Axes, depth: Array, measured: Complex, fitted: Complex) -> None:
    # Relative to the phone of the strongest signal, whose phase is the best known. Predictions
    # are measured from the data, so that a step over 180 degrees cannot spread a bar.
    reference = measured[np.argmax(np.abs(measured))]
    data = np.degrees(np.angle(measured * np.conj(reference)))
    error = np.degrees(np.angle(fitted * np.conj(measured)))
    low, middle, high = data + np.nanquantile(error, [0.05, 0.5, 0.95], axis=0)
    axes.hlines(depth, low, high, color=COLOURS[0], lw=4, alpha=0.4)
    axes.plot(middle, depth, "|", ms=7, mew=1.8, color=COLOURS[0])
    axes.plot(data, depth, "o", ms=4, color=INK)
    axes.set_xlim(-230, 230)
    axes.set_xticks([-180, 0, 180])
    axes.set_xlabel("Phase (°)")
    axes.grid(color="#eeeeee", lw=0.6)
    quiet(axes)


def _loss_against_range(posterior: Posterior) -> Figure:
    observed = posterior.observed
    range_km = observed.range_m.numpy() / 1000.0
    depth, tones = observed.receiver_depth.numpy(), observed.frequency.numpy()
    shape = (len(tones), len(depth), len(range_km))
    measured = observed.data.numpy().reshape(shape)
    predicted = posterior.posterior_predictive.real.reshape(-1, *shape)
    offset = np.nanmean(measured - predicted, axis=(2, 3), keepdims=True)
    fitted = predicted + offset
    order = np.argsort(range_km)

    panels = [(f, r) for f in range(len(tones)) for r in range(len(depth))][:_MOST]
    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(5.2 * columns, 2.7 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (f, r) in zip(grid.ravel(), panels, strict=False):
        low, middle, high = np.nanquantile(fitted[:, f, r][:, order], [0.05, 0.5, 0.95], axis=0)
        axes.fill_between(range_km[order], low, high, color=COLOURS[0], alpha=0.3, lw=0,
                          label="predicted, 90 %")  # fmt: skip
        axes.plot(range_km[order], middle, color=COLOURS[0], lw=1.5, label="predicted, median")
        axes.plot(range_km, measured[f, r], "o", ms=3, color=INK, label="measured")
        # One offset for all receivers of a tone: what is left of it at this one is error too.
        error = np.sqrt(np.mean((measured[f, r, order] - middle) ** 2))
        shift = offset[:, f].mean()
        where = f", {depth[r]:g} m" if len(depth) > 1 else ""
        axes.set_title(f"{tones[f]:g} Hz{where}: offset {shift:+.1f} dB, error {error:.1f} dB",
                       loc="left", fontsize=10)  # fmt: skip
        axes.invert_yaxis()
        axes.grid(color="#eeeeee", lw=0.6)
        quiet(axes)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("Range (km)")
    for axes in grid[:, 0]:
        axes.set_ylabel(_LOSS)
    legend(figure, grid[0, 0], "outside upper center", columns=3)
    return figure
