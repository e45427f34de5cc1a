"""The normal-mode solver on torch tensors: the same modes on a GPU, in large batches.

The algorithm is that of ``normal_modes``, module by module, with all lanes of a chunk advancing
together: root finding, shooting, mode functions and mode sums are tensor operations on the device,
or, on CUDA with Triton, kernels of whole shots (``kernels``). Only numbers of lanes come back to
the host. There are made the steps of the profiles (by the compiled code, for the next chunk while
the device solves this one), and solved the few environments in which complex roots all but meet.

Shooting may be done in lower precision; wavenumbers and step tables stay in float64. Largest
difference over eleven reference cases at tones from 20 to 1000 Hz (exact attenuation), of k from
``double`` (relative), of the pressure of a tone from the compiled path (relative, L2):

==========  =====================================  ========  ========
precision   shooting                               k         pressure
==========  =====================================  ========  ========
double      float64                                -         1e-10
mixed       float32 search, float64 finish         2e-16     1e-10
single      float32                                2e-8      2e-5
==========  =====================================  ========  ========

With perturbative attenuation the finish is one Newton step, and ``mixed`` differs by 4e-9 and 5e-6.
"""

from forward_models.torch_modes.chunk import Precision, require_double
from forward_models.torch_modes.solve import modes_on, pressure_on
from forward_models.torch_modes.stream import Device, stream_modes

__all__ = ["Device", "Precision", "modes_on", "pressure_on", "require_double", "stream_modes"]
