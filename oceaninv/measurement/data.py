"""A measurement: what an array recorded, in the house's own conventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.scenario.schema import Scenario

Kind = Literal["pressure", "csdm", "transmission_loss"]

_FREQUENCY_TOLERANCE = 0.05  # Hz
_PLACE_TOLERANCE = 0.05  # m


@dataclass(frozen=True)
class Measurement:
    """Data at F tones and R receivers, time convention exp(-iwt), depth positive down.

    Attributes:
        frequency: (F,) Hz.
        receiver_depth: (R,) m.
        kind: what `data` holds.
        data: pressure (K, F, R) complex128 of K snapshots; csdm (F, R, R) complex128, the mean
            of d d' over the snapshots; transmission_loss (F, R * len(range_m)) float64 in dB,
            receiver after receiver.
        range_m: (n,) m for transmission loss, empty otherwise.
        n_snapshots: K, number of independent snapshots behind the data.
        attributes: provenance, as kept in the file.
        name: what errors call it, usually its file.
    """

    frequency: Tensor
    receiver_depth: Tensor
    kind: Kind
    data: Tensor
    range_m: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    n_snapshots: int = 1
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    name: str = "measurement"

    @property
    def csdm(self) -> Tensor:
        """Sample cross-spectral density matrix (F, R, R) of complex data."""
        if self.kind == "pressure":
            return torch.einsum("kfi,kfj->fij", self.data, self.data.conj()) / len(self.data)
        return self.data

    def conjugate(self) -> Measurement:
        """The same data read in the other time convention."""
        return replace(self, data=self.data.conj().resolve_conj())


def match_scenario(measurement: Measurement, scenario: Scenario) -> Measurement:
    """The measurement with tones, receivers and ranges in the order of the scenario.

    Depths are compared as an array: where the scenario lets the array move as a whole
    (`first_depth`), only the spacing counts.

    Raises:
        InputError: the two do not speak of the same kind of data, tones, receivers or ranges.
    """
    where = measurement.name
    is_level = measurement.kind == "transmission_loss"
    if is_level != (scenario.data == "transmission_loss"):
        raise InputError(
            f"{where}: holds {measurement.kind} but {scenario.name} is for {scenario.data}; "
            "choose a scenario or model for this kind of data"
        )
    tones = _match(
        measurement.frequency.tolist(), scenario.frequency, _FREQUENCY_TOLERANCE,
        where, "frequency", "Hz", scenario.name,
    )  # fmt: skip
    measured, nominal = measurement.receiver_depth.tolist(), scenario.receiver_depth
    if scenario.array is not None and scenario.array.first_depth is not None:
        # A whole array may lie deeper than its nominal place: compare from its deepest phone.
        shift = max(measured) - max(nominal)
        measured = [z - shift for z in measured]
    receivers = _match(
        measured, nominal, _PLACE_TOLERANCE, where, "receiver_depth", "m", scenario.name
    )
    f, r = torch.tensor(tones), torch.tensor(receivers)
    frequency, receiver_depth = measurement.frequency[f], measurement.receiver_depth[r]
    matched = replace(measurement, frequency=frequency, receiver_depth=receiver_depth)
    if measurement.kind == "pressure":
        return replace(matched, data=measurement.data[:, f][:, :, r])
    if measurement.kind == "csdm":
        return replace(matched, data=measurement.data[f][:, r][:, :, r])
    ranges = torch.tensor(
        _match(
            measurement.range_m.tolist(), scenario.range_m, _PLACE_TOLERANCE,
            where, "range", "m", scenario.name,
        )
    )  # fmt: skip
    level = measurement.data.reshape(len(tones), len(measured), -1)[f][:, r][:, :, ranges]
    return replace(matched, data=level.flatten(1), range_m=measurement.range_m[ranges])


def _match(
    measured: Sequence[float],
    wanted: Sequence[float],
    tolerance: float,
    where: str,
    field_name: str,
    unit: str,
    scenario: str,
) -> list[int]:
    """Index into `measured` of each of `wanted`; both must hold the same set."""
    for value in measured:
        if all(abs(value - w) > tolerance for w in wanted):
            listed = ", ".join(f"{w:g}" for w in wanted)
            raise InputError(
                f"{where}: {field_name}: {value:g} {unit} is not one of those of {scenario} "
                f"({listed}); keep only these, or take a scenario and train a model for it"
            )
    index = []
    for w in wanted:
        near = [i for i, value in enumerate(measured) if abs(value - w) <= tolerance]
        if len(near) != 1:
            count = "is missing" if not near else f"occurs {len(near)} times"
            raise InputError(
                f"{where}: {field_name}: {w:g} {unit} of {scenario} {count}; give each once"
            )
        index.append(near[0])
    return index
