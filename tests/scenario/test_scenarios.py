"""Scenario files: the built-in ones are sound, and each mistake gets one line with its mend."""

import copy
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from oceaninv.errors import InputError
from oceaninv.scenario import (
    check_scenario,
    list_scenarios,
    load_scenario,
    scenario_from_json,
    scenario_json,
    scenario_template,
    scenario_text,
)
from oceaninv.scenario.predict import build, profile
from oceaninv.scenario.schema import RESERVED_NAMES

BUILTIN = {
    "north-elba-1993": (12, 1, 48),
    "pekeris-teaching": (6, 4, 20),
    "swellex96-2p": (2, 7, 5),
    "swellex96-tl": (7, 4, 1),
    "swellex96-vla": (9, 3, 21),
}


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_scenarios_are_sound(name: str) -> None:
    scenario = load_scenario(name)
    size = (scenario.prior.dim, len(scenario.frequency), len(scenario.receiver_depth))
    assert size == BUILTIN[name]
    assert check_scenario(name) == []
    assert list_scenarios()[name] == scenario.title
    assert scenario_from_json(scenario_json(scenario)) == scenario


def test_the_template_is_a_sound_scenario(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scenario_template())
    assert check_scenario(path) == []
    assert "template" not in list_scenarios()


def test_hash_follows_the_physics_only() -> None:
    scenario = load_scenario("swellex96-2p")
    assert scenario.model_copy(update={"title": "other"}).hash() == scenario.hash()
    assert scenario.model_copy(update={"frequency": [50.0]}).hash() != scenario.hash()


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to

    return change


