"""Measurement files: nothing is lost on the way, and each fault gets one line with its mend."""

from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from oceaninv.errors import InputError
from oceaninv.measurement import Measurement, match_scenario, read_measurement, write_measurement
from oceaninv.scenario import load_scenario


def measurement(kind: str) -> Measurement:
    generator = torch.Generator().manual_seed(0)
    frequency = torch.tensor([100.0, 200.0], dtype=torch.float64)
    depth = torch.tensor([10.0, 20.0, 35.0], dtype=torch.float64)
    pressure = torch.randn(4, 2, 3, dtype=torch.complex128, generator=generator)
    attributes: dict[str, str | int | float] = {"title": "a test", "seed": 3}
    if kind == "pressure":
        return Measurement(
            frequency, depth, "pressure", pressure, n_snapshots=4, attributes=attributes
        )
    if kind == "csdm":
        csdm = torch.einsum("kfi,kfj->fij", pressure, pressure.conj()) / 4
        return Measurement(frequency, depth, "csdm", csdm, n_snapshots=4, attributes=attributes)
    level = 60 + torch.rand(2, 15, dtype=torch.float64, generator=generator)
    ranges = torch.linspace(1000, 5000, 5, dtype=torch.float64)
    return Measurement(frequency, depth, "transmission_loss", level, ranges, attributes=attributes)


@pytest.mark.parametrize("convention", ["exp(-iwt)", "exp(+iwt)"])
@pytest.mark.parametrize("kind", ["pressure", "csdm", "transmission_loss"])
def test_what_is_written_is_read(tmp_path: Path, kind: str, convention: str) -> None:
    path, before = tmp_path / "m.nc", measurement(kind)
    write_measurement(before, path, time_convention=convention)
    after = read_measurement(path)
    assert after.kind == kind
    assert after.n_snapshots == before.n_snapshots
    for name in ("frequency", "receiver_depth", "range_m", "data"):
        assert torch.equal(getattr(after, name), getattr(before, name)), name
    assert after.attributes["title"] == "a test"
    assert after.attributes["seed"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["m.nc"]


def test_the_file_holds_the_phase_in_the_convention_that_it_states(tmp_path: Path) -> None:
    for convention, sign in (("exp(-iwt)", 1), ("exp(+iwt)", -1)):
        write_measurement(measurement("pressure"), tmp_path / "m.nc", time_convention=convention)
        with xr.open_dataset(tmp_path / "m.nc") as dataset:
            np.testing.assert_array_equal(
                dataset["pressure_imag"], sign * measurement("pressure").data.imag
            )
            assert dataset.attrs["time_convention"] == convention
            assert dataset.attrs["Conventions"].startswith("CF-1.")


def test_the_matrix_of_snapshots_is_the_csdm() -> None:
    torch.testing.assert_close(measurement("pressure").csdm, measurement("csdm").csdm)


Change = Callable[[xr.Dataset], xr.Dataset]


def _drop_attribute(name: str) -> Change:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        del dataset.attrs[name]
        return dataset

    return change


def _nan(name: str) -> Change:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name].values.flat[1] = np.nan
        return dataset

    return change


def _units(name: str, units: str) -> Change:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name].attrs["units"] = units
        return dataset

    return change


def _attribute(name: str, attribute: str, value: object) -> Change:
    def change(dataset: xr.Dataset) -> xr.Dataset:
        dataset[name].attrs[attribute] = value
        return dataset

    return change


def _scaled(names: str, factor: float) -> Change:
    """Scales the second tone of all variables whose name begins so."""

    def change(dataset: xr.Dataset) -> xr.Dataset:
        for name in dataset:
            if str(name).startswith(names):
                dataset[name].loc[{"frequency": 200.0}] *= factor
        return dataset

    return change


def _unsymmetric(dataset: xr.Dataset) -> xr.Dataset:
    dataset["csdm_real"].values[0, 0, 1] += 5
    return dataset


