"""The series of a step against the functions that they stand for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from forward_models.normal_modes.rates import DECAY_LIMIT, PHASE_LIMIT
from forward_models.torch_modes.propagator import Etas, complex_eta_functions, eta_functions


def of_complex(z: Tensor) -> Etas:
    return complex_eta_functions(z.to(torch.complex128))


@pytest.mark.parametrize("functions", [eta_functions, of_complex])
def test_series_reach_as_far_as_steps_do(functions: Callable[[Tensor], Etas]) -> None:
    z = torch.linspace(-(PHASE_LIMIT**2), DECAY_LIMIT**2, 1002, dtype=torch.float64)
    root = z.to(torch.complex128).sqrt()
    etas = functions(z)
    torch.testing.assert_close(etas.xi.real, root.cosh().real, rtol=1e-14, atol=1e-13)
    torch.testing.assert_close(etas.eta0.real, (root.sinh() / root).real, rtol=1e-14, atol=1e-14)
