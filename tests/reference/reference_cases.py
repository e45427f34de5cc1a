"""The reference cases of this folder as environments, as files and as arrays of answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forward_models import Environment, HalfSpace, Layer

FOLDER = Path(__file__).parent
CORE = (
    "pekeris",
    "pekeris_lossless",
    "ideal_rigid",
    "swellex",
    "mud",
    "n2lin_airy",
    *(f"rand{i:02d}" for i in range(10)),
)
# two ducts behind a barrier, sound channels, strong loss, cut-off, 3.5 kHz, pairs alike to 1e-16
HARD = ("double_duct", "surface_duct", "munk", "high_loss", "near_cutoff", "hf3500", "twin_duct")
# more of the kind of the core's, one with a mode within 1e-6 of the half-space's speed
RANDOM = tuple(f"rand{i}" for i in range(10, 20))
# modes that leak: over fluid half-spaces, of which they are a part on request, and elastic ones
LEAKY = ("leaky_pekeris", "slow_bottom")
ELASTIC = ("elastic_scholte", "elastic_hard")

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Answers:
    """One frequency of a case: k (mode), p (receiver, range), by kind of attenuation."""

    k: dict[str, Complex]
    p: dict[str, Complex]
    group_speed: NDArray[np.float64]
    real_mode_function: NDArray[np.float64]  # (mode, source and receivers), of the lossless problem


@dataclass(frozen=True)
class Case:
    name: str
    env: dict[str, Any]
    source_depth: list[float]
    receiver_depth: list[float]
    range_km: list[float]
    answers: dict[float, Answers]

    @property
    def c_high(self) -> float:
        """Largest phase speed of the modes listed: a part in 1e5 below the half-space's at most."""
        bottom = self.env["bottom"]
        fastest = bottom["c"] / 1.00001 if bottom["type"] == "A" else float("inf")
        return min(self.env["c_high"], fastest)

    @property
    def environment(self) -> Environment:
        bottom = self.env["bottom"]
        half_space = None
        if bottom["type"] == "A":
            shear = (bottom.get("cs", 0.0), bottom.get("alphas", 0.0))
            half_space = HalfSpace(bottom["c"], 1000.0 * bottom["rho"], bottom["alpha"], *shear)
        return Environment.from_layers(
            [
                Layer(layer["z"], layer["c"], 1000.0 * layer["rho"], layer["alpha"])
                for layer in self.env["layers"]
            ],
            half_space,
            bottom={"A": "half_space", "R": "rigid", "V": "vacuum"}[bottom["type"]],
            top={"V": "vacuum", "R": "rigid"}[self.env["top"]],
            attenuation_unit=self.env["alpha_units"],
            interpolation={"C": "c_linear", "N": "n2_linear"}[self.env["interp"]],
        )

    def write(self, folder: Path) -> Path:
        """The case as .env and .flp in ``folder``, written without the package's own writer."""
        env, bottom = self.env, self.env["bottom"]
        lines = [
            f"'{self.name}'",
            f"{next(iter(self.answers))}  ! FREQ",
            f"{len(env['layers'])}  ! NMEDIA",
            f"'{env['interp']}{env['top']}{env['alpha_units']}'  ! OPTIONS",
        ]
        for layer in env["layers"]:
            lines.append(f"0 0.0 {layer['z'][-1]}  ! NMESH SIGMA Z(NSSP)")
            knots = zip(layer["z"], layer["c"], layer["alpha"], strict=True)
            lines += [f"  {z} {c} 0.0 {layer['rho']} {alpha} 0.0 /" for z, c, alpha in knots]
        lines.append(f"'{bottom['type']}' 0.0")
        if bottom["type"] == "A":
            depth = env["layers"][-1]["z"][-1]
            shear, loss = bottom.get("cs", 0.0), bottom.get("alphas", 0.0)
            waves = f"{bottom['c']} {shear} {bottom['rho']} {bottom['alpha']} {loss}"
            lines.append(f"  {depth} {waves} /")
        lines += [f"{env['c_low']} {env['c_high']}  ! cLow cHigh", "0.0  ! RMAX"]
        depths = [*_vector(self.source_depth), *_vector(self.receiver_depth)]
        path = folder / f"{self.name}.env"
        path.write_text("\n".join([*lines, *depths]) + "\n")
        field = ["/,  ! TITLE", "'RA'", "9999", "1", "0.0 /", *_vector(self.range_km), *depths]
        path.with_suffix(".flp").write_text("\n".join([*field, "1", "0.0 /"]) + "\n")
        return path


def load_case(name: str) -> Case:
    """A case by its name, with the answers at every frequency."""
    content = json.loads((FOLDER / f"{name}.json").read_text())
    tables = FOLDER / f"{name}.npz"
    answers = {}
    if tables.exists():
        with np.load(tables, allow_pickle=False) as arrays:
            for frequency in content["freqs"]:
                answers[frequency] = _answers_from_arrays(arrays, f"{frequency:g}")
    else:
        answers = {row["freq"]: _answers_from_json(row) for row in content["freqs"]}
    return Case(
        name=name,
        env=content["env"],
        source_depth=content.get("source_depths", [36.0]),
        receiver_depth=content.get("receiver_depths", [50.0]),
        range_km=content.get("ranges_km", [1.0]),
        answers=answers,
    )


def _answers_from_json(row: dict[str, Any]) -> Answers:
    if "k" in row:  # of an elastic case, which has nothing else; a root may be listed twice
        k = np.unique(_complex(row["k"]))[::-1]
        return Answers({"exact": k}, {}, np.empty(0), np.empty((0, 0)))
    kinds = {"exact": "exact", "perturbative": "pert"}
    return Answers(
        k={kind: _complex(row[f"k_{key}"]) for kind, key in kinds.items()},
        p={kind: _complex(row[f"p_{key}"]) for kind, key in kinds.items()},
        group_speed=np.array(row["vg_exact"]),
        real_mode_function=np.array(row["psi_real"]),
    )


def _answers_from_arrays(arrays: Any, prefix: str) -> Answers:
    kinds = {"exact": "exact", "perturbative": "pert"}
    return Answers(
        k={kind: arrays[f"{prefix}_k_{key}"] for kind, key in kinds.items()},
        p={kind: arrays[f"{prefix}_p_{key}"] for kind, key in kinds.items()},
        group_speed=arrays[f"{prefix}_vg_exact"],
        real_mode_function=arrays[f"{prefix}_psi_real"].T,
    )


def _complex(pairs: list[Any]) -> Complex:
    parts = np.array(pairs, dtype=np.float64)
    return parts[..., 0] + 1j * parts[..., 1]


def _vector(values: list[float]) -> list[str]:
    return [f"{len(values)}", " ".join(f"{v}" for v in values) + " /"]
