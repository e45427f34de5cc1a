"""Predictions: batches equal loops, and padding of thickness zero changes nothing."""

from pathlib import Path

import pytest
import torch
import yaml

from forward_models import Environment, HalfSpace, Layer, pressure
from oceaninv.scenario import load_scenario, scenario_text
from oceaninv.scenario.predict import predict, predict_neighbours


def test_pressure_is_that_of_the_environment_written_out() -> None:
    scenario = load_scenario("pekeris-teaching")
    theta = torch.tensor([[3000.0, 30.0, 100.0, 1650.0, 1.8, 0.4]], dtype=torch.float64)
    environment = Environment.from_layers(
        [Layer([0, 100], [1500, 1500])], HalfSpace(1650, 1800, 0.4), attenuation_unit="W"
    )
    expected = pressure(
        environment,
        scenario.frequency,
        source_depth=[30.0],
        receiver_depth=scenario.receiver_depth,
        range_m=[3000.0],
    )[:, :, 0, :, 0]
    torch.testing.assert_close(predict(scenario, theta), expected, rtol=1e-8, atol=0)


def test_a_batch_is_the_same_as_one_by_one() -> None:
    scenario = load_scenario("north-elba-1993")
    theta = scenario.prior.sample(4, 3)
    together = predict(scenario, theta)
    one_by_one = torch.cat([predict(scenario, row[None]) for row in theta])
    torch.testing.assert_close(together, one_by_one, rtol=1e-9, atol=1e-15)


def test_a_sediment_of_thickness_zero_is_no_sediment(tmp_path: Path) -> None:
    content = yaml.safe_load(scenario_text("pekeris-teaching"))
    content["environment"]["sediments"] = [
        {"thickness": 0, "sound_speed": [1480, 1550], "density": 1.5, "attenuation": 0.3}
    ]
    path = tmp_path / "padded.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    plain, padded = load_scenario("pekeris-teaching"), load_scenario(path)
    theta = plain.prior.sample(4, 1)
    torch.testing.assert_close(predict(padded, theta), predict(plain, theta), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("start", [1000.0, 3000.0])
def test_levels_are_those_of_the_pressure_along_the_range(tmp_path: Path, start: float) -> None:
    content = yaml.safe_load(scenario_text("pekeris-teaching"))
    del content["unknowns"]["source_range"], content["array"]
    content |= {
        "data": "transmission_loss",
        "source": {"depth": "source_depth"},
        "receiver": {"depth": [20, 40], "range": {"start": start, "stop": 6000, "n": 3}},
        "noise": {"sd_db": 2, "offset_sd_db": 3},
    }
    path = tmp_path / "level.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    scenario = load_scenario(path)
    theta = scenario.prior.sample(2, 1)
    level = predict(scenario, theta)
    assert level.shape == (2, 4, 6)
    vertical = load_scenario("pekeris-teaching")
    ranges = torch.full((2, 1), scenario.range_m[1], dtype=torch.float64)
    array = vertical.array
    assert array is not None
    at_depths = vertical.model_copy(
        update={"array": array.model_copy(update={"depth": [20.0, 40.0]})}
    )
    field = predict(at_depths, torch.cat([ranges, theta], 1))
    torch.testing.assert_close(level[:, :, [1, 4]], -20 * field.abs().log10())


@pytest.mark.parametrize(
    "theta",
    [
        (212.27048511627711, 1546.360480993403),
        (227.92784999838997, 1580.5874529042194),
        (207.1667262451084, 1575.1319128587425),
        (206.18634054559158, 1576.5603757222254),
        (205.04506259595752, 1538.9789338685493),
        (200.7480767491948, 1571.1621047958843),
    ],
)
def test_no_mode_grows_with_range(theta: tuple[float, float]) -> None:
    """Draws of a training set in which a mode of the sediment is hard to follow into its loss."""
    scenario = load_scenario("swellex96-2p")
    replica = predict(scenario, torch.tensor([theta], dtype=torch.float64))
    assert float(replica.abs().max()) < 0.1  # 20 dB of loss over 1 km


def test_a_mode_of_the_sediment_is_found_where_it_all_but_meets_one_of_the_water() -> None:
    """There two paths end in one root, and the other lies half a spacing aside of both."""
    scenario = load_scenario("swellex96-vla")
    theta = torch.tensor(
        [1243.832, 73.15925, 216.4861, -1.071734, 22.76266, 1573.903, 20.10509, 1.80877, 0.7032351],
        dtype=torch.float64,
    ).repeat(3, 1)
    theta[1, scenario.names.index("sediment_top_speed")] += 1e-3
    theta[2, scenario.names.index("sediment_thickness")] += 1e-5
    p = predict(scenario, theta)
    size = p.abs().max()
    assert (p - p[:1]).abs().max() < 2e-5 * size
    assert (p - predict_neighbours(scenario, theta[None])[0]).abs().max() < 1e-8 * size
