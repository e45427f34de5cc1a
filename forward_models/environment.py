"""The waveguide: a stack of fluid segments over a half-space, a rigid or a vacuum bottom.

The half-space is a fluid, or an elastic solid when it has a shear speed.

A *segment* lies between two knots of a profile. Within it the complex sound speed is linear in
depth (``c_linear``) or its inverse square is (``n2_linear``), and the density is constant. A
*layer* is a run of segments; a batch of environments pads the shorter ones with segments of
thickness zero, which change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from forward_models.errors import ModelInputError

Bottom = Literal["half_space", "rigid", "vacuum"]
Top = Literal["vacuum", "rigid"]
Interpolation = Literal["c_linear", "n2_linear"]

# A shear speed above this share of the sound speed would make the bulk modulus
# ρ (c² - 4/3 c_s²) negative.
SHEAR_LIMIT = math.sqrt(0.75)

_PER_SEGMENT = (
    "thickness",
    "sound_speed_top",
    "sound_speed_bottom",
    "density",
    "attenuation_top",
    "attenuation_bottom",
)
_HALF_SPACE = ("half_space_sound_speed", "half_space_density", "half_space_attenuation")
_SHEAR = ("half_space_shear_speed", "half_space_shear_attenuation")


@dataclass(frozen=True)
class Layer:
    """Knots of one layer: absolute depths (m), sound speeds (m/s), density (kg/m³), attenuation.

    ``density`` and ``attenuation`` are one value for the layer or one a knot. A density that
    varies within the layer is taken constant in each segment, at the mean of its two knots.
    """

    depth: Sequence[float]
    sound_speed: Sequence[float]
    density: float | Sequence[float] = 1000.0
    attenuation: float | Sequence[float] = 0.0


@dataclass(frozen=True)
class HalfSpace:
    """Half-space below the last layer: m/s, kg/m³ and attenuations in one unit.

    A shear speed above zero makes it an elastic solid, whose sound speed is that of compressional
    waves; each attenuation holds for its own wave.
    """

    sound_speed: float
    density: float
    attenuation: float = 0.0
    shear_speed: float = 0.0
    shear_attenuation: float = 0.0


@dataclass(frozen=True)
class Environment:
    """A batch of B waveguides of S segments each; float64 tensors, depth positive down.

    Attributes:
        thickness: (B, S) m, zero for padding.
        sound_speed_top, sound_speed_bottom: (B, S) m/s at the ends of each segment.
        density: (B, S) kg/m³, constant within a segment.
        attenuation_top, attenuation_bottom: (B, S) in ``attenuation_unit``.
        water_depth: (B,) m, where sources and receivers may lie.
        half_space_sound_speed, half_space_density, half_space_attenuation: (B,), or None unless
            ``bottom`` is ``"half_space"``.
        half_space_shear_speed, half_space_shear_attenuation: (B,), or None for fluid half-spaces;
            a shear speed of zero is a fluid.
        bottom, top: boundary conditions.
        attenuation_unit: an Acoustics Toolbox letter, see :mod:`forward_models.seabed`.
        power_law: reference frequency (Hz) and exponent of the unit ``m``.
        interpolation: what is linear in depth within a segment, the sound speed or 1/c².
    """

    thickness: Tensor
    sound_speed_top: Tensor
    sound_speed_bottom: Tensor
    density: Tensor
    attenuation_top: Tensor
    attenuation_bottom: Tensor
    water_depth: Tensor
    half_space_sound_speed: Tensor | None = None
    half_space_density: Tensor | None = None
    half_space_attenuation: Tensor | None = None
    half_space_shear_speed: Tensor | None = None
    half_space_shear_attenuation: Tensor | None = None
    bottom: Bottom = "half_space"
    top: Top = "vacuum"
    attenuation_unit: str = "W"
    power_law: tuple[float, float] = (1.0, 1.0)
    interpolation: Interpolation = "c_linear"

    def __len__(self) -> int:
        return self.thickness.shape[0]

    def __getitem__(self, index: int | slice | Tensor) -> Environment:
        """The environments at ``index``, still with a batch axis."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        changed: dict[str, Any] = {
            f.name: value[index]
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **changed)

    @property
    def bottom_depth(self) -> Tensor:
        """(B,) m: depth of the top of the half-space, or of the rigid or vacuum bottom."""
        return self.thickness.sum(dim=1)

    def problems(self) -> dict[int, str]:
        """What no medium can have: a line by the index of each environment that has it."""
        found: dict[int, str] = {}
        for name in (*_PER_SEGMENT, "water_depth", *_HALF_SPACE, *_SHEAR):
            value = getattr(self, name)
            if value is None:
                continue
            may_be_zero = name in ("thickness", *_SHEAR) or "attenuation" in name
            bad = ~torch.isfinite(value) | (value < 0) | ((value == 0) & (not may_be_zero))
            if name in _PER_SEGMENT and name != "thickness":
                bad &= self.thickness > 0
            least = "zero or more" if may_be_zero else "above zero"
            for where in torch.nonzero(bad).tolist():
                place = f"segment {where[1]}: " if name in _PER_SEGMENT else ""
                what = f"{float(value[tuple(where)]):g} must be finite and {least}"
                found.setdefault(where[0], f"{place}{name}: {what}")
        for index in torch.nonzero(~(self.bottom_depth > 0)).flatten().tolist():
            found.setdefault(index, "thickness: all zero; give at least one layer")
        if self.half_space_sound_speed is not None and self.half_space_shear_speed is not None:
            limit = SHEAR_LIMIT * self.half_space_sound_speed
            bad = self.half_space_shear_speed >= limit
            for index in torch.nonzero(bad).flatten().tolist():
                found.setdefault(
                    index,
                    f"half_space_shear_speed: {float(self.half_space_shear_speed[index]):g} must "
                    f"be below {float(limit[index]):g}, √3/2 of the sound speed",
                )
        return found

    def validate(self) -> None:
        """Raises ModelInputError naming the first segment and field that no medium can have."""
        for index, problem in self.problems().items():
            raise ModelInputError(f"environment {index}: {problem}")
        if (self.bottom == "half_space") != (self.half_space_sound_speed is not None):
            raise ModelInputError(
                f"environment: bottom: {self.bottom!r} does not agree with the half-space given; "
                "give the half-space values exactly when bottom is 'half_space'"
            )
        shear = [getattr(self, name) is not None for name in _SHEAR]
        if any(shear) and not (all(shear) and self.bottom == "half_space"):
            raise ModelInputError(
                "environment: half_space_shear_speed: give it with half_space_shear_attenuation, "
                "and only when bottom is 'half_space'"
            )

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[Layer],
        half_space: HalfSpace | None = None,
        *,
        bottom: Bottom | None = None,
        top: Top = "vacuum",
        attenuation_unit: str = "W",
        power_law: tuple[float, float] = (1.0, 1.0),
        interpolation: Interpolation = "c_linear",
    ) -> Environment:
        """One environment (B = 1) from its layers, surface first; the first one is the water.

        Raises:
            ModelInputError: layers that do not meet, depths that do not increase, values that no
                medium can have; the message names layer and field.
        """
        rows: list[tuple[float, ...]] = []
        depth_reached = 0.0
        for number, layer in enumerate(layers, start=1):
            rows += _segments(layer, number, depth_reached)
            depth_reached = float(layer.depth[-1])
        table = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(_PER_SEGMENT))
        columns = {name: table[None, :, i] for i, name in enumerate(_PER_SEGMENT)}
        seabed = {}
        if half_space is not None:
            values = (half_space.sound_speed, half_space.density, half_space.attenuation)
            seabed = {
                name: torch.tensor([value], dtype=torch.float64)
                for name, value in zip(_HALF_SPACE, values, strict=True)
            }
            if half_space.shear_speed != 0:
                shear = (half_space.shear_speed, half_space.shear_attenuation)
                for name, value in zip(_SHEAR, shear, strict=True):
                    seabed[name] = torch.tensor([value], dtype=torch.float64)
        environment = cls(
            **columns,
            water_depth=torch.tensor([float(layers[0].depth[-1])], dtype=torch.float64),
            **seabed,
            bottom=bottom or ("rigid" if half_space is None else "half_space"),
            top=top,
            attenuation_unit=attenuation_unit,
            power_law=power_law,
            interpolation=interpolation,
        )
        environment.validate()
        return environment


