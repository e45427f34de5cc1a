"""Is every mode found, once, in ten thousand waveguides of every kind?

    python benchmarks/completeness.py [-n 10000] [--seed 1] [--keep]

Random guides of 2 to 8 layers over a half-space at 5 Hz to 5 kHz: plain, slow mud under fast water,
two ducts, a mode within 1e-4 of its cut-off, casts of 251 noisy knots, and layers of gas or bubbles
or under rock, far slower than their neighbours. The count of each is
checked by an independent method: a Runge-Kutta integration of the depth equation at the lowest
wavenumber, 40 points and more to the shortest wavelength, whose zeros are counted (Sturm). Where
the two differ the integration is repeated on finer steps, which settles who was right. That is for
guides without their loss, which may leave a mode on no sheet: exact modes may be fewer.

Of the exact modes ∫φ²/ρ dz must be 1, by Gauss-Legendre quadrature and in closed form over the
half-space. A norm is wrong that is off by more than 1e-6 of ∫|φ|²/ρ dz, which is large where φ²
cancels; near cut-off nearly all of a mode is in the half-space, known as well as k allows.

Of guides of up to 150 modes the exact ones are counted by the argument principle too: asked for
leaky modes, the solver warns where it lacks some of those that there are, and finds what there is
besides its trapped modes right of the half-space's k². A lossy half-space may make a mode trapped
that is not without the loss.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit
from record import finish

from forward_models import Environment, HalfSpace, Layer, solve_modes
from forward_models.seabed import attenuation_to_nepers
from oceaninv.cli.command import table

_POINTS = (40, 160, 640)  # to the shortest wavelength
_DEPTHS = 301  # where the shapes of modes are compared
_MODES = 400  # about how many a guide may have
_FEW, _FASTER = 150, 1.2  # of leaky modes: how many trapped ones beside them, and c_high by c_half
# Quadrature: points to an interval of so many rad at the lowest sound speed; limits of its error,
# and of the relative one of k² where half-spaces are.
_NODES, _PHASE, _TOLERANCE, _ROUNDING = 16, 8.0, 1e-6, 1e-15


def main() -> None:
    """Solves every guide, both treatments of attenuation, and counts by the other method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=10_000, help="guides")
    parser.add_argument("--seed", type=int, default=1, help="of the guides")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    kinds = list(KINDS)
    tally = {kind: np.zeros(10, np.int64) for kind in kinds}
    seconds, worst = 0.0, []
    for i in range(chosen.n):
        kind = kinds[i % len(kinds)]
        guide, frequency, c_high = KINDS[kind](rng)
        start = time.perf_counter()
        depth = np.linspace(0.0, float(guide.bottom_depth), _DEPTHS)
        modes = solve_modes(guide, [frequency], depth=depth, c_high=c_high)
        seconds += time.perf_counter() - start
        real = solve_modes(guide, [frequency], c_high=c_high, attenuation="perturbative")
        n, trapped = int(modes.n_modes[0, 0]), int(real.n_modes[0, 0])
        k = modes.wavenumber[0, 0, :n].numpy()
        expected = trapped
        for points in _POINTS:
            expected = count_by_integration(guide, frequency, c_high, points)
            if expected == trapped:
                break
        phi = modes.mode_function[0, 0, :n].numpy()
        doubled = is_doubled(k, phi)
        nan = not (np.isfinite(k).all() and np.isfinite(phi).all())
        off = wrong_norms(guide, frequency, c_high)
        lacking, others = miscounted(guide, frequency, c_high, k)
        wrong = [trapped < expected, max(n, trapped) > expected, doubled, nan, off.any(), lacking]
        tally[kind] += [1, n, *wrong, n < trapped, others]
        if not n == trapped == expected or any(wrong):
            counts = f"{n} modes, {trapped} without loss, {expected} expected"
            named = "".join(f", wrong norm of k = {value:.6g}" for value in k[off])
            named += ", fewer than the argument principle counts" if lacking else ""
            worst.append(f"{kind}, guide {i}, {frequency:.3f} Hz: {counts}{named}")
    rows = [(kind, *(f"{v}" for v in tally[kind])) for kind in kinds]
    total = sum(tally.values())
    rows.append(("all", *(f"{v}" for v in total)))
    header = (
        "guides",
        "number",
        "modes",
        "missed in",
        "too many in",
        "doubled in",
        "NaN in",
        "wrong norm in",
        "lacking in",
        "fewer by loss",
        "more by loss",
    )
    names = (
        "guides",
        "modes",
        "missed",
        "too_many",
        "doubled",
        "nan",
        "wrong_norm",
        "lacking",
        "fewer_by_loss",
        "more_by_loss",
    )
    answer: dict[str, object] = {n: int(v) for n, v in zip(names, total, strict=True)}
    answer["solver_seconds"] = round(seconds, 1)
    report = [table(header, rows), *worst[:20]]
    finish("completeness", "\n".join(report), answer, seed=chosen.seed, keep=chosen.keep)


