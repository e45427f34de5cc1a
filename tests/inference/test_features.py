"""Features do not see the source, and lose nothing that matched-field processing uses."""

from __future__ import annotations

import torch

from oceaninv.inference.features import level_features, pressure_features


def pressure(n: int = 6, snapshots: int = 2, tones: int = 3, receivers: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (n, snapshots, tones, receivers)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


def test_a_source_of_any_amplitude_and_phase_gives_the_same_features() -> None:
    data = pressure()
    by_tone = torch.tensor([1e-7 + 3e-7j, -250.0 + 0j, 0.3 - 2e4j], dtype=torch.complex128)
    features = pressure_features(data)
    assert (pressure_features(data * by_tone[:, None]) - features).abs().max() < 1e-7
    # a phase that differs between snapshots is the source's too
    turned = data * torch.tensor([1.0, 1j], dtype=torch.complex128)[:, None, None]
    assert (pressure_features(turned) - features).abs().max() < 1e-7
    # but one phone that turns is not
    data[..., 2] *= 1j
    assert (pressure_features(data) - features).abs().max() > 0.1


def test_matched_field_processing_is_linear_in_the_features() -> None:
    data, receivers = pressure(), 5
    replica = pressure(n=1, snapshots=1, tones=1)[0, 0, 0]
    replica /= replica.norm()
    csdm = torch.einsum("nkfi,nkfj->nfij", data, data.conj()) / data.shape[1]
    power = torch.einsum("i,nfij,j->nf", replica.conj(), csdm, replica).real
    bartlett = power / csdm.diagonal(dim1=-2, dim2=-1).real.sum(-1)

    rows, columns = torch.triu_indices(receivers, receivers, 1)
    product = replica[rows].conj() * replica[columns]
    weight = torch.cat([replica.abs().square(), 2 * product.real, -2 * product.imag]).float()
    features = pressure_features(data).unflatten(1, (3, -1))
    assert (features @ weight - bartlett).abs().max() < 1e-6


def test_levels_keep_an_offset_in_one_number_by_tone() -> None:
    level = torch.randn(4, 2, 7, dtype=torch.float64)
    change = level_features(level + torch.tensor([3.0, -1.0])[:, None]) - level_features(level)
    change = change.unflatten(1, (2, 8))
    assert torch.allclose(change[..., 0], torch.tensor([3.0, -1.0]).expand(4, 2), atol=1e-5)
    assert change[..., 1:].abs().max() < 1e-5
