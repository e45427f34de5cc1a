"""The forward model on Acoustics Toolbox files, as labelled datasets ready for netCDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike

from forward_models import pressure, solve_modes, transmission_loss
from forward_models.files import EnvFile, FlpFile, read_env, read_flp
from forward_models.normal_modes.solve import Attenuation
from oceaninv.errors import InputError

_ALL_MODES = 9999  # what files write for "no limit"
_CHUNK = 8  # frequencies solved between two reports of progress

Progress = Callable[[int, int, str], None]


def modes_of_file(
    path: str | Path,
    *,
    frequency: Sequence[float] = (),
    depth: Sequence[float] = (),
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    leaky: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Normal modes of an ``.env`` file: the contents of ``modes.nc``.

    Args:
        path: an Acoustics Toolbox environment.
        frequency: Hz; empty takes the file's.
        depth: m, where the mode functions are wanted; empty takes the file's source and receiver
            depths, and 101 depths from the surface to the bottom where it has none.
        c_high: m/s; None takes the file's.
        attenuation: ``"exact"`` or ``"perturbative"``.
        leaky: with the modes that leak into the half-space, up to ``c_high``.
        progress: called with frequencies done, frequencies in all, and what is being done.

    Returns:
        ``k_real``, ``k_imag`` (frequency, mode) rad/m by decreasing real part, ``phi_real``,
        ``phi_imag`` (frequency, mode, depth) with ∫φ²/ρ dz = 1 (ρ in g/cm³), ``group_speed``
        (frequency, mode) m/s, all NaN-padded, and ``n_modes`` (frequency).

    Raises:
        ModelInputError: the file, or an environment that cannot be solved.
    """
    env = read_env(path)
    frequencies = np.array(frequency or [env.frequency], dtype=np.float64)
    depths = np.array(depth or _default_depths(env), dtype=np.float64)
    parts = []
    for rows in _chunks(frequencies.size, progress, "modes"):
        modes = solve_modes(
            env.environment,
            frequencies[rows],
            depth=depths,
            c_high=c_high or env.c_high,
            attenuation=attenuation,
            leaky=leaky,
        )
        parts.append(
            xr.Dataset(
                {
                    **_complex("k", ("frequency", "mode"), modes.wavenumber[0], _WAVENUMBER),
                    **_complex("phi", ("frequency", "mode", "depth"), modes.mode_function[0], _PHI),
                    "group_speed": (
                        ("frequency", "mode"),
                        modes.group_speed[0].numpy(),
                        {"units": "m s-1", "long_name": "group speed"},
                    ),
                    "n_modes": (
                        ("frequency",),
                        modes.n_modes[0].numpy(),
                        {"units": "1", "long_name": "number of modes"},
                    ),
                },
                coords={
                    "frequency": frequencies[rows],
                    "mode": np.arange(1, modes.wavenumber.shape[-1] + 1),
                    "depth": ("depth", depths, _DEPTH),
                },
            )
        )
    dataset = xr.concat(parts, dim="frequency", data_vars="minimal", join="outer")
    dataset["mode"].attrs = {"long_name": "mode number"}
    return _described(dataset, f"Normal modes: {env.title}", attenuation)


