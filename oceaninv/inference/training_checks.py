"""Which trainings there are: what is refused before anything is made ready for one."""

import torch

from oceaninv.errors import InputError
from oceaninv.inference.networks import check_estimator
from oceaninv.inference.objectives import Objective, make_objective
from oceaninv.scenario.training import Training


def check_fit(settings: Training, objective: str, estimator: str) -> None:
    """See that settings, objective and estimator go together.

    Raises:
        InputError: an unknown objective or estimator, no epoch left to the objective, or nll of a
            network without a density
    """
    check_estimator(estimator)
    with torch.random.fork_rng(devices=[]):
        made = make_objective(objective, 1, 1, settings)
    if settings.epochs <= first_own_epoch(made):
        raise InputError(
            f"training.epochs: {settings.epochs} leaves none to {objective} after its "
            f"{first_own_epoch(made)} of warm start; raise epochs or lower warm_start_epochs"
        )
    has_density = settings.inn_smoothing == "learned" and settings.inn_padding > 0
    if estimator == "cinn" or has_density:
        return
    if objective.startswith("nll"):
        raise InputError(
            f"objective: {objective}: an inn without inn_smoothing and inn_padding has no "
            "likelihood; choose an objective without nll, such as vina-js"
        )
    if made.warm_start_epochs:
        raise InputError(
            f"training.warm_start_epochs: {settings.warm_start_epochs} are of nll, and an inn "
            "without inn_smoothing and inn_padding has no likelihood; use 0"
        )


def held_out(n: int, together: int, settings: Training) -> int:
    """How many of n simulations are held out, whole environments at a time."""
    return together * max(1, round(settings.validation_fraction * -(-n // together)))


def first_own_epoch(objective: Objective) -> int:
    """From which on it moves the map: a critic has one epoch to learn after the warm start."""
    return objective.warm_start_epochs + (objective.critic is not None)
