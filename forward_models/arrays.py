"""Where the elements of an array are: depths and ranges for ``array_pressure``.

Values may differ from environment to environment: what is one number for all, or (B,), gives
element places (R,), or (B, R). All of it is differentiable.
"""

from __future__ import annotations

import torch
from torch import Tensor

from forward_models.normal_modes.batch import Numbers, as_tensor


def vertical_array(
    depth: Numbers,
    range_m: Numbers,
    *,
    tilt: Numbers = 0.0,
    bow: Numbers = 0.0,
    pivot: Numbers | None = None,
) -> tuple[Tensor, Tensor]:
    """(depth, range) in m of the elements of a vertical array that is tilted and bowed.

    An element at height h above the pivot goes to

        range r + h sin(tilt) + b cos(tilt),   depth z_pivot - h cos(tilt) + b sin(tilt),

    with the bow a parabola over the chord between the deepest and the shallowest element, zero at
    both and largest in the middle: b = 4 bow u (1 - u), u from 0 at the deepest to 1.

    Args:
        depth: (R,) or (B, R) m, nominal, of the straight and upright array.
        range_m: () or (B,) m, of the pivot from the source.
        tilt: () or (B,) degrees; positive leans the top away from the source.
        bow: () or (B,) m, displacement of the middle; positive away from the source.
        pivot: () or (B,) m, the depth that stays where it is; None is the deepest element.

    Example:
        >>> from forward_models import vertical_array
        >>> depth, distance = vertical_array([20.0, 60.0, 100.0], 5000.0, bow=3.0)
        >>> distance.tolist()
        [5000.0, 5003.0, 5000.0]
    """
    nominal = as_tensor(depth)
    at, angle, arc = (as_tensor(v)[..., None] for v in (range_m, tilt, bow))
    deepest, shallowest = nominal.amax(-1, keepdim=True), nominal.amin(-1, keepdim=True)
    turning = deepest if pivot is None else as_tensor(pivot)[..., None]
    height, angle = turning - nominal, torch.deg2rad(angle)
    length = deepest - shallowest
    u = (deepest - nominal) / torch.where(length > 0, length, 1.0)
    b = 4.0 * arc * u * (1.0 - u)
    z = turning - height * angle.cos() + b * angle.sin()
    r = at + height * angle.sin() + b * angle.cos()
    z, r = torch.broadcast_tensors(z, r)
    return z, r


def horizontal_array(
    offset: Numbers, range_m: Numbers, *, depth: Numbers, heading: Numbers = 0.0
) -> tuple[Tensor, Tensor]:
    """(depth, range) in m of the elements of a horizontal array of any heading.

    By the cosine rule, range √(r² + 2 r x cos(heading) + x²).

    Args:
        offset: (R,) m, place x of each element along the array from its reference point.
        range_m: () or (B,) m, of the reference point from the source.
        depth: () or (B,) m.
        heading: () or (B,) degrees between the array and the line from the source through the
            reference point: 0 and 180 are endfire, leading away from and towards the source, 90 is
            broadside.

    Example:
        >>> from forward_models import horizontal_array
        >>> _, distance = horizontal_array([0.0, 40.0], 30.0, depth=100.0, heading=90.0)
        >>> distance.round().tolist()
        [30.0, 50.0]
    """
    x = as_tensor(offset)
    r, z, angle = (as_tensor(v)[..., None] for v in (range_m, depth, heading))
    angle = torch.deg2rad(angle)
    # As a hypotenuse: no cancellation where the array passes near the source.
    distance = torch.hypot(r + x * angle.cos(), x * angle.sin())
    z, distance = torch.broadcast_tensors(z, distance)
    return z, distance
