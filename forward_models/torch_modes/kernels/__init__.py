"""Whole shots as one kernel each, for CUDA devices with Triton: a lane is a thread.

What blocks of tensor operations do step by step (``torch_modes.phase``, ``lossless``, ``wronskian``
and ``mode_functions``), a thread here does with its state in registers, from the start of its shot
to its match node, and Newton's method until its root is found. Lanes of an item are neighbours:
their threads read the same rows of the table.
"""

from forward_models.torch_modes.kernels.complex_shots import (
    Hanging,
    carry_complex,
    least_decay,
    newton,
)
from forward_models.torch_modes.kernels.depths import within_steps
from forward_models.torch_modes.kernels.mode_sums import sum_modes
from forward_models.torch_modes.kernels.real_shots import (
    carry_lossless,
    carry_phase,
    reach,
    search,
)

__all__ = [
    "Hanging",
    "carry_complex",
    "carry_lossless",
    "carry_phase",
    "least_decay",
    "newton",
    "reach",
    "search",
    "sum_modes",
    "within_steps",
]
