"""Scenarios: the environment, its unknowns with priors, the array, the tones and the noise."""

from oceaninv.scenario.loading import (
    check_scenario,
    list_scenarios,
    load_scenario,
    scenario_from_json,
    scenario_json,
    scenario_template,
    scenario_text,
)
from oceaninv.scenario.prior import Prior
from oceaninv.scenario.schema import Scenario

__all__ = [
    "Prior",
    "Scenario",
    "check_scenario",
    "list_scenarios",
    "load_scenario",
    "scenario_from_json",
    "scenario_json",
    "scenario_template",
    "scenario_text",
]
