"""Figure of a computed field: propagation loss against range, depth, or both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oceaninv.report.style import save

_MOST_PANELS = 12
_PANEL = (6.4, 3.2)  # inches
_SPAN = 45.0  # dB beyond the lower quartile: deeper nulls would squeeze all the rest
_LABEL = "Propagation loss (dB re 1 m²)"


def plot_field(field: xr.Dataset, path: str | Path) -> None:
    """Draws the propagation loss of a field dataset, a panel for each frequency and source depth.

    Over range and depth it is an image, depth down; over one of them lines. Scales end 45 dB
    beyond the lower quartile, as loss grows without bound towards a null such as the sea surface.
    Beyond twelve panels the rest is left out, and the figure says so.

    Args:
        field: contents of ``field.nc``, see :func:`oceaninv.forward.field_of_file`.
        path: figure to write; the suffix gives the format.
    """
    loss = field["transmission_loss"].sortby(["receiver_depth", "range"])
    panels = [
        (f, s) for f in range(loss.sizes["frequency"]) for s in range(loss.sizes["source_depth"])
    ]
    shown = panels[:_MOST_PANELS]
    columns = 1 if len(shown) <= 3 else 2
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(columns * _PANEL[0], rows * _PANEL[1]), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, (f, s) in zip(axes, shown, strict=False):
        panel = loss.isel(frequency=f, source_depth=s)
        _draw(place, panel)
        place.set_title(
            f"{float(panel['frequency']):g} Hz, source at {float(panel['source_depth']):g} m"
        )
    for place in axes[len(shown) :]:
        place.set_visible(False)
    title = str(field.attrs.get("title", ""))
    if len(panels) > len(shown):
        title += f" (first {len(shown)} of {len(panels)} panels)"
    figure.suptitle(title)
    save(figure, path)


def _draw(axes: Axes, loss: xr.DataArray) -> None:
    depth, range_km = loss["receiver_depth"].values, loss["range"].values / 1000.0
    values = loss.values  # (depth, range)
    finite = values[np.isfinite(values)]
    if not finite.size:
        axes.text(0.5, 0.5, "no mode propagates", transform=axes.transAxes, ha="center")
        axes.set_axis_off()
        return
    low, quarter, high = np.percentile(finite, [1, 25, 99])
    most = quarter + _SPAN
    if depth.size > 2 and range_km.size > 2:
        image = axes.pcolormesh(
            range_km,
            depth,
            values,
            cmap="viridis_r",
            vmin=low,
            vmax=min(high, most),
            shading="nearest",
        )
        axes.get_figure(root=True).colorbar(  # type: ignore[union-attr]
            image, ax=axes, label=_LABEL, extend="max" if high > most else "neither"
        )
        axes.set(xlabel="Range (km)", ylabel="Depth (m)")
        axes.invert_yaxis()
    elif range_km.size >= depth.size:
        for z, row in zip(depth, values, strict=True):
            axes.plot(range_km, row, marker="." if range_km.size < 20 else "", label=f"{z:g} m")
        axes.set(xlabel="Range (km)", ylabel=_LABEL)
        axes.set_ylim(top=min(axes.get_ylim()[1], most))
        axes.invert_yaxis()
        axes.legend(title="Receiver depth")
    else:
        for r, column in zip(range_km, values.T, strict=True):
            axes.plot(column, depth, marker="." if depth.size < 20 else "", label=f"{r:g} km")
        axes.set(xlabel=_LABEL, ylabel="Depth (m)")
        axes.set_xlim(right=min(axes.get_xlim()[1], most))
        axes.invert_yaxis()
        axes.legend(title="Range")
