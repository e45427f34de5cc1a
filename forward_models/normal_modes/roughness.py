"""Loss of the coherent field at rough interfaces, after Kuperman & Ingenito.

W. A. Kuperman & F. Ingenito, JASA 61, 1178 (1977): an interface that departs from its mean depth by
h, Gaussian with rms height σ and a correlation length of many wavelengths, scatters a field with
the vertical wavenumbers η₁, η₂ of the mode itself above and below. What it takes from the coherent
field makes that jump across the mean depth, to the order of σ²: with φ and ψ = ρ⁻¹dφ/dz there,

    [φ] = σ² (A₁₂ψ - A₁₁φ),   [ψ] = σ² (A₂₁φ + A₁₁ψ),   D = ρ₁η₂ + ρ₂η₁,
    A₁₁ = (η₁² - η₂²)/2 - (ρ₂η₁² - ρ₁η₂²)(η₁ + η₂)/D,
    A₁₂ = i(ρ₂ - ρ₁)²η₁η₂/D,   A₂₁ = -i(ρ₂η₁² - ρ₁η₂²)²/(ρ₁ρ₂D),

and a jump in the depth equation changes x = k² of a mode of unit norm by [φ]ψ - [ψ]φ:

    δx = σ² (A₁₂ψ² - 2A₁₁φψ - A₂₁φ²).

Under a vacuum δx = iσ²ρηψ², over a rigid bottom iσ²η³φ²/ρ: a plane wave loses 2η²σ² of its
amplitude at each reflection. The correction is of first order, for ησ well below one; group speeds
and mode functions are those of the smooth guide.
"""

from __future__ import annotations

import numpy as np

from forward_models.normal_modes.batch import Problem
from forward_models.normal_modes.items import Items, Lanes, mode_functions_of
from forward_models.normal_modes.steps import HALF_SPACE, RIGID

# Vertical phase, rad, between the two depths that tell the slope of a mode at an interface.
_SLAB_PHASE = 0.05


