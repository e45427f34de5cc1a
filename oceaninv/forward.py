"""The forward model on Acoustics Toolbox files, as labelled datasets ready for netCDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike

from forward_models import (
    Coherence,
    Environment,
    ModelInputError,
    adiabatic_pressure,
    pressure,
    solve_modes,
    spectral_pressure,
    stack,
    transmission_loss,
)
from forward_models.files import EnvFile, FlpFile, read_env, read_env_profiles, read_flp
from forward_models.normal_modes.solve import Attenuation
from forward_models.spectral import left_out
from oceaninv.errors import InputError

_ALL_MODES = 9999  # what files write for "no limit"
_CHUNK = 8  # frequencies solved between two reports of progress

Progress = Callable[[int, int, str], None]
Method = Literal["modes", "spectral"]


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
            c_high=env.c_high if c_high is None else c_high,
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
    coherence: Coherence | None = None,
    leaky: bool = False,
    method: Method = "modes",
    truncation: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Pressure and propagation loss of an ``.env`` file: the contents of ``field.nc``.

    What is left empty comes from the ``.flp`` file beside the ``.env`` file and, depths only, from
    the ``.env`` file itself. An ``.env`` file of several profiles gives the field of adiabatic
    modes, the profiles at the ranges ``RPROF`` of the ``.flp`` file. ``Mlimit`` there limits the
    modes in the sum; where it asks for more than there are, the attribute ``comment`` says so, and
    that a range of 0 km there is left out.

    Args:
        path: an Acoustics Toolbox environment.
        frequency: Hz; empty takes the file's.
        source_depth, receiver_depth: m.
        range_km: km.
        c_high, attenuation: of the modes, as for :func:`modes_of_file`.
        method: ``"modes"`` sums the modes; ``"spectral"`` integrates over all wavenumbers, which
            leaves nothing out and takes longer.
        truncation: adds what the sum of modes leaves out of the full field.
        progress: as for :func:`modes_of_file`.

    Returns:
        ``pressure_real``, ``pressure_imag`` (frequency, source_depth, receiver_depth, range),
        normalised to 1 at 1 m, and ``transmission_loss``, dB; with ``truncation`` also
        ``truncation_error`` (frequency, source_depth, range), relative. Of incoherent modes the
        pressure is the root of the sum of squares, and its imaginary part zero.

    Raises:
        ModelInputError: one of the files, or an environment that cannot be solved.
        InputError: no ranges, or no depths, anywhere; options that the full field does not have.
    """
    profiles = read_env_profiles(path)
    env = profiles[0]
    flp_path = Path(path).with_suffix(".flp")
    flp = read_flp(flp_path) if flp_path.is_file() else FlpFile("", _ALL_MODES, (), (), ())
    track, range_of_profile = _track(profiles, flp, path)
    frequencies = np.array(frequency or [env.frequency], dtype=np.float64)
    sources = _first("source-depth", source_depth, flp.source_depth, env.source_depth, path)
    receivers = _first(
        "receiver-depth", receiver_depth, flp.receiver_depth, env.receiver_depth, path
    )
    beyond_source = tuple(r for r in flp.range_km if r > 0)
    ranges = 1000.0 * _first("range-km", range_km, beyond_source, (), path)
    limit = _one_c_high(profiles, path) if c_high is None else c_high
    summed = coherence or flp.coherence
    mode_limit = flp.mode_limit if flp.mode_limit < _ALL_MODES else None
    fewer = ""
    if method == "modes" or truncation:
        fewer = _fewer_modes(track, mode_limit, flp_path, frequencies, limit, leaky=leaky)
    elif c_high is not None or attenuation != "exact":
        given = "c-high" if c_high is not None else "attenuation"
        raise InputError(
            f"--{given}: the spectral method has no modes to choose or to approximate; leave out "
            f"--{given}, or add --truncation"
        )
    if (method == "spectral" or truncation) and (len(track) > 1 or summed == "incoherent"):
        raise InputError(
            f"{Path(path).name}: the full field is that of one profile, coherent; leave out "
            "--method spectral and --truncation"
        )
    if leaky and (len(track) > 1 or (method == "spectral" and not truncation)):
        raise InputError(
            f"{Path(path).name}: --leaky: neither adiabatic modes nor the full field have leaky "
            "modes; leave it out"
        )
    geometry: dict[str, Any] = {
        "source_depth": sources,
        "receiver_depth": receivers,
        "range_m": ranges,
    }
    of_modes: dict[str, Any] = {"c_high": limit, "attenuation": attenuation, "coherence": summed}
    fields, errors = [], []
    for rows in _chunks(frequencies.size, progress, "field"):
        tones = frequencies[rows]
        if len(track) > 1:
            p = adiabatic_pressure(track, range_of_profile, tones, **geometry, **of_modes)[None]
        elif method == "modes" or truncation:
            p = pressure(track, tones, **geometry, **of_modes, leaky=leaky, mode_limit=mode_limit)
        if method == "spectral" or truncation:
            full = spectral_pressure(track, tones, **geometry)
        if truncation:
            errors.append(left_out(p, full)[0])
        fields.append(p[0] if method == "modes" else full[0])
    p = torch.cat(fields).to(torch.complex128)
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
    if truncation:
        over = ("frequency", "source_depth", "range")
        dataset["truncation_error"] = (over, torch.cat(errors).numpy(), _TRUNCATION)
    comments = [fewer] if fewer else []
    if not range_km and 0.0 in flp.range_km:
        comments.append(f"{flp_path.name}: R: 0 km is left out, a field needs a range above zero")
    if comments:
        dataset.attrs["comment"] = "; ".join(comments)
    if method == "modes":
        dataset = dataset.assign_attrs(mode_sum=summed)
    how = {"modes": "normal modes", "spectral": "wavenumber integration"}[method]
    how = f"adiabatic {how}" if len(track) > 1 else how
    return _described(dataset, f"Acoustic field: {env.title}", attenuation, how)


