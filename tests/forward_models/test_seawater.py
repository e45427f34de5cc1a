"""Sound speed and absorption of sea water against printed values and against each other."""

from __future__ import annotations

import gsw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forward_models import FrancoisGarrison, ModelInputError, Thorp
from forward_models.seawater import (
    DBAR_PER_KG_CM2,
    ainslie_mccolm,
    del_grosso,
    francois_garrison,
    mackenzie,
    sound_speed,
    thorp,
    unesco,
)


def test_check_values_of_the_papers() -> None:
    # Fofonoff & Millard (1983), p. 48; Mackenzie (1981)
    assert unesco(40.0, 40.0, 10000.0) == pytest.approx(1731.995, abs=5e-4)
    assert mackenzie(25.0, 35.0, 1000.0) == pytest.approx(1550.744, abs=5e-4)


# Wong & Zhu, JASA 97, 1732 (1995): both equations fitted anew for temperatures on ITS-90. Rows by
# power of pressure (bar, and kg/cm² below), columns by power of temperature.
WONG_ZHU_C = [
    [1402.388, 5.03830, -5.81090e-2, 3.3432e-4, -1.47797e-6, 3.1419e-9],
    [0.153563, 6.8999e-4, -8.1829e-6, 1.3632e-7, -6.1260e-10, 0],
    [3.1260e-5, -1.7111e-6, 2.5986e-8, -2.5353e-10, 1.0415e-12, 0],
    [-9.7729e-9, 3.8513e-10, -2.3654e-12, 0, 0, 0],
]
WONG_ZHU_A = [
    [1.389, -1.262e-2, 7.166e-5, 2.008e-6, -3.21e-8],
    [9.4742e-5, -1.2583e-5, -6.4928e-8, 1.0515e-8, -2.0142e-10],
    [-3.9064e-7, 9.1061e-9, -1.6009e-10, 7.994e-12, 0],
    [1.100e-10, 6.651e-12, -3.391e-13, 0, 0],
]


def wong_zhu_unesco(t: float, s: float, dbar: float) -> float:
    p = dbar / 10
    polynomial = np.polynomial.polynomial.polyval2d
    b = -1.922e-2 - 4.42e-5 * t + (7.3637e-5 + 1.7950e-7 * t) * p
    d = 1.727e-3 - 7.9836e-6 * p
    c, a = (float(polynomial(p, t, table)) for table in (WONG_ZHU_C, WONG_ZHU_A))
    return c + a * s + b * s**1.5 + d * s * s


def wong_zhu_del_grosso(t: float, s: float, dbar: float) -> float:
    p = dbar / DBAR_PER_KG_CM2
    return (
        1402.392
        + (0.5012285e1 * t - 0.551184e-1 * t**2 + 0.221649e-3 * t**3)
        + (0.1329530e1 * s + 0.1288598e-3 * s**2)
        + (0.1560592 * p + 0.2449993e-4 * p**2 - 0.8833959e-8 * p**3)
        + (-0.1275936e-1 * t * s + 0.6353509e-2 * t * p + 0.2656174e-7 * t**2 * p**2)
        + (-0.1593895e-5 * t * p**2 + 0.5222483e-9 * t * p**3 - 0.4383615e-6 * t**3 * p)
        + (-0.1616745e-8 * s**2 * p**2 + 0.9688441e-4 * t**2 * s)
        + (0.4857614e-5 * t * s**2 * p - 0.3406824e-3 * t * s * p)
    )


@given(st.floats(0, 30), st.floats(30, 40), st.floats(0, 9800))
def test_both_equations_in_pressure_equal_their_refits_on_its_90(
    t: float, s: float, p: float
) -> None:
    t68 = 1.00024 * t
    assert unesco(t68, s, p) == pytest.approx(wong_zhu_unesco(t, s, p), abs=0.005)
    assert del_grosso(t68, s, p) == pytest.approx(wong_zhu_del_grosso(t, s, p), abs=0.005)


# Oceanic water only: the formulas part where there is none.
waters = (st.floats(0, 20), st.floats(34, 36), st.floats(0, 1000), st.floats(-60, 60))