def scattering_shift(
    problem: Problem, rows: slice, items: Items, lanes: Lanes, x: np.ndarray, loss: np.ndarray
) -> np.ndarray:
    """(lane,) change of x = k² of each mode; ``lanes`` in order of items, arguments as solved."""
    shift = np.zeros(x.size, np.complex128)
    if problem.roughness is None:
        return shift
    frequencies = problem.omega.size
    for b in np.flatnonzero((problem.roughness[rows] > 0).any(axis=1)):
        of_b = np.flatnonzero(lanes.item // frequencies == b)
        if of_b.size == 0:
            continue
        own = slice(b * frequencies, (b + 1) * frequencies)
        item, mine = lanes.item[of_b], lanes[of_b]
        interfaces = [
            _Interface(problem, rows.start + b, int(j), items.x_min[own], items.x_max[own])
            for j in np.flatnonzero(problem.roughness[rows.start + b] > 0)
        ]
        depth = np.zeros((len(items), 2 * len(interfaces)))
        for n, interface in enumerate(interfaces):
            depth[own, 2 * n] = interface.depth
            depth[own, 2 * n + 1] = interface.depth + interface.offset
        _, phi = mode_functions_of(items, mine, x[of_b], loss[of_b], depth)
        for n, interface in enumerate(interfaces):
            shift[of_b] += interface.shift(
                item % frequencies, x[of_b], loss[of_b], phi[:, 2 * n], phi[:, 2 * n + 1]
            )
    return shift


class _Interface:
    """A rough interface of one environment, and the thin slab beside it that tells slopes.

    The slab lies below the interface, of the bottom of the stack above it; ``offset`` (F,) m is its
    signed thickness. k² is (F,), None in a wall, be it rigid or a vacuum.
    """

    def __init__(
        self, problem: Problem, b: int, j: int, x_min: np.ndarray, x_max: np.ndarray
    ) -> None:
        assert problem.roughness is not None
        thick = np.flatnonzero(problem.thickness[b] > 0)
        self.sigma = problem.roughness[b, j]
        self.depth = problem.thickness[b, :j].sum()
        above, below = thick[thick < j], thick[thick >= j]
        self.q_above = self.q_below = None
        self.rho_above = self.rho_below = 1.0
        self.rigid = (problem.top if above.size == 0 else problem.bottom) == RIGID
        if above.size:
            s = above[-1]
            self.q_above, self.rho_above = (
                (problem.omega / problem.c_bottom[:, b, s]) ** 2,
                problem.rho[b, s],
            )
        if below.size:
            s = below[0]
            self.q_below, self.rho_below = (
                (problem.omega / problem.c_top[:, b, s]) ** 2,
                problem.rho[b, s],
            )
        elif problem.bottom == HALF_SPACE:
            self.q_below, self.rho_below = (
                (problem.omega / problem.c_half[:, b]) ** 2,
                problem.rho_half[b],
            )
        s = below[0] if below.size else above[-1]
        start, end = problem.c_top[:, b, s], problem.c_bottom[:, b, s]
        if not below.size:
            start, end = end, start
        q_start, q_end = (problem.omega / start) ** 2, (problem.omega / end) ** 2
        steepest = np.maximum(abs(q_start - x_min), abs(q_start - x_max))
        h = np.minimum(problem.thickness[b, s], _SLAB_PHASE / np.sqrt(steepest))
        part = h / problem.thickness[b, s]
        if problem.n2:
            q_far = q_start + (q_end - q_start) * part
        else:
            q_far = (problem.omega / (start + (end - start) * part)) ** 2
        self.offset = h if below.size else -h
        self.q_mean, self.q_slope = 0.5 * (q_start + q_far), 0.5 * (q_far - q_start)
        self.rho_slab = problem.rho[b, s]

    def shift(
        self, f: np.ndarray, x: np.ndarray, loss: np.ndarray, phi: np.ndarray, phi_far: np.ndarray
    ) -> np.ndarray:
        """δx of modes at the frequencies ``f`` from φ at both ends of the slab."""
        # One step of the propagator across the slab: φ_far = P₁₁φ + P₁₂ψ; |Z| is a few thousandths.
        h = self.offset[f]
        z = h**2 * (x - _with_loss(self.q_mean[f], loss))
        v1 = h**2 * _with_loss(self.q_slope[f], loss)
        eta1 = 1 / 3 + z / 30 + z**2 / 840
        eta0 = 1 + z / 6 + z**2 / 120
        p11 = 1 + z / 2 + z**2 / 24 + 0.5 * v1 * eta1
        psi = (phi_far - p11 * phi) / (h * self.rho_slab * eta0)
        i_sigma2 = 1j * self.sigma**2
        rho1, rho2 = self.rho_above, self.rho_below
        if self.q_above is None or self.q_below is None:
            q = self.q_below if self.q_above is None else self.q_above
            rho = rho2 if self.q_above is None else rho1
            assert q is not None
            eta = _vertical(_with_loss(q[f], loss) - x)
            return i_sigma2 * (eta**3 * phi**2 / rho if self.rigid else eta * rho * psi**2)
        eta1, eta2 = (_vertical(_with_loss(q[f], loss) - x) for q in (self.q_above, self.q_below))
        d = rho1 * eta2 + rho2 * eta1
        cross = rho2 * eta1**2 - rho1 * eta2**2
        a11 = 0.5 * (eta1**2 - eta2**2) - cross * (eta1 + eta2) / d
        i_a12 = (rho2 - rho1) ** 2 * eta1 * eta2 / d
        i_a21 = cross**2 / (rho1 * rho2 * d)
        return i_sigma2 * (i_a12 * psi**2 + 2j * a11 * phi * psi + i_a21 * phi**2)


def _with_loss(q: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """k² of the medium with the share of its attenuation that the mode was solved with."""
    return q.real + 1j * loss * q.imag


def _vertical(eta2: np.ndarray) -> np.ndarray:
    """η of η²: outgoing, or decaying away from the interface."""
    return np.where(eta2.real > 0, np.sqrt(eta2), 1j * np.sqrt(-eta2))
