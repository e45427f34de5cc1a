"""The answer of an inversion: draws of the unknowns, how they were weighted, and from what.

`Posterior` is what `infer` and `mcmc` return and what `compare` and `report` read. On disk it is
one netCDF file with ArviZ's groups, which needs no other file beside it: the scenario and the
measurement travel inside.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from oceaninv.errors import InputError
from oceaninv.files import whole_file
from oceaninv.measurement import Measurement, match_scenario
from oceaninv.measurement.netcdf import measurement_dataset, measurement_from_dataset
from oceaninv.posterior_checks import check_posterior, stored_scenario
from oceaninv.scenario import Scenario, scenario_json
from oceaninv.scenario.predict import predict
from oceaninv.weighted import effective_size, normalised_weights, resample, weighted_quantile

Array = NDArray[np.float64]
Attribute = str | float | int

SCHEMA = 1
_OWN_ATTRIBUTES = (
    "title",
    "oceaninv_posterior",
    "inference_library",
    "scenario",
    "scenario_hash",
    "scenario_json",
)


@dataclass(frozen=True)
class Posterior:
    r"""Draws $\theta_i \sim q$ with weights $w_i \propto p(\theta_i \mid d) / q(\theta_i)$.

    Attributes:
        scenario: the problem that was solved.
        observed: the measurement $d$.
        samples: draws of the unknowns, (n, d), in `units`.
        log_likelihood: ln p(d | theta) of each draw, (n,).
        log_weight: ln w of each draw, (n,); None if the draws have equal weight.
        prior_samples: draws of the prior, (p, d).
        posterior_predictive: noise-free prediction at m equally weighted draws: complex pressure
            (m, frequency, receiver), or propagation loss in dB (m, frequency, point).
        sample_stats: further numbers by draw, each (n,); `lp` is ln p(d | theta) + ln p(theta).
        chains: the draws are this many independent runs of n / chains draws, one after another.
        attributes: provenance, as strings and numbers: `method`, `model`, `seed`, `versions`,
            `sample_efficiency`, `log_evidence`, `log_evidence_error`, ...

    Raises:
        ValueError: shapes that do not fit together.
    """

    scenario: Scenario
    observed: Measurement
    samples: Array
    log_likelihood: Array
    prior_samples: Array
    posterior_predictive: NDArray[np.complex128] | Array
    log_weight: Array | None = None
    sample_stats: Mapping[str, Array] = field(default_factory=dict)
    chains: int = 1
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, d = self.samples.shape
        if d != len(self.names) or self.prior_samples.shape[1] != d:
            raise ValueError(f"{d} columns for the {len(self.names)} unknowns {self.names}")
        by_draw = {"log_likelihood": self.log_likelihood, **self.sample_stats}
        if self.log_weight is not None:
            by_draw["log_weight"] = self.log_weight
        for name, values in by_draw.items():
            if values.shape != (n,):
                raise ValueError(f"{name} has shape {values.shape}, not ({n},)")
        if n % self.chains:
            raise ValueError(f"{n} draws do not divide into {self.chains} chains")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the unknowns, in the order of the columns of `samples`."""
        return tuple(self.scenario.prior.names)

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each unknown."""
        return tuple(self.scenario.unknowns[name].unit for name in self.names)

    @property
    def long_names(self) -> tuple[str, ...]:
        """Name of each unknown in words."""
        return tuple(self.scenario.unknowns[name].long_name for name in self.names)

    @property
    def weights(self) -> Array:
        """Weight of each draw, (n,), summing to 1."""
        return normalised_weights(self.log_weight, len(self.samples))

    @property
    def best(self) -> Array:
        """The draw of highest posterior density, (d,); NaN where no density was computed."""
        density = self.sample_stats.get("lp", self.log_likelihood)
        if np.isnan(density).all():
            return np.full(self.samples.shape[1], np.nan)
        return self.samples[int(np.nanargmax(density))]


def make_posterior(
    scenario: Scenario,
    measurement: Measurement,
    samples: torch.Tensor | Array,
    *,
    log_likelihood: torch.Tensor | Array,
    method: str,
    seed: int,
    log_weight: torch.Tensor | Array | None = None,
    sample_stats: Mapping[str, torch.Tensor | Array] | None = None,
    chains: int = 1,
    attributes: Mapping[str, Attribute] | None = None,
    n_predictive: int = 200,
    n_prior: int = 4000,
) -> Posterior:
    """Make a posterior of weighted draws, with what every posterior carries.

    Adds draws of the prior, predictions at equally weighted draws, the posterior density of each
    draw, the sample efficiency where there are weights, and the provenance.

    Args:
        scenario: the problem that was solved.
        measurement: the data it was solved for.
        samples: draws, (n, d).
        log_likelihood: ln p(d | theta) of each, (n,).
        method: what made the draws, in a few words, such as "cINN, re-weighted".
        seed: the seed they were made with; predictions and prior draws follow from it too.
        log_weight: ln w of each, (n,); None for equal weights.
        sample_stats: further numbers by draw, each (n,).
        chains: number of independent runs the draws divide into.
        attributes: further provenance.
        n_predictive: how many draws are predicted.
        n_prior: how many draws of the prior are kept.
    """
    matched = match_scenario(measurement, scenario)
    theta, weights = _array(samples), None if log_weight is None else _array(log_weight)
    likelihood = _array(log_likelihood)
    rng = np.random.default_rng([seed, 1])
    chosen = theta[resample(weights, len(theta), n_predictive, rng)]
    log_prior = _array(scenario.prior.log_prob(torch.from_numpy(theta)))
    stats = {name: _array(values) for name, values in (sample_stats or {}).items()}
    provenance: dict[str, Attribute] = {
        "method": method,
        "seed": seed,
        "data_hash": data_hash(matched),  # whatever the order of tones and receivers in its file
        "versions": versions(),
    }
    if weights is not None:
        provenance["sample_efficiency"] = effective_size(weights) / len(theta)
    return Posterior(
        scenario=scenario,
        observed=matched,
        samples=theta,
        log_likelihood=likelihood,
        prior_samples=_array(scenario.prior.sample(n_prior, rng)),
        posterior_predictive=predict(scenario, torch.from_numpy(chosen)).numpy(),
        log_weight=weights,
        sample_stats={**stats, "lp": likelihood + log_prior},
        chains=chains,
        attributes={**provenance, **(attributes or {})},
    )


def equal_weight(posterior: Posterior, n: int, rng: np.random.Generator) -> Array:
    """Draw n equally weighted samples (n, d); heavy draws are repeated."""
    return posterior.samples[resample(posterior.log_weight, len(posterior.samples), n, rng)]


def check_units(posterior: Posterior, other: Posterior, where: str) -> None:
    """Refuse to set two posteriors of the same unknowns side by side in different units.

    Raises:
        InputError: names the first unknown that differs, as one line that begins with `where`.
    """
    for name, ours, theirs in zip(posterior.names, posterior.units, other.units, strict=True):
        if ours != theirs:
            raise InputError(
                f"{where}: {name} is in '{ours}' and in '{theirs}'; give posteriors of one scenario"
            )


def write_posterior(posterior: Posterior, path: str | Path) -> None:
    """Write a posterior to one netCDF file with ArviZ's groups.

    Every unknown is a variable (chain, draw) of the groups `posterior` and `prior`, with `units`
    and `long_name`. `log_weight` is in `sample_stats` and, as a coordinate, beside the unknowns,
    so that whoever opens only `posterior` sees that the draws have weights. The file is written
    under a temporary name and renamed.
    """
    by_draw = {"log_likelihood": posterior.log_likelihood, **posterior.sample_stats}
    if posterior.log_weight is not None:
        by_draw["log_weight"] = posterior.log_weight
    stats = {name: _by_chain(values, posterior.chains) for name, values in by_draw.items()}
    likelihood = stats.pop("log_likelihood")
    unknowns = _unknowns(posterior, posterior.samples, posterior.chains)
    if "log_weight" in stats:
        unknowns = unknowns.assign_coords(log_weight=stats["log_weight"])
    observed = measurement_dataset(posterior.observed, "exp(-iwt)")
    attributes = {
        "title": f"Posterior of {posterior.scenario.name}",
        "oceaninv_posterior": SCHEMA,
        "inference_library": "oceaninv",
        "scenario": posterior.scenario.name,
        "scenario_hash": posterior.scenario.hash(),
        "scenario_json": scenario_json(posterior.scenario),
        **posterior.attributes,
    }
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=attributes),
            "posterior": unknowns,
            "prior": _unknowns(posterior, posterior.prior_samples, 1),
            "observed_data": observed,
            "posterior_predictive": _predictive(posterior.posterior_predictive, observed),
            "log_likelihood": xr.Dataset({"measurement": likelihood}),
            "sample_stats": xr.Dataset(stats),
        }
    )
    with whole_file(path) as temporary:
        tree.to_netcdf(temporary, engine="netcdf4")


def read_posterior(path: str | Path) -> Posterior:
    """Read what `write_posterior` wrote.

    Raises:
        InputError: the file is missing, cut off, damaged, or not a posterior of oceaninv.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; make one with 'oceaninv infer' or 'oceaninv mcmc'")
    try:
        with xr.open_datatree(path, engine="netcdf4") as tree:
            groups = {name: node.to_dataset().load() for name, node in tree.children.items()}
            attributes = dict(tree.attrs)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as netCDF; it may be cut off, write it again"
        ) from error
    if attributes.get("oceaninv_posterior") != SCHEMA:
        raise InputError(
            f"{path}: oceaninv_posterior is {attributes.get('oceaninv_posterior', 'absent')}, not "
            f"{SCHEMA}; give a file written by 'oceaninv infer' or 'oceaninv mcmc'"
        )
    try:
        scenario = stored_scenario(attributes["scenario_json"], str(path))
        names = scenario.prior.names
        stats = {str(k): v.values.ravel() for k, v in groups["sample_stats"].items()}
        posterior = Posterior(
            scenario=scenario,
            observed=measurement_from_dataset(groups["observed_data"], str(path)),
            samples=_columns(groups["posterior"], names),
            log_likelihood=groups["log_likelihood"]["measurement"].values.ravel(),
            prior_samples=_columns(groups["prior"], names),
            posterior_predictive=_predicted(groups["posterior_predictive"]),
            log_weight=stats.pop("log_weight", None),
            sample_stats=stats,
            chains=groups["posterior"].sizes["chain"],
            attributes={
                str(k): _plain(v) for k, v in attributes.items() if k not in _OWN_ATTRIBUTES
            },
        )
    except KeyError as error:
        raise InputError(
            f"{path}: {error.args[0]} is absent; the file is not whole, write it again"
        ) from error
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {error}; the file is damaged, write it again") from error
    check_posterior(posterior, str(path))
    return posterior


