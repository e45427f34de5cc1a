"""The families of networks that can be trained: which there are, made from settings or a file."""

from collections.abc import Mapping
from typing import Any

from oceaninv.errors import InputError
from oceaninv.inference.estimator import Architecture, Estimator
from oceaninv.inference.inn import InnArchitecture, InnEstimator
from oceaninv.scenario.training import Training

ESTIMATORS = ("cinn", "inn")
Network = Estimator | InnEstimator


def check_estimator(kind: str) -> None:
    """Raises InputError unless this is one of `ESTIMATORS`."""
    if kind not in ESTIMATORS:
        raise InputError(f"estimator: '{kind}' is unknown; choose {', '.join(ESTIMATORS)}")


def new_network(
    kind: str, dim: int, features: int, settings: Training, guesses: int, seed: int
) -> Network:
    """An untrained network of a family, see `Architecture.of`."""
    check_estimator(kind)
    if kind == "inn":
        return InnEstimator(InnArchitecture.of(dim, features, settings), seed)
    return Estimator(Architecture.of(dim, features, settings, guesses), seed)


def network_of(architecture: Mapping[str, Any]) -> Network:
    """An untrained network of the architecture that `model.json` holds.

    Raises:
        TypeError: not the fields of an architecture
        InputError: a family that is not known
    """
    kind = architecture.get("kind", "cinn")
    check_estimator(kind)
    if kind == "inn":
        return InnEstimator(InnArchitecture(**architecture), seed=0)
    return Estimator(Architecture(**architecture), seed=0)
