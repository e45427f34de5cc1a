"""One file that a killed training goes on from: tensors and a JSON header, written atomically."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.files import whole_file


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write a safetensors file with `header` as JSON in its metadata; whole or not at all."""
    # a copy each: safetensors refuses tensors that share memory
    copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    with whole_file(path) as temporary:
        save_file(copies, temporary, metadata={"header": json.dumps(header)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file of `write_tensors`.

    Raises:
        InputError: the file is missing, truncated or not ours
    """
    try:
        with safe_open(path, framework="pt") as file:
            # a copy each: a tensor on the file changes with it, and Windows replaces no such file
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {})["header"])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: is truncated or not a file of oceaninv ({error}); make it again"
        ) from None
    return tensors, header


def check_same(path: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """See that what is kept in a file is of the training asked for.

    Raises:
        InputError: a field of `wanted`, or of a mapping in it, differs.
    """
    for key, value in wanted.items():
        before = kept.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            inner = {f"{key}.{name}": x for name, x in value.items()}
            check_same(path, {f"{key}.{name}": x for name, x in before.items()}, inner)
        elif before != value:
            raise InputError(
                f"{path}: {key}: the training kept here was another one ({_short(before)}, not "
                f"{_short(value)}); use its {key}, or train without --resume"
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def optimiser_tensors(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments and step counts of an Adam optimiser, by name."""
    return {
        f"{prefix}{index}.{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimiser(
    prefix: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put what `optimiser_tensors` gave back into a fresh optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in with_prefix(prefix, tensors).items():
        index, name = key.split(".")
        state.setdefault(int(index), {})[name] = value
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix`, without it."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
