"""Environments in, arrays for the kernels out, and the kernels run over all cores."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.normal_modes.items import Items
from forward_models.normal_modes.steps import HALF_SPACE, RIGID, VACUUM, build_steps
from forward_models.seabed import DB_PER_NEPER, attenuation_to_nepers

Numbers = Tensor | np.ndarray | Sequence[float] | float

_ON_THE_BOTTOM = 1e-6  # m
_SLICES = 6  # of a batch, at least, where there are several threads
_LARGEST_SLICE = 64  # environments: memory is that of a slice
# Threads that solve, at most: numpy holds the interpreter's lock for about an eighth of their time.
_THREADS = 8

# glibc hands freed memory back to the system, and the next slice pays for its pages again, a tenth
# of the time in all, until a block about as large as it ever keeps has come and gone.
np.empty(30 << 20, np.uint8)

_KIND = {"half_space": HALF_SPACE, "rigid": RIGID, "vacuum": VACUUM}


@dataclass(frozen=True)
class Problem:
    """What the kernels take, all of it numpy: speeds complex, (frequency, batch, …).

    ``media`` holds the same c_top, c_bottom, thickness, rho, c_half, rho_half and c_shear as
    tensors, with the graph that leads back to the environment. A fluid half-space has c_shear 0.
    ``roughness`` is (batch, segment + 1) m, or None where all interfaces are smooth.
    """

    media: tuple[Tensor, ...]
    omega: np.ndarray
    thickness: np.ndarray
    c_top: np.ndarray
    c_bottom: np.ndarray
    rho: np.ndarray
    n2: bool
    top: int
    bottom: int
    c_half: np.ndarray
    rho_half: np.ndarray
    c_shear: np.ndarray
    c_high: float
    leaky: bool
    merge: bool
    roughness: np.ndarray | None

    def __len__(self) -> int:
        return self.thickness.shape[0]

    def items(self, rows: slice) -> Items:
        """The eigenproblems of the environments ``rows``, environment by environment."""
        stacks: Any = build_steps(
            self.omega,
            self.thickness[rows],
            np.ascontiguousarray(self.c_top[:, rows]),
            np.ascontiguousarray(self.c_bottom[:, rows]),
            self.rho[rows],
            self.n2,
            self.bottom,
            np.ascontiguousarray(self.c_half[:, rows]),
            self.rho_half[rows],
            np.ascontiguousarray(self.c_shear[:, rows]),
            self.c_high,
            self.leaky,
            self.merge,
        )
        return Items(self.top, *stacks)


def as_tensor(values: Numbers) -> Tensor:
    """``values`` as float64."""
    return torch.as_tensor(values, dtype=torch.float64)


def make_problem(
    environment: Environment, frequency: Numbers, c_high: float | None, *, leaky: bool = False
) -> Problem:
    """Checks the input and turns speeds and attenuations into complex sound speeds.

    With exp(-iωt) a lossy wave has k = ω/c + iα, to first order c̃ = c - iαc²/ω; like the reference
    programs this is taken as the definition of c̃ at the knots. α is the attenuation of the medium
    and, in every medium, the volume attenuation of the environment.

    Raises:
        ModelInputError: a frequency that is not positive and finite, a ``c_high`` not above zero,
            none for leaky modes, a roughness that is not supported there.
    """
    f = np.atleast_1d(as_tensor(frequency).numpy())
    if f.ndim != 1 or f.size == 0:
        raise ModelInputError(f"frequency: shape {f.shape}; give a list of at least one (Hz)")
    for value in f[~(np.isfinite(f) & (f > 0))]:
        raise ModelInputError(f"frequency: {value:g} Hz must be finite and above zero")
    if c_high is not None and not c_high > 0:
        raise ModelInputError(f"c_high: {c_high:g} m/s must be above zero")
    if leaky and (c_high is None or math.isinf(c_high)):
        raise ModelInputError("c_high: leaky modes have no limit of their own; give c_high in m/s")
    environment.validate()
    hertz = torch.from_numpy(f)[:, None, None]
    absorption = torch.zeros_like(hertz)  # Np/m
    if environment.volume_attenuation is not None:
        absorption = torch.as_tensor(environment.volume_attenuation.absorption(f) / DB_PER_NEPER)
        absorption = absorption[:, None, None]

    def complex_speed(speed: Tensor, attenuation: Tensor) -> Tensor:
        nepers = attenuation_to_nepers(
            attenuation, environment.attenuation_unit, speed, hertz, power_law=environment.power_law
        )
        imaginary = (nepers + absorption) * speed**2 / (2.0 * math.pi * hertz)
        return torch.complex(speed.expand_as(imaginary), -imaginary)

    batch = len(environment)
    c_half = torch.ones((f.size, batch), dtype=torch.complex128)
    c_shear = torch.zeros((f.size, batch), dtype=torch.complex128)
    rho_half = torch.ones(batch, dtype=torch.float64)
    if environment.half_space_sound_speed is not None:
        assert environment.half_space_attenuation is not None
        assert environment.half_space_density is not None
        c_half = complex_speed(
            environment.half_space_sound_speed[:, None], environment.half_space_attenuation[:, None]
        )[:, :, 0]
        rho_half = environment.half_space_density / 1000.0
    if environment.half_space_shear_speed is not None:
        assert environment.half_space_shear_attenuation is not None
        elastic = environment.half_space_shear_speed > 0
        speed = torch.where(elastic, environment.half_space_shear_speed, 1.0)
        c_shear = complex_speed(speed[:, None], environment.half_space_shear_attenuation[:, None])[
            :, :, 0
        ]
        c_shear = torch.where(elastic, c_shear, 0.0)
    media = (
        complex_speed(environment.sound_speed_top, environment.attenuation_top),
        complex_speed(environment.sound_speed_bottom, environment.attenuation_bottom),
        environment.thickness,
        environment.density / 1000.0,
        c_half,
        rho_half,
        c_shear,
    )
    arrays = [np.ascontiguousarray(medium.detach().numpy()) for medium in media]
    return Problem(
        media=media,
        omega=2.0 * np.pi * f,
        thickness=arrays[2],
        c_top=arrays[0],
        c_bottom=arrays[1],
        rho=arrays[3],
        n2=environment.interpolation == "n2_linear",
        top=_KIND[environment.top],
        bottom=_KIND[environment.bottom],
        c_half=arrays[4],
        rho_half=arrays[5],
        c_shear=arrays[6],
        c_high=math.inf if c_high is None else float(c_high),
        leaky=leaky,
        # A segment has a gradient of its own only in steps of its own: what a step of several
        # leaves out is small, and yet may change fast with one of them.
        merge=not any(medium.requires_grad for medium in media),
        roughness=_roughness(environment, media),
    )


def _roughness(environment: Environment, media: tuple[Tensor, ...]) -> np.ndarray | None:
    rms = environment.interface_roughness()
    if not (rms > 0).any():
        return None
    if rms.requires_grad or any(medium.requires_grad for medium in media):
        raise ModelInputError(
            "roughness: rough interfaces have no gradients; use zero roughness, or tensors without "
            "requires_grad"
        )
    shear = environment.half_space_shear_speed
    if shear is not None and ((shear > 0) & (rms[:, -1] > 0)).any():
        raise ModelInputError(
            "bottom_roughness: the loss at a rough interface is that of fluids; use zero over an "
            "elastic half-space"
        )
    return rms.numpy()


def in_solid(environment: Environment, depth: Tensor) -> Tensor:
    """(B, D) whether depths (B, D) lie in an elastic half-space, which has no pressure."""
    shear = environment.half_space_shear_speed
    if shear is None:
        return torch.zeros_like(depth, dtype=torch.bool)
    bottom = environment.bottom_depth.detach()[:, None]
    return (depth.detach() > bottom + _ON_THE_BOTTOM) & (shear.detach() > 0)[:, None]


def within_solid(environment: Environment, depth: Tensor, name: str) -> dict[int, str]:
    """A line by environment of which a depth (B, D) lies in an elastic half-space."""
    bad, bottom = in_solid(environment, depth), environment.bottom_depth.detach()[:, None]
    return {
        row: f"{name}: {float(depth[row, column]):g} m lies in the elastic half-space below "
        f"{float(bottom[row]):g} m, where there are no mode functions of pressure; go no deeper"
        for row, column in torch.nonzero(bad).tolist()
    }


def in_parallel(work: Callable[[slice], None], batch: int, *, most: int = _THREADS) -> None:
    """Runs ``work`` on slices of the batch, one thread a core; the kernels release the GIL.

    Slices are small, so that uneven environments keep every core busy, but no smaller than that:
    what numpy does for a slice is done by one thread at a time. So there are ``most`` threads.
    """
    threads = max(1, min(_cores(), most, batch))
    parts = 1 if threads == 1 else max(threads, _SLICES)
    size = max(1, min(_LARGEST_SLICE, math.ceil(batch / parts)))
    slices = [slice(i, min(i + size, batch)) for i in range(0, batch, size)]
    if threads == 1:
        for rows in slices:
            work(rows)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, slices):
            continue


def _cores() -> int:
    """Cores this process may run on; on systems that do not tell, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
