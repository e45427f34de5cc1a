"""The solver on tensors against the compiled one: another program of the same equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference_cases import CORE, HARD, Case, load_case
from torch import Tensor

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    array_pressure,
    pressure,
    solve_modes,
    stack,
)
from forward_models.normal_modes.batch import make_problem
from forward_models.torch_modes import stream_modes
from forward_models.torch_modes.real_modes import count_modes, real_modes
from forward_models.torch_modes.shots import ends_of, make_blocks, make_shots
from forward_models.torch_modes.table import Table

NO_CUDA = "NO CUDA DEVICE HERE: the path that runs on a GPU was tested on torch's CPU device only"
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA)),
]
LAYERED = [f"rand{i:02d}" for i in range(4)]


def tones_of(case: Case) -> list[float]:
    """The lowest tone and the highest of those with a hundred modes at most."""
    few = [tone for tone, answers in case.answers.items() if answers.k["exact"].size <= 100]
    return sorted({next(iter(case.answers)), *few[-1:]})


def pressure_of(case: Case, environment: Environment, tones: list[float], **how: str) -> Tensor:
    return pressure(
        environment,
        tones,
        source_depth=case.source_depth,
        receiver_depth=case.receiver_depth,
        range_m=[1000.0 * r for r in case.range_km],
        c_high=case.env["c_high"],
        **how,
    ).cpu()


def largest_error(p: Tensor, expected: Tensor) -> float:
    """Largest of the relative L2 errors over receivers and ranges of each tone."""
    error = (p - expected).flatten(2).norm(dim=-1) / expected.flatten(2).norm(dim=-1)
    return float(error.max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CORE + HARD)
def test_exact_modes_and_pressure_equal_the_compiled_ones(name: str, device: str) -> None:
    case = load_case(name)
    tones = tones_of(case)
    compiled = solve_modes(case.environment, tones, c_high=case.env["c_high"])
    modes = solve_modes(case.environment, tones, c_high=case.env["c_high"], device=device)
    assert modes.wavenumber.device.type == device
    torch.testing.assert_close(modes.n_modes.cpu(), compiled.n_modes, rtol=0, atol=0)
    torch.testing.assert_close(
        modes.wavenumber.cpu(), compiled.wavenumber, rtol=1e-9, atol=0, equal_nan=True
    )
    # The group speeds of pairs alike to 1e-16 (twin_duct) are those of any basis.
    torch.testing.assert_close(
        modes.group_speed.cpu(),
        compiled.group_speed,
        rtol=1e-6 if name == "twin_duct" else 1e-9,
        atol=0,
        equal_nan=True,
    )
    p = pressure_of(case, case.environment, tones, device=device)
    assert largest_error(p, pressure_of(case, case.environment, tones)) < 1e-6
    for i, tone in enumerate(tones):
        expected = torch.from_numpy(case.answers[tone].p["exact"])
        assert (p[0, i, 0] - expected).norm() < 1e-4 * expected.norm()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["swellex", "rand03", "double_duct", "high_loss", "ideal_rigid"])
def test_perturbative_modes_and_pressure_equal_the_compiled_ones(name: str, device: str) -> None:
    case = load_case(name)
    tones = tones_of(case)
    how = {"c_high": case.env["c_high"], "attenuation": "perturbative"}
    compiled = solve_modes(case.environment, tones, depth=case.receiver_depth, **how)
    modes = solve_modes(case.environment, tones, depth=case.receiver_depth, device=device, **how)
    torch.testing.assert_close(
        modes.wavenumber.cpu(), compiled.wavenumber, rtol=1e-9, atol=0, equal_nan=True
    )
    torch.testing.assert_close(
        modes.mode_function.cpu(), compiled.mode_function, rtol=0, atol=1e-8, equal_nan=True
    )
    p = pressure_of(case, case.environment, tones, attenuation="perturbative", device=device)
    expected = pressure_of(case, case.environment, tones, attenuation="perturbative")
    assert largest_error(p, expected) < 1e-6


def mixed_batch() -> tuple[Environment, list[float]]:
    """One to six segments and a tone each of a few and of many modes."""
    guides = [load_case(name).environment for name in LAYERED]
    shallow = Environment.from_layers(
        [Layer([0, 40], [1500, 1490])], HalfSpace(1700, 1800, 0.5), attenuation_unit="W"
    )
    same = [Environment(**{**vars(guide), "attenuation_unit": "W"}) for guide in (*guides, shallow)]
    return stack(same), [30.0, 120.0, 400.0]


def test_a_batch_equals_its_environments_one_by_one() -> None:
    batch, tones = mixed_batch()
    depth = [10.0, 30.0]
    together = solve_modes(batch, tones, depth=depth, device="cpu")
    for i in range(len(batch)):
        alone = solve_modes(batch[i], tones, depth=depth, device="cpu")
        most = alone.wavenumber.shape[2]
        assert torch.isnan(together.wavenumber[i, :, most:].real).all()
        torch.testing.assert_close(together.n_modes[i], alone.n_modes[0])
        for name in ("wavenumber", "mode_function", "group_speed"):
            torch.testing.assert_close(
                getattr(together, name)[i, :, :most],
                getattr(alone, name)[0],
                rtol=1e-10,
                atol=1e-10,
                equal_nan=True,
            )


def test_steps_spent_waiting_stay_below_a_fifth_in_a_mixed_batch() -> None:
    batch, tones = mixed_batch()
    items = make_problem(batch, tones, None).items(slice(0, len(batch)))
    sizes = np.diff(items.first)
    assert sizes.max() > 5 * sizes.min()  # it is a mixture
    table = Table.upload(items, torch.device("cpu"))
    lanes, x = real_modes(table, count_modes(table, torch.float64), torch.float64)
    for last in (True, False):
        ends = ends_of(table, lanes, x, last=last)
        shots = make_shots(table, lanes, ends)
        assert shots.useful <= shots.made < 1.2 * shots.useful


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60))
def test_blocks_cover_all_steps_and_waste_a_tenth_at_most(counts: list[int]) -> None:
    alive = np.array(sorted(counts, reverse=True))
    found = make_blocks(alive)
    assert [b.start for b in found] == list(np.cumsum([0, *(b.size for b in found)])[:-1])
    assert sum(b.size for b in found) == alive.size
    assert all(b.alive == alive[b.start] for b in found)
    assert sum(b.size * b.alive for b in found) <= 1.1 * alive.sum()


def test_a_stream_holds_one_chunk_at_a_time_and_loses_nothing() -> None:
    batch, tones = mixed_batch()
    problem = make_problem(batch[torch.arange(5).repeat(2)], tones[:2], None)
    depth = torch.tensor([[10.0]], dtype=torch.float64).expand(len(problem), 1)
    ((_, whole),) = stream_modes(problem, depth, "exact", device="cpu", lanes=10**6)
    single = [
        modes.k.numel() for _, modes in stream_modes(problem, depth, "exact", device="cpu", lanes=1)
    ]
    assert len(single) == len(problem)
    for lanes in (60, 120):
        chunks = list(stream_modes(problem, depth, "exact", device="cpu", lanes=lanes))
        assert [rows.start for rows, _ in chunks][1:] == [rows.stop for rows, _ in chunks][:-1]
        assert chunks[-1][0].stop == len(problem)
        # Of the lanes asked for, or those of one environment, whatever the number of environments.
        assert max(modes.k.numel() for _, modes in chunks) <= max(1.1 * lanes, max(single))
        k = torch.cat([modes.k for _, modes in chunks])
        torch.testing.assert_close(k, whole.k, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("precision", "k_error", "p_error"), [("mixed", 1e-12, 1e-9), ("single", 5e-8, 1e-4)]
)
def test_what_lower_precision_costs(precision: str, k_error: float, p_error: float) -> None:
    case = load_case("rand05")
    tones = tones_of(case)
    exact = solve_modes(case.environment, tones, c_high=case.env["c_high"]).wavenumber
    k = solve_modes(
        case.environment, tones, c_high=case.env["c_high"], device="cpu", precision=precision
    ).wavenumber
    torch.testing.assert_close(k, exact, rtol=k_error, atol=0, equal_nan=True)
    p = pressure_of(case, case.environment, tones, device="cpu", precision=precision)
    assert largest_error(p, pressure_of(case, case.environment, tones)) < p_error


def test_array_pressure_and_guides_without_modes_equal_the_compiled_ones() -> None:
    slow = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1400, 1500))
    fast = Environment.from_layers([Layer([0, 100], [1500, 1480])], HalfSpace(1700, 1500, 0.5))
    batch = stack([slow, fast, slow])
    places = {
        "source_depth": [20.0, 30.0, 40.0],
        "receiver_depth": [[10.0, 50.0]],
        "range_m": [[1000.0, 1010.0]] * 3,
    }
    p = array_pressure(batch, [50.0, 90.0], device="cpu", **places)
    torch.testing.assert_close(
        p, array_pressure(batch, [50.0, 90.0], **places), rtol=1e-10, atol=0, equal_nan=True
    )
    assert torch.isnan(p[0].real).all()
    assert solve_modes(slow, [50.0], depth=[3.0], device="cpu").mode_function.shape == (1, 1, 0, 1)


@pytest.mark.parametrize("device", DEVICES)
def test_of_no_places_or_environments_there_is_no_pressure(device: str) -> None:
    guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
    for environment, depths, ranges in (
        (guide, [50.0], []),
        (guide, [], [1000.0]),
        (guide, [], []),
        (guide[0:0], [50.0, 60.0], [1000.0]),
    ):
        batch = len(environment)
        p = pressure(
            environment,
            [100.0, 200.0],
            source_depth=36.0,
            receiver_depth=depths,
            range_m=ranges,
            device=device,
        )
        assert p.device.type == device
        assert p.dtype == torch.complex128
        assert p.shape == (batch, 2, 1, len(depths), len(ranges))
    p = array_pressure(
        guide[0:0],
        100.0,
        source_depth=[],
        receiver_depth=[50.0],
        range_m=[1000.0],
        device=device,
    )
    assert p.shape == (0, 1, 1)


def test_what_a_device_cannot_do_is_refused_by_name() -> None:
    guide = Environment.from_layers([Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1500))
    for nowhere in ("abacus", "meta"):
        with pytest.raises(ModelInputError, match=f"device: '{nowhere}' cannot be used here"):
            solve_modes(guide, [50.0], device=nowhere)
    with pytest.raises(ModelInputError, match="precision: 'mixed' is for a device"):
        solve_modes(guide, [50.0], precision="mixed")
    with pytest.raises(ModelInputError, match="precision: 'half' is unknown"):
        solve_modes(guide, [50.0], device="cpu", precision="half")
    with pytest.raises(ModelInputError, match="attenuation: 'none' is unknown"):
        solve_modes(guide, [50.0], device="cpu", attenuation="none")
    guide.thickness.requires_grad_()
    with pytest.raises(ModelInputError, match="device: cpu gives no gradients; leave device out"):
        solve_modes(guide, [50.0], device="cpu")


@pytest.mark.parametrize("attenuation", ["exact", "perturbative"])
@pytest.mark.parametrize("device", DEVICES)
def test_modes_that_all_but_coincide_have_the_loss_of_the_compiled_ones(
    device: str, attenuation: str
) -> None:
    gas = Layer([100, 110], [393, 393], density=1600, attenuation=0.5)
    guide = Environment.from_layers(
        [Layer([0, 100], [1500, 1500]), gas], HalfSpace(1700, 1800, 0.5)
    )
    compiled, found = (
        solve_modes(guide, [266.0], device=where, attenuation=attenuation)
        for where in (None, device)
    )
    torch.testing.assert_close(
        found.wavenumber.cpu(), compiled.wavenumber, rtol=1e-9, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("attenuation", ["exact", "perturbative"])
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("faster", "of_phi"), [(1e-2, 1e-6), (1e-4, 1e-3), (1e-6, 0.5), (1e-9, 1e-6)]
)
def test_modes_near_cut_off_equal_the_compiled_ones(
    faster: float, of_phi: float, device: str, attenuation: str
) -> None:
    # The third mode is at cut-off over a half-space slower by ``faster`` m/s. Rounding of k² is
    # 2e-4 of that in the half-space at 1e-4 m/s, as large at 1e-6; below it all are at cut-off.
    omega, depth = 2 * np.pi * 50.0, 100.0
    at_cut_off = (1500.0**-2 - (2.5 * np.pi / depth / omega) ** 2) ** -0.5
    guide = Environment.from_layers(
        [Layer([0, depth], [1500, 1500])], HalfSpace(at_cut_off + faster, 1800)
    )
    compiled, found = (
        solve_modes(guide, [50.0], depth=[30.0], device=where, attenuation=attenuation)
        for where in (None, device)
    )
    assert int(found.n_modes) == int(compiled.n_modes) == 3
    torch.testing.assert_close(found.wavenumber.cpu(), compiled.wavenumber, rtol=1e-14, atol=0)
    torch.testing.assert_close(
        found.mode_function.cpu(), compiled.mode_function, rtol=of_phi, atol=0
    )
