"""Environments to a device chunk by chunk: steps are made on the host while the device solves."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import Problem, in_parallel
from forward_models.normal_modes.chunk import Attenuation, require_known
from forward_models.normal_modes.items import Items
from forward_models.normal_modes.real_modes import find_ducts
from forward_models.normal_modes.steps import HALF_SPACE
from forward_models.torch_modes.chunk import DeviceModes, Precision, solve_table
from forward_models.torch_modes.table import Ducts, Table

Device = str | torch.device

# Lanes of a chunk: those that fill a processor's cache, and at most those that fill a GPU.
_LANES, _MOST_LANES = 1 << 13, 1 << 21
_MOST_THREADS = 64  # that make steps, which is all done in kernels
# Of a GPU's free memory a lane gets these bytes, and these for each depth; it needs a quarter.
_BYTES, _BYTES_OF_DEPTH = 6000, 600


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
    chunks = _chunks(problem, lanes or _lanes_on(there, depth.shape[1]))
    if not chunks:
        return
    omega = torch.from_numpy(problem.omega).to(there)
    kernels = _kernels_for(there)
    with ThreadPoolExecutor(1) as ahead:
        pinned = there.type == "cuda"
        following = ahead.submit(_items, problem, chunks[0], pinned)
        for number, rows in enumerate(chunks):
            items, ducts = following.result()
            if number + 1 < len(chunks):
                following = ahead.submit(_items, problem, chunks[number + 1], pinned)
            at = depth[rows].to(there)
            modes = solve_table(
                Table.upload(items, there, kernels, ducts),
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
        torch.zeros(1, device=there).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ModelInputError(
            f"device: {device!r} cannot be used here ({reason}); use 'cpu', or leave device out"
        ) from error
    return there


def _kernels_for(device: torch.device) -> ModuleType | None:
    """The kernels of whole shots where they can be compiled: on CUDA with Triton."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("forward_models.torch_modes.kernels")


def _lanes_on(device: torch.device, depths: int) -> int:
    """Lanes of a chunk."""
    if device.type != "cuda":
        return _LANES
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(_LANES, min(_MOST_LANES, free // (_BYTES + _BYTES_OF_DEPTH * depths)))


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
    # Real sound speeds, and so the phase of a radian a second, do not depend on the frequency.
    slowest = np.minimum(problem.c_top[0].real, problem.c_bottom[0].real)
    least = np.full(len(problem), problem.c_high**-2)
    if problem.bottom == HALF_SPACE:
        least = np.maximum(least, problem.c_half[0].real ** -2)
    vertical = np.sqrt(np.maximum(slowest**-2 - least[:, None], 0.0))
    phase = (problem.thickness * vertical).sum(axis=1)
    return np.ceil(phase[:, None] * problem.omega / np.pi).sum(axis=1)


def _items(problem: Problem, rows: slice, pinned: bool) -> tuple[Items, Ducts]:
    """The eigenproblems of a slice, made on all cores; steps in pinned memory if it says so."""
    made: dict[int, tuple[Items, Ducts]] = {}

    def work(part: slice) -> None:
        items = problem.items(slice(rows.start + part.start, rows.start + part.stop))
        made[part.start] = items, find_ducts(items.steps, items.first)

    in_parallel(work, rows.stop - rows.start, most=_MOST_THREADS)
    parts, ducts = zip(*(made[start] for start in sorted(made)), strict=True)
    offsets, axes, barriers = zip(*ducts, strict=True)
    # Each part counts its axes from nothing.
    counts = np.concatenate([np.diff(offset) for offset in offsets])
    offset = np.concatenate([[0], np.cumsum(counts)])
    return _joined(parts, pinned), (offset, np.concatenate(axes), np.concatenate(barriers))


def _joined(parts: Sequence[Items], pinned: bool) -> Items:
    sizes = [part.steps.shape[0] for part in parts]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    firsts = [part.first[:-1] + offset for part, offset in zip(parts, offsets, strict=False)]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    # Pinned memory is kept by torch for the next chunk, and goes to the device without a copy.
    shape = (int(offsets[-1]), parts[0].steps.shape[1])
    steps = torch.empty(shape, dtype=torch.float64, pin_memory=pinned).numpy()

    def copy(some: slice) -> None:
        for part, a, b in zip(parts[some], offsets[some], offsets[1:][some], strict=True):
            steps[a:b] = part.steps

    in_parallel(copy, len(parts), most=_MOST_THREADS)
    return Items(
        parts[0].top,
        steps,
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
        # What the knots of a step were is for gradients.
        parts[0].piece[:0],
        parts[0].edges[:0],
    )
