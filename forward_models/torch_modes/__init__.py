"""The normal-mode solver on torch tensors: the same modes on a GPU, in large batches."""

from forward_models.torch_modes.chunk import Precision, require_double
from forward_models.torch_modes.solve import modes_on, pressure_on
from forward_models.torch_modes.stream import Device, stream_modes

__all__ = ["Device", "Precision", "modes_on", "pressure_on", "require_double", "stream_modes"]
