"""Where in the table of steps shots start, which lanes share them, and where depths lie."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from forward_models.normal_modes.kernels import inner
from forward_models.normal_modes.rates import TAIL
from forward_models.normal_modes.steps import H2, Q0R, THICKNESS, VECTOR

ON_INTERFACE = 1e-6  # m; a depth that is nearer than this to an interface is on it


@inner
def span(steps: Any, x: float, node: int) -> Any:
    """(upper, lower) nodes that hold all that oscillates at k² of ``x`` or less, and its tails.

    Beyond, solutions have decayed by exp(-TAIL) on the way from their turning depths.
    """
    deepest, shallowest = steps.shape[0] - 1, 0
    while deepest >= 0 and steps[deepest, Q0R] <= x:
        deepest -= 1
    while shallowest < steps.shape[0] and steps[shallowest, Q0R] <= x:
        shallowest += 1
    upper = _reach_up(steps, x, min(shallowest, node))
    return upper, _reach_down(steps, x, max(deepest, node))


@inner
def reach(steps: Any, x: float, node: int) -> Any:
    """(upper, lower) nodes where shots at k² of ``x`` or more start that meet at ``node``.

    A mode that is strong at the node has decayed there by exp(-TAIL), be it that another duct lies
    beyond: behind such a barrier a duct has modes of its own, to machine precision.
    """
    return _reach_up(steps, x, node), _reach_down(steps, x, node)


@inner
def _reach_down(steps: Any, x: float, node: int) -> int:
    decay = 0.0
    for j in range(node, steps.shape[0]):
        q = steps[j, Q0R]
        decay = decay + math.sqrt(steps[j, H2] * (x - q)) if q < x else 0.0
        if decay > TAIL:
            return j + 1
    return steps.shape[0]


@inner
def _reach_up(steps: Any, x: float, node: int) -> int:
    decay = 0.0
    for j in range(node - 1, -1, -1):
        q = steps[j, Q0R]
        decay = decay + math.sqrt(steps[j, H2] * (x - q)) if q < x else 0.0
        if decay > TAIL:
            return j
    return 0


@inner
def gather(steps: Any, x: Any, a: int, stop: int, node: int) -> Any:
    """(b, upper, lower): lanes a to b, VECTOR at most, that share shots, and where those start.

    A lane that a barrier cuts off from another duct goes alone where its neighbours' shots must
    cross that barrier: theirs would couple twin ducts that differ by less than a last digit.
    """
    b = min(a + VECTOR, stop)
    low, high = x[a].real, x[a].real
    for m in range(a + 1, b):
        low, high = min(low, x[m].real), max(high, x[m].real)
    upper, lower = reach(steps, low, node)
    least_upper, least_lower = reach(steps, high, node)
    crossing = False
    for j in range(upper, least_upper):
        crossing = crossing or steps[j, Q0R] > high
    for j in range(least_lower, lower):
        crossing = crossing or steps[j, Q0R] > high
    if crossing and b > a + 1:
        b = a + 1
        upper, lower = reach(steps, x[a].real, node)
    return b, upper, lower


@inner
def locate(depth: Any, steps: Any) -> Any:
    """(depth below the top of its step, step of each, slot of each node or -1, number of slots).

    A node has a slot where depths hang on it. Those below the last node hang on that one: in the
    half-space φ only decays.
    """
    at_node = np.zeros(steps.shape[0] + 1)
    for j in range(steps.shape[0]):
        at_node[j + 1] = at_node[j] + steps[j, THICKNESS]
    offset, step_of = np.empty(depth.size), np.empty(depth.size, np.int64)
    slot = np.full(steps.shape[0] + 1, -1)
    used = 0
    for d in range(depth.size):
        step = 0
        while step < steps.shape[0] and at_node[step + 1] <= depth[d]:
            step += 1
        offset[d], step_of[d] = depth[d] - at_node[step], step
        if slot[step] < 0:
            slot[step] = used
            used += 1
    return offset, step_of, slot, used


@inner
def fill(values: Any, value: float) -> None:
    """Sets all of a row; an assignment to a slice takes the compiler seconds."""
    for m in range(values.size):
        values[m] = value


@inner
def copy_into(kept: Any, state: Any) -> None:
    """Keeps a state; an assignment of slices would take the compiler eight seconds more."""
    for row in range(state.shape[0]):
        for m in range(state.shape[1]):
            kept[row, m] = state[row, m]


@inner(forceinline=True)
def part_of_step(thickness: float, offset: float) -> Any:
    """(a, to q₁, to q₀): the share a of a step above ``offset``, and how q₂ enters its moments.

    With u' in [-1, 1] over the part, U = a u' + b, b = a - 1: the Legendre moments over it of
    q₀ + q₁ U + q₂ P₂(U) are q₀ + q₁ b + q₂ (3/2 (b² + a²/3) - 1/2), a (q₁ + 3 q₂ b) and a² q₂.
    """
    a = min(offset / thickness, 1.0)
    b = a - 1.0
    return a, 3.0 * b, 1.5 * (b * b + a * a / 3.0) - 0.5
