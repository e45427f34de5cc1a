"""Units of attenuation, and what the size of its grains says of a sediment.

The letters of the Acoustics Toolbox and what they mean:

========  ==================================  =========================================
letter    value α is in                       amplitude decay in Np/m
========  ==================================  =========================================
``N``     Np/m                                α
``M``     dB/m                                α / 8.6859
``m``     dB/m at the reference frequency f₀  α (f/f₀)^β / 8.6859
``F``     dB/(m kHz), the same as dB/(km Hz)  α (f/1000) / 8.6859
``W``     dB/wavelength                       α f / (8.6859 c)
``Q``     quality factor (0 means no loss)    π f / (c α)
``L``     loss tangent                        2π f α / c
========  ==================================  =========================================

with 8.6859 = 20/ln 10 dB/Np. Source: Acoustics Toolbox, environmental file, TOPOPT(3:3); Jensen,
Kuperman, Porter & Schmidt, Computational Ocean Acoustics (2011), chapter 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from forward_models.errors import ModelInputError

DB_PER_NEPER = 20.0 / math.log(10.0)

UNIT_NAMES = {
    "N": "Np/m",
    "M": "dB/m",
    "m": "dB/m at a reference frequency, with a power law",
    "F": "dB/(m kHz)",
    "W": "dB/wavelength",
    "Q": "quality factor",
    "L": "loss tangent",
}

Values = Tensor | float


def attenuation_to_nepers(
    value: Values,
    unit: str,
    sound_speed: Values,
    frequency: Values,
    *,
    power_law: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Decay of the pressure amplitude in Np/m, by the table above; the arguments broadcast.

    Args:
        value: attenuation in ``unit``, zero or more.
        unit: one letter of the table.
        sound_speed: m/s, where the attenuation holds.
        frequency: Hz.
        power_law: reference frequency f₀ (Hz) and exponent β of the unit ``m``.

    Returns:
        float64 tensor; differentiable in ``value``, ``sound_speed`` and ``frequency``.

    Raises:
        ModelInputError: ``unit`` is not in the table.

    Example (SWellEx-96 sediment, 0.2 dB/(m kHz) at 388 Hz):

        >>> round(float(attenuation_to_nepers(0.2, "F", 1572.0, 388.0)), 7)
        0.008934
    """
    alpha, c, f = (_tensor(x) for x in (value, sound_speed, frequency))
    if unit == "Q":
        lossless = alpha == 0
        return torch.where(lossless, 0.0, math.pi * f / (c * torch.where(lossless, 1.0, alpha)))
    return alpha * _nepers_per_unit(unit, c, f, power_law)


def attenuation_from_nepers(
    nepers: Values,
    unit: str,
    sound_speed: Values,
    frequency: Values,
    *,
    power_law: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """The attenuation in ``unit`` of a decay in Np/m: the inverse of :func:`attenuation_to_nepers`.

    Example (SWellEx-96 sediment: 0.2 dB/(m kHz) is 0.314 dB/wavelength, whatever the frequency):

        >>> decay = attenuation_to_nepers(0.2, "F", 1572.0, 100.0)
        >>> round(float(attenuation_from_nepers(decay, "W", 1572.0, 100.0)), 4)
        0.3144
    """
    alpha, c, f = (_tensor(x) for x in (nepers, sound_speed, frequency))
    if unit == "Q":
        return attenuation_to_nepers(alpha, "Q", c, f)  # α → πf/(cα) is its own inverse
    return alpha / _nepers_per_unit(unit, c, f, power_law)


class Sediment(NamedTuple):
    """Surface sediment: speed over that of the water at the bottom, kg/m³, dB/(m kHz)."""

    speed_ratio: float
    density: float
    attenuation: float


def sediment_of_grain_size(mean_grain_size: float) -> Sediment:
    """What to expect of the upper 30 cm of a shelf or slope, given its mean grain size in φ.

    Speed ratio (1952.5 - 86.26 φ + 4.14 φ²) / 1528 and density 2.374 - 0.175 φ + 0.008 φ² g/cm³:
    E. L. Hamilton & R. T. Bachman, JASA 72, 1891 (1982), appendix, continental terrace; 1528 m/s is
    the water of their laboratory, 23 °C at one atmosphere (APL-UW TR 9407, 1994, IV-8), so that the
    ratio holds in other water. Standard errors are 0.019 in the ratio and 110 kg/m³. Attenuation
    k_p(φ), unit ``F``: E. L. Hamilton, Geophysics 37, 620 (1972), fig. 3; it scatters by a factor
    of two and was measured at 14 to 100 kHz.

    Args:
        mean_grain_size: φ = -log₂(diameter in mm), 1 (coarse sand) to 9 (clay).

    Raises:
        ModelInputError: a grain size outside 1 to 9 φ, where the regressions do not hold.

    Example (very fine sand, against the measured class means 1.120 and 1.878 g/cm³):

        >>> sand = sediment_of_grain_size(3.34)
        >>> round(sand.speed_ratio, 3), round(sand.density), round(sand.attenuation, 3)
        (1.119, 1879, 0.614)
    """
    phi = mean_grain_size
    if not 1 <= phi <= 9:
        raise ModelInputError(f"mean_grain_size: {phi:g} must lie between 1 and 9 (phi)")
    if phi < 2.6:
        attenuation = 0.4556 + 0.0245 * phi
    elif phi < 4.5:
        attenuation = 0.1978 + 0.1245 * phi
    elif phi < 6.0:
        attenuation = 8.0399 - 2.5228 * phi + 0.20098 * phi**2
    else:
        attenuation = 0.9431 - 0.2041 * phi + 0.0117 * phi**2
    return Sediment(
        speed_ratio=(1952.5 - 86.26 * phi + 4.14 * phi**2) / 1528.0,
        density=1000.0 * (2.374 - 0.175 * phi + 0.008 * phi**2),
        attenuation=attenuation,
    )


def _nepers_per_unit(unit: str, c: Tensor, f: Tensor, power_law: tuple[float, float]) -> Tensor:
    """Np/m for one unit, for the units that are proportional to Np/m."""
    match unit:
        case "N":
            return torch.ones_like(f)
        case "M":
            return torch.ones_like(f) / DB_PER_NEPER
        case "m":
            reference, exponent = power_law
            return (f / reference) ** exponent / DB_PER_NEPER
        case "F":
            return f / (1000.0 * DB_PER_NEPER)
        case "W":
            return f / (DB_PER_NEPER * c)
        case "L":
            return 2.0 * math.pi * f / c
    raise ModelInputError(
        f"attenuation_unit: {unit!r} is unknown; use one of {', '.join(UNIT_NAMES)}"
    )


def _tensor(x: Values) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float64)
