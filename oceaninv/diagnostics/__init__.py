"""How far to trust a posterior: distances to another, calibration over many simulations."""

from oceaninv.diagnostics.c2st import C2st, c2st
from oceaninv.diagnostics.calibrate import calibrate
from oceaninv.diagnostics.compare import Comparison, compare
from oceaninv.diagnostics.distances import wasserstein

__all__ = ["C2st", "Comparison", "c2st", "calibrate", "compare", "wasserstein"]
