"""Sea water: sound speed from temperature and salinity, and absorption of sound.

Temperatures are in °C on the scale ITS-90, salinities practical (PSS-78), depths in m, positive
down; arguments broadcast. Absorption is in **dB/m** (the papers' formulas give dB/km).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gsw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from forward_models.errors import ModelInputError

Floats = NDArray[np.float64]
Formula = Literal["teos10", "unesco", "del_grosso", "mackenzie", "medwin"]

DBAR_PER_KG_CM2 = 9.80665  # 1 kgf/cm² = 98066.5 Pa


def sound_speed(
    temperature: ArrayLike,
    salinity: ArrayLike,
    depth: ArrayLike,
    latitude: ArrayLike,
    *,
    longitude: ArrayLike | None = None,
    formula: Formula = "teos10",
) -> Floats:
    """Sound speed of sea water in m/s.

    ``"teos10"`` (IOC, SCOR & IAPSO 2010) is the standard; the others serve to compare with older
    work. Where a formula takes pressure it is that of the standard ocean at ``depth`` and
    ``latitude``. The older formulas were made for temperatures on the scale IPTS-68, to which the
    temperature is converted (T₆₈ = 1.00024 T₉₀).

    Args:
        temperature: °C, ITS-90.
        salinity: practical salinity.
        depth: m.
        latitude: degrees north.
        longitude: degrees east; with it ``"teos10"`` allows for the composition of the sea water
            there, which changes the speed by 0.03 m/s at most.
        formula: ``"teos10"``, ``"unesco"``, ``"del_grosso"``, ``"mackenzie"`` or ``"medwin"``.

    Raises:
        ModelInputError: unknown formula.

    Example (10 °C at 100 m):

        >>> round(float(sound_speed(10.0, 35.0, 100.0, 45.0)), 2)
        1491.43
    """
    t, s, z = (np.asarray(v, np.float64) for v in (temperature, salinity, depth))
    t68 = 1.00024 * t
    match formula:
        case "mackenzie":
            return mackenzie(t68, s, z)
        case "medwin":
            return medwin(t68, s, z)
        case "teos10" | "unesco" | "del_grosso":
            pressure = gsw.p_from_z(-z, latitude)
        case _:
            raise ModelInputError(
                f"formula: {formula!r} is unknown; use teos10, unesco, del_grosso, mackenzie or "
                "medwin"
            )
    if formula == "unesco":
        return unesco(t68, s, pressure)
    if formula == "del_grosso":
        return del_grosso(t68, s, pressure)
    if longitude is None:
        absolute = gsw.SR_from_SP(s)
    else:
        absolute = gsw.SA_from_SP(s, pressure, longitude, latitude)
    return np.asarray(gsw.sound_speed_t_exact(absolute, t, pressure))


def unesco(temperature_68: ArrayLike, salinity: ArrayLike, pressure: ArrayLike) -> Floats:
    """Sound speed in m/s after Chen & Millero (1977), the UNESCO equation.

    C.-T. Chen & F. J. Millero, JASA 62, 1129; coefficients as in N. P. Fofonoff & R. C. Millard,
    UNESCO Technical Papers in Marine Science 44 (1983), eq. 33. Holds for 0 to 40 °C (IPTS-68),
    salinities 0 to 40, gauge pressures 0 to 10,000 dbar.

    Example (the check value of the UNESCO paper):

        >>> round(float(unesco(40.0, 40.0, 10000.0)), 3)
        1731.995
    """
    t, s, p = _floats(temperature_68, salinity, pressure)
    p = 0.1 * p  # bar
    water = _polynomial(p, [_polynomial(t, row) for row in _UNESCO_C])
    a = _polynomial(p, [_polynomial(t, row) for row in _UNESCO_A])
    b = -1.922e-2 - 4.42e-5 * t + (7.3637e-5 + 1.7945e-7 * t) * p
    d = 1.727e-3 - 7.9836e-6 * p
    return water + a * s + b * s**1.5 + d * s**2


def del_grosso(temperature_68: ArrayLike, salinity: ArrayLike, pressure: ArrayLike) -> Floats:
    """Sound speed in m/s after V. A. Del Grosso, JASA 56, 1084 (1974), the NRL II equation.

    Holds for 0 to 30 °C (IPTS-68), salinities 30 to 40, gauge pressures 0 to 9,807 dbar. The best
    in deep water, by travel times over long ranges (Dushaw et al., JASA 93, 255, 1993).
    """
    t, s, p = _floats(temperature_68, salinity, pressure)
    p = p / DBAR_PER_KG_CM2
    of_t = _polynomial(t, (0.0, 5.01109398873, -5.50946843172e-2, 2.21535969240e-4))
    of_s = _polynomial(s, (0.0, 1.32952290781, 1.28955756844e-4))
    of_p = _polynomial(p, (0.0, 1.56059257041e-1, 2.44998688441e-5, -8.83392332513e-9))
    mixed = (
        6.35191613389e-3 * t * p
        + 2.65484716608e-8 * t**2 * p**2
        - 1.59349479045e-6 * t * p**2
        + 5.22116437235e-10 * t * p**3
        - 4.38031096213e-7 * t**3 * p
        - 1.61674495909e-9 * s**2 * p**2
        + 9.68403156410e-5 * t**2 * s
        + 4.85639620015e-6 * t * s**2 * p
        - 3.40597039004e-4 * t * s * p
        - 1.27562783426e-2 * t * s
    )
    return 1402.392 + of_t + of_s + of_p + mixed


def mackenzie(temperature: ArrayLike, salinity: ArrayLike, depth: ArrayLike) -> Floats:
    """Sound speed in m/s after K. V. Mackenzie, JASA 70, 807 (1981); depth in m.

    Standard error 0.07 m/s; holds for 2 to 30 °C, salinities 25 to 40, depths to 8,000 m.

    Example (the check value of the paper):

        >>> round(float(mackenzie(25.0, 35.0, 1000.0)), 3)
        1550.744
    """
    t, s, z = _floats(temperature, salinity, depth)
    return (
        1448.96
        + 4.591 * t
        - 5.304e-2 * t**2
        + 2.374e-4 * t**3
        + 1.340 * (s - 35.0)
        + 1.630e-2 * z
        + 1.675e-7 * z**2
        - 1.025e-2 * t * (s - 35.0)
        - 7.139e-13 * t * z**3
    )


def medwin(temperature: ArrayLike, salinity: ArrayLike, depth: ArrayLike) -> Floats:
    """Sound speed in m/s after H. Medwin, JASA 58, 1318 (1975); depth in m.

    Holds for 0 to 35 °C, salinities 0 to 45, depths to 1,000 m, to about 0.2 m/s.
    """
    t, s, z = _floats(temperature, salinity, depth)
    return (
        1449.2
        + 4.6 * t
        - 0.055 * t**2
        + 0.00029 * t**3
        + (1.34 - 0.010 * t) * (s - 35.0)
        + 0.016 * z
    )


@dataclass(frozen=True)
class Thorp:
    """Thorp's absorption, as the Acoustics Toolbox has it (``T`` in TOPOPT(4:4))."""

    def absorption(self, frequency: ArrayLike) -> Floats:
        """Absorption in dB/m at frequencies in Hz."""
        return thorp(frequency)


