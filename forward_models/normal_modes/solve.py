"""Normal modes of a batch of environments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.normal_modes.batch import (
    Numbers,
    Problem,
    as_tensor,
    in_parallel,
    make_problem,
)
from forward_models.normal_modes.chunk import Attenuation, ModeList, solve_chunk
from forward_models.normal_modes.gradients import Cotangents, require_exact
from forward_models.torch_modes import Device, Precision, modes_on, require_double


@dataclass(frozen=True)
class Modes:
    """Normal modes of B environments at F frequencies, at most M each, at D depths.

    Attributes:
        frequency: (F,) Hz.
        depth: (D,) or (B, D) m.
        wavenumber: (B, F, M) rad/m, complex, Im k ≥ 0 decays; by decreasing real part, NaN-padded.
        mode_function: (B, F, M, D), ∫φ²/ρ dz = 1 over all media with ρ in g/cm³.
        group_speed: (B, F, M) m/s.
        n_modes: (B, F).
    """

    frequency: Tensor
    depth: Tensor
    wavenumber: Tensor
    mode_function: Tensor
    group_speed: Tensor
    n_modes: Tensor


def solve_modes(
    environment: Environment,
    frequency: Numbers,
    *,
    depth: Numbers = (),
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    device: Device | None = None,
    precision: Precision = "double",
) -> Modes:
    """Trapped modes of every environment at every frequency: all of them, by an oscillation count.

    The depth equation is Jensen, Kuperman, Porter & Schmidt, *Computational Ocean Acoustics*
    (2011), eq. 5.3. A mode belongs to the set when its phase speed in the real problem of the
    perturbative treatment is below ``c_high`` and below the sound speed of the half-space.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        depth: (D,) or (B, D) m where the mode functions are wanted.
        c_high: largest phase speed, m/s; None sets no limit but the half-space.
        attenuation: ``"exact"`` solves for complex modes; ``"perturbative"`` takes real modes with
            first-order loss, as KRAKEN does, and is wrong by factors in slow lossy sediments.
        device: None computes on the processor with compiled kernels, and knows gradients; a torch
            device (``"cuda"``) computes there with tensors, in large batches, and leaves the
            results there.
        precision: of the arithmetic on a device, see :mod:`forward_models.torch_modes`.

    Raises:
        ModelInputError: values that no medium can have, named; a device that is not there.

    Example (Pekeris guide at 20 Hz, one mode):

        >>> from forward_models import Environment, HalfSpace, Layer, solve_modes
        >>> guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
        >>> modes = solve_modes(guide, [20.0], depth=[36.0])
        >>> int(modes.n_modes), round(float(modes.wavenumber[0, 0, 0].real), 6)
        (1, 0.080516)
    """
    problem = make_problem(environment, frequency, c_high)
    depths = as_tensor(depth)
    at = depths.expand(len(problem), depths.shape[-1])
    if device is None:
        require_double(precision)
        k, phi, speed, counts = _Solution.apply(problem, attenuation, at, *problem.media)
    else:
        k, phi, speed, counts = modes_on(device, problem, at, attenuation, precision)
    return Modes(
        frequency=torch.from_numpy(problem.omega / (2.0 * np.pi)).to(k.device),
        depth=depths.to(k.device),
        wavenumber=k,
        mode_function=phi,
        group_speed=speed,
        n_modes=counts,
    )


class _Solution(torch.autograd.Function):
    """(k, φ, group speed, count), padded; see ``gradients`` for the way back."""

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, attenuation: Attenuation, depth: Tensor, *media: Tensor
    ) -> tuple[Tensor, ...]:
        require_exact(attenuation, ctx.needs_input_grad)
        lists: dict[int, ModeList] = {}
        at = depth.numpy()

        def solve(rows: slice) -> None:
            lists[rows.start] = solve_chunk(problem, rows, at[rows], attenuation, speeds=True)

        in_parallel(solve, len(problem))
        in_order = [lists[start] for start in sorted(lists)]
        counts = np.concatenate([np.diff(modes.first) for modes in in_order])
        shape = (counts.size, int(counts.max(initial=0)))
        k = np.full(shape, np.nan + 1j * np.nan)
        speed = np.full(shape, np.nan)
        phi = np.full((*shape, at.shape[-1]), np.nan + 1j * np.nan)
        held = np.arange(shape[1]) < counts[:, None]
        k[held] = np.concatenate([modes.k for modes in in_order])
        phi[held] = np.concatenate([modes.phi for modes in in_order])
        speed[held] = np.concatenate([modes.group_speed for modes in in_order])
        ctx.problem, ctx.lists, ctx.held, ctx.depth = problem, lists, held, at
        result = tuple(
            torch.from_numpy(values.reshape(len(problem), problem.omega.size, *values.shape[1:]))
            for values in (k, phi, speed, counts)
        )
        ctx.mark_non_differentiable(*result[2:])
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        g_k, g_phi = (
            gradient.conj().resolve_conj().numpy().reshape(*ctx.held.shape, *gradient.shape[3:])
            for gradient in gradients[:2]
        )
        cotangents = Cotangents.zeros(ctx.problem, ctx.depth)

        def work(rows: slice) -> None:
            modes = ctx.lists[rows.start]
            frequencies = ctx.problem.omega.size
            part = slice(rows.start * frequencies, rows.stop * frequencies)
            held = ctx.held[part]
            cotangents.add(rows, modes, g_k[part][held], g_phi[part][held])

        in_parallel(work, len(ctx.problem))
        return (None, None, *cotangents.as_gradients())
