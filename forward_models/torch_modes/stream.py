"""Environments to a device chunk by chunk: steps are made on the host while the device solves."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Problem, in_parallel
from forward_models.normal_modes.chunk import Attenuation, require_known
from forward_models.normal_modes.items import Items
from forward_models.normal_modes.steps import HALF_SPACE
from forward_models.torch_modes.blocks import can_fuse
from forward_models.torch_modes.chunk import DeviceModes, Precision, solve_table
from forward_models.torch_modes.table import Table

Device = str | torch.device

# Lanes of a chunk, by the kind of device. Memory follows it: about 4 kB a lane with 21 receivers.
LANES = {"cpu": 1 << 13, "cuda": 1 << 19}
# Kernels take a minute or two to compile: for fewer modes in all it is not spent.
_WORTH_FUSING = 1 << 18


def stream_modes(
    problem: Problem,
    depth: Tensor,
    attenuation: Attenuation,
    *,
    device: Device,
    precision: Precision = "double",
    speeds: bool = False,
    lanes: int | None = None,
) -> Iterator[tuple[slice, DeviceModes]]:
    """Yields the modes of slices of the batch, in order; ``depth`` is (B, D) m.

    Memory is that of one chunk of about ``lanes`` modes and of the steps of the next, whatever the
    number of environments; an environment is never divided.

    Raises:
        ModelInputError: an unknown device, attenuation or precision; anything that asks for a
            gradient, for leaky modes, an elastic half-space or rough interfaces.
    """
    require_known(attenuation)
    there = _as_device(device)
    if any(medium.requires_grad for medium in (*problem.media, depth)):
        raise ModelInputError(
            f"device: {there} gives no gradients; leave device out, or give tensors without "
            "requires_grad"
        )
    for name, asked in (
        ("leaky", problem.leaky),
        ("half_space_shear_speed", bool((problem.c_shear != 0).any())),
        ("roughness", problem.roughness is not None),
    ):
        if asked:
            raise ModelInputError(f"{name}: is not known on a device; leave device out")
    chunks = _chunks(problem, lanes or LANES.get(there.type, LANES["cpu"]))
    omega = torch.from_numpy(problem.omega).to(there)
    fused = can_fuse(there) and _mode_estimate(problem).sum() > _WORTH_FUSING
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(_items, problem, chunks[0])
        for number, rows in enumerate(chunks):
            items = following.result()
            if number + 1 < len(chunks):
                following = ahead.submit(_items, problem, chunks[number + 1])
            at = depth[rows].to(there)
            modes = solve_table(
                Table.upload(items, there, fused=fused),
                omega.repeat(at.shape[0]),
                at.repeat_interleave(omega.numel(), dim=0),
                exact=attenuation == "exact",
                speeds=speeds,
                precision=precision,
            )
            yield rows, modes


def _as_device(device: Device) -> torch.device:
    try:
        there = torch.device(device)
        torch.empty(0, device=there)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelInputError(
            f"device: {device!r} cannot be used here ({reason}); use 'cpu', or leave device out"
        ) from error
    return there


def _chunks(problem: Problem, lanes: int) -> list[slice]:
    """Slices of the batch of about ``lanes`` modes each."""
    size = np.cumsum(_mode_estimate(problem))
    bounds = [0]
    while bounds[-1] < len(problem):
        a = bounds[-1]
        before = size[a - 1] if a else 0.0
        bounds.append(max(a + 1, int(np.searchsorted(size, before + lanes, side="right"))))
    return [slice(a, b) for a, b in pairwise(bounds)]


def _mode_estimate(problem: Problem) -> np.ndarray:
    """(B,) modes at all frequencies: the vertical phase of the steepest member over π."""
    slowest = np.minimum(problem.c_top.real, problem.c_bottom.real)
    omega = problem.omega[:, None]
    x_min = np.full((problem.omega.size, len(problem)), 0.0)
    x_min += (omega / problem.c_high) ** 2
    if problem.bottom == HALF_SPACE:
        x_min = np.maximum(x_min, (omega / problem.c_half.real) ** 2)
    vertical = np.maximum((omega[:, :, None] / slowest) ** 2 - x_min[:, :, None], 0.0)
    phase = (problem.thickness * np.sqrt(vertical)).sum(axis=2)
    return np.ceil(phase / np.pi).sum(axis=0)


def _items(problem: Problem, rows: slice) -> Items:
    """The eigenproblems of a slice, made on all cores."""
    made: dict[int, Items] = {}

    def work(part: slice) -> None:
        made[part.start] = problem.items(slice(rows.start + part.start, rows.start + part.stop))

    in_parallel(work, rows.stop - rows.start)
    return _joined([made[start] for start in sorted(made)])


def _joined(parts: list[Items]) -> Items:
    if len(parts) == 1:
        return parts[0]
    sizes = [part.steps.shape[0] for part in parts]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    firsts = [part.first[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    pieces = [
        part.piece + np.array([offset, 0]) for part, offset in zip(parts, offsets, strict=False)
    ]
    return Items(
        parts[0].top,
        joined("steps"),
        np.concatenate([*firsts, offsets[-1:]]),
        joined("x_min"),
        joined("x_max"),
        joined("axis"),
        joined("kind"),
        joined("q_bottom"),
        joined("rho_bottom"),
        joined("q_shear"),
        joined("open"),
        joined("x_interface"),
        np.concatenate(pieces),
        joined("edges"),
    )
