"""`train`: from a scenario to a model."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from itertools import count as count_from
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.inference.checkpoint import check_same
from oceaninv.inference.features import measured_features
from oceaninv.inference.fitted_pairs import first_network, fitted_draw, fitted_pairs, pairs_of
from oceaninv.inference.fitting import Draw, Progress, fit
from oceaninv.inference.matched_field import MatchedField, simulate_references
from oceaninv.inference.model import Model
from oceaninv.inference.normal_fits import NormalFits
from oceaninv.inference.objectives import DEFAULT_OBJECTIVE
from oceaninv.inference.remaining import remaining_divergence
from oceaninv.inference.training_checks import check_fit, held_out
from oceaninv.measurement import scenario_noise
from oceaninv.scenario import Scenario, load_scenario
from oceaninv.scenario.predict import correlation_length, predict
from oceaninv.scenario.training import with_settings
from oceaninv.simulation import TrainingSet, load_training_set, simulate
from oceaninv.simulation.training_set import geometries_of

_FRESH = 2048  # simulations for the remaining divergence: seconds, or a minute where each is fitted
_FRESH_STREAM = 0xF4E5  # keeps them apart from the training set of the same seed


def train(
    scenario: Scenario | str | Path,
    *,
    out: str | Path,
    data: str | Path | None = None,
    seed: int = 0,
    objective: str = DEFAULT_OBJECTIVE,
    estimator: str = "cinn",
    settings: Mapping[str, object] | None = None,
    n_simulations: int | None = None,
    max_minutes: float | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Model:
    """Train the network of a scenario and write it to a directory.

    The training set holds noise-free data; noise, SNR and source are drawn anew in every epoch.
    Size of the network, epochs and the like are the scenario's `training:` block.

    Args:
        scenario: a scenario, its built-in name or its file.
        out: directory of the model. A killed run leaves all that it can go on from in its folder
            `train.partial`, which goes when the model is written or another training begins. The
            `model.json` of an earlier model becomes `previous.json` as a new training begins, so
            that the one is not taken for the other; renamed back it is whole until the new model
            is written.
        data: training set of `simulate`; None: simulate one, kept until the model is written.
        seed: of simulations, weights, order and noise.
        objective: what is minimised, a name of `OBJECTIVES`, or a hybrid such as `nll+vina-js`.
        estimator: the family of networks, `cinn` or `inn`.
        settings: replace fields of the `training:` block, such as those of `PRESETS`.
        n_simulations: size of the training set, or how many of `data` are used; None: as the
            scenario says, or all of `data`.
        max_minutes: limit of the wall-clock time of the network's epochs; simulations and what
            prepares `gauss_newton` are not counted.
        resume: go on from the checkpoint in `out`; a finished model of this training is read.
        progress: called with (done, total, text), first for simulations, then for
            references and for epochs.

    Returns:
        The model, as written.

    Raises:
        InputError: an objective that is unknown or cannot be trained so, too few simulations, a
            training set that is of another scenario, without variety or where it would be removed,
            or a checkpoint or a finished model of another training.
        TrainingError: the loss became NaN in the first epoch.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    if max_minutes is not None and not max_minutes > 0:
        raise InputError(f"max_minutes: {max_minutes:g} leaves no time to train; give more")
    training = with_settings(scenario.training, settings or {})
    check_fit(training, objective, estimator)
    scenario = scenario.model_copy(update={"training": training})
    if training.gauss_newton and scenario.data != "pressure":
        raise InputError(
            f"{scenario.name}: training.gauss_newton: {training.gauss_newton} fits pressure "
            "alone; use 0 for propagation loss"
        )
    out = Path(out)
    partial, previous = out / "train.partial", out / "previous.json"
    own_data = partial / "simulations.zarr"
    if data is not None and Path(data).resolve().is_relative_to(partial.resolve()):
        raise InputError(
            f"{data}: is in {partial}, which train removes at the end; move it, or train into "
            "another folder"
        )
    for path in (out / "model.json", previous):
        if path.exists() and b"oceaninv_model" not in path.read_bytes():
            raise InputError(
                f"{path}: is of no model, and train would remove it; move it, or train into "
                "another folder"
            )
    training_set = None if data is None else _given_set(data, scenario, n_simulations)
    in_all = training.n_simulations if training_set is None else len(training_set.parameters)
    count = in_all if n_simulations is None else n_simulations
    together = geometries_of(scenario) if training_set is None else training_set.geometries
    enough = (n for n in count_from(max(count, 0)) if n - held_out(n, together, training) >= 2)
    fewest = next(enough)
    if count < fewest:  # one has no spread
        raise InputError(
            f"{'' if data is None else f'{data}: '}n_simulations: {count} is too few to learn from "
            f"some and hold out others; give at least {fewest}"
        )
    goes_on = resume and partial.exists()
    if resume and not goes_on and (out / "model.json").exists():
        simulation_seed = seed if training_set is None else training_set.seed
        return _finished(
            out,
            scenario,
            seed=seed,
            objective=objective,
            estimator=estimator,
            simulation_seed=simulation_seed,
            n_simulations=min(count, training.n_fits) if training.gauss_newton else count,
        )
    if not resume:
        _remove(partial)
        if (out / "model.json").exists():
            os.replace(out / "model.json", previous)

    if training_set is None:
        partial.mkdir(parents=True, exist_ok=True)
        training_set = simulate(
            scenario,
            count,
            own_data,
            seed=seed,
            resume=True,
            progress=lambda done, total: progress(done, total, "simulating") if progress else None,
        )
    begun = time.perf_counter()
    where, fingerprint = str(data or own_data), f"{scenario.hash()} {training_set.seed}"
    aid: MatchedField | NormalFits | None = None
    if scenario.training.references:
        aid = simulate_references(
            scenario,
            scenario.training.references,
            lambda done, total: progress(done, total, "references") if progress else None,
        )
    elif scenario.training.gauss_newton:
        aid = first_network(
            scenario,
            noisy_pairs(scenario, training_set, None, where),
            count,
            seed=seed,
            checkpoint=partial / "first.safetensors",
            resume=resume,
            together=training_set.geometries,
            fingerprint=fingerprint,
            progress=progress,
        )
    if isinstance(aid, NormalFits):
        count = min(count, scenario.training.n_fits)
        draw = fitted_draw(
            noisy_data(scenario, training_set, where),
            count,
            aid,
            scenario.training,
            seed=seed,
            folder=partial,
            resume=resume,
            together=training_set.geometries,
            fingerprint=fingerprint,
            progress=progress,
        )
    else:
        draw = noisy_pairs(scenario, training_set, aid, where)
    prepared = time.perf_counter() - begun
    result = fit(
        draw,
        count,
        scenario.training,
        seed=seed,
        objective=objective,
        estimator=estimator,
        checkpoint=partial / "checkpoint.safetensors",
        resume=resume,
        guesses=aid.n_guesses if aid else 0,
        together=training_set.geometries,
        fingerprint=fingerprint,
        max_minutes=max_minutes,
        progress=progress,
    )
    remaining = remaining_divergence(
        result.estimator, *_fresh_pairs(scenario, aid, seed, progress), seed=seed
    )
    record = {
        **result.record,
        "simulation_seed": training_set.seed,
        # what came before the network's own epochs, of a training that was not interrupted
        "preparation_seconds": None if goes_on else round(prepared, 1),
        "remaining_divergence": remaining,
    }
    model = Model(scenario, result.estimator, aid, record, scenario.name)
    model.save(out)
    _remove(partial)
    previous.unlink(missing_ok=True)
    return model


