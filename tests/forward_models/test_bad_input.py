"""What no environment can be, or be asked: one line that names it; and batches with bad rows."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    adiabatic_pressure,
    array_pressure,
    pressure,
    solve_modes,
    spectral_pressure,
    stack,
    time_series,
)

NAN = math.nan
WATER = Layer([0, 30, 100], [1520, 1500, 1490])
MUD = Layer([100, 108], [1460, 1475], 1500.0, 0.4)
SAND = HalfSpace(1700.0, 1900.0, 0.6)


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([], {}, "layers: none given; give at least the water"),
        (
            [replace(WATER, depth=[5, 30, 100])],
            {},
            "layer 1: depth: starts at 5 m but the water be",
        ),
        (
            [WATER, replace(MUD, depth=[90, 108])],
            {},
            "layer 2: depth: starts at 90 m but the layer",
        ),
        ([WATER, replace(MUD, depth=[105, 108])], {}, "ends at 100 m; layers must meet"),
        (
            [WATER, replace(MUD, depth=[100, 100])],
            {},
            "layer 2: depth: 100 m after 100 m; depths m",
        ),
        (
            [replace(WATER, depth=[0, 30, 20])],
            {},
            "layer 1: depth: 20 m after 30 m; depths must in",
        ),
        ([replace(WATER, depth=[0, NAN, 20])], {}, "layer 1: depth: nan must be finite"),
        ([replace(WATER, depth=[0, 30, math.inf])], {}, "layer 1: depth: inf must be finite"),
        ([replace(WATER, depth=[0, 30])], {}, "layer 1: sound_speed: 3 values at 2 depths"),
        ([replace(WATER, depth=[], sound_speed=[])], {}, "layer 1: sound_speed: 0 values at 0 dep"),
        (
            [WATER, replace(MUD, sound_speed=[0, 1475])],
            {},
            "layer 2: sound_speed: 0 must be finite",
        ),
        (
            [WATER, replace(MUD, sound_speed=[-1, 1475])],
            {},
            "layer 2: sound_speed: -1 must be fini",
        ),
        ([WATER, replace(MUD, sound_speed=[1460, NAN])], {}, "layer 2: sound_speed: nan must be"),
        (
            [WATER, replace(MUD, density=0.0)],
            {},
            "layer 2: density: 0 must be finite and above zero",
        ),
        ([WATER, replace(MUD, density=[1, 2, 3])], {}, "layer 2: density: 3 values at 2 depths"),
        (
            [WATER, replace(MUD, attenuation=-0.1)],
            {},
            "layer 2: attenuation: -0.1 must be finite a",
        ),
        ([WATER, replace(MUD, attenuation=NAN)], {}, "layer 2: attenuation: nan must be finite"),
        ([WATER], {"half_space": HalfSpace(0, 1900)}, "half-space: sound_speed: 0 must be finite"),
        ([WATER], {"half_space": HalfSpace(1700, NAN)}, "half-space: density: nan must be finite"),
        ([WATER], {"half_space": HalfSpace(1700, 1900, -1)}, "half-space: attenuation: -1 must be"),
        ([WATER], {"attenuation_unit": "X"}, "attenuation_unit: 'X' is unknown; use one of N, M,"),
        ([WATER], {"top": "ice"}, "top: 'ice' is unknown; use one of vacuum, rigid"),
        (
            [WATER],
            {"bottom": "half_space"},
            "bottom: 'half_space' does not agree with the half-spa",
        ),
        (
            [WATER],
            {"interpolation": "cubic"},
            "interpolation: 'cubic' is unknown; use one of c_lin",
        ),
        ([WATER], {"power_law": (0.0, 1.0)}, "power_law: (0, 1) must be a finite reference freq"),
        ([WATER], {"power_law": (-10.0, 1.5)}, "power_law: (-10, 1.5) must be a finite reference"),
        ([WATER], {"power_law": (NAN, 1.0)}, "power_law: (nan, 1) must be a finite reference fr"),
        ([WATER], {"power_law": (math.inf, 1.0)}, "power_law: (inf, 1) must be a finite reference"),
        ([WATER], {"power_law": (100.0, NAN)}, "power_law: (100, nan) must be a finite reference"),
    ],
)
def test_a_bad_layer_is_named(layers: list[Layer], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelInputError) as caught:
        Environment.from_layers(layers, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


GUIDE = Environment.from_layers([WATER, MUD], SAND)
FIELD = {"source_depth": [40.0], "receiver_depth": [10.0, 60.0], "range_m": [1500.0, 9e3]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"frequency": [0.0]}, "frequency: 0 Hz must be finite and above zero"),
        ({"frequency": [50.0, -2.0]}, "frequency: -2 Hz must be finite and above zero"),
        ({"frequency": [NAN]}, "frequency: nan Hz must be finite and above zero"),
        ({"frequency": []}, "frequency: shape (0,); give a list of at least one (Hz)"),
        ({"c_high": 0.0}, "c_high: 0 m/s must be above zero"),
        (
            {"source_depth": [40.0, 103.0]},
            "source_depth: 103 m must be between the surface and the",
        ),
        ({"source_depth": [103.0]}, "the seabed at 100 m"),
        ({"source_depth": [NAN]}, "environment 0: source_depth: nan m must be between"),
        ({"receiver_depth": [-1.0]}, "environment 0: receiver_depth: -1 m must be zero or more"),
        (
            {"receiver_depth": [math.inf]},
            "environment 0: receiver_depth: inf m must be zero or more",
        ),
        ({"range_m": [0.0]}, "environment 0: range: 0 m must be finite and above zero"),
        ({"range_m": [NAN]}, "environment 0: range: nan m must be finite and above zero"),
        ({"mode_limit": 0}, "mode_limit: 0 must be 1 or more"),
        ({"attenuation": "none"}, "attenuation: 'none' is unknown; use 'exact' or 'perturbative'"),
        ({"on_error": "skip"}, "on_error: 'skip' is unknown; use 'raise' or 'nan'"),
    ],
)
def test_a_bad_question_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelInputError) as caught:
        pressure(GUIDE, **({"frequency": [50.0]} | FIELD | changed))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("coherence", ["coherent", "incoherent"])
@pytest.mark.parametrize("limit", [0, -1])
def test_a_sum_of_no_modes_is_refused(limit: int, coherence: Any) -> None:
    with pytest.raises(ModelInputError, match=f"^mode_limit: {limit} must be 1 or more$"):
        pressure(GUIDE, [50.0], **FIELD, mode_limit=limit, coherence=coherence)


TWO = stack([GUIDE, GUIDE])
ARRAY = {"source_depth": [40.0], "receiver_depth": [[10.0, 60.0]], "range_m": [[900.0, 901.0]]}


@pytest.mark.parametrize("how", [{}, {"coherence": "incoherent"}, {"device": "cpu"}])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source_depth": [[1.0], [2.0], [3.0]]}, "source_depth: shape (3, 1) does not fit (B, S)"),
        ({"receiver_depth": [[[1.0, 2.0]]]}, "receiver_depth: shape (1, 1, 2) does not fit (B, R)"),
        ({"range_m": [[900.0]] * 3}, "range_m: shape (3, 1) does not fit (B, K) = (2, 1); give ea"),
    ],
)
def test_grids_that_do_not_fit_the_batch_are_named(
    how: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelInputError) as caught:
        pressure(TWO, [50.0], **(FIELD | changed | how))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source_depth": [1.0, 2.0, 3.0]}, "source_depth: shape (3,) does not fit (B,) = (2,); g"),
        ({"source_depth": [[1.0]] * 3}, "source_depth: shape (3, 1) does not fit (B, S) = (2, 1)"),
        ({"source_depth": [[[1.0]]]}, "source_depth: shape (1, 1, 1) does not fit (B, S) = (2, 1)"),
        (
            {"receiver_depth": [[1.0, 2.0]] * 3},
            "receiver_depth: shape (3, 2) does not fit (B, R) =",
        ),
        (
            {"source_depth": [[1.0, 2.0]], "receiver_depth": torch.ones(2, 3, 2)},
            "receiver_depth: shape (2, 3, 2) does not fit (B, S, R) = (2, 2, 2)",
        ),
        ({"range_m": [900.0, 901.0, 902.0]}, "range_m: shape (3,) does not fit (B, R) = (2, 2); g"),
        (
            {"range_m": torch.ones(2, 3, 2)},
            "range_m: shape (2, 3, 2) does not fit (B, S, R) = (2, ",
        ),
    ],
)
def test_arrays_that_do_not_fit_the_batch_are_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelInputError) as caught:
        array_pressure(TWO, [50.0], **(ARRAY | changed))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["source_depth", "receiver_depth", "range_m"])
@pytest.mark.parametrize(
    "solve",
    [
        lambda **where: spectral_pressure(TWO, [50.0], **where),
        lambda **where: time_series(TWO, [1.0, -1.0], 200.0, **where),
        lambda **where: adiabatic_pressure(TWO, [0.0, 500.0], [50.0], **where),
    ],
)
def test_places_that_are_one_row_for_all_environments(solve: Callable[..., Any], name: str) -> None:
    where = FIELD | {name: [[1.0, 2.0, 3.0]] * 2}
    with pytest.raises(ModelInputError, match=rf"^{name}: shape \(2, 3\) does not fit \(3,\); g"):
        solve(**where)


def test_depths_of_mode_functions_are_checked() -> None:
    with pytest.raises(ModelInputError, match="environment 0: depth: -3 m must be finite and zero"):
        solve_modes(GUIDE, [50.0], depth=[10.0, -3.0])


def test_more_modes_than_there_are_gives_all_of_them() -> None:
    some, all_modes, more = (
        pressure(GUIDE, [200.0], **FIELD, mode_limit=limit) for limit in (3, None, 5000)
    )
    torch.testing.assert_close(more, all_modes, rtol=0, atol=0)
    assert (abs(some - all_modes) > 1e-6).all()


def batch() -> Environment:
    """Six guides of which 1, 2 and 4 cannot be."""
    guides = stack(
        [
            Environment.from_layers([WATER, MUD], replace(SAND, sound_speed=c))
            for c in (1600.0, 1650.0, 1700.0, 1750.0, 1800.0, 1850.0)
        ]
    )
    guides.sound_speed_top[1, 1] = NAN
    guides.thickness[2, 2] = -8.0
    assert guides.half_space_density is not None
    guides.half_space_density[4] = 0.0
    return guides


LINES = (
    "3 of 6 environments are left out, their results NaN: "
    "environment 1: segment 1: sound_speed_top: nan must be finite and above zero; "
    "environment 2: segment 2: thickness: -8 must be finite and zero or more; "
    "environment 4: half_space_density: 0 must be finite and above zero"
)
GOOD, BAD = [0, 3, 5], [1, 2, 4]


def test_a_bad_environment_is_refused_by_its_index() -> None:
    with pytest.raises(ModelInputError, match=r"^environment 1: segment 1: sound_speed_top: nan"):
        solve_modes(batch(), [50.0])
    with pytest.raises(ModelInputError, match=r"^environment 1: segment 1: sound_speed_top: nan"):
        pressure(batch(), [50.0], **FIELD)


def test_the_others_of_a_batch_are_computed() -> None:
    guides = batch()
    with pytest.warns(UserWarning, match="left out") as warned:
        modes = solve_modes(guides, [50.0, 200.0], depth=[20.0], on_error="nan")
    assert [(str(w.message), w.filename) for w in warned] == [(LINES, __file__)]
    alone = solve_modes(guides[torch.tensor(GOOD)], [50.0, 200.0], depth=[20.0])
    assert modes.n_modes[BAD].tolist() == [[0, 0]] * 3
    for name in ("wavenumber", "mode_function", "group_speed"):
        got, expected = getattr(modes, name), getattr(alone, name)
        torch.testing.assert_close(got[GOOD], expected, rtol=0, atol=0, equal_nan=True)
        assert got[BAD].isnan().all()
    with pytest.warns(UserWarning, match="left out") as warned:
        p = pressure(guides, [50.0, 200.0], **FIELD, on_error="nan")
    assert [(str(w.message), w.filename) for w in warned] == [(LINES, __file__)]
    expected = pressure(guides[torch.tensor(GOOD)], [50.0, 200.0], **FIELD)
    torch.testing.assert_close(p[GOOD], expected, rtol=0, atol=0)
    assert p[BAD].isnan().all()


def test_a_misplaced_source_costs_its_own_environment_only() -> None:
    guides = stack([GUIDE, GUIDE, GUIDE])
    where = {
        "receiver_depth": torch.tensor([[20.0], [20.0], [-1.0]]),
        "range_m": torch.full((3, 1), 2e3),
    }
    with pytest.warns(UserWarning, match="environment 0: source_depth: 101 m.*environment 2: rece"):
        p = array_pressure(
            guides, [100.0], source_depth=[101.0, 50.0, 50.0], **where, on_error="nan"
        )
    assert p.isnan().flatten().tolist() == [True, False, True]


def test_a_batch_of_bad_ones_is_all_nan() -> None:
    guides = batch()[torch.tensor(BAD)]
    with pytest.warns(UserWarning, match="3 of 3 environments are left out"):
        p = pressure(guides, [50.0], **FIELD, on_error="nan")
    assert p.shape == (3, 1, 1, 2, 2)
    assert p.isnan().all()
    with pytest.warns(UserWarning, match="3 of 3 environments are left out"):
        modes = solve_modes(guides, [50.0], depth=[3.0], on_error="nan")
    assert modes.n_modes.tolist() == [[0], [0], [0]]
    assert modes.mode_function.shape == (3, 1, 0, 1)


@pytest.mark.parametrize("option", ["attenuation", "precision"])
def test_an_unknown_option_is_refused_where_every_environment_is_bad(option: str) -> None:
    guides = batch()[torch.tensor(BAD)]
    with pytest.raises(ModelInputError, match=f"{option}: 'none'"):
        solve_modes(guides, [50.0], on_error="nan", **{option: "none"})


def test_gradients_pass_by_the_bad_ones() -> None:
    guides = batch()
    guides.density.requires_grad_(True)
    with pytest.warns(UserWarning, match="3 of 6"):
        p = pressure(guides, [100.0], **FIELD, on_error="nan")
    p[GOOD].abs().sum().backward()
    gradient = guides.density.grad
    assert gradient is not None
    assert gradient[GOOD, 2].abs().min() > 0
    assert (gradient[BAD] == 0).all()


def test_a_sound_batch_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pressure(GUIDE, [50.0], **FIELD, on_error="nan")


def test_depths_of_another_number_of_environments_are_refused() -> None:
    with pytest.raises(ModelInputError, match=r"depth: shape \(3, 1\) fits neither .* B = 2"):
        solve_modes(stack([GUIDE, GUIDE]), [50.0], depth=[[1.0], [2.0], [3.0]])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sound_speed_top", 1e300, "segment 0: sound_speed_top: 1e+300 must be from 1 to 100000"),
        ("sound_speed_bottom", 1e-300, "segment 0: sound_speed_bottom: 1e-300 must be from 1 to 1"),
        ("density", 1e300, "segment 0: density: 1e+300 must be from 0.1 to 1e+06"),
        ("thickness", 1e300, "segment 0: thickness: 1e+300 must be from 0 to 1e+06"),
        ("bottom_roughness", 1e200, "bottom_roughness: 1e+200 must be from 0 to 1e+06"),
        ("half_space_shear_speed", 1e-300, "half_space_shear_speed: 1e-300 must be from 1 to inf"),
    ],
)
def test_values_that_no_medium_has_are_named(field: str, value: float, message: str) -> None:
    rock = Environment.from_layers([WATER], HalfSpace(1800, 1900, 0.1, 400.0, 0.1))
    whole = torch.zeros(1, dtype=torch.float64)
    rock = replace(rock, bottom_roughness=whole)
    bad = replace(rock, **{field: torch.full_like(getattr(rock, field), value)})
    with pytest.raises(ModelInputError, match=re.escape(f"environment 0: {message}")):
        solve_modes(bad, [50.0])


def test_a_batch_is_indexed_as_a_list_and_stays_a_batch() -> None:
    two = stack([Environment.from_layers([WATER], HalfSpace(c, 1900)) for c in (1700, 1800)])
    assert [float(one.half_space_sound_speed[0]) for one in two] == [1700, 1800]
    assert two[np.int64(-1)].thickness.shape == (1, 2)
    for index in (2, -3):
        with pytest.raises(IndexError, match=f"environment {index} of a batch of 2"):
            two[index]
    with pytest.raises(ModelInputError, match="environments: none given"):
        stack([])


def test_an_environment_of_few_digits_is_named() -> None:
    guide = Environment.from_layers([WATER], HalfSpace(1700, 1900))
    guide = replace(guide, density=guide.density.float())
    with pytest.raises(ModelInputError, match=r"environment: density: torch\.float32 has too few"):
        solve_modes(guide, [50.0])


def test_no_places_have_an_empty_field() -> None:
    guide = Environment.from_layers([WATER], HalfSpace(1700, 1900, 0.5))
    places = {"source_depth": [30.0], "receiver_depth": [50.0, 60.0], "range_m": []}
    for field in (pressure, spectral_pressure):
        assert field(guide, [50.0], **places).shape == (1, 1, 1, 2, 0)
    for several in ([], [[[]]]):
        p = array_pressure(guide, [50.0], source_depth=[[30.0]], receiver_depth=several, range_m=[])
        assert p.shape == (1, 1, 1, 0)
