"""Amortised inference: the conditional flow, its training, and re-weighted posteriors."""

from oceaninv.inference.model import Model, list_models
from oceaninv.inference.objectives import OBJECTIVES
from oceaninv.inference.reweighting import infer
from oceaninv.inference.training import train

__all__ = ["OBJECTIVES", "Model", "infer", "list_models", "train"]
