"""Wavenumbers, mode functions, group speeds and pressures against independent solutions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference_cases import CORE, ELASTIC, HARD, LEAKY, RANDOM, load_case

from forward_models import pressure, solve_modes

KINDS = ("exact", "perturbative")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CORE + HARD + RANDOM)
def test_wavenumbers_and_group_speeds_match_the_reference(name: str, kind: str) -> None:
    case = load_case(name)
    modes = solve_modes(case.environment, list(case.answers), c_high=case.c_high, attenuation=kind)
    for i, (frequency, answers) in enumerate(case.answers.items()):
        expected = answers.k[kind]
        count = int(modes.n_modes[0, i])
        assert count == expected.size, frequency
        k = modes.wavenumber[0, i, :count].numpy()
        np.testing.assert_array_less(np.abs(k - expected), 1e-8 * np.abs(expected), str(frequency))
        assert torch.isnan(modes.wavenumber[0, i, count:].real).all()
        if kind == "exact":
            np.testing.assert_allclose(
                modes.group_speed[0, i, :count], answers.group_speed, rtol=1e-6
            )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CORE + HARD + RANDOM)
def test_pressure_matches_the_reference(name: str, kind: str) -> None:
    case = load_case(name)
    p = pressure(
        case.environment,
        list(case.answers),
        source_depth=case.source_depth,
        receiver_depth=case.receiver_depth,
        range_m=[1000.0 * r for r in case.range_km],
        c_high=case.c_high,
        attenuation=kind,
    )
    for i, (frequency, answers) in enumerate(case.answers.items()):
        expected = answers.p[kind]
        error = np.linalg.norm(p[0, i, 0].numpy() - expected) / np.linalg.norm(expected)
        assert error < 1e-4, frequency


@pytest.mark.parametrize("name", LEAKY + ELASTIC)
def test_leaky_modes_match_the_reference(name: str) -> None:
    case = load_case(name)
    leaky = name in LEAKY  # the elastic ones leak shear alone, which needs no asking
    options = {"c_high": case.env["c_high"], "leaky": leaky}
    modes = solve_modes(case.environment, list(case.answers), **options)
    for i, (frequency, answers) in enumerate(case.answers.items()):
        expected = answers.k["exact"]
        count = int(modes.n_modes[0, i])
        assert count == expected.size, frequency
        k = modes.wavenumber[0, i, :count].numpy()
        np.testing.assert_array_less(np.abs(k - expected), 1e-8 * np.abs(expected), str(frequency))
        if leaky:
            speed = modes.group_speed[0, i, :count]
            np.testing.assert_allclose(speed, answers.group_speed, rtol=1e-6)
            p = pressure(
                case.environment,
                [frequency],
                source_depth=case.source_depth,
                receiver_depth=case.receiver_depth,
                range_m=[1000.0 * r for r in case.range_km],
                **options,
            )
            of_case = answers.p["exact"]
            error = np.linalg.norm(p[0, 0, 0].numpy() - of_case) / np.linalg.norm(of_case)
            assert error < 1e-4, frequency


# Of degenerate pairs (twin_duct) any basis is right.
@pytest.mark.parametrize("name", [name for name in CORE + HARD if name != "twin_duct"])
def test_mode_functions_match_the_reference_up_to_sign(name: str) -> None:
    case = load_case(name)
    depth = [*case.source_depth, *case.receiver_depth]
    modes = solve_modes(
        case.environment,
        list(case.answers),
        depth=depth,
        c_high=case.env["c_high"],
        attenuation="perturbative",
    )
    for i, (frequency, answers) in enumerate(case.answers.items()):
        expected = answers.real_mode_function
        phi = modes.mode_function[0, i, : len(expected)].numpy()
        sign = np.sign(np.sum(phi.real * expected, axis=1, keepdims=True))
        np.testing.assert_allclose(phi.imag, 0.0, atol=1e-9)
        np.testing.assert_allclose(sign * phi.real, expected, atol=2e-5, err_msg=str(frequency))


@pytest.mark.parametrize("kind", KINDS)
def test_mode_functions_are_normalised_and_positive_at_the_surface(kind: str) -> None:
    case = load_case("ideal_rigid")  # no half-space: all of the integral is in the water
    depth = torch.linspace(0.0, 100.0, 4001, dtype=torch.float64)
    modes = solve_modes(case.environment, [50.0], depth=depth, attenuation=kind)
    phi = modes.mode_function[0, 0]
    integral = torch.trapezoid(phi**2, depth)
    torch.testing.assert_close(integral.real, torch.ones_like(integral.real), rtol=1e-5, atol=0)
    assert (phi[:, 1].real > 0).all()
