"""Field parameters of the Acoustics Toolbox (``.flp``, as FIELD reads them).

Source: Acoustics Toolbox documentation, "FIELD" (M. B. Porter). Supported is a point source with
coherent or incoherent modes, adiabatic where there are several profiles; the rest is refused by
name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from forward_models.files.records import Records
from forward_models.mode_sums import Coherence


@dataclass(frozen=True)
class FlpFile:
    """What field is wanted and where: ranges in km, depths in m; and how many modes at most.

    Most files begin their ranges at 0 km, where FIELD leaves spreading out; there is no field.
    """

    title: str
    mode_limit: int
    range_km: tuple[float, ...]
    source_depth: tuple[float, ...]
    receiver_depth: tuple[float, ...]
    profile_range_km: tuple[float, ...] = (0.0,)
    coherence: Coherence = "coherent"


def read_flp(path: str | Path) -> FlpFile:
    """Reads the field parameters.

    Raises:
        ModelInputError: one line with file, line, field, value and mend.
        FileNotFoundError: no such file.
    """
    records = Records(path)
    title, _ = records.text("title")
    letters = _options(records)
    mode_limit = records.integer("Mlimit")
    n_profiles = records.count("NPROF")
    if n_profiles > 1 and letters[1] == "C":
        raise records.error(
            "options(2:2)",
            f"'C': coupled modes over {n_profiles} profiles are not supported; use 'A' for "
            "adiabatic ones",
        )
    profile_range_km = records.vector("RPROF", n_profiles)
    if n_profiles > 1:
        _check_profile_ranges(records, profile_range_km)
    range_km = records.vector("R", records.count("NR"))
    if min(range_km) < 0 or max(range_km) == 0:
        raise records.error("R", f"{min(range_km):g} km must be above zero")
    source_depth = records.vector("SD", records.count("NSD"))
    receiver_depth = records.vector("RD", records.count("NRD"))
    if not records.at_end():
        count = records.count("NRR")
        offsets = records.numbers(["RR"] * count, [0.0] * count)
        if any(offsets):
            raise records.error(
                "RR", f"{max(offsets, key=abs):g}: displaced receivers are not supported; use 0.0 /"
            )
    return FlpFile(
        title=title,
        mode_limit=mode_limit,
        range_km=range_km,
        source_depth=source_depth,
        receiver_depth=receiver_depth,
        profile_range_km=profile_range_km,
        coherence="incoherent" if letters[3] == "I" else "coherent",
    )


def _options(records: Records) -> str:
    option, _ = records.text("options")
    letters = option.ljust(4)
    refused = {
        (0, "X"): "line sources",
        (0, "S"): "scaled cylindrical coordinates",
        (2, "*"): "source beam patterns",
    }
    for place, allowed in enumerate((" R", " AC", " O", " CI")):
        letter = letters[place]
        if letter not in allowed:
            what = refused.get((place, letter))
            problem = f"{what} are not supported" if what else "unknown"
            choices = " or ".join(repr(a) for a in allowed)
            raise records.error(
                f"options({place + 1}:{place + 1})", f"{letter!r}: {problem}; use {choices}"
            )
    return letters


def _check_profile_ranges(records: Records, ranges: tuple[float, ...]) -> None:
    if ranges[0] != 0:
        raise records.error(
            "RPROF", f"starts at {ranges[0]:g} km; the first profile lies at the source, 0 km"
        )
    for before, after in pairwise(ranges):
        if not after > before:
            raise records.error("RPROF", f"{after:g} after {before:g} km; ranges must increase")
