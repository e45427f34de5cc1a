"""A trained model: a scenario with the network that answers for it, in memory and on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oceaninv.errors import InputError
from oceaninv.files import whole_file
from oceaninv.inference.checkpoint import read_tensors, with_prefix, write_tensors
from oceaninv.inference.estimator import Architecture, Conditions, Estimator
from oceaninv.inference.features import measured_features
from oceaninv.inference.flow import standard_normal_log_prob
from oceaninv.inference.matched_field import MatchedField, matched_field
from oceaninv.inference.mixture import StudentMixture, fit_mixture, student_about
from oceaninv.inference.networks import Network, network_of
from oceaninv.inference.normal_fits import NormalFits
from oceaninv.measurement import Measurement, match_scenario
from oceaninv.measurement.noise import csdm_factor
from oceaninv.posterior import versions
from oceaninv.scenario import Scenario, scenario_from_json

SCHEMA = 2
_POINTS, _REPLICA = "references.points", "references.replica"  # names of the tensors
OTHER_FITS = 3
_FIRST = "first."  # before the names of the tensors of the first network
_BUILTIN = files("oceaninv") / "models"
_MAP = ("architecture", "normal_fits")  # what makes the map, with the scenario and the weights


@dataclass(frozen=True)
class Model:
    """A scenario and a network trained for it.

    Attributes:
        scenario: environment, prior, array, tones and noise of the simulations.
        estimator: the network of v given y, with v the normal scores of the unknowns.
        aid: what is made of data first, if anything: by references, or by normal fits.
        record: how it was trained, plain JSON values.
        name: what results call it.
    """

    scenario: Scenario
    estimator: Network
    aid: MatchedField | NormalFits | None
    record: Mapping[str, Any]
    name: str

    @property
    def family(self) -> str:
        """What results call this kind of network."""
        return "cINN" if isinstance(self.estimator, Estimator) else "INN"

    def features(self, measurement: Measurement) -> Tensor:
        """What the network sees of a measurement, (1, p) float32.

        Raises:
            InputError: not the kind of data, tones or receivers that the model was trained for.
        """
        matched = match_scenario(measurement, self.scenario)
        data = _snapshots(matched)
        if isinstance(self.aid, NormalFits):
            own = measured_features(data, None)
            return _many(self.aid).seen(own, data, _stand_for(matched))
        return measured_features(data, self.aid)

    def proposal(self, measurement: Measurement) -> NetworkProposal | StudentMixture:
        """A distribution of v at a measurement to draw from and to evaluate; raises as `features`.

        The network's own for the cINN. An INN has draws but no density: a mixture of Student t
        distributions is fitted to 6000 of its draws, with a fixed seed, and stands for it.
        """
        with torch.no_grad():
            conditions = self.estimator.condition(self.features(measurement))
        if isinstance(self.estimator, Estimator):
            return NetworkProposal(self.estimator, conditions)
        generator = torch.Generator().manual_seed(0)
        v = _draws(self.estimator, conditions, _MIXTURE_OF, generator)
        return fit_mixture(v, v.new_zeros(len(v)), generator)

    def fitted_proposal(self, measurement: Measurement) -> StudentMixture | None:
        """A Student t distribution about the normal fit of more snapshots than the network knows.

        Networks learn from single snapshots. A normal fit is one of the whole data, and so is what
        it says of the width. None for one snapshot, and where the model has no normal fits.
        """
        matched = match_scenario(measurement, self.scenario)
        if not isinstance(self.aid, NormalFits) or matched.n_snapshots == 1:
            return None
        data = _snapshots(matched)
        own = measured_features(data, None)
        _, fit = _many(self.aid).fitted(own, data, _stand_for(matched))
        return student_about(fit.mean[0], fit.covariance[0])

    def sample(
        self, measurement: Measurement, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw from the network's posterior, without re-weighting.

        Returns:
            theta (n, d) float64, always inside the prior's support, and the logarithm of the
            density of theta, (n,), of the network or, for an INN, of the mixture fitted to it.
        """
        proposal = self.proposal(measurement)
        if isinstance(proposal, NetworkProposal):
            v, log_q = proposal.sample_and_log_prob(n, generator)
        else:
            conditions = self.estimator.condition(self.features(measurement))
            v = _draws(self.estimator, conditions, n, generator)
            log_q = proposal.log_prob(v)
        prior = self.scenario.prior
        theta = prior.from_normal(v)
        return theta, log_q - standard_normal_log_prob(v) + prior.log_prob(theta)

    def save(self, directory: str | Path) -> None:
        """Write `model.safetensors` and, last, `model.json`."""
        directory = Path(directory)
        weights = directory / "model.safetensors"
        tensors = self.estimator.state_dict()
        fits: dict[str, object] = {}
        if isinstance(self.aid, MatchedField):
            tensors[_POINTS] = self.aid.points
            tensors[_REPLICA] = _as_real(self.aid.replica)
        elif self.aid:
            first = self.aid.first
            tensors |= {_FIRST + name: t for name, t in first.state_dict().items()}
            fits = {"steps": self.aid.steps, "architecture": asdict(first.architecture)}
        write_tensors(weights, tensors, {"oceaninv_model": SCHEMA})
        content: dict[str, Any] = {
            "oceaninv_model": SCHEMA,
            "name": self.name,
            "scenario": self.scenario.model_dump(mode="json"),
            "scenario_hash": self.scenario.hash(),
            "architecture": asdict(self.estimator.architecture),
            **({"normal_fits": fits} if fits else {}),
            "training": dict(self.record),
            "versions": versions(),
            "weights_sha256": _digest(weights),
        }
        content["map_sha256"] = _map_digest(content)
        with whole_file(directory / "model.json") as path:
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, name_or_directory: str | Path) -> Model:
        """Read a model: a built-in one by name, or the directory that `train` wrote.

        Raises:
            InputError: no such model, or files that are truncated, were changed or do not belong
                together.
        """
        directory = model_directory(name_or_directory)
        path = directory / "model.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["oceaninv_model"] != SCHEMA:
                raise InputError(
                    f"{path}: oceaninv_model: {content['oceaninv_model']} is not known to this "
                    "version; train it again"
                )
            if content.get("map_sha256") != _map_digest(content):
                raise InputError(
                    f"{path}: {' or '.join(_MAP)}: is not what the model was trained "
                    "with; copy the file again, or train again"
                )
            scenario = scenario_from_json(json.dumps(content["scenario"]))
            estimator = network_of(content["architecture"])
            digest, record, name = (content[k] for k in ("weights_sha256", "training", "name"))
            if not (isinstance(record, dict) and isinstance(name, str)):
                raise TypeError("training or name is of another kind")
            aid: MatchedField | NormalFits | None = None
            if fits := content.get("normal_fits"):
                first = Estimator(Architecture(**fits["architecture"]), seed=0)
                aid = NormalFits(scenario, first, int(fits["steps"]))
        except InputError:
            raise
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error}); check the path") from None
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path}: is not a model of this version ({reason}); train it again"
            ) from None
        if content.get("scenario_hash") != scenario.hash():
            raise InputError(
                f"{path}: scenario: is not the one that the model was trained for; copy the file "
                "again, or train again"
            )
        weights = directory / "model.safetensors"
        tensors, _ = read_tensors(weights)
        if _digest(weights) != digest:
            raise InputError(
                f"{weights}: weights_sha256: is not the file that model.json was written with; "
                "copy both files again, or train again"
            )
        if _POINTS in tensors:
            points, replica = tensors.pop(_POINTS), tensors.pop(_REPLICA)
            if scenario.data == "pressure":
                replica = torch.view_as_complex(replica)
            aid = matched_field(scenario, points, replica)
        try:
            if isinstance(aid, NormalFits):
                aid.first.load_state_dict(with_prefix(_FIRST, tensors))
                aid.first.eval().requires_grad_(False)
                tensors = {k: t for k, t in tensors.items() if not k.startswith(_FIRST)}
            estimator.load_state_dict(tensors)
        except RuntimeError:
            raise InputError(
                f"{weights}: does not fit the network of this version; train it again"
            ) from None
        estimator.eval().requires_grad_(False)
        return cls(scenario, estimator, aid, record, name)


