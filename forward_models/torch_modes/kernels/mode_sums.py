"""Sums of modes as a kernel over items and pairs of source, receiver and range."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from forward_models.torch_modes.kernels.launch import on

_PAIRS = 128  # of a program


@triton.jit
def _sums(
    phi,
    travelled,
    source,
    receiver,
    first,
    count,
    result,
    n_depths,
    n_pairs,
    n_ranges,
    n_travelled,
    PAIRS: tl.constexpr,
):
    item = tl.program_id(0).to(tl.int64)
    term = tl.program_id(1) * PAIRS + tl.arange(0, PAIRS)
    held = term < n_pairs * n_ranges
    pair = term // n_ranges
    a = tl.load(source + pair, mask=held, other=0)
    b = tl.load(receiver + pair, mask=held, other=0)
    # Ranges of one's own, or those that all pairs share.
    way = tl.where(n_travelled == n_ranges, term % n_ranges, term)
    mode = tl.load(first + item)
    real = tl.zeros([PAIRS], tl.float64)
    imag = tl.zeros([PAIRS], tl.float64)
    for _ in range(tl.load(count + item)):
        at_source = phi + 2 * (mode * n_depths + a)
        at_receiver = phi + 2 * (mode * n_depths + b)
        along = travelled + 2 * (mode * n_travelled + way)
        s_real = tl.load(at_source, mask=held, other=0.0)
        s_imag = tl.load(at_source + 1, mask=held, other=0.0)
        r_real = tl.load(at_receiver, mask=held, other=0.0)
        r_imag = tl.load(at_receiver + 1, mask=held, other=0.0)
        t_real = tl.load(along, mask=held, other=0.0)
        t_imag = tl.load(along + 1, mask=held, other=0.0)
        p_real = s_real * r_real - s_imag * r_imag
        p_imag = s_real * r_imag + s_imag * r_real
        real += p_real * t_real - p_imag * t_imag
        imag += p_real * t_imag + p_imag * t_real
        mode += 1
    place = result + 2 * (item * n_pairs * n_ranges + term)
    tl.store(place, real, mask=held)
    tl.store(place + 1, imag, mask=held)


def sum_modes(
    phi: Tensor, travelled: Tensor, source: Tensor, receiver: Tensor, counts: Tensor
) -> Tensor:
    """(items, Q, K): the sums over the modes of each item of φ at both ends times ``travelled``.

    Modes are (mode, D) in ``phi``, item by item; pair q joins the columns source[q] and
    receiver[q]; ``travelled`` is (mode, Q, K), or (mode, 1, K) for all pairs.
    """
    pairs, ranges = source.numel(), travelled.shape[2]
    result = torch.zeros((counts.numel(), pairs, ranges), dtype=phi.dtype, device=phi.device)
    if result.numel() == 0 or phi.numel() == 0:
        return result
    with on(phi.device):
        _sums[counts.numel(), triton.cdiv(pairs * ranges, _PAIRS)](
            torch.view_as_real(phi),
            torch.view_as_real(travelled),
            source,
            receiver,
            counts.cumsum(0) - counts,
            counts,
            torch.view_as_real(result),
            phi.shape[1],
            pairs,
            ranges,
            travelled.shape[1] * ranges,
            PAIRS=_PAIRS,
            num_warps=4,
        )
    return result