def field_of_file(
    path: str | Path,
    *,
    frequency: Sequence[float] = (),
    source_depth: Sequence[float] = (),
    receiver_depth: Sequence[float] = (),
    range_km: Sequence[float] = (),
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    leaky: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Pressure and propagation loss of an ``.env`` file: the contents of ``field.nc``.

    What is left empty comes from the ``.flp`` file beside the ``.env`` file and, depths only, from
    the ``.env`` file itself.

    Returns:
        ``pressure_real``, ``pressure_imag`` (frequency, source_depth, receiver_depth, range),
        normalised to 1 at 1 m, and ``transmission_loss``, dB.

    Raises:
        ModelInputError: one of the files, or an environment that cannot be solved.
        InputError: no ranges, or no depths, anywhere.
    """
    env = read_env(path)
    flp_path = Path(path).with_suffix(".flp")
    flp = read_flp(flp_path) if flp_path.is_file() else FlpFile("", _ALL_MODES, (), (), ())
    frequencies = np.array(frequency or [env.frequency], dtype=np.float64)
    sources = _first("source-depth", source_depth, flp.source_depth, env.source_depth, path)
    receivers = _first(
        "receiver-depth", receiver_depth, flp.receiver_depth, env.receiver_depth, path
    )
    ranges = 1000.0 * _first("range-km", range_km, flp.range_km, (), path)
    limit = c_high or env.c_high
    _refuse_fewer_modes(env, flp, flp_path, frequencies, limit, leaky=leaky)
    parts = []
    for rows in _chunks(frequencies.size, progress, "field"):
        parts.append(
            pressure(
                env.environment,
                frequencies[rows],
                source_depth=sources,
                receiver_depth=receivers,
                range_m=ranges,
                c_high=limit,
                attenuation=attenuation,
                leaky=leaky,
            )[0]
        )
    p = torch.cat(parts)
    dims = ("frequency", "source_depth", "receiver_depth", "range")
    dataset = xr.Dataset(
        {
            **_complex("pressure", dims, p, _PRESSURE),
            "transmission_loss": (dims, transmission_loss(p).numpy(), _LOSS),
        },
        coords={
            "frequency": frequencies,
            "source_depth": ("source_depth", sources, _DEPTH | {"long_name": "source depth"}),
            "receiver_depth": (
                "receiver_depth",
                receivers,
                _DEPTH | {"long_name": "receiver depth"},
            ),
            "range": ("range", ranges, {"units": "m", "long_name": "horizontal range"}),
        },
    )
    return _described(dataset, f"Acoustic field: {env.title}", attenuation)


_WAVENUMBER = {
    "units": "rad m-1",
    "long_name": "horizontal wavenumber",
    "comment": "exp(ikr) with exp(-iwt): a positive imaginary part decays",
}
_PHI = {
    "units": "g0.5 cm-1.5 m-0.5",
    "long_name": "mode function",
    "comment": "integral of phi^2/rho over all media is 1, rho in g/cm3; positive at the surface",
}
_PRESSURE = {
    "units": "1",
    "long_name": "sound pressure, normalised to 1 at 1 m from the source",
}
_LOSS = {"units": "dB", "long_name": "propagation loss", "reference": "1 m^2 (ISO 18405)"}
_DEPTH: dict[str, str] = {
    "units": "m",
    "standard_name": "depth",
    "long_name": "depth",
    "positive": "down",
}


def _complex(
    name: str, dims: tuple[str, ...], values: torch.Tensor, attributes: dict[str, str]
) -> dict[str, Any]:
    parts = {"real": values.real, "imag": values.imag}
    return {
        f"{name}_{part}": (
            dims,
            value.numpy(),
            attributes | {"long_name": f"{attributes['long_name']}, {part} part"},
        )
        for part, value in parts.items()
    }


def _described(dataset: xr.Dataset, title: str, attenuation: str) -> xr.Dataset:
    dataset["frequency"].attrs = {"units": "Hz", "long_name": "frequency"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return dataset.assign_attrs(
        title=title,
        Conventions="CF-1.11, ACDD-1.3",
        source=f"oceaninv {version('oceaninv')}, normal modes, {attenuation} attenuation",
        date_created=now,
        time_convention="exp(-iwt)",
    )


def _default_depths(env: EnvFile) -> ArrayLike:
    depths = sorted({*env.source_depth, *env.receiver_depth})
    return depths or np.linspace(0.0, env.environment.bottom_depth.item(), 101)


def _first(
    option: str,
    given: Sequence[float],
    from_flp: Sequence[float],
    from_env: Sequence[float],
    path: str | Path,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The values from the first place that has any."""
    for values in (given, from_flp, from_env):
        if len(values):
            return np.array(values, dtype=np.float64)
    flp = Path(path).with_suffix(".flp").name
    raise InputError(
        f"{Path(path).name}: {option}: not given, and no {flp} beside it says it; add --{option}"
    )


def _refuse_fewer_modes(
    env: EnvFile,
    flp: FlpFile,
    flp_path: Path,
    frequencies: np.ndarray[Any, np.dtype[np.float64]],
    c_high: float,
    *,
    leaky: bool,
) -> None:
    if flp.mode_limit >= _ALL_MODES:
        return
    most = int(solve_modes(env.environment, frequencies, c_high=c_high, leaky=leaky).n_modes.max())
    if flp.mode_limit < most:
        raise InputError(
            f"{flp_path.name}: Mlimit: {flp.mode_limit}: there are {most} modes, and leaving out "
            f"some by number is not supported; use {_ALL_MODES}, and --c-high for fewer"
        )


def _chunks(count: int, progress: Progress | None, what: str) -> Iterator[slice]:
    """Slices of a few frequencies, telling the progress between them."""
    for start in range(0, count, _CHUNK):
        if progress:
            progress(start, count, what)
        yield slice(start, min(start + _CHUNK, count))
    if progress:
        progress(count, count, what)
