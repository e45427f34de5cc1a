"""Environments of a batch that cannot be computed: refused with a line, or left out and named."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from forward_models.environment import OnError
from forward_models.errors import ModelInputError


def usable(
    problems: dict[int, str], batch: int, on_error: OnError, *, stacklevel: int
) -> Tensor | None:
    """Indices of the environments without a problem; None when that is all of them.

    Args:
        problems: a line by the index of each environment that has one.
        batch: number of environments.
        on_error: ``"raise"`` refuses the batch for the first problem; ``"nan"`` warns, naming
            every environment left out.
        stacklevel: of the warning, for the line of the user's that asks.

    Raises:
        ModelInputError: there is a problem and ``on_error`` is ``"raise"``, or it is unknown.
    """
    if on_error not in ("raise", "nan"):
        raise ModelInputError(f"on_error: {on_error!r} is unknown; use 'raise' or 'nan'")
    if not problems:
        return None
    lines = [f"environment {index}: {problem}" for index, problem in sorted(problems.items())]
    if on_error == "raise":
        raise ModelInputError(lines[0])
    warnings.warn(
        f"{len(lines)} of {batch} environments are left out, their results NaN: {'; '.join(lines)}",
        stacklevel=stacklevel,
    )
    return torch.tensor([i for i in range(batch) if i not in problems], dtype=torch.int64)


def spread(values: Tensor, good: Tensor | None, batch: int) -> Tensor:
    """``values`` of the usable environments among all of them, NaN (or 0 for counts) elsewhere."""
    if good is None:
        return values
    fill: complex = 0 if not (values.is_complex() or values.is_floating_point()) else torch.nan
    if values.is_complex():
        fill = complex(torch.nan, torch.nan)
    whole = torch.full((batch, *values.shape[1:]), fill, dtype=values.dtype, device=values.device)
    return whole.index_copy(0, good.to(values.device), values)
