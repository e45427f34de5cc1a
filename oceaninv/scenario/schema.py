"""What a scenario file may say: environment, unknowns with priors, array, tones and noise.

Lengths are in m, speeds in m/s, frequencies in Hz and densities in g/cm³, as users write them;
every number that may be unknown can be an arithmetic expression of unknowns.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from oceaninv.scenario.expressions import names_in
from oceaninv.scenario.prior import Marginal, Prior, marginal
from oceaninv.scenario.training import Training

Group = Literal["geometry", "water", "seabed", "noise"]

#: Attenuation units by the names users write, with the Acoustics Toolbox letter of each.
ATTENUATION_LETTER = {
    "Np/m": "N",
    "dB/m": "M",
    "dB/(m kHz)": "F",
    "dB/wavelength": "W",
    "Q": "Q",
    "loss parameter": "L",
}

#: What stands beside the unknowns in the file of a posterior: a variable of that name has no place.
RESERVED_NAMES = ("chain", "draw", "log_weight")


_MOST_SNR = 120.0  # dB: with more, double precision has no digits of the noise


def _check_value(value: float | str) -> float | str:
    names_in(value)
    if not isinstance(value, str) and not math.isfinite(value):
        raise ValueError("must be a finite number or an expression of unknowns")
    return value


def _check_prior(spec: dict[str, list[float]]) -> dict[str, list[float]]:
    marginal(spec)
    return spec


def _check_snr(spec: float | dict[str, list[float]] | None) -> Any:
    if spec is None:
        return spec
    prior = noise_marginal(spec)
    if isinstance(prior, float):
        ends = [prior]
    else:
        ends = prior.from_normal(torch.tensor([-8.0, 8.0], dtype=torch.float64)).tolist()
    extreme = max(ends, key=abs)
    if abs(extreme) > _MOST_SNR:
        raise ValueError(
            f"reaches {extreme:g} dB; give a ratio of powers between {-_MOST_SNR:g} and "
            f"{_MOST_SNR:g} dB"
        )
    return spec


def _check_increasing(numbers: list[float]) -> list[float]:
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        raise ValueError("must increase from each entry to the next")
    return numbers


Value = Annotated[float | str, AfterValidator(_check_value)]
PriorSpec = Annotated[dict[str, list[float]], AfterValidator(_check_prior)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Unknown(_Part):
    """One unknown parameter: its prior, unit and place in reports."""

    prior: PriorSpec
    unit: str
    long_name: str
    group: Group = "seabed"


class Grid(_Part):
    """n equally spaced numbers from start to stop, both included."""

    start: Finite
    stop: Finite
    n: Annotated[int, Field(ge=2, le=100_000)]

    def values(self) -> list[float]:
        """The numbers."""
        return [float(x) for x in np.linspace(self.start, self.stop, self.n)]


def _check_distinct(places: list[float] | Grid) -> list[float] | Grid:
    values = places.values() if isinstance(places, Grid) else places
    for a, b in itertools.pairwise(sorted(values)):
        if a == b:
            raise ValueError(f"{a:g} m is given twice; give each place once")
    return places


Places = Annotated[
    Annotated[list[NotNegative], Field(min_length=1)] | Grid, AfterValidator(_check_distinct)
]


class Water(_Part):
    """Water column: knots of sound speed, cut at the depth or continued to it."""

    depth: Value
    sound_speed: Value | Annotated[list[tuple[NotNegative, Value]], Field(min_length=1)]
    density: Value = 1.0
    attenuation: Value = 0.0

    @model_validator(mode="after")
    def _check_knots(self) -> Water:
        depths = [z for z, _ in self.knots]
        if depths[0] != 0:
            raise ValueError(
                f"sound_speed: the first knot is at {depths[0]:g} m; give one at the surface, 0 m"
            )
        _check_increasing(depths)
        return self

    @property
    def knots(self) -> list[tuple[float, float | str]]:
        """(depth, sound speed) of the profile."""
        if isinstance(self.sound_speed, list):
            return self.sound_speed
        return [(0.0, self.sound_speed)]


class Sediment(_Part):
    """One sediment layer; a pair is the value at its top and at its bottom."""

    thickness: Value
    sound_speed: Value | tuple[Value, Value]
    density: Value
    attenuation: Value | tuple[Value, Value] = 0.0


class HalfSpace(_Part):
    """What lies below the last layer, down to infinity."""

    sound_speed: Value
    density: Value
    attenuation: Value = 0.0


class EnvironmentSpec(_Part):
    """Water over sediments over a half-space, or over a rigid or vacuum bottom."""

    water: Water
    sediments: list[Sediment] = []
    half_space: HalfSpace | None = None
    bottom: Literal["half_space", "rigid", "vacuum"] = "half_space"
    attenuation_unit: Literal[
        "Np/m", "dB/m", "dB/(m kHz)", "dB/wavelength", "Q", "loss parameter"
    ] = "dB/wavelength"
    interpolation: Literal["c_linear", "n2_linear"] = "c_linear"

    @model_validator(mode="after")
    def _check_bottom(self) -> EnvironmentSpec:
        if (self.bottom == "half_space") != (self.half_space is not None):
            raise ValueError(
                "give either half_space, or bottom: rigid, or bottom: vacuum, and one only"
            )
        return self


class Source(_Part):
    """A point source; the range is to the array, and is left out for transmission loss."""

    depth: Value
    range: Value | None = None


class Array(_Part):
    """Vertical array of nominal phone depths, m.

    `first_depth` moves the whole array so that its first phone lies there. `tilt` (degrees)
    then turns it about the phone at `pivot` (the deepest, unless said): a phone at a height
    h above the pivot goes to the range r + h sin(tilt) and the depth z_pivot - h cos(tilt), so
    that a positive tilt leans the top away from the source.
    """

    depth: Places
    first_depth: Value | None = None
    tilt: Value = 0.0
    pivot: Finite | None = None


class Receiver(_Part):
    """Receiver depths and the ranges at which transmission loss was measured, m."""

    depth: Places
    range: Places


class Noise(_Part):
    """Noise model; `correlation_length` (m) is 0 where errors are independent.

    Pressure: `snr_db`, a number or a prior, per phone and independent for each tone.
    Transmission loss: `sd_db`, a number or a prior, independent for each tone, and
    `offset_sd_db`, of the unknown offset of each tone.
    """

    snr_db: Annotated[Finite | PriorSpec | None, AfterValidator(_check_snr)] = None
    sd_db: Positive | PriorSpec | None = None
    offset_sd_db: NotNegative | None = None
    correlation_length: Value = 0.0


class Solver(_Part):
    """Settings of the mode solver; `c_high` None is the half-space speed."""

    c_high: Positive | None = None
    attenuation: Literal["exact", "perturbative"] = "exact"


class Scenario(_Part):
    """A problem of geoacoustic inversion, complete: see `load_scenario`."""

    name: str
    title: str
    reference: str = ""
    data: Literal["pressure", "transmission_loss"]
    frequency: Annotated[list[Positive], Field(min_length=1), AfterValidator(_check_increasing)]
    unknowns: Annotated[dict[str, Unknown], Field(min_length=1)]
    environment: EnvironmentSpec
    source: Source
    array: Array | None = None
    receiver: Receiver | None = None
    noise: Noise
    solver: Solver = Solver()
    training: Training = Training()

    @model_validator(mode="after")
    def _check_kind(self) -> Scenario:
        complex_data = self.data == "pressure"
        for field, value, wanted in (
            ("array", self.array, complex_data),
            ("source.range", self.source.range, complex_data),
            ("noise.snr_db", self.noise.snr_db, complex_data),
            ("receiver", self.receiver, not complex_data),
            ("noise.sd_db", self.noise.sd_db, not complex_data),
            ("noise.offset_sd_db", self.noise.offset_sd_db, not complex_data),
        ):
            if wanted and value is None:
                raise ValueError(f"{field}: is missing; data: {self.data} needs it")
            if not wanted and value is not None:
                raise ValueError(f"{field}: data: {self.data} does not use it; remove it")
        if complex_data and len(self.receiver_depth) < 2:
            raise ValueError(
                f"array.depth: {self.receiver_depth[0]:g} m alone says nothing where amplitude and "
                "phase of the source are unknown at each tone; give two receivers or more"
            )
        return self

    @model_validator(mode="after")
    def _check_names(self) -> Scenario:
        for name in self.unknowns:
            if not name.isidentifier():
                raise ValueError(f"unknowns.{name}: write the name with letters, digits and _")
        used: set[str] = set()
        for path, value in _values(self):
            for name in sorted(names_in(value)):
                if name not in self.unknowns:
                    raise ValueError(
                        f"{path}: '{name}' is not an unknown of this scenario; declare it under "
                        f"unknowns or write one of {', '.join(self.unknowns)}"
                    )
                used.add(name)
        for name in self.unknowns:
            if name in RESERVED_NAMES:
                raise ValueError(
                    f"unknowns.{name}: the file of a posterior has another '{name}'; choose any "
                    f"name but {', '.join(RESERVED_NAMES)}"
                )
            if name not in used:
                raise ValueError(
                    f"unknowns.{name}: nothing in the scenario uses it; use it in environment, "
                    "source, array or noise, or remove it"
                )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the unknowns, in the order of every parameter vector."""
        return tuple(self.unknowns)

    @property
    def geometry_names(self) -> tuple[str, ...]:
        """Unknowns of source, array and noise alone, which leave the modes as they are."""
        fixed: set[str] = set()
        for path, value in _values(self):
            if path.startswith("environment."):
                fixed |= names_in(value)
        return tuple(name for name in self.names if name not in fixed)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the unknowns."""
        return tuple(u.unit for u in self.unknowns.values())

    @property
    def prior(self) -> Prior:
        """Joint prior of the unknowns."""
        return Prior(self.names, tuple(marginal(u.prior) for u in self.unknowns.values()))

    @property
    def receiver_depth(self) -> list[float]:
        """Nominal depths of the R receivers, m, as a measurement states them."""
        part = self.array or self.receiver
        assert part is not None  # by _check_kind
        return part.depth.values() if isinstance(part.depth, Grid) else part.depth

    @property
    def range_m(self) -> list[float]:
        """Ranges of a transmission-loss curve, m; empty for pressure."""
        if self.receiver is None:
            return []
        places = self.receiver.range
        return places.values() if isinstance(places, Grid) else places

    def hash(self) -> str:
        """SHA-256 of all that decides the posterior (not of titles or training settings)."""
        return self._digest({"title", "reference", "training"})

    def simulation_hash(self) -> str:
        """SHA-256 of all that decides noise-free data: a training set serves any noise model."""
        return self._digest({"name", "title", "reference", "training", "noise"})

    def _digest(self, left_out: set[str]) -> str:
        content = self.model_dump(mode="json", exclude=left_out)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def noise_marginal(spec: float | dict[str, list[float]]) -> Marginal | float:
    """The prior of an SNR or of a standard deviation, or the number where it is fixed."""
    return marginal(spec) if isinstance(spec, dict) else float(spec)


_WORDS = {"attenuation_unit", "bottom", "interpolation"}


def _values(scenario: Scenario) -> Iterator[tuple[str, float | str]]:
    """Every number or expression of the physics, with its path in the file."""

    def walk(path: str, part: Any) -> Iterator[tuple[str, float | str]]:
        if isinstance(part, dict):
            for key, value in part.items():
                if key not in _WORDS:
                    yield from walk(f"{path}.{key}", value)
        elif isinstance(part, list | tuple):
            for index, value in enumerate(part):
                yield from walk(f"{path}.{index}", value)
        elif isinstance(part, int | float | str):
            yield path, part

    for field in ("environment", "source", "array", "noise"):
        part = getattr(scenario, field)
        if part is not None:
            yield from walk(field, part.model_dump())
