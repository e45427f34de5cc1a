"""Propagation of sound in the ocean by normal modes: batched, exact, without external programs.

Time convention exp(-iωt), outgoing waves exp(+ikr); depths in metres, positive down.
"""

from forward_models.arrays import horizontal_array, vertical_array
from forward_models.broadband import TimeSeries, time_series
from forward_models.environment import Environment, HalfSpace, Layer, stack
from forward_models.errors import ModelInputError
from forward_models.field import array_pressure, pressure, transmission_loss
from forward_models.files import EnvFile, read_env, read_env_profiles, read_flp, write_env
from forward_models.mode_sums import Coherence
from forward_models.neighbours import neighbouring_pressure
from forward_models.normal_modes import Modes, solve_modes
from forward_models.range_dependent import adiabatic_pressure
from forward_models.seawater import FrancoisGarrison, Thorp
from forward_models.spectral import spectral_pressure, truncation_error

__all__ = [
    "Coherence",
    "EnvFile",
    "Environment",
    "FrancoisGarrison",
    "HalfSpace",
    "Layer",
    "ModelInputError",
    "Modes",
    "Thorp",
    "TimeSeries",
    "adiabatic_pressure",
    "array_pressure",
    "horizontal_array",
    "neighbouring_pressure",
    "pressure",
    "read_env",
    "read_env_profiles",
    "read_flp",
    "solve_modes",
    "spectral_pressure",
    "stack",
    "time_series",
    "transmission_loss",
    "truncation_error",
    "vertical_array",
    "write_env",
]
