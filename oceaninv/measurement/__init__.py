"""Measurements: their file, readers of other formats, and the noise models."""

from oceaninv.measurement.data import Measurement, match_scenario
from oceaninv.measurement.netcdf import read_measurement, write_measurement
from oceaninv.measurement.noise import ComplexNoise, LevelNoise, scenario_noise
from oceaninv.measurement.saga import read_saga

__all__ = [
    "ComplexNoise",
    "LevelNoise",
    "Measurement",
    "match_scenario",
    "read_measurement",
    "read_saga",
    "scenario_noise",
    "write_measurement",
]
