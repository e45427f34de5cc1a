"""Adiabatic modes: what must not change, what must be symmetric, and an exact wedge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    adiabatic_pressure,
    pressure,
    solve_modes,
    stack,
)

SPEED = 1500.0


def guide(depth: float, density: float = 1000.0, speed: float = SPEED) -> Environment:
    """Water over 10 m of sediment over sand."""
    return Environment.from_layers(
        [
            Layer([0, depth], [speed, speed - 3.0], density),
            Layer([depth, depth + 10.0], [1550.0, 1600.0], 1500.0, 0.3),
        ],
        HalfSpace(1700.0, 1900.0, 0.5),
    )


@pytest.mark.parametrize("coherence", ["coherent", "incoherent"])
@pytest.mark.parametrize("attenuation", ["exact", "perturbative"])
def test_profiles_that_are_all_the_same_give_the_field_of_one(
    attenuation: str, coherence: str
) -> None:
    where = {
        "source_depth": [20.0, 50.0],
        "receiver_depth": [0.0, 10.0, 99.0, 105.0, 130.0],
        "range_m": [1500.0, 300.0, 2000.0, 25000.0, 10000.0],
        "attenuation": attenuation,
        "coherence": coherence,
        "c_high": 1650.0,
    }
    same = stack([guide(100.0, density=1025.0)] * 4)
    tones = [8.0, 50.0, 200.0]  # none, some and many modes
    along = adiabatic_pressure(same, [0.0, 1000.0, 2000.0, 9000.0], tones, **where)  # type: ignore[arg-type]
    one = pressure(same[0], tones, **where)[0]  # type: ignore[arg-type]
    assert along[0].isnan().all()
    assert one[0].isnan().all()
    assert (along - one)[1:].abs().max() < 1e-12 * one[1:].abs().max()
    assert along.is_complex() == (coherence == "coherent")


def test_one_profile_is_an_environment_that_does_not_change() -> None:
    where = {"source_depth": [20.0], "receiver_depth": [30.0, 70.0], "range_m": [500.0, 7e3]}
    alone = adiabatic_pressure(guide(100.0), [0.0], [80.0], **where)  # type: ignore[arg-type]
    same = pressure(guide(100.0), [80.0], **where)[0]  # type: ignore[arg-type]
    torch.testing.assert_close(alone, same, rtol=1e-12, atol=0)


@settings(deadline=None, max_examples=10)
@given(
    depth=st.lists(st.floats(60.0, 140.0), min_size=2, max_size=5),
    step=st.floats(300.0, 4000.0),
    source=st.floats(1.0, 59.0),
    receiver=st.floats(1.0, 59.0),
)
def test_source_and_receiver_change_places(
    depth: list[float], step: float, source: float, receiver: float
) -> None:
    # Water of another density at the two ends: ρ(source) p is what is symmetric.
    density = [1000.0 + 10.0 * i for i in range(len(depth))]
    along = [
        guide(h, rho, SPEED + 2.0 * i)
        for i, (h, rho) in enumerate(zip(depth, density, strict=True))
    ]
    at = step * torch.arange(len(depth), dtype=torch.float64)
    there, back = (
        adiabatic_pressure(
            stack(profiles), at, [40.0, 120.0], source_depth=a, receiver_depth=b, range_m=at[-1]
        )
        for profiles, a, b in ((along, source, receiver), (along[::-1], receiver, source))
    )
    assert (density[0] * there - density[-1] * back).abs().max() < 1e-8 * 1000.0 * there.abs().max()


def wedge(
    per_half_turn: int, x_source: float, depth: float, x: np.ndarray, z: np.ndarray, k: complex
) -> np.ndarray:
    """Exact pressure (z, x) in a wedge of angle π/N between two pressure-release planes.

    The apex is at x = 0. Images of the source fill the circle and close on themselves, so that
    their finite sum Σ ±exp(ikR)/R, R in three dimensions, is the field of a point source.
    """
    angle = np.pi / per_half_turn
    x, z = x[None, :], z[:, None]
    radius, turn = np.hypot(x_source, depth), np.arctan2(depth, x_source)
    total = np.zeros(np.broadcast_shapes(x.shape, z.shape), complex)
    for image in range(per_half_turn):
        for sign in (1, -1):
            at = 2 * image * angle + sign * turn
            r = np.hypot(x - radius * np.cos(at), z - radius * np.sin(at))
            total += sign * np.exp(1j * k * r) / r
    return total


@pytest.mark.parametrize(
    ("per_half_turn", "median_db", "norm"), [(60, 0.3, 0.25), (180, 0.1, 0.05)]
)
def test_up_slope_in_a_wedge_agrees_with_its_images(
    per_half_turn: int, median_db: float, norm: float
) -> None:
    """Wedges of 3° and 1°, from 200 m to 140 m of water, 25 Hz: six modes, two lost on the way.

    A point source in a wedge that goes on across the track: the exact field is the finite sum of
    images of a point source, so nothing has to be converted between line and point sources, and
    the adiabatic field is taken as the function gives it, spreading as 1/√(∫k dr).

    Between ideal walls each mode turns back where its depth runs out, and the exact field holds it
    going up and coming down. Adiabatic modes only go up. The water is therefore lossy, 0.5 dB a
    wavelength, which both sides take exactly: what comes back has lost tens of dB. At every range
    the level averaged over the depths agrees within 1 dB, and both errors shrink with the slope.
    """
    frequency, loss = 25.0, 0.5
    angle = np.pi / per_half_turn
    nepers = loss * frequency / SPEED / (20.0 * np.log10(np.e))
    k = 2.0 * np.pi * frequency / (SPEED - 1j * nepers * SPEED**2 / (2.0 * np.pi * frequency))
    x_source, x_end = 200.0 / np.tan(angle), 140.0 / np.tan(angle)
    track = x_source - x_end
    at = np.linspace(0.0, track, 101)
    profiles = stack(
        [
            Environment.from_layers(
                [Layer([0, (x_source - r) * np.tan(angle)], [SPEED] * 2, 1000.0, loss)],
                bottom="vacuum",
            )
            for r in at
        ]
    )
    depth, ranges = np.arange(2.0, 140.0, 7.0), np.linspace(0.3 * track, track, 41)
    exact = wedge(per_half_turn, x_source, 80.0, x_source - ranges, depth, k)
    modes = adiabatic_pressure(
        profiles, at, frequency, source_depth=80.0, receiver_depth=depth, range_m=ranges
    )[0, 0].numpy()
    level, truth = ((abs(p) ** 2).mean(axis=0) for p in (modes, exact))
    assert abs(10.0 * np.log10(level / truth)).max() < 1.0
    assert np.median(abs(20.0 * np.log10(abs(modes / exact)))) < median_db
    assert np.linalg.norm(modes - exact) < norm * np.linalg.norm(exact)


def by_hand(profiles: Environment, at: list[float], frequency: float) -> np.ndarray:
    """Pressure at the last profile from a source at 30 m, at 40 and 90 m.

    Modes and their signs followed by overlap: ∫φφ'/ρ dz of a mode and the one it turns into is
    near 1 or -1, and near 0 of others.
    """
    fine = np.arange(0.0, 300.0, 0.25) + 0.1
    modes = solve_modes(profiles, [frequency], depth=[30.0, 40.0, 90.0, *fine])
    k, phi = modes.wavenumber[:, 0].numpy(), modes.mode_function[:, 0].numpy()
    bottom = profiles.thickness.cumsum(dim=1)
    counts = modes.n_modes[:, 0].tolist()
    here, sign = np.arange(counts[0]), np.ones(counts[0])
    path = [k[0, here]]
    first = phi[0, here, 0]
    for a in range(len(at) - 1):
        segment = np.searchsorted(bottom[a].numpy(), fine)
        rho = np.append(profiles.density[a], profiles.half_space_density)[segment] / 1000.0
        overlap = 0.25 * (phi[a, here, 3:] / rho) @ phi[a + 1, : counts[a + 1], 3:].T
        there = abs(overlap).argmax(axis=1)
        best = overlap[np.arange(here.size), there].real
        found = abs(best) > 0.8
        assert (~found).sum() == max(0, here.size - counts[a + 1])
        here, sign, first = there[found], (sign * np.sign(best))[found], first[found]
        path = [along[found] for along in path] + [k[a + 1, here]]
    phase = np.trapezoid(path, at, axis=0)
    each = first * sign * np.exp(1j * phase) / np.sqrt(phase)
    scale = np.sqrt(2.0 * np.pi) * np.exp(0.25j * np.pi) / (profiles.density[0, 0].numpy() / 1000.0)
    return scale * (each[:, None] * phi[-1, here, 1:3]).sum(axis=0)


def along_track(profiles: Environment, at: list[float], frequency: float) -> np.ndarray:
    return adiabatic_pressure(
        profiles,
        at,
        frequency,
        source_depth=30.0,
        receiver_depth=[40.0, 90.0],
        range_m=at[-1],
    )[0, 0, :, 0].numpy()


def test_a_mode_lost_on_the_way_does_not_come_back() -> None:
    heights = [*np.arange(100.0, 60.0, -2.0), *np.arange(60.0, 101.0, 2.0)]
    ridge = stack([guide(h, density=1020.0) for h in heights])
    at = [250.0 * i for i in range(len(heights))]
    counts = solve_modes(ridge, [90.0]).n_modes[:, 0]
    assert counts[0] == counts[-1] > counts.min() > 0
    p = along_track(ridge, at, 90.0)
    np.testing.assert_allclose(p, by_hand(ridge, at, 90.0), rtol=1e-9)


def test_lossy_modes_that_change_places_and_turn_their_norm_go_on_as_themselves() -> None:
    def lossy(depth: float) -> Environment:
        return Environment.from_layers(
            [
                Layer([0, depth], [SPEED, SPEED]),
                Layer([depth, depth + 100.0], [1520.0, 1700.0], 1500.0, 2.0),
            ],
            HalfSpace(1800.0, 1900.0, 2.0),
        )

    heights = np.arange(60.0, 141.0, 1.0)
    slope = stack([lossy(h) for h in heights])
    at = [5.0 * i for i in range(heights.size)]
    modes = solve_modes(slope, [50.0], depth=[1e-3])
    kept = int(modes.n_modes.min())
    # The traps are there: the order by Re k passes two modes of different loss, and a sign that is
    # positive at the surface is not enough.
    loss = modes.wavenumber[:, 0, :kept].imag
    assert (loss[1:] / loss[:-1] > 1.5).any()
    surface = modes.mode_function[:, 0, :kept, 0]
    assert ((surface[1:] * surface[:-1].conj()).real < 0).any()
    p = along_track(slope, at, 50.0)
    np.testing.assert_allclose(p, by_hand(slope, at, 50.0), rtol=1e-9)
    # Every eighth profile is enough: nothing hangs on their spacing.
    coarser = along_track(slope[::8], at[::8], 50.0)
    assert np.linalg.norm(coarser - p) < 0.02 * np.linalg.norm(p)


@pytest.mark.parametrize(("frequency", "speed"), [(267.6, 1087.5), (400.0, 1035.0)])
def test_modes_of_mud_go_on_as_themselves(frequency: float, speed: float) -> None:
    """Between two profiles that are all but the same the field is that of either."""

    def mud(c: float) -> Environment:
        layers = [
            Layer([0, 60], [1482, 1500]),
            Layer([60, 69], [c, c + 47], 1957, [0.576, 0.716]),
            Layer([69, 71], [1183, 1149], 1650, 0.97),
        ]
        return Environment.from_layers(
            layers, HalfSpace(1756, 1591, 0.74), interpolation="n2_linear"
        )

    ends = [mud(speed), mud(speed + 2.5)]
    places = {"source_depth": [59.9], "receiver_depth": [62.0], "range_m": [30.0, 50.0, 70.0]}
    between = adiabatic_pressure(stack(ends), [0.0, 100.0], [frequency], **places)[0, 0, 0].abs()
    low, high = (pressure(end, [frequency], **places)[0, 0, 0, 0].abs() for end in ends)
    assert (between > 0.9 * torch.minimum(low, high)).all()
    assert (between < 1.1 * torch.maximum(low, high)).all()


def test_over_an_elastic_slope_only_places_within_the_solid_have_no_field() -> None:
    def rock(depth: float) -> Environment:
        return Environment.from_layers(
            [Layer([0, depth], [1500, 1500])], HalfSpace(1750, 1800, 0.3, 400.0, 0.2)
        )

    p = adiabatic_pressure(
        stack([rock(h) for h in (100.0, 80.0, 60.0)]),
        [0.0, 2e3, 4e3],
        [100.0],
        source_depth=[90.0],  # below the seabed of the last
        receiver_depth=[20.0, 70.0, 90.0, 110.0],
        range_m=[1e3, 3e3, 5e3],
    )[0, 0]
    there = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)
    assert torch.equal(torch.isfinite(p.abs()), there)


def test_gradcheck_by_profiles_places_and_ranges() -> None:
    base = stack([guide(h) for h in (100.0, 90.0, 93.0)])

    def scaled(
        stretch: Tensor,
        speed: Tensor,
        sand: Tensor,
        at: Tensor,
        source: Tensor,
        receiver: Tensor,
        km: Tensor,
    ) -> Tensor:
        profiles = replace(
            base,
            thickness=base.thickness * (1.0 + stretch),
            sound_speed_top=base.sound_speed_top * (1.0 + speed),
            half_space_sound_speed=base.half_space_sound_speed * (1.0 + sand),
        )
        return 1e3 * adiabatic_pressure(
            profiles,
            torch.cat([torch.zeros(1, dtype=torch.float64), 1e3 * at]),
            [60.0],
            source_depth=source,
            receiver_depth=receiver,
            range_m=1e3 * km,
        )

    zeros = torch.zeros(3, 2, dtype=torch.float64)
    inputs = [
        zeros,
        zeros,
        zeros[:, 0],
        *(
            torch.tensor(v, dtype=torch.float64)
            for v in ([1.0, 2.3], [36.4], [21.3, 70.7], [0.6, 1.7, 3.1])
        ),
    ]
    variables = tuple(v.clone().requires_grad_() for v in inputs)
    gradient = torch.autograd.grad(scaled(*variables).abs().sum(), variables)
    largest = max(float(g.abs().max()) for g in gradient)
    assert gradcheck(scaled, variables, eps=1e-6, atol=3e-6 * largest, rtol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"range_of_profile": [0.0]}, "range_of_profile: 1 ranges for 2 profiles"),
        ({"range_of_profile": [5.0, 9.0]}, "range_of_profile: starts at 5 m"),
        ({"range_of_profile": [0.0, 0.0]}, r"range_of_profile: \[0.0, 0.0\] m must increase"),
        ({"source_depth": [101.0]}, "source_depth: 101 m"),
        ({"receiver_depth": [-1.0]}, "receiver_depth: -1 m"),
        ({"range_m": [0.0]}, "range: 0 m"),
        ({"coherence": "partly"}, "coherence: 'partly' is unknown"),
    ],
)
def test_bad_input_is_named(changed: dict[str, object], message: str) -> None:
    good = {
        "range_of_profile": [0.0, 1e3],
        "frequency": [50.0],
        "source_depth": [10.0],
        "receiver_depth": [20.0],
        "range_m": [2e3],
    }
    with pytest.raises(ModelInputError, match=message):
        adiabatic_pressure(stack([guide(100.0), guide(90.0)]), **(good | changed))  # type: ignore[arg-type]
