"""Measurement files: netCDF, schema 1, written whole and read with every check.

Dimensions `frequency`, `receiver` and, where used, `receiver2`, `snapshot`, `range`; coordinates
`frequency` (Hz), `receiver_depth` (m), `range` (m); and exactly one of

    pressure_real, pressure_imag (snapshot, frequency, receiver)
    csdm_real, csdm_imag (frequency, receiver, receiver2)
    transmission_loss (frequency, receiver, range), dB

Global attributes: `oceaninv_schema`, `time_convention` (`exp(-iwt)` or `exp(+iwt)`; no default),
`source` (`known` or `unknown` spectrum; no noise model makes use of a known one), `n_snapshots`
of a csdm, and provenance by CF and ACDD.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from oceaninv.errors import InputError
from oceaninv.files import whole_file
from oceaninv.measurement.data import Kind, Measurement

SCHEMA = 1
CONVENTIONS = ("exp(-iwt)", "exp(+iwt)")

_VARIABLES: dict[str, tuple[Kind, tuple[str, ...]]] = {
    "pressure_real": ("pressure", ("snapshot", "frequency", "receiver")),
    "pressure_imag": ("pressure", ("snapshot", "frequency", "receiver")),
    "csdm_real": ("csdm", ("frequency", "receiver", "receiver2")),
    "csdm_imag": ("csdm", ("frequency", "receiver", "receiver2")),
    "transmission_loss": ("transmission_loss", ("frequency", "receiver", "range")),
}
_PARTS: dict[Kind, tuple[str, ...]] = {
    "pressure": ("pressure_real", "pressure_imag"),
    "csdm": ("csdm_real", "csdm_imag"),
    "transmission_loss": ("transmission_loss",),
}
_COORDINATES = {
    "frequency": ("frequency", "Hz"),
    "receiver_depth": ("receiver", "m"),
    "range": ("range", "m"),
}

_LARGEST = 1e100  # pressure, or its inverse: far beyond, squares are no numbers any more

#: Propagation loss in decibels, with or without what it is relative to.
_DECIBEL = re.compile(r"(dB|decibels?)((\s|//).*)?", re.IGNORECASE)


def read_measurement(path: str | Path) -> Measurement:
    """Read a measurement and check it; complex data come out in exp(-iwt).

    Raises:
        InputError: the file is missing, cut short or of another format; a variable, dimension or
            attribute is missing or wrong; a value is not finite, or a tone is zero at every
            receiver. One line that says the mend.
    """
    return measurement_from_dataset(_load(Path(path)), str(path))


def measurement_from_dataset(dataset: xr.Dataset, where: str) -> Measurement:
    """Check and convert the content of a measurement file; errors call it `where`.

    Raises:
        InputError: as `read_measurement`.
    """
    kind = _kind(dataset, where)
    convention = _convention(dataset, where)
    _check_schema(dataset, where)
    parts = [_values(dataset, name, where) for name in _PARTS[kind]]
    frequency = _coordinate(dataset, "frequency", where)
    receiver_depth = _coordinate(dataset, "receiver_depth", where)
    range_m = np.zeros(0)
    if kind == "transmission_loss":
        range_m = _coordinate(dataset, "range", where)
        data = torch.from_numpy(parts[0].reshape(len(frequency), -1))
    else:
        data = torch.from_numpy(parts[0] + 1j * parts[1])
    if kind == "pressure":
        _check_pressure(data, frequency, where)
    elif kind == "csdm":
        _check_csdm(data, frequency, where)
    measurement = Measurement(
        frequency=torch.from_numpy(frequency),
        receiver_depth=torch.from_numpy(receiver_depth),
        kind=kind,
        data=data,
        range_m=torch.from_numpy(range_m),
        n_snapshots=_n_snapshots(dataset, kind, where),
        attributes={str(k): v for k, v in dataset.attrs.items() if k not in _OWN_ATTRIBUTES},
        name=where,
    )
    return measurement.conjugate() if convention == "exp(+iwt)" else measurement


def write_measurement(
    measurement: Measurement, path: str | Path, *, time_convention: str = "exp(-iwt)"
) -> None:
    """Write a measurement in schema 1, complex data in the time convention asked for.

    The file appears under its name only when it is whole.

    Raises:
        InputError: an unknown time convention, or a folder that cannot be written to.
    """
    if time_convention not in CONVENTIONS:
        raise InputError(
            f"{path}: time_convention: '{time_convention}'; write {' or '.join(CONVENTIONS)}"
        )
    try:
        with whole_file(path) as temporary:
            measurement_dataset(measurement, time_convention).to_netcdf(temporary, engine="netcdf4")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); choose another place") from None


_OWN_ATTRIBUTES = {"oceaninv_schema", "time_convention", "n_snapshots", "Conventions"}


def measurement_dataset(measurement: Measurement, convention: str) -> xr.Dataset:
    """Content of a measurement file, complex data in the time convention asked for."""
    kept = measurement if convention == "exp(-iwt)" else measurement.conjugate()
    names = _PARTS[kept.kind]
    dims = _VARIABLES[names[0]][1]
    array = kept.data.numpy()
    if kept.kind == "transmission_loss":
        values = [array.reshape(len(kept.frequency), len(kept.receiver_depth), -1)]
    else:
        values = [array.real, array.imag]
    attributes = {
        "pressure": {"units": "1", "comment": "complex pressure, any one scale per tone"},
        "csdm": {"units": "1", "comment": "mean over the snapshots of d_i conj(d_j)"},
        "transmission_loss": {
            "units": "dB",
            "long_name": "propagation loss",
            "reference": "dB re 1 m^2 (ISO 18405)",
        },
    }[kept.kind]
    coordinates: dict[str, tuple[str, np.ndarray, dict[str, str]]] = {
        "frequency": (
            "frequency",
            kept.frequency.numpy(),
            {"units": "Hz", "long_name": "frequency", "standard_name": "sound_frequency"},
        ),
        "receiver_depth": (
            "receiver",
            kept.receiver_depth.numpy(),
            {"units": "m", "long_name": "receiver depth", "standard_name": "depth",
             "positive": "down"},
        ),
    }  # fmt: skip
    if kept.kind == "transmission_loss":
        range_attributes = {"units": "m", "long_name": "horizontal distance to the source"}
        coordinates["range"] = ("range", kept.range_m.numpy(), range_attributes)
    return xr.Dataset(
        {name: (dims, value, attributes) for name, value in zip(names, values, strict=True)},
        coordinates,
        {
            "Conventions": "CF-1.11, ACDD-1.3",
            "oceaninv_schema": SCHEMA,
            "time_convention": convention,
            "n_snapshots": kept.n_snapshots,
            "date_created": datetime.now(UTC).isoformat(timespec="seconds"),
            "title": "Acoustic measurement for geoacoustic inversion",
            "keywords": "underwater acoustics, geoacoustic inversion",
            "source": "unknown",
            **kept.attributes,
        },
    )


# What xarray raises where a file is damaged, or an attribute that it decodes by is.
_UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)


def _load(path: Path) -> xr.Dataset:
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path of the measurement")
    try:
        return xr.load_dataset(path, engine="netcdf4", decode_times=False)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as netCDF, it is cut short or of another format ({reason}); "
            "copy or make it again"
        ) from None


def _kind(dataset: xr.Dataset, where: str) -> Kind:
    present = [name for name in _VARIABLES if name in dataset]
    kinds = sorted({_VARIABLES[name][0] for name in present})
    if len(kinds) != 1:
        told = "none" if not kinds else "all of " + ", ".join(kinds)
        raise InputError(
            f"{where}: data: holds {told} of pressure, csdm and transmission_loss, groups apart; "
            "keep exactly one"
        )
    kind = _VARIABLES[present[0]][0]
    for name in _PARTS[kind]:
        if name not in dataset:
            raise InputError(f"{where}: {name}: is missing; give the real and the imaginary part")
        found, wanted = dataset[name].dims, _VARIABLES[name][1]
        if set(found) != set(wanted):
            raise InputError(
                f"{where}: {name}: has dimensions ({', '.join(map(str, found))}); it takes "
                f"({', '.join(wanted)})"
            )
    return kind


def _convention(dataset: xr.Dataset, where: str) -> str:
    hint = "set it to exp(-iwt) or exp(+iwt), as the Fourier transform of the recording was made"
    if "time_convention" not in dataset.attrs:
        raise InputError(f"{where}: time_convention: the attribute is missing; {hint}")
    convention = str(dataset.attrs["time_convention"])
    if convention not in CONVENTIONS:
        raise InputError(f"{where}: time_convention: '{convention}' is not known; {hint}")
    return convention


def _check_schema(dataset: xr.Dataset, where: str) -> None:
    schema = dataset.attrs.get("oceaninv_schema")
    if str(schema) not in (str(SCHEMA), str(float(SCHEMA))):  # some programs write a float
        told = "the attribute is missing" if schema is None else f"{schema} is not known"
        raise InputError(f"{where}: oceaninv_schema: {told}; set it to {SCHEMA}")
    source = str(dataset.attrs.get("source", "unknown"))
    if source not in ("known", "unknown"):
        raise InputError(
            f"{where}: source: '{source}'; write known or unknown, for the source spectrum"
        )


def _values(dataset: xr.Dataset, name: str, where: str) -> np.ndarray:
    variable = dataset[name].transpose(*_VARIABLES[name][1])
    values = _numbers(variable, name, where)
    bad = ~np.isfinite(values)
    if bad.any():
        first = np.argwhere(bad)[0]
        place = ", ".join(f"{dim} {index}" for dim, index in zip(variable.dims, first, strict=True))
        raise InputError(
            f"{where}: {name}: {values[tuple(first)]} at {place} (and {bad.sum() - 1} more not "
            "finite); leave out that receiver, tone or snapshot"
        )
    if values.size == 0:
        raise InputError(f"{where}: {name}: holds no values; give at least one of each dimension")
    units = " ".join(str(variable.attrs.get("units", "dB")).split())
    if name == "transmission_loss" and not _DECIBEL.fullmatch(units):
        raise InputError(f"{where}: {name}: units are '{units}'; convert it to dB")
    return values


def _coordinate(dataset: xr.Dataset, name: str, where: str) -> np.ndarray:
    dim, unit = _COORDINATES[name]
    if name not in dataset.variables or dataset[name].dims != (dim,):
        raise InputError(f"{where}: {name}: the coordinate ({dim}) in {unit} is missing; add it")
    units = str(dataset[name].attrs.get("units", unit))
    if units != unit:
        raise InputError(f"{where}: {name}: units are '{units}'; convert it to {unit}")
    positive = str(dataset[name].attrs.get("positive", "down"))
    if positive != "down":
        raise InputError(
            f"{where}: {name}: is positive {positive}; give depths, positive down from the surface"
        )
    values = _numbers(dataset[name], name, where)
    lowest = 0.0 if name == "receiver_depth" else np.nextafter(0.0, 1.0)
    bad = ~(np.isfinite(values) & (values >= lowest))
    if bad.any():
        raise InputError(
            f"{where}: {name}: {values[bad][0]:g} {unit} is not a {name.replace('_', ' ')}; "
            "give finite numbers, positive down"
            if name == "receiver_depth"
            else f"{where}: {name}: {values[bad][0]:g} {unit}; give finite numbers above 0"
        )
    return values


def _numbers(variable: xr.DataArray, name: str, where: str) -> np.ndarray:
    if variable.dtype.kind not in "iuf":
        raise InputError(f"{where}: {name}: holds {variable.dtype}, not numbers; write float64")
    return np.array(variable.values, dtype=np.float64, order="C")


def _check_size(
    size: torch.Tensor, largest: float, kind: Kind, frequency: np.ndarray, where: str
) -> None:
    """Refuse a tone whose largest value, of `size` (F,), has no square."""
    bad = (size > largest) | ((size < 1 / largest) & (size > 0))
    if bad.any():
        tone = int(bad.nonzero()[0, 0])
        raise InputError(
            f"{where}: {kind} at {frequency[tone]:g} Hz: is as large as {size[tone]:g}; scale each "
            "tone to values near 1, or leave out what is wrong"
        )


def _check_pressure(data: torch.Tensor, frequency: np.ndarray, where: str) -> None:
    _check_size(data.abs().amax((0, 2)), _LARGEST, "pressure", frequency, where)
    silent = (data == 0).all(-1)  # one silent receiver is a finding, all of them are no data
    if silent.any():
        snapshot, tone = silent.nonzero()[0].tolist()
        raise InputError(
            f"{where}: pressure at {frequency[tone]:g} Hz: is zero at every receiver in snapshot "
            f"{snapshot} (and in {int(silent.sum()) - 1} more pairs of snapshot and tone); leave "
            "out that tone or snapshot"
        )


def _check_csdm(data: torch.Tensor, frequency: np.ndarray, where: str) -> None:
    _check_size(data.abs().amax((1, 2)), _LARGEST**2, "csdm", frequency, where)
    for f, matrix in zip(frequency, data, strict=True):
        size = matrix.abs().max()
        if size == 0 or (matrix - matrix.mH).abs().max() > 1e-3 * size:
            raise InputError(
                f"{where}: csdm at {f:g} Hz: is zero or not equal to its own conjugate transpose; "
                "give the mean of d_i conj(d_j)"
            )
        value = torch.linalg.eigvalsh(matrix)
        if value[0] < -1e-2 * value[-1]:
            raise InputError(
                f"{where}: csdm at {f:g} Hz: has the negative eigenvalue {value[0]:g} (largest "
                f"{value[-1]:g}); give the mean of d_i conj(d_j)"
            )


def _n_snapshots(dataset: xr.Dataset, kind: Kind, where: str) -> int:
    if kind == "pressure":
        return int(dataset.sizes["snapshot"])
    if kind == "transmission_loss":
        return 1
    value = dataset.attrs.get("n_snapshots")
    try:
        count = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        count = math.nan
    if not (count >= 1 and count.is_integer()):
        raise InputError(
            f"{where}: n_snapshots: {value}; a csdm needs the number of independent snapshots "
            "averaged in it, a whole number from 1 on"
        )
    return int(count)