def plain(rng: np.random.Generator) -> tuple[Environment, float, float | None]:
    """Layers of any gradient, faster downwards on the whole."""
    water = _water(rng)
    layers, speed = [water], 1500.0
    for _ in range(rng.integers(1, 8)):
        top = speed * rng.uniform(0.97, 1.12)
        bottom = top * rng.uniform(0.99, 1.1)
        layers.append(_below(layers, rng.uniform(0.5, 40.0), [top, bottom], rng))
        speed = bottom
    return _over(layers, rng), *_tone(layers, rng)


def slow_mud(rng: np.random.Generator) -> tuple[Environment, float, float | None]:
    """Mud slower than the water above it, more or less lossy."""
    water = _water(rng)
    mud = _below([water], rng.uniform(0.5, 25.0), sorted(rng.uniform(1350.0, 1500.0, 2)), rng)
    layers = [water, mud]
    layers.append(_below(layers, rng.uniform(1.0, 60.0), sorted(rng.uniform(1550, 1900, 2)), rng))
    return _over(layers, rng), *_tone(layers, rng)


def two_ducts(rng: np.random.Generator) -> tuple[Environment, float, float | None]:
    """Two minima of the sound speed in the water, behind a barrier of any height."""
    depth = rng.uniform(60.0, 3000.0)
    knots = depth * np.array([0, *np.sort(rng.uniform(0.1, 0.9, 3)), 1.0])
    speed = 1500.0 + rng.uniform(2.0, 40.0) * np.array([1.0, 0.0, 1.0, rng.uniform(-0.5, 0.5), 1.2])
    layers = [Layer(knots.tolist(), speed.tolist())]
    layers.append(_below(layers, rng.uniform(1.0, 40.0), [1560.0, 1620.0], rng))
    return _over(layers, rng), *_tone(layers, rng)


def near_cut_off(rng: np.random.Generator) -> tuple[Environment, float, float | None]:
    """A Pekeris guide with its last mode a little above or below cut-off."""
    depth, c, c_half = rng.uniform(20, 300), rng.uniform(1450, 1530), rng.uniform(1560, 2200)
    n = rng.integers(1, 40)
    cut_off = (n - 0.5) / (2.0 * depth * math.sqrt(1.0 / c**2 - 1.0 / c_half**2))
    guide = Environment.from_layers(
        [Layer([0.0, depth], [c, c])], HalfSpace(c_half, rng.uniform(1200, 2500))
    )
    return guide, cut_off * (1.0 + rng.choice([-1, 1]) * 10 ** rng.uniform(-9, -4)), None


def noisy_cast(rng: np.random.Generator) -> tuple[Environment, float, float | None]:
    """251 knots of a cast with noise of instrument and small scales, over sediment."""
    depth = np.linspace(0.0, rng.uniform(40.0, 300.0), 251)
    speed = 1520.0 - 30.0 * np.tanh(depth / rng.uniform(10, 100)) + rng.normal(0, 0.2, depth.size)
    layers = [Layer(depth.tolist(), speed.tolist())]
    layers.append(_below(layers, rng.uniform(1.0, 40.0), [1560.0, 1620.0], rng))
    return _over(layers, rng), *_tone(layers, rng)


def far_slower(rng: np.random.Generator) -> tuple[Environment, float, float | None]:
    """Gassy mud under water, bubbles at its surface, or mud under rock: modes decay in one step."""
    kind = rng.integers(3)
    if kind == 0:
        layers = [_water(rng)]
        speed = rng.uniform(300.0, 1200.0)
        layers.append(_below(layers, rng.uniform(0.2, 5.0), [speed, speed * 1.1], rng))
    elif kind == 1:
        depth, speed = rng.uniform(0.3, 5.0), rng.uniform(500.0, 1400.0)
        layers = [Layer([0.0, depth], [speed, speed])]
        layers.append(_below(layers, rng.uniform(20.0, 300.0), [1500.0, 1490.0], rng))
    else:
        layers = [Layer([0.0, rng.uniform(20.0, 200.0)], [1500.0, 1495.0])]
        rock = rng.uniform(2400.0, 3500.0)
        layers.append(_below(layers, rng.uniform(20.0, 200.0), [rock, rock], rng))
        layers.append(_below(layers, rng.uniform(2.0, 15.0), [1350.0, 1450.0], rng))
    return _over(layers, rng), *_tone(layers, rng)