MISTAKES = [
    (
        _set("unknowns", "water_depth", "prior", to={"uniform": [236.5, 200.5]}),
        "unknowns.water_depth.prior: lower (236.5) is above upper (200.5); swap them",
    ),
    (
        _set("environment", "water", "depth", to="watter_depth"),
        "environment.water.depth: 'watter_depth' is not an unknown",
    ),
    (
        _set("unknowns", "tilt", to={"prior": {"uniform": [0, 1]}, "unit": "", "long_name": ""}),
        "unknowns.tilt: nothing in the scenario uses it",
    ),
    *(
        (
            _set("unknowns", name, to={"prior": {"uniform": [0, 1]}, "unit": "", "long_name": ""}),
            f"unknowns.{name}: the file of a posterior has another '{name}'; choose any name but",
        )
        for name in RESERVED_NAMES
    ),
    (_set("frequencies", to=[1]), "frequencies: is not a field of a scenario; write frequency or"),
    (
        _set("environment", "sediments", 0, "thicknes", to=1),
        "environment.sediments.0.thicknes: is not a field of a scenario; write thickness or",
    ),
    (
        _set("unknowns", "water_depth", "longname", to="water depth"),
        "unknowns.water_depth.longname: is not a field of a scenario; write long_name or",
    ),
    (
        _set("array", "depth", to={"start": 9, "stop": 90, "n": 3, "count": 3}),
        "array.depth.count: is not a field of a scenario; correct its name or",
    ),
    (_set("environment", "range", to=1), "range: is not a field of a scenario; correct its name"),
    (
        _set("array", "depth", to={"start": 9, "stop": 90, "n": 10**9}),
        "array.depth.n: 1000000000: input should be less than or equal to 100000",
    ),
    (_set("frequency", to=[200, 100]), "frequency: must increase"),
    (_set("frequency", to=100), "frequency: 100 is not a list"),
    (_set("source", to={"range": 5}), "source.depth: is missing; add it"),
    (_set("noise", to={"sd_db": 3}), "noise.snr_db: is missing"),
    (_set("noise", "snr_db", to=float("nan")), "noise.snr_db: "),
    (_set("noise", "snr_db", to=5000.0), "noise.snr_db: reaches 5000 dB; give a ratio of powers"),
    (
        _set("noise", "snr_db", to={"normal": [0.0, 100.0]}),
        "noise.snr_db: reaches -800 dB; give a ratio of powers between -120 and 120 dB",
    ),
    (_set("environment", "water", "sound_speed", to=[[5, 1500]]), "give one at the surface"),
    (_set("array", "pivot", to=float("nan")), "array.pivot"),
    (_set("environment", "bottom", to="rigid"), "give either half_space"),
    (_set("array", "depth", to=[10, 30, 10]), "array.depth: 10 m is given twice; give each"),
    (
        _set("array", "depth", to={"start": 9, "stop": 9, "n": 3}),
        "array.depth: 9 m is given twice; give each",
    ),
    (
        _set("array", "depth", to={"start": 9, "stop": 90, "n": 0}),
        "array.depth.n: 0: input should be greater than or equal to 2",
    ),
    (
        _set("noise", "snr_db", to="loud"),
        "noise.snr_db: 'loud' must be a number or {field: value, ...}",
    ),
    (
        _set("environment", "water", "depth", to=[1, 2]),
        "environment.water.depth: [1, 2] must be a number or an expression",
    ),
    (_set("array", "depth", to=[10]), "array.depth: 10 m alone says nothing where amplitude"),
    (_set("environment", "water", "density", to=float("nan")), "must be a finite number"),
    (
        _set("environment", "water", "depth", to="water_depth + 1" + 400 * "0"),
        "environment.water.depth: 'water_depth + 100000...' has a number above",
    ),
    (
        _set("environment", "water", "sound_speed", to="1500 +"),
        "environment.water.sound_speed: '1500 +' is not an expression of numbers",
    ),
]


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The file of a scenario of which `change` has changed the content."""
    content = copy.deepcopy(yaml.safe_load(scenario_text("swellex96-2p")))
    change(content)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=[m for _, m in MISTAKES])
def test_each_mistake_gets_one_line_with_file_field_and_mend(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert message in line
    assert "\n" not in line
    assert any(message in problem for problem in check_scenario(path))


def test_a_name_that_no_expression_can_hold_is_told_before_what_it_breaks(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scenario_text("swellex96-2p").replace("water_depth", "water-depth"))
    with pytest.raises(InputError, match=r"unknowns\.water-depth: write the name with letters"):
        load_scenario(path)


def test_a_long_value_is_cut_where_it_is_told(tmp_path: Path) -> None:
    laughs = "\n".join(
        f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}' if i else 'x'])}]" for i in range(9)
    )
    text = scenario_text("swellex96-2p").replace("    depth: water_depth", "    depth: *a8")
    for content in (f"{laughs}\n{text}", text.replace("*a8", "+".join(3000 * ["water_depth"]))):
        path = tmp_path / "mine.yaml"
        path.write_text(content)
        (problem,) = (p for p in check_scenario(path) if "water.depth" in p)
        assert len(problem) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("data: pressure", "data: pressure\ndata: pressure", "data: is given in line"),
        ("snr_db: 10,", "snr_db: 10, snr_db: 20,", "snr_db: is given in line"),
        ("  sediment_top_speed:\n", "  water_depth:\n", "water_depth: is given in line"),
        ("data: pressure", "data: pressure\nｄata: pressure", "data: is given in line"),
    ],
)
def test_a_field_that_is_given_twice_is_refused(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "mine.yaml"
    text = scenario_text("swellex96-2p").replace(old, new, 1)
    assert new in text
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    assert str(caught.value).startswith(f"{path}: {said} ")
    assert str(caught.value).endswith("; remove one")
    assert "\n" not in str(caught.value)
    second = text.splitlines()[int(str(caught.value).split("again in line ")[1].split(";")[0]) - 1]
    assert said.split(":")[0] in unicodedata.normalize("NFKC", second)


@pytest.mark.parametrize("name", ["µ", "ϕ", "\u212bngstrom", "ta\u0308u"])
def test_letters_that_python_reads_as_others_may_name_an_unknown(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scenario_text("swellex96-2p").replace("water_depth", name), encoding="utf-8")
    assert check_scenario(path) == []
    scenario = load_scenario(path)
    assert scenario.names == (unicodedata.normalize("NFKC", name), "sediment_top_speed")
    depth = build(scenario, scenario.prior.sample(3, 0))[0].water_depth
    assert torch.equal(depth, scenario.prior.sample(3, 0)[:, 0])


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_file_in_another_encoding_is_said_to_be(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scenario_text("swellex96-vla"), encoding=encoding)
    with pytest.raises(InputError, match="is not in UTF-8"):
        load_scenario(path)


def test_what_is_merged_into_a_field_may_be_replaced_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = scenario_text("swellex96-2p").replace(
        "source: {depth: 54, range: 1000}",
        "source: {<<: &place {depth: 50, range: 1000}, depth: 54}",
    )
    assert "<<" in text
    path.write_text(text)
    assert load_scenario(path) == load_scenario("swellex96-2p")


def test_impossible_draws_from_the_prior_are_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = scenario_text("pekeris-teaching").replace("uniform: [1550, 1800]", "normal: [100, 900]")
    path.write_text(text)
    assert "sound_speed" in check_scenario(path)[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("source", "depth", to=205.0), "source.depth: in the seabed for some"),
        (_set("solver", to={"c_high": 100.0}), "solver.c_high: 100 m/s is slower than all sound"),
        (
            _set("environment", "half_space", "sound_speed", to=1400.0),
            "environment.half_space.sound_speed: 1400 m/s is slower than all that lies above",
        ),
        (_set("noise", "correlation_length", to=-1.0), "noise.correlation_length: negative for"),
        (_set("environment", "half_space", "density", to=2660.0), "a density of 2660 for some"),
        (_set("environment", "sediments", 0, "density", to=1760.0), "a density of 1760 for some"),
    ],
)
def test_what_no_guide_can_have_is_found(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    path = changed(tmp_path, change)
    assert said in "".join(check_scenario(path))


def test_unreadable_files_get_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such scenario file.*swellex96-2p"):
        load_scenario("swellex-2p")
    path = tmp_path / "mine.yaml"
    for text in ("a: [1", "", "- 1", "\tb: 1"):
        path.write_text(text)
        with pytest.raises(InputError) as caught:
            load_scenario(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: t\nname: 2020-13-45", r"is not YAML: '2020-13-45' cannot be read .* line 2, "),
        ("name: !!int x", "is not YAML: 'x' cannot be read .* line 1, "),
        ("name: !!bool x", "is not YAML: 'x' cannot be read"),
        ("name: !!timestamp x", "is not YAML: 'x' cannot be read"),
        ("name: " + "9" * 5000, "is not YAML: .* cannot be read"),
        ("[" * 3000, "is nested too deeply"),
        ("name: &a [*a]", "name: "),
    ],
)
def test_yaml_that_cannot_be_read_gets_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"s\.yaml: {said}") as error:
        load_scenario(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_water_profile_is_cut_or_continued_at_the_water_depth() -> None:
    scenario = load_scenario("swellex96-2p")
    theta = torch.tensor([[205.0, 1550.0], [236.0, 1550.0]], dtype=torch.float64)
    environment, _ = build(scenario, theta)
    torch.testing.assert_close(environment.bottom_depth, theta[:, 0] + 823.5)
    depth = torch.tensor([0.0, 9.0, 202.0, 230.0, 5000.0], dtype=torch.float64)
    speed = profile(scenario, theta, depth)
    in_water = 1488.35 + (1488.3 - 1488.35) * 2 / 16.5
    expected = torch.tensor(
        [
            [1521.9, 1519.3, in_water, 1881 + (3245 - 1881) * 1.5 / 800, 5200.0],
            [1521.9, 1519.3, in_water, 1488.3, 5200.0],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(speed, expected)
    just_below = profile(scenario, theta[1:], theta[1:, 0])
    torch.testing.assert_close(just_below, torch.tensor([[1550.0]], dtype=torch.float64))


def test_tilt_turns_the_array_about_its_deepest_phone() -> None:
    scenario = load_scenario("swellex96-vla")
    theta = scenario.prior.sample(2, 0)
    theta[:, scenario.names.index("tilt")] = torch.tensor([0.0, 3.0], dtype=torch.float64)
    _, geometry = build(scenario, theta)
    nominal = torch.tensor(scenario.receiver_depth, dtype=torch.float64)
    source_range = theta[:, scenario.names.index("source_range")]
    torch.testing.assert_close(geometry.receiver_depth[0], nominal)
    torch.testing.assert_close(geometry.range_m[0], source_range[0].expand(21))
    assert geometry.receiver_depth[1, -1] == nominal[-1]
    assert geometry.range_m[1, -1] == source_range[1]
    # The top phone leans away from the source, and the phones keep their distances.
    assert geometry.range_m[1, 0] > source_range[1]
    spacing = torch.hypot(geometry.receiver_depth[1].diff(), geometry.range_m[1].diff())
    torch.testing.assert_close(spacing, nominal.diff())


def test_first_depth_moves_the_whole_array() -> None:
    scenario = load_scenario("north-elba-1993")
    theta = scenario.prior.sample(3, 0)
    _, geometry = build(scenario, theta)
    first = theta[:, scenario.names.index("first_receiver_depth")]
    torch.testing.assert_close(geometry.receiver_depth[:, 0], first)
    gaps = torch.full((3, 47), -2.0, dtype=torch.float64)
    torch.testing.assert_close(geometry.receiver_depth.diff(), gaps)
