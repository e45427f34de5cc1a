"""Field parameters of the Acoustics Toolbox (``.flp``, as FIELD reads them).

Source: Acoustics Toolbox documentation, "FIELD" (M. B. Porter). Supported is a point source in a
range-independent environment with coherent modes; the rest is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forward_models.files.records import Records


@dataclass(frozen=True)
class FlpFile:
    """Where the field is wanted: ranges in km, depths in m; and how many modes at most."""

    title: str
    mode_limit: int
    range_km: tuple[float, ...]
    source_depth: tuple[float, ...]
    receiver_depth: tuple[float, ...]


def read_flp(path: str | Path) -> FlpFile:
    """Reads the field parameters of one range-independent environment.

    Raises:
        ModelInputError: one line with file, line, field, value and mend.
        FileNotFoundError: no such file.
    """
    records = Records(path)
    title, _ = records.text("title")
    _check_options(records)
    mode_limit = records.integer("Mlimit")
    n_profiles = records.integer("NPROF")
    if n_profiles != 1:
        raise records.error(
            "NPROF", f"{n_profiles}: environments that vary with range are not supported; use 1"
        )
    records.vector("RPROF", 1)
    range_km = records.vector("R", records.integer("NR"))
    if min(range_km) <= 0:
        raise records.error("R", f"{min(range_km):g} km must be above zero")
    source_depth = records.vector("SD", records.integer("NSD"))
    receiver_depth = records.vector("RD", records.integer("NRD"))
    if not records.at_end():
        count = records.integer("NRR")
        offsets = records.numbers(["RR"] * count, [0.0] * count)
        if any(offsets):
            raise records.error(
                "RR", f"{max(offsets, key=abs):g}: displaced receivers are not supported; use 0.0 /"
            )
    return FlpFile(title, mode_limit, range_km, source_depth, receiver_depth)


def _check_options(records: Records) -> None:
    option, _ = records.text("options")
    letters = option.ljust(4)
    refused = {
        (0, "X"): "line sources",
        (0, "S"): "scaled cylindrical coordinates",
        (2, "*"): "source beam patterns",
        (3, "I"): "incoherent modes",
    }
    for place, allowed in enumerate((" R", " AC", " O", " C")):
        letter = letters[place]
        if letter not in allowed:
            what = refused.get((place, letter))
            problem = f"{what} are not supported" if what else "unknown"
            choices = " or ".join(repr(a) for a in allowed)
            raise records.error(
                f"options({place + 1}:{place + 1})", f"{letter!r}: {problem}; use {choices}"
            )
