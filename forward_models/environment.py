"""The waveguide: a stack of fluid segments over a half-space, a rigid or a vacuum bottom.

The half-space is a fluid, or an elastic solid when it has a shear speed.

A *segment* lies between two knots of a profile. Within it the complex sound speed is linear in
depth (``c_linear``) or its inverse square is (``n2_linear``), and the density is constant. A
*layer* is a run of segments; a batch of environments pads the shorter ones with segments of
thickness zero, which change nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, SupportsIndex, get_args

import numpy as np
import torch
from torch import Tensor

from forward_models.errors import ModelInputError
from forward_models.profiles import Curve, piecewise_linear
from forward_models.seabed import UNIT_NAMES
from forward_models.seawater import VolumeAttenuation

Bottom = Literal["half_space", "rigid", "vacuum"]
Top = Literal["vacuum", "rigid"]
Interpolation = Literal["c_linear", "n2_linear"]
OnError = Literal["raise", "nan"]

# A shear speed above this share of the sound speed would make the bulk modulus
# ρ (c² - 4/3 c_s²) negative.
SHEAR_LIMIT = math.sqrt(0.75)

# What any medium has, from gas to steel: beyond, a value is a slip, and numbers would overflow.
SOUND_SPEED_LIMITS = (1.0, 1e5)  # m/s
DENSITY_LIMITS = (0.1, 1e6)  # kg/m³
_SHEAR_SPEED_LEAST = 1.0  # m/s, of a solid
_LARGEST = 1e6  # m, of thicknesses and roughness

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
_ROUGHNESS = ("roughness", "bottom_roughness")


@dataclass(frozen=True)
class Layer:
    """Knots of one layer: absolute depths (m), sound speeds (m/s), density (kg/m³), attenuation.

    ``density`` and ``attenuation`` are one value for the layer or one a knot. A density that
    varies within the layer is taken constant in each segment, at the mean of its two knots.
    ``roughness`` is the rms height (m) of the interface at the top of the layer. ``curve`` is how
    the sound speed runs between the knots: straight as the environment's ``interpolation`` has it,
    or a cubic ``"spline"``, ``"pchip"`` or ``"monotone_spline"``, see
    :func:`forward_models.profiles.piecewise_linear`.
    """

    depth: Sequence[float]
    sound_speed: Sequence[float]
    density: float | Sequence[float] = 1000.0
    attenuation: float | Sequence[float] = 0.0
    roughness: float = 0.0
    curve: Curve = "straight"


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
        power_law: reference frequency (Hz, above zero) and exponent of the unit ``m``.
        interpolation: what is linear in depth within a segment, the sound speed or 1/c².
        volume_attenuation: absorption of sea water, added to the attenuation of every medium, the
            seabed too, as the Acoustics Toolbox does; None adds nothing.
        roughness: (B, S) rms height in m of the interface at the top of each segment, or None.
        bottom_roughness: (B,) m, of the interface below the last segment, or None.
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
    volume_attenuation: VolumeAttenuation | None = None
    roughness: Tensor | None = None
    bottom_roughness: Tensor | None = None

    def __len__(self) -> int:
        return self.thickness.shape[0]

    def __getitem__(self, index: SupportsIndex | slice | Tensor) -> Environment:
        """The environments at ``index``, still with a batch axis.

        Raises:
            IndexError: there is no such one.
        """
        with suppress(TypeError):  # several, or a slice
            at = operator.index(index)  # type: ignore[arg-type]
            if not -len(self) <= at < len(self):
                raise IndexError(f"environment {at} of a batch of {len(self)}")
            index = slice(at, at + 1 or None)
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

    def interface_roughness(self) -> Tensor:
        """(B, S + 1) m: rms heights of the interfaces at the top of each segment and below all."""
        at_tops, below = self.roughness, self.bottom_roughness
        if at_tops is None:
            at_tops = torch.zeros_like(self.thickness)
        if below is None:
            below = torch.zeros_like(self.water_depth)
        return torch.cat([at_tops, below[:, None]], dim=1)

    def problems(self) -> dict[int, str]:
        """What no medium can have: a line by the index of each environment that has it."""
        found: dict[int, str] = {}
        for name in (*_PER_SEGMENT, "water_depth", *_HALF_SPACE, *_SHEAR, *_ROUGHNESS):
            value = getattr(self, name)
            if value is None:
                continue
            may_be_zero = name in ("thickness", *_SHEAR, *_ROUGHNESS) or "attenuation" in name
            bad = ~torch.isfinite(value) | (value < 0) | ((value == 0) & (not may_be_zero))
            low, high = _limits(name)
            beyond = (value > high) | ((value < low) & (value > 0))
            if value.ndim == 2 and name != "thickness":
                bad &= self.thickness > 0
                beyond &= self.thickness > 0
            least = "zero or more" if may_be_zero else "above zero"
            for where in torch.nonzero(bad | beyond).tolist():
                place = f"segment {where[1]}: " if value.ndim == 2 else ""
                need = f"finite and {least}" if bad[tuple(where)] else f"from {low:g} to {high:g}"
                what = f"{float(value[tuple(where)]):g} must be {need}"
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
        for index, problem in sorted(self.problems().items()):
            raise ModelInputError(f"environment {index}: {problem}")
        self.validate_kinds()

    def validate_kinds(self) -> None:
        """Raises ModelInputError for what the environments of the batch share."""
        choices = {
            "attenuation_unit": tuple(UNIT_NAMES),
            "bottom": get_args(Bottom),
            "top": get_args(Top),
            "interpolation": get_args(Interpolation),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ModelInputError(
                    f"environment: {name}: {getattr(self, name)!r} is unknown; use one of "
                    f"{', '.join(known)}"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor) and value.dtype != torch.float64:
                raise ModelInputError(
                    f"environment: {field.name}: {value.dtype} has too few digits; give float64"
                )
        reference, exponent = self.power_law
        if not (0 < reference < math.inf and math.isfinite(exponent)):
            raise ModelInputError(
                f"environment: power_law: ({reference:g}, {exponent:g}) must be a finite reference "
                "frequency above zero (Hz) and a finite exponent"
            )
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
        volume_attenuation: VolumeAttenuation | None = None,
        bottom_roughness: float = 0.0,
    ) -> Environment:
        """One environment (B = 1) from its layers, surface first; the first one is the water.

        ``bottom_roughness`` (m) is that of the interface below the last layer; the others are said
        by the layers.

        Raises:
            ModelInputError: layers that do not meet, depths that do not increase, values that no
                medium can have; the message names layer and field.
        """
        if not layers:
            raise ModelInputError("layers: none given; give at least the water")
        rows: list[tuple[float, ...]] = []
        rms: list[float] = []
        depth_reached = 0.0
        for number, layer in enumerate(layers, start=1):
            segments = _segments(layer, number, depth_reached, interpolation)
            rms += [float(layer.roughness), *[0.0] * (len(segments) - 1)]
            rows += segments
            depth_reached = float(layer.depth[-1])
        table = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(_PER_SEGMENT))
        columns = {name: table[None, :, i] for i, name in enumerate(_PER_SEGMENT)}
        seabed = {}
        if half_space is not None:
            values = (half_space.sound_speed, half_space.density, half_space.attenuation)
            for name, value in zip(("sound_speed", "density", "attenuation"), values, strict=True):
                may_be_zero = name == "attenuation"
                if not 0 <= value < float("inf") or (value == 0 and not may_be_zero):
                    least = "zero or more" if may_be_zero else "above zero"
                    raise ModelInputError(
                        f"half-space: {name}: {value:g} must be finite and {least}"
                    )
            seabed = {
                name: torch.tensor([value], dtype=torch.float64)
                for name, value in zip(_HALF_SPACE, values, strict=True)
            }
            if half_space.shear_speed != 0:
                shear = (half_space.shear_speed, half_space.shear_attenuation)
                for name, value in zip(_SHEAR, shear, strict=True):
                    seabed[name] = torch.tensor([value], dtype=torch.float64)
        if not 0 <= bottom_roughness < float("inf"):
            raise ModelInputError(f"bottom_roughness: {bottom_roughness:g} m must be zero or more")
        rough = any(rms) or bottom_roughness > 0
        environment = cls(
            **columns,
            water_depth=torch.tensor([float(layers[0].depth[-1])], dtype=torch.float64),
            **seabed,
            bottom=bottom or ("rigid" if half_space is None else "half_space"),
            top=top,
            attenuation_unit=attenuation_unit,
            power_law=power_law,
            interpolation=interpolation,
            volume_attenuation=volume_attenuation,
            roughness=torch.tensor([rms], dtype=torch.float64) if rough else None,
            bottom_roughness=(
                torch.tensor([bottom_roughness], dtype=torch.float64) if rough else None
            ),
        )
        environment.validate()
        return environment


def stack(environments: Sequence[Environment]) -> Environment:
    """One batch from environments with the same boundary kinds, padded to the most segments.

    Raises:
        ModelInputError: none given, or boundary kinds, attenuation units or interpolations differ.
    """
    if not environments:
        raise ModelInputError("environments: none given; give at least one")
    first = environments[0]
    shared = (
        "bottom",
        "top",
        "attenuation_unit",
        "power_law",
        "interpolation",
        "volume_attenuation",
    )
    for name in shared:
        for i, other in enumerate(environments):
            if getattr(other, name) != getattr(first, name):
                raise ModelInputError(
                    f"environment {i}: {name}: {getattr(other, name)!r} differs from "
                    f"{getattr(first, name)!r}; stack only environments that share it"
                )
    width = max(e.thickness.shape[1] for e in environments)

    def padded(rows: Sequence[Tensor], filler: float) -> Tensor:
        return torch.cat(
            [torch.nn.functional.pad(row, (0, width - row.shape[1]), value=filler) for row in rows]
        )

    tensors: dict[str, Any] = {
        name: padded(
            [getattr(e, name) for e in environments],
            0.0 if name == "thickness" or "attenuation" in name else 1.0,
        )
        for name in _PER_SEGMENT
    }
    if any(e.roughness is not None or e.bottom_roughness is not None for e in environments):
        heights = [e.interface_roughness() for e in environments]
        tensors["roughness"] = padded([rms[:, :-1] for rms in heights], 0.0)
        tensors["bottom_roughness"] = torch.cat([rms[:, -1] for rms in heights])
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


def _limits(name: str) -> tuple[float, float]:
    """The least value above zero that a field may have, and the largest."""
    if "sound_speed" in name:
        return SOUND_SPEED_LIMITS
    if "density" in name:
        return DENSITY_LIMITS
    if "shear_speed" in name:
        return _SHEAR_SPEED_LEAST, math.inf  # SHEAR_LIMIT is the upper one
    return 0.0, math.inf if "attenuation" in name else _LARGEST


def _segments(
    layer: Layer, number: int, depth_above: float, interpolation: Interpolation
) -> list[tuple[float, ...]]:
    """Rows of (thickness, c top, c bottom, density, attenuation top, bottom) of one layer."""
    depth = [float(z) for z in layer.depth]
    speed = [float(c) for c in layer.sound_speed]
    where = f"layer {number}"
    if len(depth) < 2 or len(speed) != len(depth):
        raise ModelInputError(
            f"{where}: sound_speed: {len(speed)} values at {len(depth)} depths; "
            "give one a depth, and at least two"
        )
    for z in depth:
        if not abs(z) < float("inf"):
            raise ModelInputError(f"{where}: depth: {z:g} must be finite (m)")
    if abs(depth[0] - depth_above) > 1e-6:
        above = f"the layer above ends at {depth_above:g} m; layers must meet"
        if number == 1:
            above = "the water begins at the surface; use 0"
        raise ModelInputError(f"{where}: depth: starts at {depth[0]:g} m but {above}")
    for a, b in pairwise(depth):
        if b <= a:
            raise ModelInputError(
                f"{where}: depth: {b:g} m after {a:g} m; depths must increase downwards"
            )
    density = _per_knot(layer.density, len(depth), where, "density")
    attenuation = _per_knot(layer.attenuation, len(depth), where, "attenuation")
    for name, values in (("sound_speed", speed), ("density", density)):
        for value in values:
            if not 0 < value < float("inf"):
                raise ModelInputError(f"{where}: {name}: {value:g} must be finite and above zero")
    for name, values in (("attenuation", attenuation), ("roughness", [layer.roughness])):
        for value in values:
            if not 0 <= value < float("inf"):
                raise ModelInputError(f"{where}: {name}: {value:g} must be finite and zero or more")
    if layer.curve not in get_args(Curve):
        raise ModelInputError(
            f"{where}: curve: {layer.curve!r} is unknown; use one of {', '.join(get_args(Curve))}"
        )
    if layer.curve != "straight":
        if interpolation != "c_linear":
            raise ModelInputError(
                f"{where}: curve: {layer.curve!r} needs the interpolation 'c_linear', not "
                f"{interpolation!r}"
            )
        depth, speed, density, attenuation = _curved(
            layer.curve, depth, speed, density, attenuation
        )
    return [
        (
            depth[i + 1] - depth[i],
            speed[i],
            speed[i + 1],
            0.5 * (density[i] + density[i + 1]),
            attenuation[i],
            attenuation[i + 1],
        )
        for i in range(len(depth) - 1)
    ]


def _curved(
    curve: Curve,
    depth: list[float],
    speed: list[float],
    density: list[float],
    attenuation: list[float],
) -> tuple[list[float], ...]:
    """Knots close enough for straight lines between them; density and attenuation follow."""
    z, c = piecewise_linear(depth, speed, curve)
    return z, c, np.interp(z, depth, density).tolist(), np.interp(z, depth, attenuation).tolist()


def _per_knot(value: float | Sequence[float], count: int, where: str, name: str) -> list[float]:
    if isinstance(value, (int, float)):
        return [float(value)] * count
    if len(value) != count:
        raise ModelInputError(f"{where}: {name}: {len(value)} values at {count} depths")
    return [float(v) for v in value]
