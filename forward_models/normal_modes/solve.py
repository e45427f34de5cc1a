"""Normal modes of a batch of environments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment, OnError
from forward_models.errors import ModelInputError
from forward_models.normal_modes.batch import (
    Numbers,
    Problem,
    as_tensor,
    in_parallel,
    make_problem,
    within_solid,
)
from forward_models.normal_modes.chunk import Attenuation, ModeList, require_known, solve_chunk
from forward_models.normal_modes.gradients import Cotangents, require_exact
from forward_models.rejected import spread, usable
from forward_models.torch_modes import Device, Precision, modes_on, require_double


@dataclass(frozen=True)
class Modes:
    """Normal modes of B environments at F frequencies, at most M each, at D depths.

    Attributes:
        frequency: (F,) Hz.
        depth: (D,) or (B, D) m.
        wavenumber: (B, F, M) rad/m, complex, Im k ≥ 0 decays; by decreasing real part, NaN-padded.
        mode_function: (B, F, M, D), ∫φ²/ρ dz = 1 over all media with ρ in g/cm³.
        group_speed: (B, F, M) m/s, complex sound speeds held: as they are where loss by wavelength
            does not depend on frequency. Where it does, dispersion adds up to 1e-3 of it.
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
    leaky: bool = False,
    on_error: OnError = "raise",
    device: Device | None = None,
    precision: Precision = "double",
) -> Modes:
    """Modes of every environment at every frequency: all of them, by a count.

    The depth equation is Jensen, Kuperman, Porter & Schmidt, *Computational Ocean Acoustics*
    (2011), eq. 5.3. Over a fluid half-space these are the trapped modes, counted by their
    oscillations: a mode belongs to the set when its phase speed in the real problem of the
    perturbative treatment is below ``c_high`` and below the sound speed of the half-space. As a
    parameter moves through a cut-off, a mode over a lossless half-space comes in with nothing: all
    of it is in the half-space. Over a lossy one, or at ``c_high``, it comes in with a finite size,
    exp(-r Im k) of which is left at a range r; gradients are those of the modes that are there, on
    either side. What the modes left out amount to, :func:`forward_models.truncation_error` tells.

    Leaky modes, and all modes over an elastic half-space, are counted by the argument principle.
    Waves in the half-space of wavenumber q (compressional, shear) go as exp(-γz) with KRAKENC's
    branch, conjugated for exp(-iωt):

        γ = √(k² - q²) where Re k² ≥ Re q²: the wave decays downwards,
        γ = -i √(q² - k²) elsewhere: it travels downwards, and grows where k is complex.

    On it a mode belongs to the set when

        Re k² > (ω/c_high)² and 0 ≤ Im k² < Re k²,

    the last leaving out what decays by more than 22 dB in a horizontal wavelength; and unless
    ``leaky``, Re k² > Re q² of the compressional wave, so that shear alone may leak. The set jumps
    where a root passes Re k² = Re q². Slower than 0.99 of the slowest sound speed there is but the
    interface wave of an elastic half-space (Scholte wave), which belongs to the set. It is that of
    a solid which loses energy in every motion: one with shear loss alone, Im (c_p² - 4/3 c_s²) > 0,
    gains some in compression, and has its wave wrong by up to a percent.

    ∫φ²/ρ dz then stands for -∂W/∂k² of unit mode functions: the integral over the fluid, and over
    the half-space -∂(ψ/φ)/∂k², ψ = ρ⁻¹ dφ/dz, which is the integral there where a fluid's
    converges.

    Gradients flow to every tensor of the environment and to the depths; a segment of no thickness
    takes no part and has none by it.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        depth: (D,) or (B, D) m where the mode functions are wanted.
        c_high: largest phase speed, m/s; None sets no limit but the half-space.
        attenuation: ``"exact"`` solves for complex modes; ``"perturbative"`` takes real modes with
            first-order loss, as KRAKEN does, and is wrong by factors in slow lossy sediments; it
            has neither leaky modes nor elastic half-spaces.
        leaky: whether modes may leak compressional waves into the half-space; needs ``c_high``.
        on_error: ``"raise"``, or ``"nan"``: a bad environment has no modes and NaN throughout and
            is named in a warning; the others are computed.
        device: None computes on the processor with compiled kernels, and knows gradients; a torch
            device (``"cuda"``) computes there with tensors, in large batches, and leaves the
            results there: trapped modes over fluids with smooth interfaces.
        precision: of the arithmetic on a device, see :mod:`forward_models.torch_modes`.

    Raises:
        ModelInputError: values that no medium can have, named; a depth in an elastic half-space; a
            device that is not there.

    Example (Pekeris guide at 20 Hz, one mode):

        >>> from forward_models import Environment, HalfSpace, Layer, solve_modes
        >>> guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
        >>> modes = solve_modes(guide, [20.0], depth=[36.0])
        >>> int(modes.n_modes), round(float(modes.wavenumber[0, 0, 0].real), 6)
        (1, 0.080516)
    """
    require_known(attenuation)
    if device is None:
        require_double(precision)
    batch = len(environment)
    depths = torch.atleast_1d(as_tensor(depth))
    if depths.ndim > 2 or (depths.ndim == 2 and depths.shape[0] not in (1, batch)):
        raise ModelInputError(
            f"depth: shape {tuple(depths.shape)} fits neither (D,) nor (B, D) with B = {batch}"
        )
    at = depths.expand(batch, depths.shape[-1])
    problems = {
        row: f"depth: {float(at[row, column]):g} m must be finite and zero or more"
        for row, column in torch.nonzero(~((at >= 0) & torch.isfinite(at))).tolist()
    } | within_solid(environment, at, "depth")
    if problems or on_error != "raise":  # else make_problem checks
        problems |= environment.problems()
    good = usable(problems, batch, on_error, stacklevel=3)
    if good is not None:
        environment, at = environment[good], at[good]
    problem = make_problem(environment, frequency, c_high, leaky=leaky)
    solution: tuple[Tensor, ...]
    if len(problem) == 0:
        size = (0, problem.omega.size, 0)
        k = torch.empty(size, dtype=torch.complex128)
        phi = k[..., None].expand(*size, at.shape[-1])
        solution = (k, phi, k.real, torch.empty(size[:2], dtype=torch.int64))
    elif device is None:
        solution = _Solution.apply(problem, attenuation, at, *problem.media)
    else:
        solution = modes_on(device, problem, at, attenuation, precision)
    k, phi, speed, counts = (spread(values, good, batch) for values in solution)
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
