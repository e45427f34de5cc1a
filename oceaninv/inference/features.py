"""What the network sees of a measurement: real numbers that do not depend on the source.

The source's amplitude and phase are unknown at each tone. The normalised cross-spectral matrix
R/tr R does not change when the data are multiplied by a complex number, so invariance need not be
learned. It also makes matched-field processing linear: the Bartlett power w†(R/tr R)w of any
replica w is a weighted sum of the features, so that one linear layer is a bank of matched fields.
"""

import torch
from torch import Tensor

from oceaninv.inference.matched_field import MatchedField
from oceaninv.inference.normal_fits import NormalFits


def measured_features(data: Tensor, aid: MatchedField | NormalFits | None) -> Tensor:
    """All that the network sees of data: their own features, with what an aid makes of them.

    Args:
        data: (n, K, F, R) complex pressure, or (n, F, P) levels

    Returns:
        (n, p) float32, with an aid ending with its guesses
    """
    own = pressure_features(data) if data.is_complex() else level_features(data)
    return aid.seen(own, data) if aid else own


def pressure_features(data: Tensor) -> Tensor:
    """Features of complex pressure: R/tr R with R = K⁻¹ Σ_k d_k d_k†, at each tone.

    Args:
        data: (n, K, F, R) complex pressure, snapshot by snapshot

    Returns:
        (n, F R²) float32: by tone the R diagonal values, then real and imaginary part of the
        R (R−1)/2 values above the diagonal
    """
    receivers = data.shape[-1]
    power = data.real.square() + data.imag.square()
    total = power.sum(-1, keepdim=True).mean(1, keepdim=True)
    unit = (data / total.sqrt()).to(torch.complex64)
    rows, columns = torch.triu_indices(receivers, receivers, 1)
    unit = unit.permute(0, 2, 3, 1)
    matrix = unit @ unit.mH / data.shape[1]  # a product: snapshots by pairs would fill the memory
    cross = matrix[..., rows, columns]
    diagonal = (power / total).mean(1).float()
    return torch.cat([diagonal, cross.real, cross.imag], -1).flatten(1)


def level_features(level: Tensor) -> Tensor:
    """Features of transmission loss (n, F, P) in dB: the mean at each tone, and what differs.

    The mean carries the unknown offset of the tone, the rest does not. A linear map of the levels
    that loses nothing, kept apart because their scales differ.

    Returns:
        (n, F (P + 1)) float32
    """
    mean = level.mean(-1, keepdim=True)
    return torch.cat([mean, level - mean], -1).flatten(1).float()
