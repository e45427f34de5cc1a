"""From parameter vectors to environments, geometry and the field at the receivers.

`predict` is the only place where an inversion runs the forward model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from forward_models import (
    Environment,
    ModelInputError,
    array_pressure,
    neighbouring_pressure,
    transmission_loss,
    vertical_array,
)
from oceaninv.errors import InputError
from oceaninv.scenario.expressions import evaluate
from oceaninv.scenario.schema import ATTENUATION_LETTER, EnvironmentSpec, Scenario, Water

_CHUNK = 1024  # environments at a time: bounds the memory, long enough for every core
_HEAVIEST = 10.0  # g/cm³, of any seabed
_G_CM3 = 1000.0  # kg/m³


@dataclass(frozen=True)
class Geometry:
    """Where the source and the P receiver points are, for n parameter vectors, in m.

    Attributes:
        source_depth: (n,).
        receiver_depth: (n, P).
        range_m: (n, P), horizontal distance to the source.
    """

    source_depth: Tensor
    receiver_depth: Tensor
    range_m: Tensor


def predict(scenario: Scenario, theta: Tensor) -> Tensor:
    """Noise-free data of n parameter vectors theta (n, d).

    Returns:
        pressure: the replica (n, F, R) complex128 of a unit source, normalised to 1 at 1 m;
        transmission_loss: (n, F, P) float64 in dB, at the P = R K points of R receivers and K
        ranges, receiver after receiver. NaN for an environment without a propagating mode.
    """
    frequency = torch.tensor(scenario.frequency, dtype=torch.float64)
    fields = []
    for part in theta.to(torch.float64).split(_CHUNK):
        environment, geometry = build(scenario, part)
        fields.append(
            array_pressure(
                environment,
                frequency,
                source_depth=geometry.source_depth,
                receiver_depth=geometry.receiver_depth,
                range_m=geometry.range_m,
                c_high=scenario.solver.c_high,
                attenuation=scenario.solver.attenuation,
            )
        )
    return _as_data(scenario, torch.cat(fields))


def predict_geometries(scenario: Scenario, theta: Tensor) -> Tensor:
    """Replicas (n, G, F, R) of parameter vectors theta (n, G, d), as `predict`.

    The G of a row differ in `scenario.geometry_names` alone: their modes are computed once.
    """
    count, d = theta.shape[1:]
    frequency = torch.tensor(scenario.frequency, dtype=torch.float64)
    fields = []
    for part in theta.to(torch.float64).split(_CHUNK):
        environment, _ = build(scenario, part[:, 0])
        _, geometry = build(scenario, part.reshape(-1, d))
        fields.append(
            array_pressure(
                environment,
                frequency,
                source_depth=geometry.source_depth.unflatten(0, (-1, count)),
                receiver_depth=geometry.receiver_depth.unflatten(0, (-1, count)),
                range_m=geometry.range_m.unflatten(0, (-1, count)),
                c_high=scenario.solver.c_high,
                attenuation=scenario.solver.attenuation,
            )
        )
    return _as_data(scenario, torch.cat(fields).movedim(2, 1))


def predict_neighbours(scenario: Scenario, theta: Tensor) -> Tensor:
    """Replicas (n, G, F, R) of theta (n, G, d), as `predict`, for G that are nearly the same.

    The first of a row is solved. Those that differ from it in `scenario.geometry_names` alone, in
    every row, share its modes, and to the others they are moved. First-order modes, which cost no
    more than that, are solved for each.
    """
    count = theta.shape[1]
    theta = theta.to(torch.float64)
    if scenario.solver.attenuation != "exact":
        return predict(scenario, theta.flatten(0, 1)).unflatten(0, (-1, count))
    frequency = torch.tensor(scenario.frequency, dtype=torch.float64)
    geometry = scenario.geometry_names
    seabed = [name not in geometry for name in scenario.names]
    shared = (theta == theta[:, :1])[..., seabed].all(-1).all(0)
    order = torch.cat([shared.nonzero()[:, 0], (~shared).nonzero()[:, 0]])
    own = int(shared.sum())
    fields = []
    for part in theta[:, order].split(max(1, _CHUNK // count)):
        environment, _ = build(scenario, part[:, 0])
        neighbours, _ = build(scenario, part[:, own:].flatten(0, 1))
        _, places = build(scenario, part.flatten(0, 1))
        fields.append(
            neighbouring_pressure(
                environment,
                neighbours,
                frequency,
                source_depth=places.source_depth.unflatten(0, (-1, count)),
                receiver_depth=places.receiver_depth.unflatten(0, (-1, count)),
                range_m=places.range_m.unflatten(0, (-1, count)),
                c_high=scenario.solver.c_high,
            )
        )
    return _as_data(scenario, torch.cat(fields)[:, order.argsort()])


def _as_data(scenario: Scenario, pressure: Tensor) -> Tensor:
    return pressure if scenario.data == "pressure" else transmission_loss(pressure)


def build(scenario: Scenario, theta: Tensor) -> tuple[Environment, Geometry]:
    """The environments and the geometry of n parameter vectors theta (n, d)."""
    n = len(theta)
    unknowns = dict(zip(scenario.names, theta.to(torch.float64).unbind(-1), strict=True))

    def of(value: float | str) -> Tensor:
        return evaluate(value, unknowns, n)

    return _environment(scenario.environment, of), _geometry(scenario, of)


def correlation_length(scenario: Scenario, theta: Tensor) -> Tensor:
    """Correlation length of the noise for theta (n, d), as (n,), in m.

    Raises:
        InputError: it is negative.
    """
    length = _correlation_length(scenario, theta)
    if (length < 0).any():
        raise InputError(
            f"{scenario.name}: noise.correlation_length: {length.min():g} m for some parameters of "
            "the prior; give zero or more"
        )
    return length


def _correlation_length(scenario: Scenario, theta: Tensor) -> Tensor:
    unknowns = dict(zip(scenario.names, theta.to(torch.float64).unbind(-1), strict=True))
    return evaluate(scenario.noise.correlation_length, unknowns, len(theta))


def profile(scenario: Scenario, theta: Tensor, depth: Tensor) -> Tensor:
    """Sound speed (n, D) in m/s at depths (D,) below the surface, for theta (n, d).

    At an interface it is the speed just below; below a rigid or vacuum bottom it is NaN.
    """
    environment, _ = build(scenario, theta)
    n, last = environment.thickness.shape[0], environment.thickness.shape[1] - 1
    z = depth.to(torch.float64).expand(n, -1).contiguous()
    bottom = environment.thickness.cumsum(-1)
    # The first segment whose bottom lies deeper: never one of thickness zero.
    index = torch.searchsorted(bottom, z, right=True)
    inside = index.clamp(max=last)
    thickness = environment.thickness.gather(-1, inside)
    fraction = (z - (bottom.gather(-1, inside) - thickness)) / thickness
    speed = _between(
        environment.sound_speed_top.gather(-1, inside),
        environment.sound_speed_bottom.gather(-1, inside),
        fraction,
        environment.interpolation,
    )
    below = environment.half_space_sound_speed
    outside = (
        torch.full((n, 1), torch.nan, dtype=torch.float64) if below is None else below[:, None]
    )
    return torch.where(index > last, outside, speed)


def check_draws(scenario: Scenario, n: int = 256) -> list[str]:
    """Problems of environments drawn from the prior: one line each, empty when all are sound."""
    theta = scenario.prior.sample(n, 0)
    environment, geometry = build(scenario, theta)
    problems = []
    try:
        environment.validate()
    except ModelInputError as error:
        problems.append(f"environment: with parameters drawn from the prior: {error}")
    for field, depth in (
        ("source.depth", geometry.source_depth[:, None]),
        ("array.depth", geometry.receiver_depth),
    ):
        if not (depth >= 0).all():
            problems.append(f"{field}: above the surface for some parameters of the prior")
        if (depth > environment.bottom_depth[:, None]).any():
            problems.append(f"{field}: below the last layer for some parameters of the prior")
    if (geometry.source_depth > environment.water_depth).any():
        problems.append("source.depth: in the seabed for some parameters of the prior")
    below = environment.half_space_density
    densities = [environment.density.flatten(), *([] if below is None else [below])]
    heaviest = torch.cat(densities).max().item() / _G_CM3
    if heaviest > _HEAVIEST:
        problems.append(
            f"environment: a density of {heaviest:g} for some parameters of the prior; give g/cm³, "
            "such as 1.76"
        )
    slowest_of_each = environment.sound_speed_top.minimum(environment.sound_speed_bottom).amin(-1)
    half_space = environment.half_space_sound_speed
    if half_space is not None and (half_space <= slowest_of_each).all():
        problems.append(
            f"environment.half_space.sound_speed: {half_space[0]:g} m/s is slower than all that "
            "lies above, which leaves no mode; give more"
        )
    slowest = slowest_of_each.min().item()
    c_high = scenario.solver.c_high
    if c_high is not None and c_high <= slowest:
        problems.append(
            f"solver.c_high: {c_high:g} m/s is slower than all sound, which leaves no mode; give "
            f"more than {slowest:g}, or leave it out"
        )
    if (geometry.range_m <= 0).any():
        problems.append("source.range: zero or less for some parameters of the prior")
    if (_correlation_length(scenario, theta) < 0).any():
        problems.append("noise.correlation_length: negative for some parameters of the prior")
    return problems


_Of = Callable[[float | str], Tensor]


def _environment(spec: EnvironmentSpec, of: _Of) -> Environment:
    rows = _water_segments(spec.water, of, spec.interpolation)
    for layer in spec.sediments:
        speed_top, speed_bottom = map(of, _ends(layer.sound_speed))
        loss_top, loss_bottom = map(of, _ends(layer.attenuation))
        thickness, density = of(layer.thickness), _G_CM3 * of(layer.density)
        rows.append((thickness, speed_top, speed_bottom, density, loss_top, loss_bottom))
    columns = [torch.stack(column, -1) for column in zip(*rows, strict=True)]
    thickness, speed_top, speed_bottom, density, loss_top, loss_bottom = columns
    below = spec.half_space
    return Environment(
        thickness=thickness,
        sound_speed_top=speed_top,
        sound_speed_bottom=speed_bottom,
        density=density,
        attenuation_top=loss_top,
        attenuation_bottom=loss_bottom,
        water_depth=of(spec.water.depth),
        half_space_sound_speed=of(below.sound_speed) if below else None,
        half_space_density=_G_CM3 * of(below.density) if below else None,
        half_space_attenuation=of(below.attenuation) if below else None,
        bottom=spec.bottom,
        attenuation_unit=ATTENUATION_LETTER[spec.attenuation_unit],
        interpolation=spec.interpolation,
    )


def _water_segments(water: Water, of: _Of, interpolation: str) -> list[tuple[Tensor, ...]]:
    """Segments of the profile: cut at the water depth, or continued to it by the last speed."""
    bottom = of(water.depth)
    density, loss = _G_CM3 * of(water.density), of(water.attenuation)
    depths = [z for z, _ in water.knots]
    speeds = [of(speed) for _, speed in water.knots]
    rows: list[tuple[Tensor, ...]] = []
    for i in range(len(depths) - 1):
        full = depths[i + 1] - depths[i]
        thickness = (bottom - depths[i]).clamp(0.0, full)
        cut = _between(speeds[i], speeds[i + 1], thickness / full, interpolation)
        rows.append((thickness, speeds[i], cut, density, loss, loss))
    continued = (bottom - depths[-1]).clamp(min=0.0)
    rows.append((continued, speeds[-1], speeds[-1], density, loss, loss))
    return rows


def _geometry(scenario: Scenario, of: _Of) -> Geometry:
    source_depth = of(scenario.source.depth)
    n = len(source_depth)
    depth = torch.tensor(scenario.receiver_depth, dtype=torch.float64)
    if scenario.array is None:
        ranges = torch.tensor(scenario.range_m, dtype=torch.float64)
        points = torch.cartesian_prod(depth, ranges)
        return Geometry(source_depth, points[:, 0].expand(n, -1), points[:, 1].expand(n, -1))
    array = scenario.array
    assert scenario.source.range is not None  # by Scenario._check_kind
    shift = torch.zeros(n, dtype=torch.float64)
    if array.first_depth is not None:
        shift = of(array.first_depth) - depth[0]
    pivot = None if array.pivot is None else array.pivot + shift
    receiver_depth, range_m = vertical_array(
        depth + shift[:, None], of(scenario.source.range), tilt=of(array.tilt), pivot=pivot
    )
    return Geometry(source_depth, receiver_depth, range_m)


def _ends(
    value: float | str | tuple[float | str, float | str],
) -> tuple[float | str, float | str]:
    return value if isinstance(value, tuple) else (value, value)


def _between(top: Tensor, bottom: Tensor, fraction: Tensor, interpolation: str) -> Tensor:
    """Sound speed at a fraction of the way down a segment."""
    if interpolation == "c_linear":
        return top + (bottom - top) * fraction
    return (top**-2 + (bottom**-2 - top**-2) * fraction) ** -0.5
