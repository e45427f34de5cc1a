"""Time series: images of the source, group arrivals, energy, causality, linearity, wrap-around."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import hilbert
from torch import Tensor
from torch.autograd import gradcheck

from forward_models import (
    Environment,
    HalfSpace,
    Layer,
    ModelInputError,
    pressure,
    solve_modes,
    stack,
    time_series,
)

SPEED = 1500.0
GUIDE = Environment.from_layers([Layer([0, 100], [SPEED, SPEED])], HalfSpace(1700.0, 1900.0, 0.1))


def gaussian(t: np.ndarray, centre: float, width: float, middle: float) -> np.ndarray:
    """A tone burst of ``centre`` Hz with a Gaussian envelope of ``width`` s about ``middle`` s."""
    x = t - middle
    return np.exp(-0.5 * (x / width) ** 2) * np.cos(2.0 * np.pi * centre * x)


def test_a_guide_with_a_rigid_bottom_sounds_like_the_images_of_its_source() -> None:
    """Each image sends the pulse straight; loss, the same on both sides, ends the late arrivals."""
    depth, source, receiver, distance, rate, loss = 50.0, 20.0, 35.0, 2000.0, 1000.0, 0.1
    guide = Environment.from_layers(
        [Layer([0, depth], [SPEED, SPEED], 1000.0, loss)], attenuation_unit="W"
    )
    pulse = gaussian(np.arange(0, 0.12, 1 / rate), 120.0, 0.012, 0.06)
    heard = time_series(
        guide, pulse, rate, source_depth=source, receiver_depth=receiver, range_m=distance
    )
    n = 2**15
    f = np.fft.rfftfreq(n, 1 / rate)
    # c̃ = c - iαc²/ω with α = loss ω / (2π c · 8.686): k is proportional to the frequency.
    k = 2.0 * np.pi * f / (SPEED * (1.0 - 1j * loss / (40.0 * np.pi * np.log10(np.e))))
    response = np.zeros(f.size, complex)
    for m in range(-200, 201):
        for image, sign in ((2 * m * depth + source, 1), (2 * m * depth - source, -1)):
            r = np.hypot(distance, receiver - image)
            response += sign * (-1) ** m * np.exp(1j * k * r) / r
    expected = np.fft.irfft(np.fft.rfft(pulse, n) * response.conj(), n)
    first = round(float(heard.time[0, 0]) * rate)
    p = heard.pressure[0, 0, 0, 0].numpy()
    assert first < distance / SPEED * rate  # the window opens before the first arrival
    expected = expected[first : first + p.size]
    assert np.linalg.norm(p - expected) < 1e-3 * np.linalg.norm(expected)


def test_every_mode_arrives_with_its_group_speed() -> None:
    """A narrow band over 150 km: modes come one by one, the peak of each at r / (group speed)."""
    distance, centre, width, rate = 150e3, 60.0, 0.3, 400.0
    middle = 5 * width
    lossless = Environment.from_layers([Layer([0, 100], [SPEED] * 2)], HalfSpace(1700.0, 1900.0))
    pulse = gaussian(np.arange(0, 2 * middle, 1 / rate), centre, width, middle)
    heard = time_series(
        lossless, pulse, rate, source_depth=[20.0], receiver_depth=[33.0], range_m=[distance]
    )
    envelope = abs(hilbert(heard.pressure[0, 0, 0, 0].numpy()))
    time = heard.time[0].numpy()
    arrivals = distance / solve_modes(lossless, [centre]).group_speed[0, 0].numpy() + middle
    assert arrivals.size == 4
    assert np.diff(arrivals).min() > 5 * width
    for arrival in arrivals:
        near = abs(time - arrival) < 2 * width
        assert envelope[near].max() > 0.3 * envelope.max()
        # The last mode, near its cut-off, is the most dispersed: 17 ms, the others 3 ms.
        assert abs(time[near][envelope[near].argmax()] - arrival) < 0.06 * width


def test_energy_is_that_of_the_spectrum_and_nothing_comes_before_sound_can() -> None:
    rate, centre, width = 600.0, 100.0, 0.03
    middle = 6 * width
    pulse = gaussian(np.arange(0, 2 * middle, 1 / rate), centre, width, middle)
    ranges = [3e3, 8e3]
    where = {"source_depth": [30.0], "receiver_depth": [10.0, 60.0], "range_m": ranges}
    heard = time_series(GUIDE, pulse, rate, band=(75.0, 125.0), **where)  # type: ignore[arg-type]
    energy = (heard.pressure[0] ** 2).sum(-1) / rate
    # Parseval over frequencies of its own, with the closed spectrum of the pulse.
    f = np.linspace(75.0, 125.0, 4001)
    amplitude = width * np.sqrt(np.pi / 2) * np.exp(-2 * (np.pi * width * (f - centre)) ** 2)
    p = pressure(GUIDE, f, **where)[0].numpy()  # type: ignore[arg-type]
    expected = 2.0 * np.trapezoid(amplitude[:, None, None, None] ** 2 * abs(p) ** 2, f, axis=0)
    np.testing.assert_allclose(energy, expected, rtol=2e-3)
    for k, r in enumerate(ranges):
        early = heard.time[k] < r / SPEED + middle - 5 * width
        assert early.any()
        before = (heard.pressure[0, :, :, k, early] ** 2).sum(-1) / rate
        assert (before < 1e-5 * energy[..., k]).all()


def test_pulses_add_and_a_longer_window_changes_nothing() -> None:
    rate = 500.0
    t = np.arange(0, 0.3, 1 / rate)
    one, other = gaussian(t, 90.0, 0.02, 0.12), gaussian(t, 110.0, 0.03, 0.16)
    guides = stack(
        [GUIDE, Environment.from_layers([Layer([0, 90], [1500, 1480])], HalfSpace(1700, 1900, 0.2))]
    )

    def heard(pulse: np.ndarray) -> tuple[Tensor, Tensor]:
        result = time_series(
            guides,
            pulse,
            rate,
            band=(40.0, 160.0),
            source_depth=[30.0, 60.0],
            receiver_depth=[50.0],
            range_m=[15e3, 30e3],
        )
        return result.time, result.pressure

    (time, a), (_, b), (_, both) = heard(one), heard(other), heard(2.0 * one - 3.0 * other)
    assert a.shape[:4] == (2, 2, 1, 2)
    assert (both - (2.0 * a - 3.0 * b)).abs().max() < 1e-12 * both.abs().max()
    later, padded = heard(np.append(one, np.zeros(5 * one.size)))
    assert padded.shape[-1] > 1.5 * a.shape[-1]
    for k in range(2):
        ahead = round(float(time[k, 0] - later[k, 0]) * rate)
        torch.testing.assert_close(later[k, ahead : ahead + time.shape[1]], time[k])
        again = padded[..., k, ahead : ahead + time.shape[1]]
        assert (again - a[..., k, :]).norm() < 2e-3 * a[..., k, :].norm()


def test_gradcheck_by_the_pulse_and_the_source() -> None:
    def series(pulse: Tensor, source: Tensor) -> Tensor:
        return (
            1e3
            * time_series(
                GUIDE,
                pulse,
                150.0,
                band=(30.0, 50.0),
                source_depth=source,
                receiver_depth=[50.0],
                range_m=[1e3],
            ).pressure
        )

    pulse = torch.linspace(-1, 1, 6, dtype=torch.float64).sin().requires_grad_()
    source = torch.tensor([30.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(series, (pulse, source), eps=1e-5, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("pulse", "changed", "message"),
    [
        ([0.0, 0.0], {}, "pulse: silent"),
        ([0.0, np.nan], {}, "pulse: must be a row of finite samples"),
        ([0.0, 1.0], {"band": (100.0, 50.0)}, "band: 100 to 50 Hz must rise"),
        ([0.0, 1.0], {"band": (100.0, 300.0)}, "band: 100 to 300 Hz must rise"),
        ([0.0, 1.0], {"band": (1.0, 2.0)}, "band: no mode between 1 and 2 Hz"),
        ([0.0, 1.0], {"band": (100.0, 100.01)}, "band: 100 to 100.01 Hz holds no frequency"),
        ([0.0, 1.0], {"sample_rate": 0.0}, "sample_rate: 0 Hz"),
        ([0.0, 1.0], {"range_m": [1e3, -1.0]}, "range: -1 m must be"),
        ([0.0, 1.0], {"range_m": [1e11]}, "band: no mode between|range: arrivals spread"),
    ],
)
def test_bad_input_is_named(pulse: list[float], changed: dict[str, object], message: str) -> None:
    good = {"sample_rate": 400.0, "source_depth": 30.0, "receiver_depth": 50.0, "range_m": [1e3]}
    with pytest.raises(ModelInputError, match=message):
        time_series(GUIDE, pulse, **(good | changed))  # type: ignore[arg-type]


def test_slow_modes_of_an_ideal_guide_need_a_limit() -> None:
    ideal = Environment.from_layers([Layer([0, 100], [SPEED, SPEED])])
    where = {"source_depth": 30.0, "receiver_depth": 50.0, "range_m": [100e3]}
    pulse = gaussian(np.arange(0, 0.1, 1e-3), 150.0, 0.01, 0.05)
    with pytest.raises(ModelInputError, match="lower c_high"):
        time_series(ideal, pulse, 1e3, **where)  # type: ignore[arg-type]
    heard = time_series(ideal, pulse, 1e3, c_high=1600.0, **where)  # type: ignore[arg-type]
    assert heard.pressure.shape[-1] < 20_000
