"""Groups of nearly equal guides against each guide solved by itself, and their derivatives."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    array_pressure,
    neighbouring_pressure,
    vertical_array,
)
from forward_models.environment import stack

FREQUENCY = [60.0, 250.0]


def guides(change: float) -> Environment:
    """Two guides of lossy mud over sand, each with three that differ a little from it."""

    def guide(speed: float, loss: float, depth: float) -> Environment:
        water = Layer(depth=[0, 40, depth], sound_speed=[1520, 1490, 1495])
        mud = Layer(depth=[depth, depth + 12], sound_speed=[speed, speed + 20], density=1500,
                    attenuation=loss)  # fmt: skip
        below = HalfSpace(sound_speed=1750, density=1900, attenuation=0.8)
        return Environment.from_layers([water, mud], below)

    rows = [
        guide(speed + change * a, loss + change * b, depth + change * c)
        for speed, loss, depth in ((1480.0, 0.3, 100.0), (1560.0, 1.2, 120.0))
        for a, b, c in ((0, 0, 0), (1, 0, 0), (0, 0.1, 0), (0, 0, 1))
    ]
    return stack(rows)


def geometry(n: int) -> dict[str, Tensor]:
    depth, ranges = vertical_array(
        torch.tensor([20.0, 55.0, 90.0]), torch.linspace(1000, 3000, n), tilt=torch.ones(n)
    )
    return {
        "source_depth": torch.linspace(30, 60, n, dtype=torch.float64),
        "receiver_depth": depth,
        "range_m": ranges,
    }


def near_to_one(change: float, own: int = 1) -> Tensor:
    """Pressure (2, own + 3, F, R) in the two guides, at ``own`` arrays, and in their neighbours."""
    environment = guides(change)
    first = torch.tensor([0, 4])
    others = torch.tensor([1, 2, 3, 5, 6, 7])
    place = {name: v.unflatten(0, (2, -1)) for name, v in geometry(2 * (own + 3)).items()}
    return neighbouring_pressure(environment[first], environment[others], FREQUENCY, **place)


@pytest.mark.parametrize("change", [1e-3, 1e-2])
@pytest.mark.parametrize("own", [1, 2])
def test_each_neighbour_is_the_guide_itself(change: float, own: int) -> None:
    near = near_to_one(change, own)
    which = torch.tensor([0] * own + [1, 2, 3])
    environment = guides(change)[torch.cat([which, which + 4])]
    alone = array_pressure(environment, FREQUENCY, **geometry(len(environment)))
    alone = alone.unflatten(0, (2, -1))
    torch.testing.assert_close(near, alone, rtol=1e-6, atol=1e-6 * float(alone.abs().max()))


def test_guides_may_have_no_neighbours() -> None:
    environment = guides(0.1)
    place = {name: value[:, None] for name, value in geometry(8).items()}
    near = neighbouring_pressure(environment, environment[:0], FREQUENCY, **place)
    alone = array_pressure(environment, FREQUENCY, **geometry(8))
    torch.testing.assert_close(near[:, 0], alone)


def test_differences_are_derivatives() -> None:
    change = 1e-3
    same = {name: value[:1, None].expand(1, 4, *value.shape[1:]) for name, value in
            geometry(8).items()}  # fmt: skip
    near = neighbouring_pressure(guides(change)[:1], guides(change)[1:4], FREQUENCY, **same)[0]
    environment = guides(0.0)[:1]
    speeds = environment.sound_speed_top.clone().requires_grad_()
    bottoms = environment.sound_speed_bottom.clone().requires_grad_()
    environment = replace(environment, sound_speed_top=speeds, sound_speed_bottom=bottoms)
    p = array_pressure(environment, FREQUENCY, **{k: v[:, 0] for k, v in same.items()})
    mud = -1
    change_found = (near[1] - near[0]) / change
    scale = float(change_found.abs().max())
    for f, r in ((0, 0), (0, 2), (1, 1)):
        for part in ("real", "imag"):
            value = getattr(p[0, f, r], part)
            top, bottom = torch.autograd.grad(value, [speeds, bottoms], retain_graph=True)
            expected = float(top[0, mud] + bottom[0, mud])
            found = float(getattr(change_found[f, r], part))
            assert found == pytest.approx(expected, rel=0, abs=1e-3 * scale)


def test_what_cannot_be_neighbours_is_refused() -> None:
    environment = guides(0.1)
    place = {name: value.unflatten(0, (2, 4)) for name, value in geometry(8).items()}
    for count in (7, 8):  # not the same for each, and none left for the guide itself
        many = environment[torch.arange(count)]
        with pytest.raises(ModelInputError, match=f"neighbours: {count} of 2 environments with 4"):
            neighbouring_pressure(environment[:2], many, FREQUENCY, **place)
    below = HalfSpace(sound_speed=3000, density=2200, shear_speed=1500)
    solid = Environment.from_layers([Layer(depth=[0, 100], sound_speed=[1500, 1500])], below)
    one = {name: value[:, None] for name, value in geometry(1).items()}
    with pytest.raises(ModelInputError, match="half_space_shear_speed: neighbours"):
        neighbouring_pressure(solid, solid[:0], FREQUENCY, **one)
    wrong = place | {"source_depth": torch.full((2, 4), 500.0, dtype=torch.float64)}
    with pytest.raises(ModelInputError, match="source_depth"):
        neighbouring_pressure(environment[:2], environment[2:], FREQUENCY, **wrong)