def _silent(dataset: xr.Dataset) -> xr.Dataset:
    for name in ("pressure_real", "pressure_imag"):
        dataset[name].values[2, 1] = 0
    return dataset


FAULTS: list[tuple[str, Change, str]] = [
    ("pressure", _drop_attribute("time_convention"), "time_convention: the attribute is missing"),
    ("pressure", lambda d: d.assign_attrs(time_convention="exp(iwt)"), "'exp(iwt)' is not known"),
    ("pressure", _drop_attribute("oceaninv_schema"), "oceaninv_schema: the attribute is missing"),
    ("pressure", lambda d: d.assign_attrs(oceaninv_schema=2), "oceaninv_schema: 2 is not known"),
    ("pressure", lambda d: d.assign_attrs(source="a pump"), "source: 'a pump'"),
    (
        "pressure",
        _nan("pressure_imag"),
        "pressure_imag: nan at snapshot 0, frequency 0, receiver 1",
    ),
    ("csdm", _nan("csdm_real"), "csdm_real: nan at frequency 0, receiver 0, receiver2 1"),
    ("transmission_loss", _nan("transmission_loss"), "transmission_loss: nan at"),
    ("pressure", lambda d: d.drop_vars("pressure_imag"), "pressure_imag: is missing"),
    ("pressure", lambda d: d.drop_vars(["pressure_real", "pressure_imag"]), "holds none of"),
    (
        "pressure",
        lambda d: d.assign(transmission_loss=(("frequency",), [1.0, 2.0])),
        "keep exactly one",
    ),
    ("pressure", lambda d: d.rename_dims(receiver="phone"), "has dimensions"),
    ("pressure", lambda d: d.isel(frequency=0), "has dimensions"),
    ("pressure", lambda d: d.drop_vars("receiver_depth"), "receiver_depth: the coordinate"),
    ("transmission_loss", lambda d: d.drop_vars("range"), "range: the coordinate"),
    ("pressure", lambda d: d.isel(snapshot=slice(0, 0)).drop_encoding(), "holds no values"),
    (
        "pressure",
        lambda d: d.assign_coords(frequency=("frequency", [-1.0, 5.0], {"units": "Hz"})),
        "frequency: -1 Hz",
    ),
    (
        "pressure",
        lambda d: d.assign_coords(receiver_depth=("receiver", [-1.0, 2, 3], {"units": "m"})),
        "receiver_depth: -1 m",
    ),
    (
        "pressure",
        lambda d: d.assign_coords(frequency=("frequency", [0.1, 0.2], {"units": "kHz"})),
        "convert it to Hz",
    ),
    (
        "pressure",
        lambda d: d.assign(pressure_real=d["pressure_real"].astype(str)),
        "pressure_real: holds",
    ),
    ("pressure", _silent, "pressure at 200 Hz: is zero at every receiver in snapshot 2 (and in 0 "),
    ("csdm", _drop_attribute("n_snapshots"), "n_snapshots: None"),
    ("csdm", lambda d: d.assign_attrs(n_snapshots=0), "n_snapshots: 0"),
    ("csdm", lambda d: d.assign_attrs(n_snapshots=2.7), "n_snapshots: 2.7; a csdm needs"),
    ("csdm", lambda d: d.assign_attrs(n_snapshots=np.inf), "n_snapshots: inf; a csdm needs"),
    ("csdm", lambda d: d.assign_attrs(n_snapshots=np.nan), "n_snapshots: nan; a csdm needs"),
    ("csdm", lambda d: d.assign_attrs(n_snapshots=[2, 3]), "n_snapshots: [2 3]; a csdm needs"),
    *(
        (
            "transmission_loss",
            _units("transmission_loss", units),
            f"transmission_loss: units are '{units}'; convert it to dB",
        )
        for units in ("1", "Pa", "dBV", "m dB")
    ),
    *(
        (kind, _scaled(name, factor), f"{kind} at 200 Hz: is as large as ")
        for kind, name, factor in (
            ("pressure", "pressure_real", 1e120),
            ("pressure", "pressure", 1e-120),
            ("csdm", "csdm", 1e240),
            ("csdm", "csdm", 1e-240),
        )
    ),
    ("pressure", lambda d: d.assign_attrs(oceaninv_schema=[1, 1]), "oceaninv_schema: [1 1] is"),
    ("pressure", lambda d: d.assign_attrs(source=[1.0, 2.0]), "source: '[1. 2.]'; write known or"),
    ("pressure", _attribute("frequency", "units", [1, 2]), "frequency: units are '[1 2]'"),
    ("pressure", _attribute("receiver_depth", "positive", "up"), "receiver_depth: is positive up"),
    ("csdm", _unsymmetric, "csdm at 100 Hz: is zero or not equal to its own conjugate"),
    ("csdm", lambda d: d.assign(csdm_real=-d["csdm_real"]), "negative eigenvalue"),
]


