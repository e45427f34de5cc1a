"""Normal guesses of the posterior, as numbers among the features: mean and covariance.

A guess says of each unknown how it is distributed given those before it,

    v_i | v_1 … v_(i−1) ~ N(m_i − Σ_(j<i) b_ij (v_j − m_j), σ_i²),

so that the unknowns may be taken from different guesses and still give a normal density together.
"""

import torch
from torch import Tensor


def guess_size(dim: int) -> int:
    """Numbers in a guess of `dim` unknowns: m, ln σ and the b_ij by rows."""
    return dim * (dim + 3) // 2


def normal_guess(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The guess of a normal distribution with mean (n, d) and covariance (n, d, d).

    Returns:
        guess (n, `guess_size(d)`), and the lower triangular matrices (n, d, d) that whiten v − m:
        the inverse Cholesky factors of the covariances, with 1/σ_i on their diagonals
    """
    d = mean.shape[-1]
    factor = torch.linalg.cholesky(covariance)
    eye = torch.eye(d, dtype=factor.dtype).expand_as(factor)
    matrix = torch.linalg.solve_triangular(factor, eye, upper=False)
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    rows, columns = torch.tril_indices(d, d, -1)
    below = (matrix / diagonal[..., None])[..., rows, columns]
    return torch.cat([mean, -diagonal.log(), below], -1), matrix


def whitening(guess: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Matrices W (..., d, d) and offsets t (..., d) of guesses (..., g): W v − t is white."""
    mean, log_sd, below = guess.split([dim, dim, dim * (dim - 1) // 2], -1)
    rows, columns = torch.tril_indices(dim, dim, -1)
    unit = torch.eye(dim, dtype=guess.dtype).repeat(*guess.shape[:-1], 1, 1)
    unit[..., rows, columns] = below
    matrix = unit * (-log_sd).exp()[..., None]
    return matrix, (matrix @ mean[..., None])[..., 0]
