"""Ensemble Markov chain Monte Carlo: proposals, starting points, convergence, checkpoints."""