@dataclass(frozen=True)
class FrancoisGarrison:
    """Absorption of Francois & Garrison at one place (``F`` in TOPOPT(4:4)).

    Attributes:
        temperature: °C.
        salinity: practical salinity.
        ph: acidity; 8 is usual near the surface, 7.7 at depth.
        depth: m, the depth that stands for the whole column (z_bar of the Acoustics Toolbox).
    """

    temperature: float
    salinity: float
    ph: float
    depth: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not abs(value) < float("inf"):
                raise ModelInputError(f"volume_attenuation: {name}: {value:g} must be finite")
        for name in ("salinity", "depth"):
            if getattr(self, name) < 0:
                raise ModelInputError(
                    f"volume_attenuation: {name}: {getattr(self, name):g} must be zero or more"
                )

    def absorption(self, frequency: ArrayLike) -> Floats:
        """Absorption in dB/m at frequencies in Hz."""
        return francois_garrison(
            frequency, self.temperature, self.salinity, ph=self.ph, depth=self.depth
        )


VolumeAttenuation = Thorp | FrancoisGarrison


def thorp(frequency: ArrayLike) -> Floats:
    """Absorption of sea water at 4 °C and 1,000 m in dB/m after W. H. Thorp (1967), updated.

    α = 3.3·10⁻³ + 0.11 f²/(1 + f²) + 44 f²/(4100 + f²) + 3·10⁻⁴ f² in dB/km with f in kHz: Jensen,
    Kuperman, Porter & Schmidt (2011), eq. 1.47, which the Acoustics Toolbox uses.

    Example (Hz in, dB/m out):

        >>> round(1000 * float(thorp(10e3)), 3)
        1.19
    """
    f2 = (np.asarray(frequency, np.float64) / 1000.0) ** 2
    return (3.3e-3 + 0.11 * f2 / (1.0 + f2) + 44.0 * f2 / (4100.0 + f2) + 3e-4 * f2) / 1000.0


