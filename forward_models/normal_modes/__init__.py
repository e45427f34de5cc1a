"""The eigenproblem of the depth equation: every trapped mode, to machine precision."""

from forward_models.normal_modes.cache import kernel_cache

with kernel_cache():
    from forward_models.normal_modes.solve import Modes, solve_modes

__all__ = ["Modes", "solve_modes"]
