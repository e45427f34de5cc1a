"""Complex pressure and propagation loss as sums of modes.

    p(r, z) = i √(2π/r) exp(-iπ/4) / ρ(z_s) · Σ φ(z_s) φ(z) exp(ikr) / √k

(Jensen et al., *Computational Ocean Acoustics*, eq. 5.13, normalised to 1 at 1 m), with exp(-iωt)
and ρ(z_s) in g/cm³ the density at the source, see
:func:`forward_models.places.density_at_source`.
It is the discrete part of the field: modes above the half-space speed or ``c_high`` are left out,
which shows at ranges below a few water depths. Leaky modes add much of that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forward_models.environment import Environment, OnError
from forward_models.errors import ModelInputError
from forward_models.mode_sums import (
    Coherence,
    intensity,
    require_coherence,
    root,
    sum_over_modes,
    travelled,
)
from forward_models.normal_modes.batch import (
    Numbers,
    Problem,
    as_tensor,
    in_parallel,
    make_problem,
)
from forward_models.normal_modes.chunk import Attenuation, ModeList, solve_chunk
from forward_models.normal_modes.gradients import Cotangents, require_exact
from forward_models.normal_modes.items import mode_functions_of
from forward_models.normal_modes.solve import solve_modes
from forward_models.normal_modes.sums import by_distance, sum_cotangents, sum_modes
from forward_models.places import density_at_source, fitted, misplaced, place_rows, require_geometry
from forward_models.rejected import spread, usable
from forward_models.torch_modes import Device, Precision, pressure_on, require_double


def pressure(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    coherence: Coherence = "coherent",
    leaky: bool = False,
    mode_limit: int | None = None,
    on_error: OnError = "raise",
    device: Device | None = None,
    precision: Precision = "double",
) -> Tensor:
    """Complex pressure on a grid, normalised to 1 at 1 m: (B, F, S, R, K).

    With ``coherence="incoherent"`` it is the real root of the sum of squares, √Σ|p_m|² over the
    terms p_m of the modes: the interference of the modes is gone, as in an average over frequency
    or range.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        source_depth: (S,) m, or (B, S) where each environment has its own; in the water.
        receiver_depth: (R,) or (B, R) m, in any medium.
        range_m: (K,) or (B, K) m, above zero.
        c_high, attenuation, leaky, device, precision: as for :func:`forward_models.solve_modes`.
        coherence: ``"coherent"`` or ``"incoherent"``.
        mode_limit: largest number of modes in the sum, the first by wavenumber (Mlimit of the
            Acoustics Toolbox's FIELD); where fewer exist, all of them.
        on_error: ``"raise"``, or ``"nan"``: an environment that is bad, or whose source or
            receivers are, gives NaN and is named in a warning; the others are computed.

    Raises:
        ModelInputError: a source outside the water, a range that is not positive, a bad medium, a
            shape that does not fit the environments.
    """
    require_coherence(coherence)
    batch = len(environment)
    source = place_rows("source_depth", source_depth, "(B, S)", batch)
    receiver = place_rows("receiver_depth", receiver_depth, "(B, R)", batch)
    ranges = place_rows("range_m", range_m, "(B, K)", batch)
    depth = torch.cat([source, receiver], dim=1)
    n_sources, n_receivers, n_ranges = (values.shape[1] for values in (source, receiver, ranges))
    if device is not None:
        _require_plain(coherence, mode_limit, on_error)
        problem = make_problem(environment, frequency, c_high, leaky=leaky)
        columns = np.arange(n_sources + n_receivers)
        pairs = np.meshgrid(columns[:n_sources], columns[n_sources:], indexing="ij")
        result = _pairs_on(
            device,
            environment,
            problem,
            depth,
            pairs[0].ravel(),
            pairs[1].ravel(),
            ranges[:, None],
            attenuation,
            precision,
        )
        return result.unflatten(2, (n_sources, n_receivers))
    require_double(precision)
    if coherence == "incoherent":
        _require_mode_limit(mode_limit)
        problems = misplaced(environment, source, receiver, ranges)
        good = usable(problems | environment.problems(), batch, on_error, stacklevel=3)
        if good is not None:
            environment, depth, ranges = environment[good], depth[good], ranges[good]
        result = _incoherent(
            environment,
            frequency,
            depth,
            n_sources,
            ranges,
            c_high,
            attenuation,
            leaky,
            mode_limit,
        )
        return spread(result, good, batch)
    s, r, k = np.meshgrid(
        np.arange(n_sources),
        n_sources + np.arange(n_receivers),
        np.arange(n_ranges),
        indexing="ij",
    )
    result = _pairs(
        environment,
        frequency,
        c_high,
        depth,
        s.ravel(),
        r.ravel(),
        ranges[:, k.ravel()],
        attenuation,
        leaky,
        mode_limit,
        on_error,
    )
    return result.reshape(*result.shape[:2], *s.shape)


def array_pressure(
    environment: Environment,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    leaky: bool = False,
    mode_limit: int | None = None,
    on_error: OnError = "raise",
    device: Device | None = None,
    precision: Precision = "double",
) -> Tensor:
    """Complex pressure at the elements of an array, each with its own depth and range: (B, F, R).

    One array shape for each environment, so that tilted, bowed and drifting arrays need nothing
    more; :mod:`forward_models.arrays` says where elements are. Several sources for each environment
    give (B, F, S, R). An environment without modes gives NaN.

    Args:
        environment: B environments.
        frequency: (F,) Hz.
        source_depth: (B,) m, or (B, S).
        receiver_depth: (B, R) m, or (B, S, R) where each source has its own array.
        range_m: (B, R) m, or (B, S, R) where each source has its own.
        c_high, attenuation, leaky, device, precision: as for :func:`forward_models.solve_modes`.
        mode_limit, on_error: as for :func:`pressure`.

    Raises:
        ModelInputError: a source outside the water, a range that is not positive, a bad medium, a
            shape that does not fit the environments, sources or elements.
    """
    batch = len(environment)
    source = as_tensor(source_depth)
    several = source.ndim > 1
    if several:
        source = fitted("source_depth", source, "(B, S)", batch, source.shape[-1])
    else:
        source = fitted("source_depth", source, "(B,)", batch)[:, None]
    receiver, distance = torch.atleast_1d(as_tensor(receiver_depth)), as_tensor(range_m)
    sources, elements = source.shape[1], receiver.shape[-1]
    each, one = ("(B, S, R)", batch, sources, elements), ("(B, R)", batch, elements)
    receiver = fitted("receiver_depth", receiver, *(each if receiver.ndim > 2 else one))
    arrays = receiver.shape[1] if receiver.ndim > 2 else 1
    column = np.arange(arrays * elements).reshape(arrays, elements)
    if distance.ndim > 2:
        distance = fitted("range_m", distance, *each)
    else:
        distance = fitted("range_m", distance, *one)[:, None]
    depth = torch.cat([source, receiver.flatten(1)], dim=1)
    pairs = (
        np.repeat(np.arange(sources), elements),
        sources + np.broadcast_to(column, (sources, elements)).flatten(),
    )
    distance = distance.expand(batch, sources, elements).flatten(1)
    if device is None:
        require_double(precision)
        result = _pairs(
            environment,
            frequency,
            c_high,
            depth,
            *pairs,
            distance,
            attenuation,
            leaky,
            mode_limit,
            on_error,
        )
    else:
        _require_plain("coherent", mode_limit, on_error)
        problem = make_problem(environment, frequency, c_high, leaky=leaky)
        result = _pairs_on(
            device,
            environment,
            problem,
            depth,
            *pairs,
            distance[:, :, None],
            attenuation,
            precision,
        )[..., 0]
    return result.unflatten(-1, (sources, elements)) if several else result


def transmission_loss(p: Tensor) -> Tensor:
    """Propagation loss -20 lg|p| in dB re 1 m of a pressure normalised to 1 at 1 m."""
    return -20.0 * torch.log10(p.abs())


def _incoherent(
    environment: Environment,
    frequency: Numbers,
    depth: Tensor,
    n_sources: int,
    ranges: Tensor,
    c_high: float | None,
    attenuation: Attenuation,
    leaky: bool,
    mode_limit: int | None,
) -> Tensor:
    """(B, F, S, R, K) root of the sum of squares of what the modes carry."""
    modes = solve_modes(
        environment, frequency, depth=depth, c_high=c_high, attenuation=attenuation, leaky=leaky
    )
    k = modes.wavenumber[..., :mode_limit, None]
    held = ~torch.isnan(k.detach().real)
    phi = intensity(torch.where(held, modes.mode_function[..., :mode_limit, :], 0.0))
    radial = torch.where(
        held, intensity(travelled(torch.where(held, k, 1.0) * ranges[:, None, None])), 0.0
    )
    squares = sum_over_modes(phi[..., :n_sources], phi[..., n_sources:], radial)
    none = (modes.n_modes == 0)[..., None, None, None]
    density = density_at_source(environment, depth[:, :n_sources])[:, None, :, None, None]
    return torch.where(none, torch.nan, root(squares)) / density


def _density_of_pairs(environment: Environment, depth: Tensor, source: np.ndarray) -> Tensor:
    """(B, P) g/cm³ at the sources of pairs, columns ``source`` (P,) of ``depth`` (B, D) m."""
    columns, place = np.unique(source, return_inverse=True)
    return density_at_source(environment, depth[:, columns])[:, place]


def _pairs(
    environment: Environment,
    frequency: Numbers,
    c_high: float | None,
    depth: Tensor,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: Tensor,
    attenuation: Attenuation,
    leaky: bool,
    mode_limit: int | None,
    on_error: OnError,
) -> Tensor:
    """(B, F, P) pressure for pairs of columns of ``depth``, ``distance`` (B, P) apart."""
    _require_mode_limit(mode_limit)
    batch = len(environment)
    problems = misplaced(
        environment, depth[:, np.unique(source)], depth[:, np.unique(receiver)], distance
    )
    if problems or on_error != "raise":  # else make_problem checks
        problems |= environment.problems()
    good = usable(problems, batch, on_error, stacklevel=4)
    if good is not None:
        environment, depth, distance = environment[good], depth[good], distance[good]
    problem = make_problem(environment, frequency, c_high, leaky=leaky)
    if len(problem) == 0:
        empty = torch.empty((0, problem.omega.size, source.size), dtype=torch.complex128)
        return spread(empty, good, batch)
    result = _Pressure.apply(
        problem, source, receiver, attenuation, mode_limit, distance, depth, *problem.media
    )
    result = result / _density_of_pairs(environment, depth, source)[:, None]
    return spread(result, good, batch)


def _pairs_on(
    device: Device,
    environment: Environment,
    problem: Problem,
    depth: Tensor,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: Tensor,
    attenuation: Attenuation,
    precision: Precision,
) -> Tensor:
    """(B, F, P, K) pressure on a device; ``distance`` is (B, P, K), or (B, 1, K) for all pairs."""
    require_geometry(
        environment,
        depth[:, np.unique(source)],
        depth[:, np.unique(receiver)],
        distance.flatten(1),
    )
    result = pressure_on(device, problem, depth, source, receiver, distance, attenuation, precision)
    density = _density_of_pairs(environment, depth, source).to(result.device)
    return result / density[:, None, :, None]


def _require_mode_limit(mode_limit: int | None) -> None:
    """Raises ModelInputError for a sum of no modes."""
    if mode_limit is not None and mode_limit < 1:
        raise ModelInputError(f"mode_limit: {mode_limit} must be 1 or more")


def _require_plain(coherence: Coherence, mode_limit: int | None, on_error: OnError) -> None:
    """Raises ModelInputError for what is computed on the processor alone."""
    for name, value, default in (
        ("coherence", coherence, "coherent"),
        ("mode_limit", mode_limit, None),
        ("on_error", on_error, "raise"),
    ):
        if value != default:
            raise ModelInputError(f"{name}: {value!r} is not known on a device; leave device out")


class _Pressure(torch.autograd.Function):
    """The sum of modes, but for the density at the source."""

    @staticmethod
    def forward(
        ctx: Any,
        problem: Problem,
        source: np.ndarray,
        receiver: np.ndarray,
        attenuation: Attenuation,
        mode_limit: int | None,
        distance: Tensor,
        depth: Tensor,
        *media: Tensor,
    ) -> Tensor:
        require_exact(attenuation, ctx.needs_input_grad)
        at, apart = np.ascontiguousarray(depth.numpy()), np.ascontiguousarray(distance.numpy())
        result = np.empty((len(problem), problem.omega.size, source.size), np.complex128)
        kept: dict[int, ModeList] = {}

        def work(rows: slice) -> None:
            modes = solve_chunk(problem, rows, at[rows], attenuation, speeds=False)
            if mode_limit is not None:
                modes = modes.limited(mode_limit)
            far, order = apart[rows], by_distance(apart[rows])
            sum_modes(modes.first, modes.k, modes.phi, source, receiver, far, order, result[rows])
            if any(ctx.needs_input_grad):
                kept[rows.start] = replace(modes, phi=np.empty((0, 0)))

        in_parallel(work, len(problem))
        ctx.problem, ctx.pairs, ctx.kept = problem, (source, receiver), kept
        ctx.at, ctx.apart = at, apart
        return torch.from_numpy(result)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        problem, (source, receiver) = ctx.problem, ctx.pairs
        g_pressure = gradients[0].conj().resolve_conj().contiguous().numpy()
        cotangents = Cotangents.zeros(problem, ctx.at)
        g_distance = np.zeros(ctx.apart.shape)

        def work(rows: slice) -> None:
            modes = ctx.kept[rows.start]
            depth = np.repeat(ctx.at[rows], problem.omega.size, axis=0)
            one, order = np.ones(modes.x.size), modes.vectors
            lanes, phi = modes.lanes[order], np.empty((order.size, depth.shape[1]), np.complex128)
            _, phi[order] = mode_functions_of(
                problem.items(rows), lanes, modes.x[order], one, depth
            )
            g_k, g_phi = sum_cotangents(
                modes.first,
                modes.k,
                phi,
                source,
                receiver,
                ctx.apart[rows],
                by_distance(ctx.apart[rows]),
                g_pressure[rows],
                g_distance[rows],
            )
            cotangents.add(rows, modes, g_k, g_phi)

        in_parallel(work, len(problem))
        distance = torch.from_numpy(g_distance)
        return (None, None, None, None, None, distance, *cotangents.as_gradients())
