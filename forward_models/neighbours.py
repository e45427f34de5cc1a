"""Pressure of guides that differ little from one another, such as for derivatives by differences.

One guide is solved. Its neighbours have its modes, moved: Newton's method from its roots, one step
or two, is all that they need. That is several times faster than solving each, and no mode comes or
goes between them, so that differences are those of a smooth function.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Numbers, Problem, in_parallel, make_problem
from forward_models.normal_modes.chunk import ModeList, solve_chunk
from forward_models.normal_modes.complex_modes import newton
from forward_models.normal_modes.items import Lanes, mode_functions_of, settled
from forward_models.normal_modes.real_modes import neighbour_distance
from forward_models.normal_modes.roughness import scattering_shift
from forward_models.normal_modes.sums import by_distance, sum_modes
from forward_models.places import density_at_source, require_geometry

# The error of mode functions, and that of roots before their last Newton step, in shares of the
# distance to the next root: differences need no more.
_ERROR = 1e-7


def neighbouring_pressure(
    environment: Environment,
    neighbours: Environment,
    frequency: Numbers,
    *,
    source_depth: Tensor,
    receiver_depth: Tensor,
    range_m: Tensor,
    c_high: float | None = None,
) -> Tensor:
    """Complex pressure at arrays in guides and in neighbours of each: (B, S + N, F, R).

    Args:
        environment: B guides.
        neighbours: B N guides, N in a row that are nearly the same as one of the B. Their modes
            are those of that one, with exact attenuation; NaN where it has none.
        frequency: (F,) Hz.
        source_depth: (B, S + N) m: S sources in each guide, at least one, and one in each
            neighbour.
        receiver_depth, range_m: (B, S + N, R) m, the array of each source.
        c_high: as for :func:`forward_models.solve_modes`, of the B guides.

    Raises:
        ModelInputError: as :func:`forward_models.array_pressure`; an elastic half-space;
            neighbours that are not as many for each guide.
    """
    batch, arrays, elements = receiver_depth.shape
    each, rest = divmod(len(neighbours), batch)
    if rest or each >= arrays:
        raise ModelInputError(
            f"neighbours: {len(neighbours)} of {batch} environments with {arrays} sources each; "
            "give every environment the same number, below that of its sources"
        )
    for guides in (environment, neighbours):
        if guides.half_space_shear_speed is not None:
            raise ModelInputError(
                "half_space_shear_speed: neighbours are known of fluid guides alone"
            )
    own = arrays - each
    solved = make_problem(environment, frequency, c_high)
    others = make_problem(neighbours, frequency, c_high)
    tones = solved.omega.size

    def placed(guides: Environment, part: slice, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Depths of ``count`` arrays in each guide, every source before its receivers; ranges."""
        source = source_depth[:, part].reshape(-1, count, 1)
        receiver = receiver_depth[:, part].reshape(-1, count, elements)
        ranges = range_m[:, part].reshape(-1, count * elements).contiguous()
        require_geometry(guides, source.flatten(1), receiver.flatten(1), ranges)
        return torch.cat([source, receiver], -1).flatten(1).numpy(), ranges.numpy()

    at, far = placed(environment, slice(None, own), own)
    at_others, far_others = placed(neighbours, slice(own, None), 1)
    columns = np.arange(at.shape[1]).reshape(own, 1 + elements)
    pairs = np.repeat(columns[:, 0], elements), columns[:, 1:].ravel()
    pairs_of_others = np.zeros(elements, np.int64), 1 + np.arange(elements)
    result = np.empty((batch, tones, own * elements), np.complex128)
    moved = np.empty((batch * each, tones, elements), np.complex128)

    def work(rows: slice) -> None:
        modes = solve_chunk(solved, rows, at[rows], "exact", speeds=False)
        order = by_distance(far[rows])
        sum_modes(modes.first, modes.k, modes.phi, *pairs, far[rows], order, result[rows])
        if each:
            near = slice(each * rows.start, each * rows.stop)
            of_others = _moved(others, near, modes, each, at_others[near])
            order = by_distance(far_others[near])
            sum_modes(*of_others, *pairs_of_others, far_others[near], order, moved[near])

    in_parallel(work, len(solved))
    by_array = torch.from_numpy(result).unflatten(-1, (own, elements)).movedim(2, 1)
    by_array = by_array / density_at_source(environment, source_depth[:, :own])[..., None, None]
    density = density_at_source(neighbours, source_depth[:, own:].reshape(-1, 1))
    of_neighbours = torch.from_numpy(moved) / density[..., None]
    return torch.cat([by_array, of_neighbours.unflatten(0, (batch, each))], 1)


def _moved(
    problem: Problem, rows: slice, modes: ModeList, group: int, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, k, φ) of the neighbours ``rows``, ``group`` in a row for each guide of ``modes``."""
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
    distance = neighbour_distance(lanes, x.real)
    x, _ = newton(items, lanes, x, distance, _ERROR)
    loss = np.ones(x.size)
    shift = scattering_shift(problem, rows, items, lanes, x, loss)
    move, phi = mode_functions_of(items, lanes, x, loss, np.repeat(depth, tones, axis=0))
    x = settled(x, move, distance)
    return first, np.sqrt(x + shift)[back], phi[back]
