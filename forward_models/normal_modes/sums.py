"""The sum of modes over pairs of source and receiver, and the way back to its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import FAST, inner, kernel

_ROOT_I = complex(math.sqrt(0.5), math.sqrt(0.5))


def by_distance(distance: np.ndarray) -> np.ndarray:
    """Order (batch, pair) in which pairs at one distance, which share exp(ikr), are neighbours."""
    return np.argsort(distance, axis=1, kind="stable")


@kernel(fastmath=FAST)
def sum_modes(
    first: np.ndarray,
    k: np.ndarray,
    phi: np.ndarray,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: np.ndarray,
    ranking: np.ndarray,
    pressure: np.ndarray,
) -> None:
    """Fills pressure (batch, frequency, pair), the density at the source left to the caller.

    Pair p joins depth columns source[p] and receiver[p] over distance[b, p] (m), of which
    ``ranking`` is the order ``by_distance``. NaN where there is no mode.
    """
    n_frequency = pressure.shape[1]
    for b in range(pressure.shape[0]):
        order = ranking[b]
        for f in range(n_frequency):
            start, stop = first[b * n_frequency + f], first[b * n_frequency + f + 1]
            if start == stop:
                for p in order:
                    pressure[b, f, p] = complex(math.nan, math.nan)
                continue
            n = stop - start
            # real and imaginary parts apart: vectors of numbers of one kind
            shape, spread = np.empty((2, phi.shape[1], n)), np.empty((2, n))
            for m in range(n):
                root = 1.0 / np.sqrt(k[start + m])
                spread[0, m], spread[1, m] = root.real, root.imag
                for z in range(phi.shape[1]):
                    shape[0, z, m] = phi[start + m, z].real
                    shape[1, z, m] = phi[start + m, z].imag
            turn, size, travelled = np.empty(n), np.empty(n), np.empty((2, n))
            r, z = -1.0, -1
            for p in order:
                if distance[b, p] != r or source[p] != z:
                    r, z = distance[b, p], source[p]
                    thinner = 1.0 / math.sqrt(r)
                    for m in range(n):
                        turn[m] = k[start + m].real * r
                        size[m] = thinner * math.exp(-k[start + m].imag * r)
                    _turned(turn, size, travelled)
                    for m in range(n):
                        re = shape[0, z, m] * spread[0, m] - shape[1, z, m] * spread[1, m]
                        im = shape[0, z, m] * spread[1, m] + shape[1, z, m] * spread[0, m]
                        there = travelled[0, m]
                        travelled[0, m] = re * there - im * travelled[1, m]
                        travelled[1, m] = re * travelled[1, m] + im * there
                re, im, z_r = 0.0, 0.0, receiver[p]
                for m in range(n):
                    re += shape[0, z_r, m] * travelled[0, m] - shape[1, z_r, m] * travelled[1, m]
                    im += shape[0, z_r, m] * travelled[1, m] + shape[1, z_r, m] * travelled[0, m]
                # i √2π exp(-iπ/4) = √2π √i
                pressure[b, f, p] = complex(re, im) * math.sqrt(2.0 * math.pi) * _ROOT_I


# π/2 in three parts, of which the first two have zeros at their ends: products with whole numbers
# below 2²⁰ are exact (Cody & Waite, Software Manual for the Elementary Functions, 1980, ch. 8).
_QUARTER = (
    float.fromhex("0x1.921fb544p+0"),
    float.fromhex("0x1.0b4611a6p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)


@inner("void(f8[::1], f8[::1], f8[:, ::1])", fastmath={"contract"})
def _turned(turn: Any, size: Any, result: Any) -> None:
    """Fills (2, n): ``size`` times cosine and sine of ``turn``, all of a vector at once.

    The compiler has no vector of the library's sine and cosine, which are ten times slower. Taylor
    series to rounding within π/4 of a multiple of π/2.
    """
    for m in range(turn.size):
        n = math.floor(turn[m] * (2.0 / math.pi) + 0.5)
        r = ((turn[m] - n * _QUARTER[0]) - n * _QUARTER[1]) - n * _QUARTER[2]
        z = r * r
        sine = -1 / 39916800 + z * (1 / 6227020800 - z / 1307674368000)
        sine = 1 / 120 + z * (-1 / 5040 + z * (1 / 362880 + z * sine))
        sine = r + r * z * (-1 / 6 + z * sine)
        cosine = 1 / 479001600 + z * (-1 / 87178291200 + z / 20922789888000)
        cosine = 1 / 24 + z * (-1 / 720 + z * (1 / 40320 + z * (-1 / 3628800 + z * cosine)))
        cosine = 1.0 + z * (-0.5 + z * cosine)
        quarter = n - 4.0 * math.floor(0.25 * n)
        odd = quarter == 1.0 or quarter == 3.0
        x, y = sine if odd else cosine, cosine if odd else sine
        result[0, m] = size[m] * (-x if quarter == 1.0 or quarter == 2.0 else x)
        result[1, m] = size[m] * (-y if quarter >= 2.0 else y)


@kernel(fastmath=FAST)
def sum_cotangents(
    first: np.ndarray,
    k: np.ndarray,
    phi: np.ndarray,
    source: np.ndarray,
    receiver: np.ndarray,
    distance: np.ndarray,
    ranking: np.ndarray,
    g_pressure: np.ndarray,
    g_distance: np.ndarray,
) -> Any:
    """(g_k, g_phi), cotangents of what ``sum_modes`` sums; adds to g_distance (batch, pair)."""
    g_k, g_phi = np.zeros_like(k), np.zeros_like(phi)
    n_frequency = g_pressure.shape[1]
    for b in range(g_pressure.shape[0]):
        order = ranking[b]
        for f in range(n_frequency):
            start, stop = first[b * n_frequency + f], first[b * n_frequency + f + 1]
            travelled = np.empty(stop - start, np.complex128)
            r = -1.0
            for p in order:
                if distance[b, p] != r:
                    r = distance[b, p]
                    for m in range(start, stop):
                        travelled[m - start] = np.exp(1j * k[m] * r) / np.sqrt(k[m] * r)
                g = g_pressure[b, f, p] * math.sqrt(2.0 * math.pi) * _ROOT_I
                for m in range(start, stop):
                    one, other = phi[m, source[p]], phi[m, receiver[p]]
                    share = g * travelled[m - start]
                    g_phi[m, source[p]] += share * other
                    g_phi[m, receiver[p]] += share * one
                    share *= one * other
                    g_k[m] += share * (1j * r - 0.5 / k[m])
                    g_distance[b, p] += (share * (1j * k[m] - 0.5 / r)).real
    return g_k, g_phi