@dataclass(frozen=True)
class Row:
    """What is known of one unknown: one line of the table of results."""

    name: str
    long_name: str
    unit: str
    median: float
    lower: float
    upper: float
    mean: float
    sd: float
    best: float
    prior_sd: float


def summarise(posterior: Posterior, interval: float = 0.95) -> list[Row]:
    """Median, central credible interval, mean, sd and best draw of each unknown."""
    tail = 0.5 * (1.0 - interval)
    weights, best = posterior.weights, posterior.best
    rows = []
    for i, name in enumerate(posterior.names):
        x = posterior.samples[:, i]
        lower, median, upper = weighted_quantile(x, weights, np.array([tail, 0.5, 1 - tail]))
        mean = float(weights @ x)
        rows.append(
            Row(
                name=name,
                long_name=posterior.long_names[i],
                unit=posterior.units[i],
                median=float(median),
                lower=float(lower),
                upper=float(upper),
                mean=mean,
                sd=math.sqrt(float(weights @ (x - mean) ** 2)),
                best=float(best[i]),
                prior_sd=float(np.std(posterior.prior_samples[:, i])),
            )
        )
    return rows


def data_hash(measurement: Measurement) -> str:
    """SHA-256 of the numbers of a measurement, in the house's own conventions.

    The number of snapshots counts where the shape of the data does not tell it, as of a csdm.
    """
    digest = hashlib.sha256()
    for part in (
        measurement.frequency,
        measurement.receiver_depth,
        measurement.range_m,
        measurement.data,
    ):
        digest.update(np.ascontiguousarray(part.numpy() + 0.0).tobytes())  # no zero has a sign
    told = len(measurement.data) if measurement.kind == "pressure" else 1
    if measurement.kind == "csdm" or measurement.n_snapshots != told:
        digest.update(f"{measurement.kind} {measurement.n_snapshots}".encode())
    return digest.hexdigest()


