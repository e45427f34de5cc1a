"""Acoustics Toolbox files: what is read, what comes back after writing, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forward_models import Environment, FrancoisGarrison, HalfSpace, Layer, ModelInputError, Thorp
from forward_models.files import EnvFile, read_env, read_env_profiles, read_flp, write_env

SEDIMENT = """'Two layers, it''s / quoted'   ! TITLE
 50.0   ! FREQ (Hz)
2       ! NMEDIA
'NVF .' ! OPTIONS
500, 0.0, 100.0   ! NMESH SIGMA Z(NSSP)
   0.0 1520.0 /
  40.0 1.5D3 0.0 1.02 /  a knot of the thermocline
 100.0 1490.0 /
0 0.0 110.0
 100.0 1600.0 0.0 1.5 0.2 0.0
 110.0 1650.0 0.0 1.7 /
'A' 0.0
 110.0 1800.0 0.0 2.0 /
1400.0 1800.0   ! cLow cHigh
10.0            ! RMAX (km)
1               ! NSD
36.0 /
5
10.0 90.0 /
"""


def written(tmp_path: Path, text: str, name: str = "case.env") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_everything_in_an_env_file_is_read(tmp_path: Path) -> None:
    env = read_env(written(tmp_path, SEDIMENT))
    e = env.environment
    assert env.title == "Two layers, it's / quoted"
    assert (env.frequency, env.c_low, env.c_high, env.range_max_km) == (50.0, 1400.0, 1800.0, 10.0)
    assert env.source_depth == (36.0,)
    assert env.receiver_depth == (10.0, 30.0, 50.0, 70.0, 90.0)
    assert (e.interpolation, e.top, e.bottom, e.attenuation_unit) == (
        "n2_linear",
        "vacuum",
        "half_space",
        "F",
    )
    assert e.water_depth.tolist() == [100.0]
    assert e.thickness.tolist() == [[40.0, 60.0, 10.0]]
    assert e.sound_speed_top.tolist() == [[1520.0, 1500.0, 1600.0]]
    assert e.sound_speed_bottom.tolist() == [[1500.0, 1490.0, 1650.0]]
    # a '/' keeps the density of the knot above; the mean of two knots holds between them
    torch.testing.assert_close(e.density, torch.tensor([[1010.0, 1020.0, 1600.0]]).double())
    assert e.attenuation_top.tolist() == [[0.0, 0.0, 0.2]]
    assert e.half_space_sound_speed is not None
    assert e.half_space_sound_speed.tolist() == [1800.0]
    assert e.half_space_attenuation is not None
    assert e.half_space_attenuation.tolist() == [0.2]  # kept by the '/'


@pytest.mark.parametrize(("letter", "bottom"), [("R", "rigid"), ("V", "vacuum")])
def test_other_bottoms_and_tops(tmp_path: Path, letter: str, bottom: str) -> None:
    text = SEDIMENT.replace("'A' 0.0\n 110.0 1800.0 0.0 2.0 /", f"'{letter}' 0.0")
    e = read_env(written(tmp_path, text.replace("'NVF .'", "'CRQ'"))).environment
    assert e.bottom == bottom
    assert e.half_space_sound_speed is None
    assert (e.top, e.attenuation_unit, e.interpolation) == ("rigid", "Q", "c_linear")


def test_text_may_stand_in_double_quotes(tmp_path: Path) -> None:
    path = tmp_path / "double.env"
    path.write_text(SEDIMENT.replace("'Two layers, it''s / quoted'", '"Two ""layers\'"'))
    assert read_env(path).title == "Two \"layers'"


def test_what_follows_the_values_of_a_record_may_hold_apostrophes(tmp_path: Path) -> None:
    text = SEDIMENT.replace("50.0   ! FREQ (Hz)", "50.0  the ship's tone, don't change")
    env = read_env(written(tmp_path, text.replace("'Two layers, it''s / quoted'", "Porter's case")))
    assert (env.title, env.frequency) == ("Porter's", 50.0)


def test_source_and_receiver_depths_may_be_absent(tmp_path: Path) -> None:
    env = read_env(written(tmp_path, SEDIMENT[: SEDIMENT.index("1               ! NSD")]))
    assert env.source_depth == ()
    assert env.receiver_depth == ()


def test_the_power_law_of_unit_m_refers_to_the_frequency_of_the_file(tmp_path: Path) -> None:
    text = SEDIMENT.replace("'NVF .'", "'CVm'").replace("0.0, 100.0 ", "0.0, 100.0 1.8 1e9 ")
    text = text.replace("0 0.0 110.0", "0 0.0 110.0 1.8 1e9")
    assert read_env(written(tmp_path, text)).environment.power_law == (50.0, 1.8)


@pytest.mark.parametrize(
    ("below", "message"),
    [
        (
            "1.0 1e9",
            "line 12: bottom, beta: 1 differs from 1.8 of the layers; one exponent for all",
        ),
        ("1.8 20.0", "line 12: bottom, fT: 20: a change of the power law at a frequency is not"),
        ("steep", "line 12: bottom, beta: 'steep' is not a number"),
    ],
)
def test_the_half_space_has_the_power_law_of_the_layers(
    tmp_path: Path, below: str, message: str
) -> None:
    text = SEDIMENT.replace("'NVF .'", "'CVm'").replace("0.0, 100.0 ", "0.0, 100.0 1.8 1e9 ")
    text = text.replace("0 0.0 110.0", "0 0.0 110.0 1.8 1e9")
    same = text.replace("'A' 0.0", "'A' 0.0 1.8 1e9")
    assert read_env(written(tmp_path, same)).environment.power_law == (50.0, 1.8)
    with pytest.raises(ModelInputError) as caught:
        read_env(written(tmp_path, text.replace("'A' 0.0", f"'A' 0.0 {below}")))
    assert message in str(caught.value)


def test_roughness_belongs_to_the_top_of_a_medium_and_to_the_bottom(tmp_path: Path) -> None:
    text = SEDIMENT.replace("500, 0.0, 100.0", "500, 0.3, 100.0").replace("'A' 0.0", "'A' 1.5")
    e = read_env(written(tmp_path, text)).environment
    assert e.interface_roughness().tolist() == [[0.3, 0.0, 0.0, 1.5]]
    text = SEDIMENT.replace("0 0.0 110.0", "0 0.7 110.0")
    e = read_env(written(tmp_path, text)).environment
    assert e.interface_roughness().tolist() == [[0.0, 0.0, 0.7, 0.0]]


def test_volume_attenuation_is_read(tmp_path: Path) -> None:
    env = read_env(written(tmp_path, SEDIMENT.replace("'NVF .'", "'NVFT.'")))
    assert env.environment.volume_attenuation == Thorp()
    line = "'NVFF.'\n19.3 33.5 7.5 4000.7  ! T, S, pH, z_bar"
    env = read_env(written(tmp_path, SEDIMENT.replace("'NVF .'", line)))
    assert env.environment.volume_attenuation == FrancoisGarrison(19.3, 33.5, 7.5, 4000.7)


depths = st.lists(st.integers(1, 4000), min_size=2, max_size=6, unique=True).map(sorted)


@given(
    depths,
    st.data(),
    st.sampled_from("NMFWQL"),
    st.sampled_from(["c_linear", "n2_linear"]),
    st.sampled_from(["half_space", "rigid", "vacuum"]),
    st.sampled_from([None, Thorp(), FrancoisGarrison(19.3, 33.5, 7.5, 4000.7)]),
)
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    bottoms: list[int],
    data: st.DataObject,
    unit: str,
    interpolation: str,
    bottom: str,
    volume: Thorp | FrancoisGarrison | None,
) -> None:
    speed = st.floats(1400, 6000)
    loss = st.floats(0, 5)
    rough = st.sampled_from([0.0, 0.0, 0.25, 1.5])
    layers = []
    top = 0.0
    for z in bottoms:
        knots = [top, 0.5 * (top + z / 10), z / 10]
        layers.append(
            Layer(
                depth=knots,
                sound_speed=[data.draw(speed) for _ in knots],
                density=data.draw(st.floats(900, 3000)),
                attenuation=[data.draw(loss) for _ in knots],
                roughness=data.draw(rough),
            )
        )
        top = z / 10
    below = None
    if bottom == "half_space":
        c = data.draw(speed)
        shear = data.draw(st.one_of(st.just(0.0), st.floats(100.0, 0.8 * c)))
        below = HalfSpace(c, 2000.0, 0.3, shear, data.draw(loss) if shear else 0.0)
    environment = Environment.from_layers(
        layers,
        below,
        bottom=bottom,
        attenuation_unit=unit,
        interpolation=interpolation,
        volume_attenuation=volume,
        bottom_roughness=data.draw(rough),
    )
    env = EnvFile("title", 75.5, environment, 0.0, 1e5, 10.0, (3.25, 7.5), (0.1, 0.2, 0.7))
    path = tmp_path_factory.getbasetemp() / "round_trip.env"
    write_env(env, path)
    back = read_env(path)
    assert replace(back, environment=environment) == env
    for name, value in vars(environment).items():
        got = getattr(back.environment, name)
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(got, value, rtol=1e-12, atol=1e-9, msg=name)
        else:
            assert got == value, name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("50.0   ! FREQ", "-5 ! FREQ", "line 2: frequency: -5 must be above zero"),
        ("50.0   ! FREQ", "fifty ! FREQ", "line 2: frequency: 'fifty' is not a number"),
        ("'NVF .'", "'HVF .'", r"line 4: TOPOPT(1:1): 'H': profiles that vary with range are no"),
        ("'NVF .'", "'NAF .'", r"TOPOPT(2:2): 'A': half-spaces above the water are not supported"),
        ("'NVF .'", "'NVX .'", "TOPOPT(3:3), attenuation unit: 'X' is unknown; use one of 'N'"),
        ("'NVF .'", "'NVFB.'", "TOPOPT(4:4): 'B': biological layers are not supported"),
        ("'NVF .'", "'NVFF.'\n10 35 8.1", "line 5: Francois-Garrison, z_bar: missing; the record"),
        ("'NVF .'", "'NVFF.'\n10 -5 8.1 0", "line 5: Francois-Garrison, salinity: -5 must be zero"),
        ("'NVF .'", "'NVF .B'", "TOPOPT(6:6): 'B': broadband runs (use -f HZ,HZ) are not supp"),
        (
            "500, 0.0, 100.0",
            "500 -0.5 100.0",
            "line 5: layer 1, SIGMA: -0.5 m must be zero or more",
        ),
        ("'A' 0.0", "'A' -1", "line 12: bottom, SIGMA: -1 m must be zero or more"),
        ("'A' 0.0", "'A' rough", "line 12: bottom, SIGMA: 'rough' is not a number"),
        ("500, 0.0, 100.0", "500, , 100.0", "line 5: layer 1, NMESH: nothing between two commas"),
        ("40.0 1.5D3 0.0", "40.0 1.5D3 300", "line 7: layer 1, cS: 300: elastic layers are not"),
        ("40.0 1.5D3 0.0", "40.0 0.0 0.0", "line 7: layer 1, cP: 0 must be above zero"),
        ("40.0 1.5D3 0.0", "40.0 -1500 0.0", "line 7: layer 1, cP: -1500 must be above zero"),
        ("40.0 1.5D3 0.0", "40.0 NaN 0.0", "line 7: layer 1, cP: NaN must be finite"),
        (
            "40.0 1.5D3 0.0 1.02 /  a knot",
            "40.0 1.5D3 ! a knot",
            "line 7: layer 1, cS: missing; the record needs",
        ),
        ("  40.0 1.5D3", "  -1 1.5D3", "line 7: layer 1, z: -1 m after 0 m; depths must increase"),
        (" 100.0 1490.0 /", " 101.0 1490.0 /", "layer 1, z: 101 m lies below the layer's end"),
        (" 100.0 1600.0", " 99.0 1600.0", "layer 2, z: starts at 99 m but the layer above ends"),
        ("0 0.0 110.0", "0 0.0 90.0", "layer 2, Z(NSSP): 90 m is not below the top"),
        ("1.5 0.2 0.0", "0 0.2 0.0", "layer 2, rho: 0 must be above zero"),
        ("1.5 0.2 0.0", "1.5 -0.2 0.0", "layer 2, alphaP: -0.2 must be zero or more"),
        ("'A' 0.0", "'F' 0.0", "BOTOPT(1:1): 'F': reflection coefficients from a file are not"),
        ("'A' 0.0", "'A~' 0.0", "BOTOPT(2:2): '~': bathymetry files are not supported"),
        ("'A' 0.0", "'A 0.0", "lacks the closing quote"),
        ("110.0 1800.0", "110.0 0", "half-space, cP: 0 must be above zero"),
        ("110.0 1800.0", "110.0 1e300", "half-space, cP: 1e+300 must be from 1 to 100000 (m/s)"),
        (
            "1800.0 0.0 2.0",
            "1800.0 1600 2.0",
            "half-space, cS: 1600 must be zero or more and below",
        ),
        (
            "1800.0 0.0 2.0 /",
            "1800.0 600 2.0 0.1 -1",
            "half-space, alphaS: -1 must be zero or more",
        ),
        ("1400.0 1800.0", "1400.0 1300.0", "cHigh: 1300 must be above cLow = 1400"),
        ("1400.0 1800.0", "1495 1800.0", "cLow: 1495 is above the slowest sound speed, 1490"),
        ("5\n10.0 90.0 /", "5\n10.0 /", "RD: 1 of 5 values before '/'"),
        ("5\n10.0 90.0 /", "5000000000\n0 9 /", "NRD: 5000000000 must be 1000000 or fewer"),
        ("40.0 1.5D3 0.0", "40.0 1.5D3 9999999999*0", "'9999999999*0' must repeat 1000000 times"),
        ("500, 0.0, 100.0", ", 0.0 100.0 0", "layer 1, NMESH: nothing between two commas"),
        ("5\n10.0 90.0 /", "2.5\n10.0 90.0 /", "NRD: 2.5 must be a whole number, 1 or more"),
        ("10.0 90.0 /\n", "10.0 90.0 /\n'next'\n", "end of file: more follows after the receiver"),
        ("36.0 /\n5\n10.0 90.0 /\n", "", "SD: the file ends before it"),
    ],
)
def test_bad_input_is_one_line_with_file_line_field_and_mend(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SEDIMENT
    with pytest.raises(ModelInputError) as caught:
        read_env(written(tmp_path, SEDIMENT.replace(old, new)))
    text = str(caught.value)
    assert text.startswith("case.env: line ")
    assert message in text
    assert "\n" not in text


FLP = """/,                ! TITLE
'RA'              ! OPT 'X/R', 'C/A'
9999              ! M  (number of modes to include)
1                 ! NPROF
0.0               ! RPROF(1:NPROF) (km)
5                 ! NR
2.0  4.0 /        ! R(1:NR)   (km)
1                 ! NSD
36.0 /            ! SD(1:NSD)   (m)
3                 ! NRD
2*2.0 2500.0      ! RD(1:NRD)   (m)
3                 ! NRR
0.0 /             ! RR(1:NRR)   (m)
"""


def test_everything_in_a_flp_file_is_read(tmp_path: Path) -> None:
    flp = read_flp(written(tmp_path, FLP, "case.flp"))
    assert flp.mode_limit == 9999
    assert flp.range_km == (2.0, 2.5, 3.0, 3.5, 4.0)
    assert flp.source_depth == (36.0,)
    assert flp.receiver_depth == (2.0, 2.0, 2500.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("'RA'", "'XA'", r"line 2: options(1:1): 'X': line sources are not supported; use"),
        ("'RA'", "'RA S'", r"options(4:4): 'S': unknown; use ' ' or 'C' or 'I'"),
        ("1                 ! NPROF\n0.0", "2\n0.0 /", "line 5: RPROF: 1 of 2 values"),
        ("1                 ! NPROF\n0.0", "2\n1.0 2.0", "RPROF: starts at 1 km; the first"),
        ("1                 ! NPROF\n0.0", "3\n0.0 2.0 2.0", "RPROF: 2 after 2 km; ranges must"),
        ("2.0  4.0 /", "-2.0  4.0 /", "R: -2 km must be above zero"),
        ("2.0  4.0 /", "0.0  0.0 /", "R: 0 km must be above zero"),
        ("3                 ! NRD", "3000000 !", "NRD: 3000000 must be 1000000 or fewer"),
        ("0.0 /             ! RR", "0.0 1.5 0.0 ! RR", "RR: 1.5: displaced receivers are not"),
    ],
)
def test_what_the_field_cannot_do_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(ModelInputError) as caught:
        read_flp(written(tmp_path, FLP.replace(old, new), "case.flp"))
    assert message in str(caught.value)
    assert str(caught.value).startswith("case.flp: line ")


def test_profiles_and_incoherent_modes_in_a_flp_file(tmp_path: Path) -> None:
    text = FLP.replace("'RA'", "'RA I'").replace("1                 ! NPROF\n0.0", "3\n0.0 8.0 /")
    flp = read_flp(written(tmp_path, text, "case.flp"))
    assert flp.profile_range_km == (0.0, 4.0, 8.0)
    assert flp.coherence == "incoherent"
    assert read_flp(written(tmp_path, FLP, "case.flp")).coherence == "coherent"
    coupled = text.replace("'RA I'", "'RC'")
    with pytest.raises(ModelInputError) as caught:
        read_flp(written(tmp_path, coupled, "case.flp"))
    assert str(caught.value) == (
        "case.flp: line 4: options(2:2): 'C': coupled modes over 3 profiles are not supported; "
        "use 'A' for adiabatic ones"
    )


def test_profiles_follow_each_other_in_an_env_file(tmp_path: Path) -> None:
    deeper = SEDIMENT.replace(" 100.0 ", " 120.0 ").replace("110.0 ", "130.0 ")
    deeper = deeper.replace("0.0, 100.0", "0.0, 120.0").replace("0 0.0 110.0", "0 0.0 130.0")
    path = written(tmp_path, SEDIMENT + deeper + SEDIMENT)
    profiles = read_env_profiles(path)
    assert [float(p.environment.water_depth) for p in profiles] == [100.0, 120.0, 100.0]
    for profile, alone in zip(profiles, (SEDIMENT, deeper, SEDIMENT), strict=True):
        expected = read_env(written(tmp_path, alone, "alone.env"))
        assert profile.title == expected.title
        assert profile.receiver_depth == expected.receiver_depth
        torch.testing.assert_close(
            profile.environment.thickness, expected.environment.thickness, rtol=0, atol=0
        )
    with pytest.raises(ModelInputError, match="several profiles along a track, use read_env_pro"):
        read_env(path)
    other = written(tmp_path, SEDIMENT + SEDIMENT.replace(" 50.0 ", " 60.0 "))
    with pytest.raises(ModelInputError, match="profile 2, frequency: 60 differs from 50 Hz"):
        read_env_profiles(other)
    with pytest.raises(ModelInputError, match="the file ends before it"):
        read_env_profiles(written(tmp_path, SEDIMENT + SEDIMENT[:60]))


def test_what_is_left_over_is_told_to_be_read_as_a_profile(tmp_path: Path) -> None:
    with pytest.raises(ModelInputError) as caught:
        read_env_profiles(written(tmp_path, SEDIMENT + "1001   ! NR\n0.0 100.0 /\n"))
    assert str(caught.value) == (
        "case.env: line 21: frequency: 0 must be above zero (Hz); it is read as profile 2, from "
        "line 20 on, as more follows after the receiver depths"
    )
