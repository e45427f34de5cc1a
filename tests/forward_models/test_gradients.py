"""Gradients of wavenumbers, mode functions and pressure against finite differences."""

from dataclasses import replace

import pytest
import torch
from reference_cases import load_case
from torch import Tensor
from torch.autograd import gradcheck

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    array_pressure,
    pressure,
    solve_modes,
)

# Two layers, steep sediment, a thin and lossy mud, an 800 m mudstone, 1/c² linear, strong loss.
CASES = {
    "pekeris": 100.0,
    "mud": 200.0,
    "swellex": 49.0,
    "rand03": 148.0,
    "n2lin_airy": 100.0,
    "high_loss": 200.0,
}
RELATIVE = (
    "thickness",
    "sound_speed_top",
    "sound_speed_bottom",
    "density",
    "half_space_sound_speed",
    "half_space_density",
)
ABSOLUTE = ("attenuation_top", "attenuation_bottom", "half_space_attenuation")


def unknowns(environment: Environment) -> tuple[list[str], list[Tensor]]:
    """Names and zeros: relative changes of positive fields, absolute ones of attenuations."""
    names = [n for n in (*RELATIVE, *ABSOLUTE) if getattr(environment, n) is not None]
    return names, [torch.zeros_like(getattr(environment, n)) for n in names]


def changed(environment: Environment, names: list[str], by: tuple[Tensor, ...]) -> Environment:
    fields = {}
    for name, change in zip(names, by, strict=True):
        value = getattr(environment, name)
        # an attenuation of zero could not go down
        fields[name] = value * (1 + change) if name in RELATIVE else value + 0.05 + 0.1 * change
    return replace(environment, **fields)


@pytest.mark.parametrize("name", CASES)
def test_gradcheck_of_pressure_by_every_parameter(name: str) -> None:
    case = load_case(name)
    names, zeros = unknowns(case.environment)
    places = [
        torch.tensor(v, dtype=torch.float64)
        for v in ([case.source_depth[0] + 0.4], [3.3, case.receiver_depth[-1] - 0.7], [0.7, 1.9])
    ]

    def scaled(source: Tensor, receiver: Tensor, km: Tensor, *by: Tensor) -> Tensor:
        return 1e3 * pressure(
            changed(case.environment, names, by),
            [CASES[name]],
            source_depth=source,
            receiver_depth=receiver,
            range_m=1e3 * km,
            c_high=case.env["c_high"],
        )

    inputs = tuple(v.clone().requires_grad_() for v in (*places, *zeros))
    largest = float(torch.stack([v.abs().max() for v in _jacobian(scaled, inputs)]).max())
    assert gradcheck(scaled, inputs, eps=1e-6, atol=3e-6 * largest, rtol=1e-4)


@pytest.mark.parametrize("name", ["mud", "high_loss"])
def test_gradcheck_of_wavenumbers_and_mode_functions(name: str) -> None:
    case = load_case(name)
    names, zeros = unknowns(case.environment)
    depth = torch.tensor([0.5, 31.0, case.receiver_depth[-1]], dtype=torch.float64)

    def solved(depth: Tensor, *by: Tensor) -> tuple[Tensor, Tensor]:
        environment = changed(case.environment, names, by)
        modes = solve_modes(environment, [CASES[name]], depth=depth, c_high=case.env["c_high"])
        return modes.wavenumber, modes.mode_function

    inputs = tuple(v.clone().requires_grad_() for v in (depth, *zeros))
    assert gradcheck(solved, inputs, eps=1e-6, atol=2e-6, rtol=1e-4)


