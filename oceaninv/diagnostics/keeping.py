"""The calibration of a model, in short, kept with the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import xarray as xr

from oceaninv.errors import InputError
from oceaninv.files import whole_file


def calibration_summary(result: xr.Dataset) -> dict[str, Any]:
    """The numbers of a calibration that travel with a model, as plain JSON values.

    Args:
        result: by `calibrate`.
    """
    kinds = (
        ("rank_p_value", "p_value", "parameter"),
        ("joint_p_value", "joint_p_value", "joint"),
        ("c2st", "c2st", "told"),
        ("c2st_p_value", "c2st_p_value", "told"),
        ("sharpness", "sharpness", "parameter"),
        ("information", "information", "parameter"),
    )
    numbers = {
        name: {str(k): round(float(result[of].sel({dim: k})), 4) for k in result[dim].values}
        for name, of, dim in kinds
    }
    coverage = {
        str(p): {
            f"{level:g}": round(float(result["coverage"].sel(parameter=p, level=level)), 4)
            for level in result["level"].values
        }
        for p in result["parameter"].values
    }
    attributes = {
        name: result.attrs[name]
        for name in (
            "passes", "alpha", "simulations", "seed", "method", "draws", "information_joint",
            "near", "near_expected", "scenario_hash", "versions",
        )
        if name in result.attrs
    }  # fmt: skip
    plain = {k: v.item() if hasattr(v, "item") else v for k, v in attributes.items()}
    return {**plain, **numbers, "coverage": coverage}


def content_to_keep_in(directory: str | Path) -> dict[str, Any]:
    """What `model.json` holds of a model that calibrations can be kept with.

    Raises:
        InputError: no model directory, or calibrations there that are no mapping.
    """
    path = Path(directory) / "model.json"
    if not path.is_file():
        raise InputError(
            f"--keep: {directory} is no directory of a model; train one to keep it there"
        )
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    kept = content.get("calibration", {})
    if not isinstance(kept, dict):
        raise InputError(f"{path}: calibration: {str(kept)[:40]} is no mapping; remove it")
    return content


def keep_calibration(result: xr.Dataset, directory: str | Path) -> Path:
    """Write the summary of a calibration into `model.json` of the model that it is of.

    Raises:
        InputError: as `content_to_keep_in`, or a model of another scenario.
    """
    content = content_to_keep_in(directory)
    path = Path(directory) / "model.json"
    if content.get("scenario_hash") != result.attrs["scenario_hash"]:
        raise InputError(
            f"{path}: scenario_hash: is of another scenario than the calibration; calibrate it anew"
        )
    kept = {**content.get("calibration", {}), result.attrs["method"]: calibration_summary(result)}
    with whole_file(path) as temporary:
        temporary.write_text(
            json.dumps({**content, "calibration": kept}, indent=1) + "\n", encoding="utf-8"
        )
    return path
