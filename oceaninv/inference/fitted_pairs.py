"""The first network of `NormalFits`, and training pairs with a normal fit each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.inference.checkpoint import read_tensors, write_tensors
from oceaninv.inference.estimator import Estimator
from oceaninv.inference.features import measured_features
from oceaninv.inference.fitting import Draw, Progress, fit, generator_of
from oceaninv.inference.normal_fits import NormalFits
from oceaninv.scenario import Scenario
from oceaninv.scenario.training import with_settings

_CHUNK = 1000  # fits between two files
_NOISE = 0xF17  # keeps the noise of the fits apart


def first_network(
    scenario: Scenario,
    draw: Draw,
    n: int,
    *,
    seed: int,
    checkpoint: Path,
    resume: bool,
    together: int,
    fingerprint: str,
    progress: Progress | None,
) -> NormalFits:
    """Train the network that says where fits begin: a conditional Gaussian, by nll.

    Raises:
        InputError: a scenario of propagation loss, or a checkpoint of another training.
    """
    if scenario.data != "pressure":
        raise InputError(
            f"{scenario.name}: training.gauss_newton: {scenario.training.gauss_newton} fits "
            "pressure alone; use 0 for propagation loss"
        )
    training = scenario.training
    settings = with_settings(
        training, {"blocks": 0, "epochs": training.first_epochs, "hidden": training.first_hidden}
    )
    result = fit(
        draw,
        n,
        settings,
        seed=seed,
        checkpoint=checkpoint,
        resume=resume,
        together=together,
        fingerprint=fingerprint,
        progress=progress,
    )
    assert isinstance(result.estimator, Estimator)
    return NormalFits(scenario, result.estimator, scenario.training.gauss_newton)


def fitted_pairs(
    data: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]],
    n: int,
    fits: NormalFits,
    *,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Draw:
    """Pairs (v, features) of n simulations, with noise drawn once: each fit takes a while.

    Args:
        data: v (m, d) and data (m, 1, F, R) with fresh noise of simulations, by index.
        n: how many.
        fits: makes the features.
        seed: of the noise.
        folder: where finished chunks are kept for `resume`; None: nowhere.
        progress: called with (done, n, text) after each chunk.
    """
    parts = []
    for start in range(0, n, _CHUNK):
        path = folder / f"{start}.safetensors" if folder else None
        if path and path.exists():
            tensors, _ = read_tensors(path)
        else:
            index = torch.arange(start, min(start + _CHUNK, n))
            v, noisy = data(index, generator_of(seed, _NOISE, start))
            tensors = {"v": v, "features": measured_features(noisy, fits)}
            if path:
                write_tensors(path, tensors, {})
        parts.append(tensors)
        if progress:
            progress(min(start + _CHUNK, n), n, "normal fits")
    v, features = (torch.cat([part[name] for part in parts]) for name in ("v", "features"))

    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return v[index], features[index]

    return draw