@dataclass(frozen=True, eq=False)
class NetworkProposal:
    """q(v | y) at one measurement, as a float64 proposal.

    Attributes:
        estimator: the network.
        conditions: of the flow at the measurement, of one row.
    """

    estimator: Estimator
    conditions: Conditions

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n vectors of normal scores, (n, d) float64."""
        return self.sample_and_log_prob(n, generator)[0]

    @torch.no_grad()
    def sample_and_log_prob(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `sample`, with the log-density (n,) float64 of what was drawn."""
        drawn = [self.estimator.sample(self.conditions, generator, m) for m in _parts(n)]
        v, log_prob = (torch.cat(part).double() for part in zip(*drawn, strict=True))
        return v, log_prob

    @torch.no_grad()
    def log_prob(self, v: Tensor) -> Tensor:
        """Log-density (n,) float64 at v (n, d)."""
        parts = [self.estimator.log_prob(p, self.conditions) for p in v.float().split(_BATCH)]
        return torch.cat(parts).double()


def _snapshots(measurement: Measurement) -> Tensor:
    """Data of a measurement as one of a batch: (1, K, F, R) complex pressure, or (1, F, P) levels.

    The columns of a factor of a cross-spectral matrix are as good as snapshots.
    """
    if measurement.kind == "csdm":
        return csdm_factor(measurement.data).permute(2, 0, 1)[None]
    return measurement.data[None]


