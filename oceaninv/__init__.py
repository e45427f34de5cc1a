"""Geoacoustic inversion: from sound on an array to the posterior of the seabed.

The verbs of the command line are functions of the same names, imported when first used:

    >>> from oceaninv import load_scenario
    >>> load_scenario("swellex96-2p").names
    ('water_depth', 'sediment_top_speed')
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forward_models import (
        pressure,
        read_env,
        solve_modes,
        spectral_pressure,
        transmission_loss,
        truncation_error,
    )
    from oceaninv.diagnostics import calibrate, compare
    from oceaninv.inference import infer, train
    from oceaninv.mcmc import mcmc
    from oceaninv.measurement import read_measurement, write_measurement
    from oceaninv.posterior import read_posterior, write_posterior
    from oceaninv.report import report
    from oceaninv.scenario import list_scenarios, load_scenario
    from oceaninv.simulation import simulate

__version__ = "0.1.0"

__all__ = [
    "calibrate",
    "compare",
    "infer",
    "list_scenarios",
    "load_scenario",
    "mcmc",
    "pressure",
    "read_env",
    "read_measurement",
    "read_posterior",
    "report",
    "simulate",
    "solve_modes",
    "spectral_pressure",
    "train",
    "transmission_loss",
    "truncation_error",
    "write_measurement",
    "write_posterior",
]

_HOME = {
    "forward_models": (
        "pressure",
        "read_env",
        "solve_modes",
        "spectral_pressure",
        "transmission_loss",
        "truncation_error",
    ),
    "oceaninv.diagnostics": ("calibrate", "compare"),
    "oceaninv.inference": ("infer", "train"),
    "oceaninv.mcmc": ("mcmc",),
    "oceaninv.measurement": ("read_measurement", "write_measurement"),
    "oceaninv.posterior": ("read_posterior", "write_posterior"),
    "oceaninv.report": ("report",),
    "oceaninv.scenario": ("list_scenarios", "load_scenario"),
    "oceaninv.simulation": ("simulate",),
}


def __getattr__(name: str) -> Any:
    """The function ``name`` from its home; torch and its like load only now."""
    for home, names in _HOME.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'oceaninv' has no attribute {name!r}")


class _Package(ModuleType):
    """A package whose verbs stay functions where a submodule has the same name.

    Importing ``oceaninv.mcmc`` would otherwise replace the function ``oceaninv.mcmc``.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in __all__):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