KINDS: dict[str, Callable[[np.random.Generator], tuple[Environment, float, float | None]]] = {
    "plain": plain,
    "slow mud": slow_mud,
    "two ducts": two_ducts,
    "near cut-off": near_cut_off,
    "noisy cast": noisy_cast,
    "far slower": far_slower,
}


def is_doubled(k: np.ndarray, phi: np.ndarray) -> bool:
    """Whether two neighbours have one wavenumber and one shape; twins of two ducts have two."""
    shape = phi / np.linalg.norm(phi, axis=1, keepdims=True)
    order = np.argsort(k.real)
    a, b = order[:-1], order[1:]
    alike = np.abs(np.sum(shape[a].conj() * shape[b], axis=1)) > 0.999
    return bool((alike & (np.abs(k[a] - k[b]) < 1e-10 * np.abs(k[a]))).any())


def wrong_norms(guide: Environment, frequency: float, c_high: float | None) -> np.ndarray:
    """(mode,) whether ∫φ²/ρ dz of an exact mode is not 1."""
    omega = 2.0 * math.pi * frequency
    slowest = float(torch.minimum(guide.sound_speed_top, guide.sound_speed_bottom).min())
    thickness = guide.thickness[0].numpy()
    parts = np.ceil(thickness * omega / slowest / _PHASE).astype(int)
    width = np.repeat(thickness / np.maximum(parts, 1), parts)[:, None]
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    depth = np.append(np.cumsum(width)[:, None] + 0.5 * width * (node - 1.0), thickness.sum())
    weight = 0.5 * width * weight / np.repeat(guide.density[0].numpy() / 1000.0, parts)[:, None]
    modes = solve_modes(guide, [frequency], depth=depth, c_high=c_high)
    n = int(modes.n_modes[0, 0])
    x, phi = modes.wavenumber[0, 0, :n].numpy() ** 2, modes.mode_function[0, 0, :n].numpy()
    q, rho = _half_space(guide, frequency)
    # The branch of `solve_modes`: past cut-off a mode leaks.
    gamma = np.where(x.real < q.real, -1j * np.sqrt(q - x), np.sqrt(x - q))
    with np.errstate(divide="ignore", invalid="ignore"):  # a mode at its very cut-off
        below = phi[:, -1] ** 2 / (2.0 * rho * gamma)
        rounding = np.abs(below) * _ROUNDING * np.abs(x / (x - q))
    error = np.abs(phi[:, :-1] ** 2 @ weight.ravel() + below - 1.0)
    size = np.abs(phi[:, :-1]) ** 2 @ weight.ravel() + np.abs(below)
    return ~(error <= _TOLERANCE * np.maximum(size, 1.0) + rounding)


def miscounted(
    guide: Environment, frequency: float, c_high: float | None, k: np.ndarray
) -> tuple[bool, bool]:
    """Whether the argument principle counts more modes than are found, or than are trapped."""
    if k.size > _FEW:
        return False, False
    speed = float(guide.half_space_sound_speed)
    fastest = _FASTER * speed if c_high is None else min(_FASTER * speed, c_high)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = solve_modes(guide, [frequency], c_high=fastest, leaky=True)
    at = found.wavenumber[0, 0, : int(found.n_modes[0, 0])].numpy()
    slowest_leaky = (2.0 * np.pi * frequency / min(fastest, speed)) ** 2
    trapped = ((k**2).real > slowest_leaky).sum()
    return bool(told), bool(((at**2).real > slowest_leaky).sum() != trapped)


def count_by_integration(
    guide: Environment, frequency: float, c_high: float | None, points: int
) -> int:
    """Modes of the lossless interior above the lowest wavenumber, by zeros of φ there."""
    omega = 2.0 * math.pi * frequency
    q_half, rho_half = _half_space(guide, frequency)
    x = max(q_half.real, 0.0 if c_high is None else (omega / c_high) ** 2)
    gamma = np.sqrt(x - q_half + 0j).real
    return int(
        _zeros(
            omega,
            x,
            guide.thickness[0].numpy(),
            _complex_speed(guide, frequency, guide.sound_speed_top[0], guide.attenuation_top[0]),
            _complex_speed(
                guide, frequency, guide.sound_speed_bottom[0], guide.attenuation_bottom[0]
            ),
            guide.density[0].numpy() / 1000.0,
            float(gamma / rho_half),
            points,
        )
    )


