"""Training sets: draws from the prior with their noise-free data, on disk."""

from oceaninv.simulation.drawing import simulate, write_training_set
from oceaninv.simulation.training_set import TrainingSet, load_training_set

__all__ = ["TrainingSet", "load_training_set", "simulate", "write_training_set"]