def _stand_for(measurement: Measurement) -> int | None:
    """How many snapshots the columns of `_snapshots` stand for; None: as many as they are.

    A measured matrix of one snapshot has as many columns as receivers, by rounding.
    """
    return measurement.n_snapshots if measurement.kind == "csdm" else None


def _many(fits: NormalFits) -> NormalFits:
    """A measurement is worth more fits than a simulation."""
    return replace(fits, others=OTHER_FITS)


_BATCH = 8192  # draws at a time, for memory
_MIXTURE_OF = 6000  # draws that the mixture of a network without a density is fitted to


@torch.no_grad()
def _draws(
    estimator: Network, conditions: Conditions, n: int, generator: torch.Generator
) -> Tensor:
    """n draws at conditions of one row, (n, d) float64."""
    return torch.cat([estimator.draw(conditions, generator, m) for m in _parts(n)]).double()


def _parts(n: int) -> list[int]:
    """Numbers of draws at a time that make up n, at least one."""
    return [min(_BATCH, n - start) for start in range(0, max(n, 1), _BATCH)]


def list_models() -> list[str]:
    """Names of the models that come with the package."""
    if not _BUILTIN.is_dir():
        return []
    return sorted(p.name for p in _BUILTIN.iterdir() if (p / "model.json").is_file())


def model_directory(name_or_directory: str | Path) -> Path:
    """Where a model is kept: a built-in one by name, or the directory itself.

    Raises:
        InputError: no such model.
    """
    text = str(name_or_directory)
    if text in list_models():
        return Path(str(_BUILTIN / text))
    path = Path(name_or_directory)
    if not (path / "model.json").is_file():
        known = ", ".join(list_models()) or "none"
        raise InputError(
            f"{path}: no such model; give a directory that `oceaninv train` wrote, or a built-in "
            f"one ({known})"
        )
    return path


def _as_real(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _map_digest(content: Mapping[str, Any]) -> str:
    fixed = {name: content[name] for name in _MAP if name in content}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
