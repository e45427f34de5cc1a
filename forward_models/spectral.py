"""The full field, near field and all, by integration over horizontal wavenumber.

    p(r, z) = ∫₀^∞ g(k; z_s, z) J₀(kr) k dk

(Jensen, Kuperman, Porter & Schmidt, *Computational Ocean Acoustics* (2011), eq. 4.20), normalised
to 1 at 1 m, with exp(-iωt). Nothing is left out: leaky and evanescent modes, the branch cut of the
half-space and the direct wave are in the integral, which makes it the judge of the sum of modes.

The contour. With the loss taken to nothing from above, poles and branch points lie on the positive
real axis or above it. The contour leaves the origin, runs below the axis at a distance ε, and parts
past the last pole, over a solid that of the interface wave, J₀ = (H₀⁽¹⁾ + H₀⁽²⁾)/2: either half
goes to infinity on the side where it decays, so that source and receiver at one depth cost no more
than others. On it J₀ grows to exp(εr); ε = 6/r at the largest range keeps that below 404. The
contour is cut into panels of 2.5 ε with 16 Gauss points each: a pole at the distance ε adds an
error of ϱ⁻³² = 6e-11 to the integral, ϱ = 0.8 + √(1 + 0.8²), and J₀ runs through 15 rad in a panel,
which 16 points resolve to 1e-14. No samples lie on a grid, and so no images of the field wrap
around.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.field import pressure
from forward_models.normal_modes.batch import (
    Numbers,
    Problem,
    in_parallel,
    make_problem,
    within_solid,
)
from forward_models.normal_modes.cache import kernel_cache
from forward_models.normal_modes.chunk import Attenuation
from forward_models.normal_modes.steps import HALF_SPACE, RIGID, build_steps
from forward_models.places import place_row, require_geometry
from forward_models.rejected import usable

with kernel_cache():
    from forward_models.green import green_function
    from forward_models.hankel import INCOMING, OUTGOING, STANDING, cylindrical_wave

_GROWTH = 6.0  # εr at the largest range
_STEEPEST = 0.25  # largest ε, in shares of the largest wavenumber
_PANEL = 2.5  # length of a panel in ε
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_HALVINGS = 8  # panels that halve towards the origin, where the last mode may be about to cut off
_MARGIN = 0.02  # what the contour runs on past the largest wavenumber, in its shares
_TAIL = 25.0  # nepers of decay at the end of the contour, at the shortest range
_STEP = 3.6  # largest |√(x - q)| times the thickness of a step: what the propagator's series reach
_TOGETHER = 64  # panels worked on at a time


def spectral_pressure(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
) -> Tensor:
    """Complex pressure of the full field on a grid, normalised to 1 at 1 m: (B, F, S, R, K).

    Attenuation is exact. The integral is right to 1e-8 of what the field would be without
    attenuation, the steps through gradients of sound speed to some 1e-7. The cost is that of about
    ωr/c Green's functions at the largest range r; no gradient flows.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        source_depth: (S,) m, in the water.
        receiver_depth: (R,) m, in any fluid.
        range_m: (K,) m, above zero.

    Raises:
        ModelInputError: a source outside the water, a receiver in an elastic half-space, a range
            that is not positive, rough interfaces, a bad medium.

    Example (Pekeris guide at 20 Hz; its one mode alone gives 53.91 dB):

        >>> from forward_models import Environment, HalfSpace, Layer, transmission_loss
        >>> guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
        >>> p = spectral_pressure(guide, 20, source_depth=36, receiver_depth=50, range_m=2000)
        >>> round(float(transmission_loss(p)), 2)
        54.1
    """
    if (environment.interface_roughness() > 0).any():
        raise ModelInputError(
            "roughness: the spectral integral is that of smooth interfaces; leave roughness out"
        )
    problem = make_problem(environment, frequency, None)
    source = place_row("source_depth", source_depth).detach()
    receiver = place_row("receiver_depth", receiver_depth).detach()
    ranges = place_row("range_m", range_m).detach()
    batch = len(problem)
    require_geometry(environment, source[None], receiver[None], ranges[None])
    at = receiver.expand(batch, -1)
    usable(within_solid(environment, at, "receiver_depth"), batch, "raise", stacklevel=2)
    depth = torch.cat([source, receiver]).numpy()
    shape = (source.numel(), receiver.numel(), ranges.numel())
    result = np.empty((batch, problem.omega.size, *shape), np.complex128)

    def work(rows: slice) -> None:
        for b in range(rows.start, rows.stop):
            for f in range(problem.omega.size):
                result[b, f] = _integral(problem, b, f, depth, source.numel(), ranges.numpy())

    if result.size:
        in_parallel(work, batch)
    return torch.from_numpy(result)


def truncation_error(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
) -> Tensor:
    """What the sum of modes leaves out of the field at each range: (B, F, S, K).

        ‖p_modes - p‖ / ‖p‖,   the Euclidean norms taken over the receiver depths,

    with p from :func:`spectral_pressure` and p_modes from :func:`forward_models.pressure`. Besides
    the modes beyond ``c_high`` and the half-space it holds the sum's far-field form of the Hankel
    function, 1/(8kr) relative, and with ``attenuation="perturbative"`` what first-order loss costs.
    Where there is no mode, all is left out: 1; where there is no field, nothing: 0 for a source on
    a pressure-release surface.

    Args and errors as for :func:`forward_models.pressure`.

    Example (Pekeris guide at 20 Hz, from 500 m to 10 km):

        >>> from forward_models import Environment, HalfSpace, Layer
        >>> guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
        >>> place = {"source_depth": 36, "receiver_depth": [20, 50, 80]}
        >>> error = truncation_error(guide, 20, **place, range_m=[500, 2000, 10000])
        >>> [f"{e:.0e}" for e in error[0, 0, 0].tolist()]
        ['5e-01', '2e-02', '1e-03']
    """
    geometry: dict[str, Any] = {
        "source_depth": source_depth,
        "receiver_depth": receiver_depth,
        "range_m": range_m,
    }
    full = spectral_pressure(environment, frequency, **geometry)
    with torch.no_grad():
        modes = pressure(environment, frequency, **geometry, c_high=c_high, attenuation=attenuation)
    return left_out(modes, full)


def left_out(modes: Tensor, full: Tensor) -> Tensor:
    """The truncation error (B, F, S, K) of a sum of modes against the full field, (B, F, S, R, K).

    For who has both already; see :func:`truncation_error`.
    """
    modes = torch.where(torch.isnan(modes.real), 0.0, modes)
    norm = torch.linalg.vector_norm(full, dim=3)
    return torch.where(norm > 0, torch.linalg.vector_norm(modes - full, dim=3) / norm, 0.0)


def _integral(
    problem: Problem, b: int, f: int, depth: np.ndarray, n_sources: int, ranges: np.ndarray
) -> np.ndarray:
    """(S, R, K) pressure in environment ``b`` at frequency ``f``."""
    omega = problem.omega[f]
    medium = np.flatnonzero(problem.thickness[b] > 0)
    q = (omega / np.stack([problem.c_top[f, b, medium], problem.c_bottom[f, b, medium]])) ** 2
    q_bottom = complex((omega / problem.c_half[f, b]) ** 2)
    q_shear = 0j
    largest = q.real.max()
    if problem.bottom == HALF_SPACE:
        largest = max(largest, q_bottom.real)
    if problem.c_shear[f, b] != 0:  # the interface wave is slower than all others
        q_shear = complex((omega / problem.c_shear[f, b]) ** 2)
        largest = max(largest, problem.items(slice(b, b + 1)).x_interface[f])
    k_max = math.sqrt(largest)
    reach = max(ranges.max(), problem.thickness[b].sum())
    offset = min(_GROWTH / reach, _STEEPEST * k_max)
    turn = k_max + max(_MARGIN * k_max, 2.0 * offset)
    n_receivers = depth.size - n_sources
    total = np.zeros((n_sources * n_receivers, ranges.size), np.complex128)

    def add(start: complex, end: complex, panels: int, gamma2: np.ndarray, wave: int) -> None:
        # Over a solid x goes on to the interface wave, further than merging knows.
        steps = _steps(problem, b, f, gamma2, merge=wave == STANDING and q_shear == 0)
        half = 0.5 * (end - start) / panels
        middles = start + half * (2 * np.arange(panels) + 1)
        for some in np.split(middles, range(_TOGETHER, panels, _TOGETHER)):
            k = (some[:, None] + half * _NODES).ravel()
            g = green_function(
                k * k,
                depth,
                n_sources,
                steps,
                problem.top,
                problem.bottom,
                q_bottom,
                float(problem.rho_half[b]),
                q_shear,
            )
            weight = np.tile(half * _WEIGHTS, some.size) * k
            waves = cylindrical_wave(wave, some, half * _NODES, ranges).reshape(k.size, -1)
            total[:] += (g.reshape(k.size, -1) * weight[:, None]).T @ waves

    # Along the axis: -ε² ≤ Re x ≤ turn² - ε², 0 ≥ Im x ≥ -2ε turn.
    width = np.maximum(q.real + offset**2, turn**2 - q.real)
    gamma2 = np.hypot(width, 2.0 * offset * turn + np.abs(q.imag)).max(axis=0)
    corner, end = offset * (1.0 - 1.0j), turn - 1j * offset
    shares = [0.0, *(0.5**n for n in range(_HALVINGS, -1, -1))]
    for near, far in pairwise(shares):
        add(near * corner, far * corner, 1, gamma2, STANDING)
    add(corner, end, math.ceil((turn - offset) / (_PANEL * offset)), gamma2, STANDING)
    # To infinity, in panels that grow with the distance from all poles.
    for near, far in _growing(_PANEL * offset, _TAIL * math.sqrt(2.0) / ranges.min()):
        gamma2 = (turn + offset + far) ** 2 + np.abs(q).max(axis=0)
        for wave, away in ((OUTGOING, 1.0 + 1.0j), (INCOMING, 1.0 - 1.0j)):
            away /= math.sqrt(2.0)
            add(end + near * away, end + far * away, 1, gamma2, wave)
    return total.reshape(n_sources, n_receivers, ranges.size)


def _growing(first: float, last: float) -> Iterator[tuple[float, float]]:
    """(from, to) of panels that double in length until ``last``."""
    near, length = 0.0, first
    while near < last:
        yield near, near + length
        near, length = near + length, 2.0 * length


def _steps(problem: Problem, b: int, f: int, gamma2: np.ndarray, *, merge: bool) -> np.ndarray:
    """The table of steps that carry all x with |x - q| up to ``gamma2`` in each segment.

    Segments are cut here: what `build_steps` sees to are gradients, and the merging of segments
    where nothing but x between 0 and the largest q is asked of them.
    """
    medium = np.flatnonzero(problem.thickness[b] > 0)
    thickness = problem.thickness[b, medium]
    count = np.maximum(np.ceil(thickness * np.sqrt(gamma2) / _STEP), 1).astype(np.int64)
    parent = np.repeat(np.arange(medium.size), count)
    number = np.arange(parent.size) - np.repeat(np.cumsum(count) - count, count)
    top, bottom = problem.c_top[f, b, medium][parent], problem.c_bottom[f, b, medium][parent]

    def speed_at(fraction: np.ndarray) -> np.ndarray:
        if problem.n2:
            return 1.0 / np.sqrt(1.0 / top**2 + (1.0 / bottom**2 - 1.0 / top**2) * fraction)
        return top + (bottom - top) * fraction

    return build_steps(
        problem.omega[f : f + 1],
        (thickness / count)[parent][None],
        speed_at(number / count[parent])[None, None],
        speed_at((number + 1) / count[parent])[None, None],
        problem.rho[b, medium][parent][None],
        problem.n2,
        # With no half-space and no largest speed the table reaches down to x = 0, uncut.
        RIGID,
        problem.c_half[f : f + 1, b : b + 1],
        problem.rho_half[b : b + 1],
        problem.c_shear[f : f + 1, b : b + 1],
        math.inf,
        False,
        merge,
    )[0]
