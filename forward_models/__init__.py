"""Propagation of sound in the ocean by normal modes: batched, exact, without external programs.

Time convention exp(-iωt), outgoing waves exp(+ikr); depths in metres, positive down.
"""

from forward_models.environment import Environment, HalfSpace, Layer, stack
from forward_models.errors import ModelInputError
from forward_models.field import array_pressure, pressure, transmission_loss
from forward_models.files import EnvFile, read_env, read_flp, write_env
from forward_models.normal_modes import Modes, solve_modes
from forward_models.seawater import FrancoisGarrison, Thorp

__all__ = [
    "EnvFile",
    "Environment",
    "FrancoisGarrison",
    "HalfSpace",
    "Layer",
    "ModelInputError",
    "Modes",
    "Thorp",
    "array_pressure",
    "pressure",
    "read_env",
    "read_flp",
    "solve_modes",
    "stack",
    "transmission_loss",
    "write_env",
]