def versions() -> str:
    """Versions of the programs that made a result, on one line."""
    parts = [f"python {platform.python_version()}"]
    for package in ("oceaninv", "torch", "numpy", "emcee", "nautilus-sampler", "arviz"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # an optional one, or run from a source folder
            continue
    return ", ".join(parts)


def _by_chain(values: Array, chains: int) -> tuple[tuple[str, str], Array]:
    return ("chain", "draw"), values.reshape(chains, -1)


def _unknowns(posterior: Posterior, samples: Array, chains: int) -> xr.Dataset:
    described = zip(posterior.names, posterior.units, posterior.long_names, strict=True)
    return xr.Dataset(
        {
            name: (*_by_chain(samples[:, i], chains), {"units": unit, "long_name": long_name})
            for i, (name, unit, long_name) in enumerate(described)
        },
        coords={"chain": np.arange(chains), "draw": np.arange(len(samples) // chains)},
    )


def _columns(group: xr.Dataset, names: Sequence[str]) -> Array:
    return np.stack([group[name].values.ravel() for name in names], -1).astype(np.float64)


def _predictive(prediction: NDArray[Any], observed: xr.Dataset) -> xr.Dataset:
    """Predictions (m, frequency, receiver or point) in the names of the measurement file."""
    coordinates = {
        "chain": [0],
        "draw": np.arange(len(prediction)),
        "frequency": observed["frequency"],
    }
    attributes = {"comment": "noise-free prediction at equally weighted draws of the posterior"}
    if np.iscomplexobj(prediction):
        dims = ("chain", "draw", "frequency", "receiver")
        unit = {"units": "1", "comment": "normalised to 1 at 1 m"}
        parts = {
            "pressure_real": (dims, prediction.real[np.newaxis], unit),
            "pressure_imag": (dims, prediction.imag[np.newaxis], unit),
        }
        coordinates["receiver_depth"] = observed["receiver_depth"]
        attributes["time_convention"] = "exp(-iwt)"
    else:
        dims = ("chain", "draw", "frequency", "point")
        unit = {
            "units": "dB",
            "comment": "re 1 m2; points are all ranges of one receiver, then of the next",
        }
        parts = {"transmission_loss": (dims, prediction[np.newaxis], unit)}
    return xr.Dataset(parts, coords=coordinates, attrs=attributes)


def _predicted(group: xr.Dataset) -> NDArray[Any]:
    if "transmission_loss" in group:
        return group["transmission_loss"].values[0]
    return group["pressure_real"].values[0] + 1j * group["pressure_imag"].values[0]


def _plain(value: Any) -> Attribute:
    return value.item() if isinstance(value, np.generic) else value


def _array(values: torch.Tensor | Array) -> Array:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    return np.ascontiguousarray(values, dtype=np.float64)