def francois_garrison(
    frequency: ArrayLike,
    temperature: ArrayLike,
    salinity: ArrayLike,
    *,
    ph: ArrayLike,
    depth: ArrayLike,
) -> Floats:
    """Absorption of sea water in dB/m: boric acid, magnesium sulphate and pure water.

    R. E. Francois & G. R. Garrison, JASA 72, 1879 (1982), Part II; within 5 % for -2 to 22 °C,
    salinities 30 to 35, depths to 3,500 m, 0.4 to 1,000 kHz. The older scale of temperature makes
    no difference at that accuracy.

    Args:
        frequency: Hz.
        temperature: °C.
        salinity: practical salinity.
        ph: acidity.
        depth: m.

    Example (Hz in, dB/m out):

        >>> round(1000 * float(francois_garrison(10e3, 10.0, 35.0, ph=8.0, depth=1000.0)), 3)
        0.845
    """
    f, t, s, acidity, z = _floats(frequency, temperature, salinity, ph, depth)
    f2 = (f / 1000.0) ** 2
    kelvin = 273.0 + t
    c = 1412.0 + 3.21 * t + 1.19 * s + 0.0167 * z
    boric = 8.86 / c * 10.0 ** (0.78 * acidity - 5.0)
    f_boric = 2.8 * np.sqrt(s / 35.0) * 10.0 ** (4.0 - 1245.0 / kelvin)
    sulphate = 21.44 * s / c * (1.0 + 0.025 * t) * (1.0 - 1.37e-4 * z + 6.2e-9 * z**2)
    f_sulphate = 8.17 * 10.0 ** (8.0 - 1990.0 / kelvin) / (1.0 + 0.0018 * (s - 35.0))
    water = np.where(
        t <= 20.0,
        _polynomial(t, (4.937e-4, -2.59e-5, 9.11e-7, -1.50e-8)),
        _polynomial(t, (3.964e-4, -1.146e-5, 1.45e-7, -6.5e-10)),
    ) * (1.0 - 3.83e-5 * z + 4.9e-10 * z**2)
    relaxation = boric * f_boric * f2 / (f_boric**2 + f2)
    relaxation = relaxation + sulphate * f_sulphate * f2 / (f_sulphate**2 + f2)
    return (relaxation + water * f2) / 1000.0


def ainslie_mccolm(
    frequency: ArrayLike,
    temperature: ArrayLike,
    salinity: ArrayLike,
    *,
    ph: ArrayLike,
    depth: ArrayLike,
) -> Floats:
    """Absorption of sea water in dB/m, simplified from Francois & Garrison.

    M. A. Ainslie & J. G. McColm, JASA 103, 1671 (1998); within 10 % of Francois & Garrison from
    100 Hz to 1 MHz for -6 to 35 °C, pH 7.7 to 8.3, salinities 5 to 50, depths to 7,000 m, one
    varied at a time about 10 °C, pH 8, salinity 35 at the surface. Arguments as there.
    """
    f, t, s, acidity, z = _floats(frequency, temperature, salinity, ph, depth)
    f2 = (f / 1000.0) ** 2
    z = z / 1000.0
    f_boric = 0.78 * np.sqrt(s / 35.0) * np.exp(t / 26.0)
    f_sulphate = 42.0 * np.exp(t / 17.0)
    boric = 0.106 * f_boric * f2 / (f_boric**2 + f2) * np.exp((acidity - 8.0) / 0.56)
    sulphate = 0.52 * (1.0 + t / 43.0) * (s / 35.0) * np.exp(-z / 6.0)
    sulphate = sulphate * f_sulphate * f2 / (f_sulphate**2 + f2)
    return (boric + sulphate + 0.00049 * f2 * np.exp(-(t / 27.0 + z / 17.0))) / 1000.0


# Coefficients of powers of temperature, a row for each power of the pressure in bar.
_UNESCO_C = (
    (1402.388, 5.03711, -5.80852e-2, 3.3420e-4, -1.47800e-6, 3.1464e-9),
    (0.153563, 6.8982e-4, -8.1788e-6, 1.3621e-7, -6.1185e-10),
    (3.1260e-5, -1.7107e-6, 2.5974e-8, -2.5335e-10, 1.0405e-12),
    (-9.7729e-9, 3.8504e-10, -2.3643e-12),
)
_UNESCO_A = (
    (1.389, -1.262e-2, 7.164e-5, 2.006e-6, -3.21e-8),
    (9.4742e-5, -1.2580e-5, -6.4885e-8, 1.0507e-8, -2.0122e-10),
    (-3.9064e-7, 9.1041e-9, -1.6002e-10, 7.988e-12),
    (1.100e-10, 6.649e-12, -3.389e-13),
)


def _floats(*values: ArrayLike) -> list[Floats]:
    return [np.asarray(v, np.float64) for v in values]


def _polynomial(x: Floats, coefficients: Sequence[Any]) -> Floats:
    """Horner's scheme; the coefficients, constant first, may be arrays themselves."""
    total = np.zeros_like(x)
    for coefficient in reversed(coefficients):
        total = total * x + coefficient
    return total