def stack(environments: Sequence[Environment]) -> Environment:
    """One batch from environments with the same boundary kinds, padded to the most segments.

    Raises:
        ModelInputError: boundary kinds, attenuation units or interpolations differ.
    """
    first = environments[0]
    shared = ("bottom", "top", "attenuation_unit", "power_law", "interpolation")
    for name in shared:
        for i, other in enumerate(environments):
            if getattr(other, name) != getattr(first, name):
                raise ModelInputError(
                    f"environment {i}: {name}: {getattr(other, name)!r} differs from "
                    f"{getattr(first, name)!r}; stack only environments that share it"
                )
    width = max(e.thickness.shape[1] for e in environments)

    def padded(name: str) -> Tensor:
        filler = 0.0 if name == "thickness" or "attenuation" in name else 1.0
        rows = [getattr(e, name) for e in environments]
        return torch.cat(
            [torch.nn.functional.pad(row, (0, width - row.shape[1]), value=filler) for row in rows]
        )

    tensors: dict[str, Any] = {name: padded(name) for name in _PER_SEGMENT}
    for name in ("water_depth", *_HALF_SPACE):
        if getattr(first, name) is not None:
            tensors[name] = torch.cat([getattr(e, name) for e in environments])
    for name in _SHEAR:
        shear = [getattr(e, name) for e in environments]
        if any(value is not None for value in shear):
            fluid = [torch.zeros_like(e.water_depth) for e in environments]
            tensors[name] = torch.cat(
                [zero if value is None else value for value, zero in zip(shear, fluid, strict=True)]
            )
    return replace(first, **tensors)


