"""From cotangents of modes to gradients of the environment, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forward_models.errors import ModelInputError
from forward_models.normal_modes.adjoint import segment_cotangents, step_cotangents
from forward_models.normal_modes.batch import Problem
from forward_models.normal_modes.chunk import Attenuation, ModeList


def require_exact(attenuation: Attenuation, needs_gradient: Iterable[bool]) -> None:
    """Gradients are those of the exact complex modes.

    Raises:
        ModelInputError: a gradient is asked for of perturbative ones.
    """
    if attenuation == "perturbative" and any(needs_gradient):
        raise ModelInputError(
            "attenuation: 'perturbative' has no gradients; use 'exact', or tensors without "
            "requires_grad"
        )


@dataclass(frozen=True)
class Cotangents:
    """Sums of cotangents g, dL = Re(g dw), of what a problem is made of: ``Problem.media``."""

    problem: Problem
    at: np.ndarray
    c_top: np.ndarray
    c_bottom: np.ndarray
    thickness: np.ndarray
    rho: np.ndarray
    c_half: np.ndarray
    rho_half: np.ndarray
    c_shear: np.ndarray
    depth: np.ndarray

    @classmethod
    def zeros(cls, problem: Problem, depth: np.ndarray) -> Cotangents:
        """Nothing yet; ``depth`` (B, D) m is where mode functions are taken."""
        shapes = [tuple(medium.shape) for medium in problem.media]
        return cls(problem, depth, *(np.zeros(s, np.complex128) for s in [*shapes, depth.shape]))

    def add(self, rows: slice, modes: ModeList, g_k: np.ndarray, g_phi: np.ndarray) -> None:
        """Adds those of the environments ``rows``: g_k (mode,) of k and g_phi (mode, D) of φ."""
        problem = self.problem
        items = problem.items(rows)
        frequencies = problem.omega.size
        order = modes.vectors
        g_steps, g_bottom, g_depth = step_cotangents(
            modes.x[order],
            (0.5 * g_k / modes.k)[order],  # k = √x
            np.ascontiguousarray(g_phi[order]),
            np.repeat(self.at[rows], frequencies, axis=0),
            *modes.lanes[order].blocks(),
            *items.guides,
        )
        c_top, c_bottom, thickness, rho = segment_cotangents(
            g_steps,
            items.steps,
            items.first,
            items.piece,
            items.edges,
            problem.omega,
            problem.thickness[rows],
            np.ascontiguousarray(problem.c_top[:, rows]),
            np.ascontiguousarray(problem.c_bottom[:, rows]),
            problem.n2,
        )
        self.c_top[:, rows] += c_top
        self.c_bottom[:, rows] += c_bottom
        self.thickness[rows] += thickness
        self.rho[rows] += rho
        shape = (rows.stop - rows.start, frequencies)
        self.depth[rows] += g_depth.reshape(*shape, self.at.shape[1]).sum(axis=1)
        # Where the profile was cut, the half-space below it matters to no mode.
        c_half = problem.c_half[:, rows].T
        q_half = (problem.omega / c_half) ** 2
        reached = np.isclose(items.q_bottom.reshape(shape), q_half, rtol=1e-12)
        of_q = np.where(reached, g_bottom[:, 0].reshape(shape), 0.0)
        self.c_half[:, rows] += (-2.0 * q_half / c_half * of_q).T
        self.rho_half[rows] += np.where(reached, g_bottom[:, 1].reshape(shape), 0.0).sum(axis=1)
        c_shear = problem.c_shear[:, rows].T
        solid = c_shear != 0
        of_c = -2.0 * problem.omega**2 / np.where(solid, c_shear, 1.0) ** 3
        self.c_shear[:, rows] += np.where(solid, of_c * g_bottom[:, 2].reshape(shape), 0.0).T

    def as_gradients(self) -> tuple[Tensor, ...]:
        """Of depth and of ``Problem.media``, as autograd defines them."""
        in_order = (
            self.depth,
            self.c_top,
            self.c_bottom,
            self.thickness,
            self.rho,
            self.c_half,
            self.rho_half,
            self.c_shear,
        )
        like = (torch.empty(0, dtype=torch.float64), *self.problem.media)
        return tuple(
            torch.from_numpy(g.conj() if medium.is_complex() else g.real.copy())
            for g, medium in zip(in_order, like, strict=True)
        )
