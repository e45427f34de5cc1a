"""The phase that counts oscillations, in single precision and in double."""

from __future__ import annotations

import numpy as np
import pytest
from reference_cases import CORE, HARD, load_case

from forward_models.normal_modes.batch import make_problem
from forward_models.normal_modes.items import Items, Lanes, phase_of
from forward_models.normal_modes.real_modes import count_modes, find_ducts, real_modes

CASES = CORE + HARD


def items_of(name: str) -> Items:
    case = load_case(name)
    problem = make_problem(case.environment, list(case.answers), case.env["c_high"])
    return problem.items(slice(0, 1)).perturbed()


@pytest.mark.parametrize("name", CASES)
def test_single_precision_knows_the_phase_below_barriers_to_a_thousandth(name: str) -> None:
    items = items_of(name)
    counts = count_modes(items)
    lanes, x = real_modes(items, counts)
    _, _, barrier = find_ducts(items.steps, items.first)
    below = x < barrier[lanes.item]
    theta, slope = phase_of(items, lanes[below], x[below])
    rough, rough_slope = phase_of(items, lanes[below], x[below], rough=True)
    np.testing.assert_allclose(rough, theta, rtol=0, atol=1e-3)
    np.testing.assert_allclose(rough_slope, slope, rtol=1e-2)


@pytest.mark.parametrize("name", CASES)
def test_roots_are_those_of_double_precision(name: str) -> None:
    """The phase is nπ at root n, to what Newton's last move leaves."""
    items = items_of(name)
    counts = count_modes(items)
    lanes, x = real_modes(items, counts)
    order = np.concatenate([np.arange(count) for count in counts])
    theta, _ = phase_of(items, Lanes(lanes.item, items.axis[lanes.item]), x)
    _, _, barrier = find_ducts(items.steps, items.first)
    # Where the phase is a staircase, x says more than the phase.
    smooth = x < barrier[lanes.item]
    np.testing.assert_allclose(theta[smooth], np.pi * order[smooth], rtol=0, atol=1e-3)
    same = (np.diff(lanes.item) == 0) & smooth[1:]
    assert (np.diff(x)[same] < 0).all()
