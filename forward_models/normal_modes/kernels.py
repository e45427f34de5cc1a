"""Decorators of compiled functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import njit

# Liberties of the compiler: fused multiply-adds and sums in any order, which fill vectors. NaN and
# infinity stay what they are.
FAST = {"contract", "nsz", "arcp", "reassoc"}

# What Python calls. Divisions by zero are numpy's, without a branch at each.
kernel: Callable[..., Any] = partial(njit, cache=True, nogil=True, error_model="numpy")

# What kernels alone call: it has no way in from Python, which would take the compiler a second in
# all, and a call from there ends the process.
inner: Callable[..., Any] = partial(kernel, no_cpython_wrapper=True, no_cfunc_wrapper=True)
