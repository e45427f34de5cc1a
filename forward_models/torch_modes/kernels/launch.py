"""How kernels are launched: a lane is a thread, a program a warp."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton.language as tl

WARP = 32
KINDS = {torch.float32: tl.float32, torch.float64: tl.float64}


def on(device: torch.device) -> AbstractContextManager[Any]:
    """Kernels are launched on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
