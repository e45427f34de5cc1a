"""What the file of a posterior must hold before anyone computes with it or shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oceaninv.errors import InputError
from oceaninv.scenario import Scenario, scenario_from_json
from oceaninv.scenario.prior import Prior

if TYPE_CHECKING:
    from oceaninv.posterior import Posterior

_MEND = "the file is damaged, write it again"
_ROUNDING = 1e-6  # of the width of a prior
_NUMBERS = (
    "effective_sample_size",
    "ess",
    "log_evidence",
    "log_evidence_error",
    "pareto_k",
    "rhat",
    "sample_efficiency",
)
_MISFITS = ("mismatch_p_summary", "mismatch_p_overall", "mismatch_p_outliers")
_LISTED_MISFITS = ("mismatch_p_tone", "mismatch_p_receiver")


def stored_scenario(text: Any, where: str) -> Scenario:
    """The scenario in the attribute `scenario_json` of a file.

    Raises:
        InputError: the attribute is no scenario.
    """
    try:
        return scenario_from_json(text)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{where}: scenario_json: {str(text)[:20]!r} is no scenario ({reason}); {_MEND}"
        ) from error


def check_posterior(posterior: Posterior, where: str) -> None:
    """Refuse draws, weights, predictions or attributes that no inversion writes.

    Raises:
        InputError: the first that is wrong, as one line that begins with `where`.
    """
    for group, values in (("posterior", posterior.samples), ("prior", posterior.prior_samples)):
        _check_draws(values, posterior.scenario.prior, f"{where}: {group}")
    if posterior.log_weight is not None:
        _check_weights(posterior.log_weight, where)
    data, predicted = posterior.observed.data.shape, posterior.posterior_predictive.shape
    expected = data[:2] if posterior.observed.kind == "csdm" else data[-2:]
    if not len(posterior.posterior_predictive) or predicted[1:] != expected:
        raise InputError(
            f"{where}: posterior_predictive: has shape {predicted}, not (draws, "
            f"{', '.join(map(str, expected))}) as the measurement; {_MEND}"
        )
    _check_attributes(posterior.attributes, where)
    truth = _of_json(posterior.observed.attributes.get("true_parameters", "{}"))
    if not isinstance(truth, dict) or not all(map(_is_number, truth.values())):
        raise InputError(
            f"{where}: observed_data: true_parameters: is not a JSON object of numbers by name; "
            "mend or remove the attribute"
        )


def _check_draws(values: NDArray[np.float64], prior: Prior, where: str) -> None:
    """Draws, (n, d), are finite and within the bounds of the prior, but for rounding."""
    if not len(values):
        raise InputError(f"{where}: holds no draws; {_MEND}")
    for x, name, lower, upper in zip(
        values.T, prior.names, prior.lower.tolist(), prior.upper.tolist(), strict=True
    ):
        bad = ~np.isfinite(x)
        if bad.any():
            raise InputError(
                f"{where}/{name}: {bad.sum()} of {len(x)} draws are not finite; {_MEND}"
            )
        slack = _ROUNDING * (upper - lower) if np.isfinite(upper - lower) else 0.0
        outside = x[(x < lower - slack) | (x > upper + slack)]
        if len(outside):
            raise InputError(
                f"{where}/{name}: {outside[0]:g} lies outside of its prior, {lower:g} to "
                f"{upper:g}; {_MEND}"
            )


def _check_weights(weight: NDArray[np.float64], where: str) -> None:
    bad = np.isnan(weight) | np.isposinf(weight)
    if bad.any():
        raise InputError(
            f"{where}: sample_stats/log_weight: {bad.sum()} of {len(bad)} are NaN or infinite; "
            f"{_MEND}"
        )
    if np.isneginf(weight).all():
        raise InputError(
            f"{where}: sample_stats/log_weight: all are -inf, no draw has weight; {_MEND}"
        )


def _check_attributes(attributes: Any, where: str) -> None:
    judged = "mismatch" in attributes
    for name in (*_NUMBERS, *(_MISFITS if judged else ())):
        if (name in attributes or name in _MISFITS) and not _is_number(attributes.get(name)):
            raise InputError(f"{where}: {name}: {attributes.get(name)} is not a number; {_MEND}")
    if attributes.get("converged") == 0 and "ess" not in attributes:
        raise InputError(f"{where}: ess: is absent though converged is 0; {_MEND}")
    for name in _LISTED_MISFITS if judged else ():
        values = _of_json(attributes.get(name))
        if not isinstance(values, list) or not all(v is None or _is_number(v) for v in values):
            raise InputError(
                f"{where}: {name}: {attributes.get(name)} is not a JSON list of numbers; {_MEND}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _of_json(text: object) -> Any:
    """The content of JSON text; None where it is none."""
    try:
        return json.loads(str(text))
    except (ValueError, RecursionError):
        return None