def ranges_within(field: xr.Dataset, level: float) -> list[float]:
    """The range (m) at each frequency from which on the truncation error is at most ``level``.

    The worst source depth counts. Infinite where the largest range does not reach the level, the
    smallest range where all do.

    Args:
        field: contents of ``field.nc`` with ``truncation_error``.
        level: relative, 0.01 for 1 %.
    """
    field = field.sortby("range")
    worst = field["truncation_error"].max("source_depth").transpose("frequency", "range").values
    ranges = np.append(field["range"].values, np.inf)
    return [float(ranges[np.flatnonzero(np.append(True, ~(row <= level)))[-1]]) for row in worst]


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
_TRUNCATION = {
    "units": "1",
    "long_name": "what the sum of modes leaves out of the full field, relative",
    "comment": "norm of the difference over receiver depths, over the norm of the full field",
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


def _described(
    dataset: xr.Dataset, title: str, attenuation: str, how: str = "normal modes"
) -> xr.Dataset:
    dataset["frequency"].attrs = {"units": "Hz", "long_name": "frequency"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return dataset.assign_attrs(
        title=title,
        Conventions="CF-1.11, ACDD-1.3",
        source=f"oceaninv {version('oceaninv')}, {how}, {attenuation} attenuation",
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


def _track(
    profiles: list[EnvFile], flp: FlpFile, path: str | Path
) -> tuple[Environment, np.ndarray[Any, np.dtype[np.float64]]]:
    """The profiles as one batch, and their ranges in m."""
    name = Path(path).name
    if len(profiles) != len(flp.profile_range_km):
        beside = Path(path).with_suffix(".flp")
        places = len(flp.profile_range_km)
        says = f"places {places}" if beside.is_file() else "is not there"
        raise InputError(
            f"{name}: {len(profiles)} profiles, but {beside.name} {says}; set NPROF and RPROF in "
            "it to one range (km) a profile"
        )
    try:
        track = stack([profile.environment for profile in profiles])
    except ModelInputError as error:
        raise ModelInputError(f"{name}: profiles: {error}") from error
    return track, 1000.0 * np.array(flp.profile_range_km)


def _one_c_high(profiles: list[EnvFile], path: str | Path) -> float:
    limits = {profile.c_high for profile in profiles}
    if len(limits) > 1:
        listed = ", ".join(f"{limit:g}" for limit in sorted(limits))
        raise InputError(
            f"{Path(path).name}: cHigh: profiles differ ({listed} m/s); give one with --c-high"
        )
    return limits.pop()


def _fewer_modes(
    track: Environment,
    mode_limit: int | None,
    flp_path: Path,
    frequencies: np.ndarray[Any, np.dtype[np.float64]],
    c_high: float,
    *,
    leaky: bool,
) -> str:
    """What to say where fewer modes exist than the file asks for; empty where all do.

    Raises:
        InputError: a limit that leaves modes out of a range-dependent field.
    """
    if mode_limit is None:
        return ""
    counts = solve_modes(track, frequencies, c_high=c_high, leaky=leaky).n_modes
    if len(track) > 1 and mode_limit < int(counts.max()):
        raise InputError(
            f"{flp_path.name}: Mlimit: {mode_limit}: there are {int(counts.max())} modes, and "
            f"leaving out some by number is not supported over several profiles; use {_ALL_MODES}, "
            "and --c-high for fewer"
        )
    fewest, at = counts.amin(0).min(0)
    if mode_limit <= fewest:
        return ""
    tone = frequencies[int(at)]
    return (
        f"{flp_path.name}: Mlimit: {mode_limit} modes are asked for, at {tone:g} Hz there are "
        f"{fewest}; the field is the sum of those that exist"
    )


def _chunks(count: int, progress: Progress | None, what: str) -> Iterator[slice]:
    """Slices of a few frequencies, telling the progress between them."""
    for start in range(0, count, _CHUNK):
        if progress:
            progress(start, count, what)
        yield slice(start, min(start + _CHUNK, count))
    if progress:
        progress(count, count, what)