def _given_set(data: str | Path, scenario: Scenario, n_simulations: int | None) -> TrainingSet:
    """The training set of `simulate`, if it serves."""
    training_set = load_training_set(data)
    if training_set.scenario.simulation_hash() != scenario.simulation_hash():
        raise InputError(
            f"{data}: scenario: was simulated for another version of {scenario.name}; "
            "simulate it again"
        )
    if (n_simulations or 0) > len(training_set.parameters):
        raise InputError(
            f"{data}: n_simulations: {n_simulations} asked for, {len(training_set.parameters)} "
            "there; simulate more"
        )
    return training_set


def _finished(out: Path, scenario: Scenario, **asked: object) -> Model:
    """The model in `out`, if it is the one asked for."""
    model = Model.load(out)
    kept, wanted = (
        {"scenario": f"{s.name} {s.hash()[:12]}", "training": s.training.model_dump(mode="json")}
        for s in (model.scenario, scenario)
    )
    # the first models had one family of networks and do not name it
    check_same(
        out / "model.json", {"estimator": "cinn", **model.record, **kept}, {**wanted, **asked}
    )
    return model


def _fresh_pairs(
    scenario: Scenario,
    aid: MatchedField | NormalFits | None,
    seed: int,
    progress: Progress | None,
) -> tuple[Draw, int]:
    """Pairs of simulations that no training has seen, and how many there are."""
    parameters = scenario.prior.sample(_FRESH, np.random.default_rng([seed, _FRESH_STREAM]))
    parts = []
    for part in parameters.split(256):
        parts.append(predict(scenario, part))
        if progress:
            progress(256 * len(parts), _FRESH, "fresh simulations")
    replica = torch.cat(parts)
    replica = replica.to(torch.complex64 if replica.is_complex() else torch.float32)
    whole = torch.isfinite(torch.view_as_real(replica) if replica.is_complex() else replica)
    kept = whole.flatten(1).all(1)
    fresh = TrainingSet(scenario, parameters[kept], replica[kept], seed)
    where, count = "fresh simulations", int(kept.sum())
    if isinstance(aid, NormalFits):  # once, not at every step of the critic
        v, features = fitted_pairs(noisy_data(scenario, fresh, where), count, aid, seed=seed)
        return pairs_of(v, features), count
    return noisy_pairs(scenario, fresh, aid, where), count