@given(*waters)
def test_formulas_agree_within_their_uncertainties(
    t: float, s: float, z: float, latitude: float
) -> None:
    c = {
        formula: float(sound_speed(t, s, z, latitude, formula=formula))
        for formula in ("teos10", "unesco", "del_grosso", "mackenzie", "medwin")
    }
    # TEOS-10 is fitted to Del Grosso's data, to 0.035 m/s rms (IOC et al. 2010, appendix O).
    assert c["teos10"] == pytest.approx(c["del_grosso"], abs=0.1)
    # 0.6 m/s is what Chen & Millero are known to be high by at depth (Dushaw et al. 1993).
    assert -0.1 < c["unesco"] - c["del_grosso"] < 0.6
    assert c["mackenzie"] == pytest.approx(c["del_grosso"], abs=0.25)
    assert c["medwin"] == pytest.approx(c["del_grosso"], abs=0.6)


def test_teos10_is_the_value_of_its_manual() -> None:
    """The example of gsw_sound_speed_t_exact in the TEOS-10 manual (McDougall & Barker, 2011)."""
    absolute = np.array([34.7118, 34.8915, 35.0256, 34.8472, 34.7366, 34.7324])
    t = np.array([28.7856, 28.4329, 22.8103, 10.2600, 6.8863, 4.4036])
    p = np.array([10.0, 50.0, 125.0, 250.0, 600.0, 1000.0])
    expected = [1542.615803587414, 1542.703534065789, 1530.844979136360]
    expected += [1494.409996920661, 1487.377102518027, 1483.934609078705]
    c = sound_speed(t, gsw.SP_from_SR(absolute), -gsw.z_from_p(p, 30.0), 30.0)
    np.testing.assert_allclose(c, expected, atol=1e-6)


def test_composition_of_the_water_matters_little() -> None:
    here = sound_speed(5.0, 34.6, 2000.0, 45.0)
    pacific = sound_speed(5.0, 34.6, 2000.0, 45.0, longitude=-150.0)
    assert 0.001 < pacific - here < 0.04


def test_an_unknown_formula_is_named() -> None:
    with pytest.raises(ModelInputError, match="formula: 'leroy' is unknown; use teos10, unesco"):
        sound_speed(10, 35, 0, 45, formula="leroy")  # type: ignore[arg-type]


def test_thorp_is_its_formula_in_db_per_metre() -> None:
    # 0.0033 + 0.11/2 + 44/4101 + 0.0003 at 1 kHz
    assert thorp(1000.0) == pytest.approx(0.0693291e-3, rel=1e-6)
    assert Thorp().absorption([1000.0])[0] == thorp(1000.0)


def test_absorption_formulas_agree_within_ten_per_cent() -> None:
    f = np.geomspace(100, 1e6, 41)

    def ratio(t: float = 10, s: float = 35, ph: float = 8, z: float = 0) -> np.ndarray:
        return ainslie_mccolm(f, t, s, ph=ph, depth=z) / francois_garrison(f, t, s, ph=ph, depth=z)

    for t in np.linspace(-6, 35, 9):  # the paper's own comparison, one varied at a time
        assert abs(ratio(t=t) - 1).max() < 0.11
    for ph in (7.7, 8.0, 8.3):
        assert abs(ratio(ph=ph) - 1).max() < 0.11
    for s in np.linspace(5, 50, 9):
        assert abs(ratio(s=s) - 1).max() < 0.11
    for z in np.linspace(0, 7000, 9):
        assert abs(ratio(z=z) - 1).max() < 0.11


def test_francois_garrison_is_near_what_others_tabulate() -> None:
    # Fisher & Simmons, JASA 62, 558 (1977), table IV: 0.52 dB/km at 10 kHz, 5 °C, 500 atm
    alpha = 1000 * francois_garrison(10e3, 5, 35, ph=7.7, depth=4900)
    assert alpha == pytest.approx(0.52, rel=0.05)


def test_francois_garrison_is_continuous_at_twenty_degrees() -> None:
    f = np.array([1e6])  # pure water alone matters there
    below, above = (francois_garrison(f, t, 35, ph=8, depth=0) for t in (20.0, 20.0 + 1e-9))
    np.testing.assert_allclose(below, above, rtol=2e-3)


def test_francois_garrison_stands_for_one_place() -> None:
    place = FrancoisGarrison(19.3, 33.5, 7.5, 4000.7)
    np.testing.assert_array_equal(
        place.absorption([50.0, 3500.0]),
        francois_garrison([50.0, 3500.0], 19.3, 33.5, ph=7.5, depth=4000.7),
    )
    for field, value in (("salinity", -1.0), ("depth", -5.0), ("temperature", float("nan"))):
        with pytest.raises(ModelInputError, match=f"volume_attenuation: {field}: "):
            FrancoisGarrison(**(vars(place) | {field: value}))