def test_a_dense_cast_whose_knots_merge_has_the_same_gradient() -> None:
    depth = [0.5 * i for i in range(201)]
    speed = [1500.0 - 0.05 * z for z in depth]
    cast = Layer(depth, speed)
    sand = HalfSpace(1700.0, 1900.0, 0.6)
    by_knots = Environment.from_layers([cast], sand)
    whole = Environment.from_layers([Layer([0, 100], [speed[0], speed[-1]])], sand)
    gradients = []
    for environment in (by_knots, whole):
        thickness = environment.thickness.clone().requires_grad_()
        top = environment.sound_speed_top.clone().requires_grad_()
        p = array_pressure(
            replace(environment, thickness=thickness, sound_speed_top=top),
            [60.0],
            source_depth=[30.0],
            receiver_depth=[[50.0, 70.0]],
            range_m=[[2000.0, 2000.0]],
        )
        p.abs().sum().backward()
        assert thickness.grad is not None
        gradients.append((thickness.grad, float(p.detach().abs().sum())))
    assert gradients[0][1] == pytest.approx(gradients[1][1], rel=1e-6)
    # One thicker segment moves all below it down, speeds and all: with this gradient of speed the
    # stretch of the whole is the mean of the stretches of its parts.
    mean = float((gradients[0][0] * by_knots.thickness).sum() / by_knots.thickness.sum())
    assert mean == pytest.approx(float(gradients[1][0]), rel=1e-5)


def test_each_knot_of_a_fine_profile_has_the_gradient_of_differences() -> None:
    """Knots that may share a step: what such a step leaves out changes fast with one of them."""
    depth = torch.linspace(0, 100, 21, dtype=torch.float64)
    cast = Layer(depth.tolist(), [1500.0] * depth.numel())
    guide = Environment.from_layers([cast], HalfSpace(1700.0, 1800.0, 0.5))

    def level(speed: Tensor) -> Tensor:
        moved = replace(guide, sound_speed_top=speed[None, :-1], sound_speed_bottom=speed[None, 1:])
        p = pressure(moved, [100.0], source_depth=[36.0], receiver_depth=[50.0], range_m=[5e3])
        return p.abs().log().sum()

    speed = torch.full((21,), 1500.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(level(speed), speed)
    step = 0.01  # m/s: knots that differ by so much keep steps of their own
    by = step * torch.eye(21, dtype=torch.float64)
    still = speed.detach()
    differences = torch.stack([level(still + d) - level(still - d) for d in by]) / (2 * step)
    assert (gradient - differences).abs().max() < 2e-3 * differences.abs().max()


def test_wavenumbers_alone_have_gradients() -> None:
    guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1800, 0.5))

    def wavenumbers(speed: Tensor) -> Tensor:
        return solve_modes(replace(guide, half_space_sound_speed=speed), [100.0]).wavenumber.real

    assert gradcheck(wavenumbers, [torch.tensor([1700.0], dtype=torch.float64, requires_grad=True)])


def test_modes_of_lossy_mud_have_gradients_of_their_own_sign() -> None:
    """Their root of the norm has a sign that hangs on which lanes share a vector."""
    mud = [
        Layer([0, 53.7], [1482, 1500]),
        Layer([53.7, 62.7], [1061, 1108], 1957, [0.576, 0.715]),
        Layer([62.7, 64.8], [1183, 1149], 1650, 0.97),
    ]
    guide = Environment.from_layers(mud, HalfSpace(1756, 1591, 0.74), interpolation="n2_linear")

    def shapes(depth: Tensor) -> Tensor:
        return solve_modes(guide, [267.6], depth=depth).mode_function[0, 0]

    depth = torch.tensor([53.6, 58.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(shapes, [depth])


def test_perturbative_modes_refuse_a_gradient() -> None:
    case = load_case("pekeris")
    speed = case.environment.sound_speed_top.clone().requires_grad_()
    environment = replace(case.environment, sound_speed_top=speed)
    with pytest.raises(ModelInputError, match="attenuation: 'perturbative' has no gradients"):
        solve_modes(environment, [50.0], attenuation="perturbative")


def _jacobian(function, inputs: tuple[Tensor, ...]) -> list[Tensor]:  # type: ignore[no-untyped-def]
    total = function(*inputs).abs().sum()
    return list(torch.autograd.grad(total, inputs))
