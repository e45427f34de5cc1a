"""The sum of modes over pairs of source and receiver, and the way back to its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

_ROOT_I = complex(math.sqrt(0.5), math.sqrt(0.5))


def by_distance(distance: np.ndarray) -> np.ndarray:
    """Order (batch, pair) in which pairs at one distance, which share exp(ikr), are neighbours."""
    return np.argsort(distance, axis=1, kind="stable")


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp", "reassoc"})
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
            travelled = np.empty(stop - start, np.complex128)
            by_depth = phi[start:stop].T.copy()
            spread = 1.0 / np.sqrt(k[start:stop])
            r, z = -1.0, -1
            for p in order:
                if distance[b, p] != r or source[p] != z:
                    r, z = distance[b, p], source[p]
                    thinner = 1.0 / math.sqrt(r)
                    for m in range(stop - start):
                        turn, size = k[start + m].real * r, math.exp(-k[start + m].imag * r)
                        size *= thinner
                        at_range = complex(size * math.cos(turn), size * math.sin(turn))
                        travelled[m] = by_depth[z, m] * spread[m] * at_range
                there = by_depth[receiver[p]]
                total = 0j
                for m in range(stop - start):
                    total += there[m] * travelled[m]
                # i √2π exp(-iπ/4) = √2π √i
                pressure[b, f, p] = total * math.sqrt(2.0 * math.pi) * _ROOT_I


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp", "reassoc"})
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
