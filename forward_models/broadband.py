"""Time series at receivers: the mode field of many frequencies, put together by Fourier synthesis.

    p(t) = 2 Re ∫ S(f) p(f) exp(-2πift) df,   S(f) = ∫ s(t) exp(2πift) dt

for a source that makes the pressure s(t) at 1 m (Jensen et al., *Computational Ocean Acoustics*,
ch. 8.2). Discrete frequencies make the result periodic; the window is therefore laid from the
fastest arrival to the slowest, by the group speeds of the modes, so that nothing wraps around.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from forward_models.environment import Environment
from forward_models.errors import ModelInputError
from forward_models.field import pressure
from forward_models.normal_modes import Modes, solve_modes
from forward_models.normal_modes.batch import Numbers, as_tensor
from forward_models.normal_modes.chunk import Attenuation
from forward_models.places import place_row, require_geometry

_IN_BAND = 1e-4  # of the largest amplitude of the pulse's spectrum
_FREQUENCIES_AT_ONCE = 64  # bounds the memory that modes take
_LONGEST = 2**21  # samples of a window
_INAUDIBLE = math.log(1e6)  # nepers: modes that have lost 120 dB need no room in the window
_GUARD = 0.05  # of the window at either end, for what the edges of the band ring


@dataclass(frozen=True)
class TimeSeries:
    """Pressure in time.

    Attributes:
        time: (K, N) s since the source began, for each range.
        pressure: (B, S, R, K, N), in the unit of the pulse, which is the pressure at 1 m.
    """

    time: Tensor
    pressure: Tensor


def time_series(
    environment: Environment,
    pulse: Numbers,
    sample_rate: float,
    *,
    source_depth: Numbers,
    receiver_depth: Numbers,
    range_m: Numbers,
    band: tuple[float, float] | None = None,
    c_high: float | None = None,
    attenuation: Attenuation = "exact",
) -> TimeSeries:
    """Time series of a pulse at every receiver; differentiable, by the pulse too.

    The time of range r runs from r over the largest group speed to r over the smallest, with the
    length of the pulse and a guard added. In a guide without half-space group speeds go to zero at
    cut-offs: ``c_high`` bounds them, at about c²/c_high, and with them the window. Where a mode of
    any strength begins inside the band, at its cut-off or at ``c_high``, the missing rest of the
    field shows as faint ringing over the whole window.

    Args:
        environment: B environments.
        pulse: (N0,) pressure at 1 m from the source, from t = 0 on.
        sample_rate: Hz, of the pulse and of the result.
        source_depth, receiver_depth, range_m: (S,), (R,), (K,) m, as for ``pressure``.
        band: lowest and highest frequency, Hz, between which the pulse is kept; None keeps what is
            within 80 dB of the peak of its spectrum.
        c_high, attenuation: as for :func:`forward_models.solve_modes`.

    Raises:
        ModelInputError: no mode in the band, a window longer than two million samples, a bad
            medium, place or band.

    Example (a 100 Hz pulse of five periods, 10 km away):

        >>> import numpy as np
        >>> from forward_models import Environment, HalfSpace, Layer, time_series
        >>> guide = Environment.from_layers(
        ...     [Layer([0, 100], [1500, 1500])], HalfSpace(1700, 1900, 0.5)
        ... )
        >>> t = np.arange(0, 0.05, 1 / 800)
        >>> pulse = np.sin(2 * np.pi * 100 * t) * np.sin(np.pi * t / 0.05) ** 2
        >>> heard = time_series(
        ...     guide, pulse, 800.0, band=(40.0, 160.0),
        ...     source_depth=[36.0], receiver_depth=[50.0], range_m=[10e3],
        ... )
        >>> tuple(heard.pressure.shape[:4]), bool(heard.time[0, 0] < 10e3 / 1500)
        ((1, 1, 1, 1), True)
    """
    samples = as_tensor(pulse)
    source, receiver = (
        place_row(name, values)
        for name, values in (("source_depth", source_depth), ("receiver_depth", receiver_depth))
    )
    ranges = place_row("range_m", range_m)
    require_geometry(environment, source[None], receiver[None], ranges[None])
    low, high = _band(samples, sample_rate, band)
    earliest, latest = _arrivals(
        environment, (low, high), ranges.detach().numpy(), c_high, attenuation
    )
    duration = float((latest - earliest).max()) + samples.numel() / sample_rate
    guard = _GUARD * duration
    if (duration + 2.0 * guard) * sample_rate > _LONGEST:
        raise ModelInputError(
            f"range: arrivals spread over {duration:g} s, more than {_LONGEST} samples; lower "
            "c_high, which leaves out the slowest, or the sample rate, or narrow the band"
        )
    n = next_fast_len(math.ceil((duration + 2.0 * guard) * sample_rate), real=True)
    # On the samples of the source's own time, so that windows of different length agree.
    start = torch.from_numpy(np.floor((earliest - guard) * sample_rate) / sample_rate)

    frequency = torch.arange(n // 2 + 1, dtype=torch.float64) * sample_rate / n
    used = torch.nonzero((frequency >= low) & (frequency <= high)).flatten()
    if used.numel() == 0:
        raise ModelInputError(
            f"band: {low:g} to {high:g} Hz holds no frequency of a window of "
            f"{n / sample_rate:g} s; widen it"
        )
    spectrum = torch.fft.rfft(samples, n)
    parts = []
    for rows in used.split(_FREQUENCIES_AT_ONCE):
        p = pressure(
            environment,
            frequency[rows],
            source_depth=source_depth,
            receiver_depth=receiver_depth,
            range_m=ranges,
            c_high=c_high,
            attenuation=attenuation,
        )
        # No mode, no sound. The transform of torch has the sign of exp(+iωt).
        p = torch.where(torch.isnan(p.detach().real), 0.0, p).conj()
        shift = torch.exp(2j * math.pi * frequency[rows, None] * start)
        parts.append(p * (spectrum[rows, None] * shift)[:, None, None, :])
    received = torch.cat(parts, dim=1).movedim(1, -1)
    whole = torch.nn.functional.pad(received, (int(used[0]), n // 2 - int(used[-1])))
    time = start[:, None] + torch.arange(n, dtype=torch.float64) / sample_rate
    return TimeSeries(time=time, pressure=torch.fft.irfft(whole, n))


def _band(
    samples: Tensor, sample_rate: float, band: tuple[float, float] | None
) -> tuple[float, float]:
    if not 0 < sample_rate < math.inf:
        raise ModelInputError(f"sample_rate: {sample_rate:g} Hz must be finite and above zero")
    nyquist = 0.5 * sample_rate
    if samples.ndim != 1 or samples.numel() == 0 or not torch.isfinite(samples).all():
        raise ModelInputError("pulse: must be a row of finite samples")
    if band is None:
        n = max(4 * samples.numel(), 256)
        spectrum = torch.fft.rfft(samples.detach(), n).abs()
        loud = torch.nonzero(spectrum > _IN_BAND * spectrum.max()).flatten() * sample_rate / n
        if loud.numel() == 0:
            raise ModelInputError("pulse: silent; give samples that are not all zero")
        # Nothing travels at 0 Hz, and at the Nyquist frequency there is no phase.
        step = sample_rate / n
        return max(float(loud[0]), step), min(float(loud[-1]), nyquist - step)
    if not 0 < band[0] < band[1] < nyquist:
        raise ModelInputError(
            f"band: {band[0]:g} to {band[1]:g} Hz must rise, above 0 and below {nyquist:g} Hz, "
            "half the sample rate"
        )
    return band


def _arrivals(
    environment: Environment,
    band: tuple[float, float],
    ranges: np.ndarray,
    c_high: float | None,
    attenuation: Attenuation,
) -> tuple[np.ndarray, np.ndarray]:
    """(first, last) group arrival in s at each range, of all modes that can be heard there."""
    found: np.ndarray | None = None
    for count in (33, 65, 129, 257, 513):  # until no slower group hides between the frequencies
        grid = np.linspace(*band, count)
        modes = solve_modes(environment, grid, c_high=c_high, attenuation=attenuation)
        before, found = found, _slowness(modes, ranges)
        if before is not None and np.allclose(before, found, rtol=1e-3, atol=0.0):
            break
    assert found is not None
    if not np.isfinite(found).all():
        raise ModelInputError(
            f"band: no mode between {band[0]:g} and {band[1]:g} Hz is heard at all ranges; raise "
            "the band or c_high, or take shorter ranges"
        )
    return ranges * found[0], ranges * found[1]


def _slowness(modes: Modes, ranges: np.ndarray) -> np.ndarray:
    """(2, K) least and largest 1/(group speed), s/m, of the modes heard at each range."""
    loss = modes.wavenumber.imag.detach().numpy()
    slowness = 1.0 / modes.group_speed.numpy()
    result = np.full((2, ranges.size), np.nan)
    for i, r in enumerate(ranges):
        heard = slowness[loss * r < _INAUDIBLE]  # what is padded is NaN and is not
        if heard.size:
            result[:, i] = max(heard.min(), 0.0), heard.max()
    return result
