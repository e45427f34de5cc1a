"""The example measurements are what the commands in data/README.md make."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from oceaninv.measurement import read_measurement
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.scenario import load_scenario

DATA = Path(__file__).parents[1] / "data"
COMMANDS = re.findall(
    r"oceaninv synthesize (\S+) --seed (\d+) -o data/(\S+\.nc)", (DATA / "README.md").read_text()
)


def test_every_example_has_its_command() -> None:
    assert {path.name for path in DATA.glob("*.nc")} == {name for _, _, name in COMMANDS}


@pytest.mark.parametrize(("scenario", "seed", "name"), COMMANDS)
def test_an_example_is_what_its_command_makes(scenario: str, seed: str, name: str) -> None:
    shipped = read_measurement(DATA / name)
    made, truth = synthetic_measurement(load_scenario(scenario), seed=int(seed))
    assert shipped.attributes["scenario_hash"] == load_scenario(scenario).hash()
    scale = made.data.abs().max()
    torch.testing.assert_close(shipped.data / scale, made.data / scale, rtol=0, atol=1e-6)
    assert truth