def _half_space(guide: Environment, frequency: float) -> tuple[complex, float]:
    """k² and density, in g/cm³."""
    assert guide.half_space_sound_speed is not None
    assert guide.half_space_density is not None
    assert guide.half_space_attenuation is not None
    c = _complex_speed(guide, frequency, guide.half_space_sound_speed, guide.half_space_attenuation)
    k = 2.0 * math.pi * frequency / c[0]
    return complex(k * k), float(guide.half_space_density[0]) / 1000.0


def _complex_speed(
    guide: Environment, frequency: float, c: torch.Tensor, attenuation: torch.Tensor
) -> np.ndarray:
    hertz = torch.tensor(frequency, dtype=torch.float64)
    alpha = attenuation_to_nepers(attenuation, guide.attenuation_unit, c, hertz)
    return (c - 1j * alpha * c**2 / (2.0 * math.pi * frequency)).numpy()


@njit(cache=True)
def _zeros(
    omega: float,
    x: float,
    thickness: Any,
    c_top: Any,
    c_bottom: Any,
    rho: Any,
    impedance: float,
    points: int,
) -> int:
    """Classical Runge-Kutta for φ' = ρψ, ψ' = -(q - x)φ/ρ from the surface to the bottom."""
    phi, psi, count = 0.0, 1.0, 0
    for s in range(thickness.size):
        slowest = min(c_top[s].real, c_bottom[s].real)
        n = max(8, math.ceil(thickness[s] * omega / slowest / (2.0 * math.pi) * points))
        h = thickness[s] / n
        for i in range(n):
            a = [0.0, 0.0, 0.0]
            for j in range(3):
                c = c_top[s] + (c_bottom[s] - c_top[s]) * (i + 0.5 * j) / n
                a[j] = -(((omega / c) ** 2).real - x) / rho[s]
            p1, g1 = rho[s] * psi, a[0] * phi
            p2, g2 = rho[s] * (psi + 0.5 * h * g1), a[1] * (phi + 0.5 * h * p1)
            p3, g3 = rho[s] * (psi + 0.5 * h * g2), a[1] * (phi + 0.5 * h * p2)
            p4, g4 = rho[s] * (psi + h * g3), a[2] * (phi + h * p3)
            before = phi
            phi += h / 6.0 * (p1 + 2.0 * p2 + 2.0 * p3 + p4)
            psi += h / 6.0 * (g1 + 2.0 * g2 + 2.0 * g3 + g4)
            count += (before != 0.0) and ((phi < 0.0) != (before < 0.0))
            size = abs(phi) + abs(psi)
            if size > 1e100:
                phi, psi = phi / size, psi / size
    # One more zero would lie below if φ still turns faster than the half-space lets it decay.
    return count + (1 if (psi + impedance * phi) * phi < 0.0 else 0)


def _water(rng: np.random.Generator) -> Layer:
    knots = np.sort(rng.uniform(0.0, 1.0, rng.integers(1, 6)))
    depth = rng.uniform(10.0, 400.0) * np.array([0.0, *(0.05 + 0.9 * knots), 1.0])
    return Layer(depth.tolist(), (1500.0 + rng.uniform(-25, 25, depth.size)).tolist())


def _below(layers: list[Layer], height: float, speed: Any, rng: np.random.Generator) -> Layer:
    top = layers[-1].depth[-1]
    loss = rng.choice([0.0, rng.uniform(0.01, 1.0)])
    return Layer([top, top + height], list(speed), rng.uniform(1200, 2200), loss)


def _over(layers: list[Layer], rng: np.random.Generator) -> Environment:
    fastest = max(max(layer.sound_speed) for layer in layers)
    half_space = HalfSpace(
        fastest * rng.uniform(1.0, 1.5), rng.uniform(1500, 2600), rng.uniform(0.0, 0.8)
    )
    return Environment.from_layers(layers, half_space)


def _tone(layers: list[Layer], rng: np.random.Generator) -> tuple[float, float | None]:
    """A frequency between 5 Hz and 5 kHz that gives no more modes than one waits for."""
    most = _MODES * 1500.0 / (2.0 * layers[-1].depth[-1])
    frequency = math.exp(rng.uniform(math.log(5.0), math.log(min(5000.0, max(10.0, most)))))
    return frequency, float(rng.choice([1600.0, 2000.0])) if rng.random() < 0.3 else None


if __name__ == "__main__":
    main()
