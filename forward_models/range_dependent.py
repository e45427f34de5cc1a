"""Adiabatic modes: fields in waveguides that change slowly with range.

    p(r, z) = i √2π exp(-iπ/4) / ρ(z_s) · Σ φ(0, z_s) φ(r, z) exp(i∫k dr) / √(∫k dr)

(Jensen et al., *Computational Ocean Acoustics*, ch. 5.9, in its form that is reciprocal), with
exp(-iωt) and ∫ from the source to the receiver. Every mode keeps its number and its energy: nothing
is coupled into other modes, and nothing comes back.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.mode_sums import (
    Coherence,
    intensity,
    require_coherence,
    root,
    sum_over_modes,
    travelled,
)
from forward_models.normal_modes import Modes, solve_modes
from forward_models.normal_modes.batch import Numbers, as_tensor, in_solid
from forward_models.normal_modes.chunk import Attenuation
from forward_models.places import density_at_source, place_row, require_geometry

# Where mode functions are compared to tell their signs: near the surface (m) and at so many depths
# from the seabed to the half-space, where some modes of slow mud have all that they are.
_NEAR_SURFACE, _IN_SEABED = 1e-3, 24


def adiabatic_pressure(
    profiles: Environment,
    range_of_profile: Numbers,
    frequency: Numbers,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
    coherence: Coherence = "coherent",
) -> Tensor:
    """Adiabatic pressure on a grid, normalised to 1 at 1 m: (F, S, R, K).

    Between two profiles wavenumbers and mode functions are linear in range; beyond the last one
    nothing changes any more. Modes are carried on by their number, counted by decreasing Re k, as
    long as every profile up to the receiver, and the next one, has as many; a mode lost on the way
    does not come back. Where modes of different loss change places in that order, each goes on as
    the mode that it was (perturbative ones by number only, as in KRAKEN). NaN where no mode is
    left, and where a receiver lies within an elastic half-space at one of the profiles about it.
    Each profile is solved once, however many sources, receivers and ranges there are.

    Args:
        profiles: P environments, one waveguide along the track.
        range_of_profile: (P,) m from the source, increasing, the first at 0.
        frequency: (F,) Hz.
        source_depth: (S,) m, in the water of the first profile.
        receiver_depth: (R,) m, in any medium.
        range_m: (K,) m, above zero.
        c_high, attenuation: as for :func:`forward_models.solve_modes`.
        coherence: as for :func:`forward_models.pressure`.

    Raises:
        ModelInputError: profiles and their ranges do not agree, a source outside the water, a range
            that is not positive, a bad medium.

    Example (a slope from 100 m to 80 m over 5 km):

        >>> import torch
        >>> from forward_models import Environment, HalfSpace, Layer, adiabatic_pressure, stack
        >>> def guide(depth):
        ...     return Environment.from_layers(
        ...         [Layer([0, depth], [1500, 1500])], HalfSpace(1700, 1500, 0.5)
        ...     )
        >>> p = adiabatic_pressure(
        ...     stack([guide(100.0), guide(80.0)]), [0.0, 5e3], [100.0],
        ...     source_depth=[36.0], receiver_depth=[20.0, 60.0], range_m=[1e3, 5e3, 8e3],
        ... )
        >>> tuple(p.shape)
        (1, 1, 2, 3)
    """
    at = torch.atleast_1d(as_tensor(range_of_profile))
    source = place_row("source_depth", source_depth)
    receiver, ranges = place_row("receiver_depth", receiver_depth), place_row("range_m", range_m)
    _check_track(profiles, at)
    places = torch.cat([source, receiver]).expand(len(profiles), -1)
    solid = in_solid(profiles, places) & torch.isfinite(places)
    places = torch.where(solid, profiles.bottom_depth.detach()[:, None], places)
    n_sources = source.numel()
    require_geometry(profiles[0], places[:1, :n_sources], places[:1, n_sources:], ranges[None])
    require_coherence(coherence)
    depth = torch.cat([places, _of_signs(profiles)], dim=1)
    modes = solve_modes(profiles, frequency, depth=depth, c_high=c_high, attenuation=attenuation)
    place = _follow(modes, by_number=attenuation == "perturbative")
    here, place = place >= 0, place.clamp(min=0)
    # What is lost on the way, or padding, is masked.
    k = torch.where(here, modes.wavenumber.gather(2, place), 1.0)
    columns_of = place[..., None].expand(*place.shape, depth.shape[1])
    phi = torch.where(here[..., None], modes.mode_function.gather(2, columns_of), 0.0)
    phi, of_signs = phi[..., : places.shape[1]], phi[..., places.shape[1] :].detach()
    phi = torch.where(solid[:, None, None], torch.nan, phi)
    phi = phi * _polarity(of_signs, k.detach())[..., None]
    at_source = phi[0, :, :, :n_sources]
    at_receiver = phi[:, :, :, n_sources:]
    # ∫k dr = k(0) r + ∫ (k - k(0)) dr: exact where nothing changes.
    change = k - k[0]
    steps = 0.5 * (change[1:] + change[:-1]) * (at[1:] - at[:-1])[:, None, None]
    gathered = torch.cat([torch.zeros_like(change[:1]), steps.cumsum(dim=0)])

    of_range = torch.searchsorted(at.detach(), ranges.detach()).numpy() - 1
    parts, columns = [], []
    for a in np.unique(of_range):
        b = min(a + 1, len(at) - 1)
        column = np.flatnonzero(of_range == a)
        beyond = ranges[column] - at[a]
        weight = beyond / (at[b] - at[a]) if b > a else torch.zeros_like(beyond)
        mean = change[a, ..., None] + 0.5 * (change[b] - change[a])[..., None] * weight
        phase = k[0, ..., None] * ranges[column] + gathered[a, ..., None] + mean * beyond
        radial = torch.where(here[b, ..., None], travelled(phase), 0.0)
        part = _between(at_source, at_receiver[a], at_receiver[b], radial, weight, coherence)
        any_left = here[b].any(dim=-1)[:, None, None, None]
        parts.append(torch.where(any_left, part, torch.nan))
        columns.append(column)
    order = np.argsort(np.concatenate(columns))
    density = density_at_source(profiles[0], source[None])[0]
    return torch.cat(parts, dim=-1)[..., order] / density[:, None, None]


def _between(
    source: Tensor,
    here: Tensor,
    there: Tensor,
    radial: Tensor,
    weight: Tensor,
    coherence: Coherence,
) -> Tensor:
    """(F, S, R, K) sums with mode functions (F, M, R) linear in ``weight`` (K,) from here to there.

    ``source`` is (F, M, S), ``radial`` (F, M, K).
    """
    if coherence == "coherent":
        return sum_over_modes(source, here, radial * (1.0 - weight)) + sum_over_modes(
            source, there, radial * weight
        )
    source, radial = intensity(source), intensity(radial)
    cross = 2.0 * (here * there.conj()).real
    return root(
        sum_over_modes(source, intensity(here), radial * (1.0 - weight) ** 2)
        + sum_over_modes(source, intensity(there), radial * weight**2)
        + sum_over_modes(source, cross, radial * weight * (1.0 - weight))
    )


def _follow(modes: Modes, *, by_number: bool) -> Tensor:
    """(P, F, M) place in profile p of the mode that has place m in the first; -1 once it is lost.

    From one profile to the next the differences between wavenumbers should turn as little as can
    be: the matching of least Σ|k' - k|², which a common shift of all k does not change, and which
    keeps their order where k is real.
    """
    counts = modes.n_modes.numpy()
    k = modes.wavenumber.detach().numpy()
    place = np.full(k.shape, -1)
    for f in range(k.shape[1]):
        now = np.arange(counts[0, f])
        place[0, f, : now.size] = now
        for p in range(1, len(k)):
            shared = min(counts[p - 1, f], counts[p, f])
            onward = np.full(counts[p - 1, f] + 1, -1)  # its last entry takes the lost, at -1
            onward[:shared] = np.arange(shared)
            if not by_number:
                before, after = k[p - 1, f, :shared], k[p, f, :shared]
                same = (before[:, None] * after.conj()).real
                onward[:shared] = linear_sum_assignment(same, maximize=True)[1]
            now = onward[now]
            place[p, f, : now.size] = now
    return torch.from_numpy(place)


def _of_signs(profiles: Environment) -> Tensor:
    """(P, 1 + n) m where mode functions of one profile are held against those of the next."""
    water, bottom = (d.detach()[:, None] for d in (profiles.water_depth, profiles.bottom_depth))
    in_seabed = water + (bottom - water) * torch.linspace(0, 1, _IN_SEABED, dtype=torch.float64)
    return torch.cat([torch.full_like(water, _NEAR_SURFACE), in_seabed], dim=1)


def _polarity(phi: Tensor, k: Tensor) -> Tensor:
    """(P, F, M) signs that let the mode functions φ (P, F, M, 1 + n) go on smoothly with range.

    A lossless mode is positive at the surface in every profile. The complex normalisation of a
    lossy one turns with range, and its square root may jump: the sign follows the nearer root. Near
    the surface φ ∝ z κ, κ < |k| the vertical wavenumber, which makes its size there κ/k of what it
    is in the water.
    """
    shape = torch.cat([phi[..., :1] / (k.abs() * _NEAR_SURFACE)[..., None], phi[..., 1:]], dim=-1)
    weight = torch.ones(shape.shape[-1], dtype=torch.float64)
    weight[1:] /= len(weight) - 1
    turned = (weight * shape[1:] * shape[:-1].conj()).real.sum(dim=-1) < 0
    signs = torch.where(turned, -1.0, 1.0).to(torch.float64).cumprod(dim=0)
    return torch.cat([torch.ones_like(k[:1].real), signs])


def _check_track(profiles: Environment, at: Tensor) -> None:
    ranges = at.detach()
    if ranges.shape != (len(profiles),):
        raise ModelInputError(
            f"range_of_profile: {ranges.numel()} ranges for {len(profiles)} profiles; give one each"
        )
    if ranges[0] != 0:
        raise ModelInputError(
            f"range_of_profile: starts at {float(ranges[0]):g} m; the first profile lies at the "
            "source, 0 m"
        )
    if not (torch.isfinite(ranges).all() and (ranges.diff() > 0).all()):
        raise ModelInputError(f"range_of_profile: {ranges.tolist()} m must increase")