@pytest.mark.parametrize("number", [1.0, np.float32(1), "1", "1.0"])
def test_a_schema_number_written_as_a_float_is_known(tmp_path: Path, number: object) -> None:
    path = tmp_path / "m.nc"
    write_measurement(measurement("pressure"), path)
    with netCDF4.Dataset(path, "a") as file:
        file.setncattr("oceaninv_schema", number)
    assert read_measurement(path).kind == "pressure"


def test_what_cannot_be_decoded_or_is_in_a_group_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.nc"
    for attribute, value in (("scale_factor", "0.1"), ("coordinates", 1.5)):
        write_measurement(measurement("pressure"), path)
        with netCDF4.Dataset(path, "a") as file:
            file["pressure_real"].setncattr(attribute, value)
        with pytest.raises(InputError, match="cannot be read as netCDF"):
            read_measurement(path)
    with netCDF4.Dataset(path, "w") as file:
        file.createGroup("data").createVariable("transmission_loss", "f8")
    with pytest.raises(InputError, match=r"holds none of .*, groups apart; keep exactly one"):
        read_measurement(path)


@pytest.mark.parametrize(("kind", "change", "message"), FAULTS, ids=[m for _, _, m in FAULTS])
def test_each_fault_gets_one_line(tmp_path: Path, kind: str, change: Change, message: str) -> None:
    path = tmp_path / "m.nc"
    write_measurement(measurement(kind), path)
    change(xr.load_dataset(path)).to_netcdf(path)
    with pytest.raises(InputError) as caught:
        read_measurement(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert message in line
    assert "\n" not in line


@pytest.mark.parametrize("units", ["dB", "db", "dB re 1 m", "dB re 1 m^2", "dB//1m", "decibel"])
def test_decibels_are_read_however_they_are_spelled(tmp_path: Path, units: str) -> None:
    path, before = tmp_path / "m.nc", measurement("transmission_loss")
    write_measurement(before, path)
    _units("transmission_loss", units)(xr.load_dataset(path)).to_netcdf(path)
    assert torch.equal(read_measurement(path).data, before.data)
    unnamed = xr.load_dataset(path)
    del unnamed["transmission_loss"].attrs["units"]
    unnamed.to_netcdf(path)
    assert torch.equal(read_measurement(path).data, before.data)


def test_a_dead_receiver_is_read(tmp_path: Path) -> None:
    one = measurement("pressure")
    one.data[:, :, 1] = 0
    write_measurement(one, tmp_path / "m.nc")
    assert torch.equal(read_measurement(tmp_path / "m.nc").data, one.data)


def test_a_missing_or_cut_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.nc: no such file"):
        read_measurement(tmp_path / "no.nc")
    path = tmp_path / "m.nc"
    write_measurement(measurement("csdm"), path)
    whole = path.read_bytes()
    for share in (0.0, 0.01, 0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match="cut short or of another format") as caught:
            read_measurement(path)
        assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_made_and_a_bad_convention_refused(tmp_path: Path) -> None:
    write_measurement(measurement("pressure"), tmp_path / "new" / "m.nc")
    assert read_measurement(tmp_path / "new" / "m.nc").kind == "pressure"
    with pytest.raises(InputError, match="time_convention"):
        write_measurement(measurement("pressure"), tmp_path / "x.nc", time_convention="exp(iwt)")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file, no folder"):
        write_measurement(measurement("pressure"), tmp_path / "file" / "m.nc")


def scenario_measurement(kind: str) -> Measurement:
    scenario = load_scenario("pekeris-teaching")
    depth = torch.tensor(scenario.receiver_depth, dtype=torch.float64)
    frequency = torch.tensor(scenario.frequency, dtype=torch.float64)
    pressure = torch.randn(2, 4, 20, dtype=torch.complex128, generator=torch.Generator())
    whole = Measurement(frequency, depth, "pressure", pressure, n_snapshots=2)
    return whole if kind == "pressure" else Measurement(frequency, depth, "csdm", whole.csdm)


@pytest.mark.parametrize("kind", ["pressure", "csdm"])
def test_tones_and_receivers_come_in_the_order_of_the_scenario(kind: str) -> None:
    scenario = load_scenario("pekeris-teaching")
    ordered = scenario_measurement(kind)
    f, r = torch.tensor([2, 0, 3, 1]), torch.arange(20).flip(0)
    data = ordered.data[:, f][:, :, r] if kind == "pressure" else ordered.data[f][:, r][:, :, r]
    shuffled = Measurement(ordered.frequency[f], ordered.receiver_depth[r], kind, data)  # type: ignore[arg-type]
    matched = match_scenario(shuffled, scenario)
    for name in ("frequency", "receiver_depth", "data"):
        assert torch.equal(getattr(matched, name), getattr(ordered, name)), name


def test_levels_come_in_the_order_of_the_scenario() -> None:
    scenario = load_scenario("swellex96-tl")
    ranges = torch.tensor(scenario.range_m, dtype=torch.float64)
    frequency = torch.tensor(scenario.frequency, dtype=torch.float64)
    depth = torch.tensor(scenario.receiver_depth, dtype=torch.float64)
    level = torch.arange(200.0, dtype=torch.float64).reshape(4, 50)
    turned = Measurement(
        frequency.flip(0), depth, "transmission_loss", level.flip(0, 1), ranges.flip(0)
    )
    matched = match_scenario(turned, scenario)
    assert torch.equal(matched.data, level)
    assert torch.equal(matched.range_m, ranges)


def test_what_a_scenario_was_not_made_for_gets_one_line() -> None:
    scenario, whole = load_scenario("pekeris-teaching"), scenario_measurement("pressure")
    whole.frequency[3] = 210.0
    with pytest.raises(InputError, match=r"frequency: 210 Hz is not one of those of pekeris"):
        match_scenario(whole, scenario)
    fewer = Measurement(
        whole.frequency[:3], whole.receiver_depth, "pressure", whole.data[:, :3], n_snapshots=2
    )
    with pytest.raises(InputError, match=r"frequency: 200 Hz of pekeris-teaching is missing"):
        match_scenario(fewer, scenario)
    with pytest.raises(InputError, match=r"holds pressure but swellex96-tl is for transmission"):
        match_scenario(whole, load_scenario("swellex96-tl"))
    moved = scenario_measurement("pressure")
    moved.receiver_depth[0] += 1.0
    with pytest.raises(InputError, match=r"receiver_depth: 5\.5 m is not one"):
        match_scenario(moved, scenario)


def test_an_array_whose_depth_is_unknown_is_matched_by_its_spacing() -> None:
    scenario = load_scenario("north-elba-1993")
    depth = torch.tensor(scenario.receiver_depth, dtype=torch.float64)
    data = torch.randn(1, 1, 48, dtype=torch.complex128, generator=torch.Generator())
    frequency = torch.tensor(scenario.frequency, dtype=torch.float64)
    moved = Measurement(frequency, depth.flip(0) - 1.0, "pressure", data)
    assert torch.equal(match_scenario(moved, scenario).data, data.flip(-1))
