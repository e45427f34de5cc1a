"""Decorators of compiled functions."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit
from numba.core import event

from forward_models.normal_modes.cache import keeps_kernels

# Liberties of the compiler: fused multiply-adds and sums in any order, which fill vectors. NaN and
# infinity stay what they are.
FAST = {"contract", "nsz", "arcp", "reassoc"}

# What Python calls, and C does not, for which a way in would take the compiler time. Divisions by
# zero are numpy's, without a branch at each. Kept on disk where `kernel_cache` found a folder.
kernel: Callable[..., Any] = partial(
    njit, cache=keeps_kernels(), nogil=True, error_model="numpy", no_cfunc_wrapper=True
)

# What kernels alone call: it has no way in from Python, which would take the compiler a second in
# all, and a call from there ends the process.
inner: Callable[..., Any] = partial(kernel, no_cpython_wrapper=True)


class _CollectorOff(event.Listener):
    """Leaves cyclic garbage alone while numba compiles, which takes an eighth less time so."""

    depth, was_on = 0, False

    def on_start(self, event: event.Event) -> None:
        if self.depth == 0:
            self.was_on = gc.isenabled()
            gc.disable()
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1
        if self.depth == 0 and self.was_on:
            gc.enable()


event.register("numba:compile", _CollectorOff())
