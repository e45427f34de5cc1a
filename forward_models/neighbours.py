"""Pressure of guides that differ little from one another, such as for derivatives by differences.

One guide of a group is solved. The others have its modes, moved: Newton's method from its roots,
one step or two, is all that they need. That is several times faster than solving each, and no mode
comes or goes between them, so that differences are those of a smooth function.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.field import density_at_source, require_geometry
from forward_models.normal_modes.batch import Numbers, Problem, in_parallel, make_problem
from forward_models.normal_modes.chunk import ModeList, solve_chunk
from forward_models.normal_modes.complex_modes import newton
from forward_models.normal_modes.items import Lanes, mode_functions_of
from forward_models.normal_modes.real_modes import neighbour_distance
from forward_models.normal_modes.roughness import scattering_shift
from forward_models.normal_modes.sums import sum_modes

# What is left of a root's error, in shares of the distance to the next: differences need no more.
_ERROR = 1e-10


def neighbouring_pressure(
    environment: Environment,
    group: int,
    frequency: Numbers,
    *,
    source_depth: Tensor,
    receiver_depth: Tensor,
    range_m: Tensor,
    c_high: float | None = None,
) -> Tensor:
    """Complex pressure at arrays in groups of guides that are nearly the same: (B, F, R).

    Args:
        environment: B guides, ``group`` of them in a row to a group. Their modes are those of the
            first of the group, with exact attenuation; NaN where it has none.
        group: guides to a group, a divisor of B.
        frequency: (F,) Hz.
        source_depth: (B,) m.
        receiver_depth, range_m: (B, R) m.
        c_high: as for :func:`forward_models.solve_modes`, of the first guide.

    Raises:
        ModelInputError: as :func:`forward_models.array_pressure`; an elastic half-space; groups
            that do not fill the batch.
    """
    batch = len(environment)
    if group < 1 or batch % group:
        raise ModelInputError(f"group: {group} guides in a row do not divide {batch} environments")
    if environment.half_space_shear_speed is not None:
        raise ModelInputError("half_space_shear_speed: neighbours are known of fluid guides alone")
    require_geometry(environment, source_depth[:, None], receiver_depth, range_m)
    every = make_problem(environment, frequency, c_high)
    solved = make_problem(environment[torch.arange(0, batch, group)], frequency, c_high)
    elements = receiver_depth.shape[1]
    depth = torch.cat([source_depth[:, None], receiver_depth], 1).numpy()
    distance = np.ascontiguousarray(range_m.numpy())
    source, receiver = np.zeros(elements, np.int64), 1 + np.arange(elements)
    result = np.empty((batch, every.omega.size, elements), np.complex128)

    def work(rows: slice) -> None:
        near = slice(group * rows.start, group * rows.stop)
        modes = solve_chunk(solved, rows, depth[near][::group], "exact", speeds=False)
        first, k, phi = _moved(every, near, modes, group, depth[near])
        sum_modes(first, k, phi, source, receiver, distance[near], result[near])

    in_parallel(work, len(solved))
    return torch.from_numpy(result) / density_at_source(environment)[:, None, None]


def _moved(
    problem: Problem, rows: slice, modes: ModeList, group: int, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, k, φ) of the environments ``rows``, from the ``modes`` of the first of each group."""
    items = problem.items(rows)
    tones = problem.omega.size
    # Which item of the solved ones each of the others is like, and where its modes begin.
    solved = np.arange(len(items) // group).reshape(-1, 1, tones)
    like = np.repeat(solved, group, axis=1).ravel()
    counts = np.diff(modes.first)[like]
    first = np.concatenate([[0], np.cumsum(counts)])
    item = np.repeat(np.arange(len(items)), counts)
    mode = modes.first[like[item]] + np.arange(first[-1]) - first[item]
    # Their steps may differ by one in number.
    lanes = Lanes(item, np.minimum(modes.node[mode], np.diff(items.first)[item]))
    order = np.lexsort((lanes.node, item))  # neighbours meet at one node
    back = np.argsort(order)
    lanes, x = lanes[order], modes.x[mode][order]
    x, _ = newton(items, lanes, x, neighbour_distance(lanes, x.real), _ERROR)
    loss = np.ones(x.size)
    shift = scattering_shift(problem, rows, items, lanes, x, loss)
    phi = mode_functions_of(items, lanes, x, loss, np.repeat(depth, tones, axis=0))
    return first, np.sqrt(x + shift)[back], phi[back]