def _segments(layer: Layer, number: int, depth_above: float) -> list[tuple[float, ...]]:
    """Rows of (thickness, c top, c bottom, density, attenuation top, bottom) of one layer."""
    depth = [float(z) for z in layer.depth]
    where = f"layer {number}"
    if len(depth) < 2 or len(layer.sound_speed) != len(depth):
        raise ModelInputError(
            f"{where}: sound_speed: {len(layer.sound_speed)} values at {len(depth)} depths; "
            "give one a depth, and at least two"
        )
    if abs(depth[0] - depth_above) > 1e-6:
        raise ModelInputError(
            f"{where}: depth: starts at {depth[0]:g} m but the layer above ends at "
            f"{depth_above:g} m; layers must meet"
        )
    if any(b <= a for a, b in pairwise(depth)):
        raise ModelInputError(f"{where}: depth: {depth} must increase downwards")
    density = _per_knot(layer.density, len(depth), where, "density")
    attenuation = _per_knot(layer.attenuation, len(depth), where, "attenuation")
    for name, values in (("sound_speed", layer.sound_speed), ("density", density)):
        for value in values:
            if not 0 < value < float("inf"):
                raise ModelInputError(f"{where}: {name}: {value:g} must be finite and above zero")
    for value in attenuation:
        if not 0 <= value < float("inf"):
            raise ModelInputError(f"{where}: attenuation: {value:g} must be zero or more")
    return [
        (
            depth[i + 1] - depth[i],
            float(layer.sound_speed[i]),
            float(layer.sound_speed[i + 1]),
            0.5 * (density[i] + density[i + 1]),
            attenuation[i],
            attenuation[i + 1],
        )
        for i in range(len(depth) - 1)
    ]


def _per_knot(value: float | Sequence[float], count: int, where: str, name: str) -> list[float]:
    if isinstance(value, (int, float)):
        return [float(value)] * count
    if len(value) != count:
        raise ModelInputError(f"{where}: {name}: {len(value)} values at {count} depths")
    return [float(v) for v in value]
