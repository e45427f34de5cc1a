"""Where sources and receivers are: one row for all environments or a row for each, and checks."""

from __future__ import annotations

import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Numbers, as_tensor, within_solid
from forward_models.normal_modes.spans import ON_INTERFACE
from forward_models.rejected import usable


def require_geometry(
    environment: Environment, source: Tensor, receiver: Tensor, distance: Tensor
) -> None:
    """Raises ModelInputError unless sources lie in the water, receivers in or below it."""
    usable(
        misplaced(environment, source, receiver, distance),
        len(environment),
        "raise",
        stacklevel=2,
    )


def place_row(name: str, values: Numbers) -> Tensor:
    """(N,) float64, the same places for all environments; else a ModelInputError."""
    row = torch.atleast_1d(as_tensor(values))
    if row.ndim > 1:
        raise ModelInputError(
            f"{name}: shape {tuple(row.shape)} does not fit ({row.shape[-1]},); give one row, "
            "the same for all environments"
        )
    return row


def place_rows(name: str, values: Numbers, axes: str, batch: int) -> Tensor:
    """``values`` as (B, N), for each environment its own or the same; else a ModelInputError."""
    rows = torch.atleast_1d(as_tensor(values))
    return fitted(name, rows, axes, batch, rows.shape[-1])


def fitted(name: str, values: Tensor, axes: str, *shape: int) -> Tensor:
    """``values`` broadcast to ``shape``, whose ``axes`` are named; else a ModelInputError."""
    given = tuple(values.shape)
    pairs = zip(reversed(given), reversed(shape), strict=False)
    if len(given) > len(shape) or any(n not in (1, wanted) for n, wanted in pairs):
        raise ModelInputError(
            f"{name}: shape {given} does not fit {axes} = {shape}; give each axis that length, or 1"
        )
    return values.expand(shape)


def misplaced(
    environment: Environment, source: Tensor, receiver: Tensor, distance: Tensor
) -> dict[int, str]:
    """Sources, receivers and ranges (B or 1, ·) that cannot be: a line by environment."""
    source, receiver, distance = (
        values.expand(len(environment), -1) for values in (source, receiver, distance)
    )
    water = environment.water_depth.detach()[:, None]
    conditions = (
        ("source_depth", source, lambda z: (z >= 0) & (z <= water), "in the water"),
        ("receiver_depth", receiver, lambda z: (z >= 0) & torch.isfinite(z), "zero or more"),
        ("range", distance, lambda r: (r > 0) & torch.isfinite(r), "finite and above zero"),
    )
    found: dict[int, str] = {}
    for name, values, good, condition in conditions:
        for row, column in torch.nonzero(~good(values.detach())).tolist():
            if name == "source_depth":
                condition = f"between the surface and the seabed at {float(water[row, 0]):g} m"
            what = f"{float(values[row, column]):g} m must be {condition}"
            found.setdefault(row, f"{name}: {what}")
    return within_solid(environment, receiver, "receiver_depth") | found


def density_at_source(environment: Environment, depth: Tensor) -> Tensor:
    """(B, S) g/cm³ at sources ``depth`` (B, S) m: that of the segment which each lies in.

    A source on an interface lies in the medium above it, at the surface in the first one.
    """
    ends = environment.thickness.detach().cumsum(dim=1)
    inside = (torch.minimum(depth.detach(), ends[:, -1:]) - ON_INTERFACE).clamp(min=0.0)
    # The first to end deeper, so that no padding is taken.
    segment = torch.searchsorted(ends.contiguous(), inside.contiguous(), right=True)
    return environment.density.gather(1, segment) / 1000.0