def noisy_pairs(
    scenario: Scenario,
    training_set: TrainingSet,
    aid: MatchedField | NormalFits | None,
    where: str,
) -> Draw:
    """Pairs (v, features) of a training set, with noise drawn at each call.

    `aid` is what is made of the data first, if anything; for the rest see `noisy_data`.
    """
    data = noisy_data(scenario, training_set, where)

    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        v, noisy = data(index, generator)
        return v, measured_features(noisy, aid)

    return draw


def noisy_data(
    scenario: Scenario, training_set: TrainingSet, where: str
) -> Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]:
    """Normal scores and data of a training set by index, with noise drawn at each call.

    Args:
        scenario: whose noise is drawn; it may differ from the training set's in the noise alone.
        training_set: parameters and noise-free data.
        where: what errors call it.

    Raises:
        InputError: data that are not finite, or the same in all draws.
    """
    replica = training_set.replica
    by_draw = torch.view_as_real(replica) if replica.is_complex() else replica
    if not torch.isfinite(by_draw).all():
        raise InputError(f"{where}: holds data that are not finite; simulate it again")
    if (by_draw == by_draw[:1]).all():
        raise InputError(
            f"{where}: all data are the same, so nothing can be learned; widen the priors"
        )
    if not torch.isfinite(training_set.parameters).all():
        raise InputError(f"{where}: holds parameters that are not finite; simulate it again")
    v = scenario.prior.to_normal(training_set.parameters).float()
    length = correlation_length(scenario, training_set.parameters).float()
    noise = scenario_noise(scenario)

    def draw(index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noisy = noise.simulate(replica[index], length[index], generator)
        return v[index], noisy if noisy.is_complex() else noisy[:, 0]

    return draw


def _remove(folder: Path) -> None:
    """Remove a folder, or the link to one, if it is there."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
