import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch
import xarray as xr

from oceaninv.errors import InputError
from oceaninv.measurement import Measurement, read_measurement, write_measurement
from oceaninv.posterior import (
    Posterior,
    data_hash,
    equal_weight,
    make_posterior,
    read_posterior,
    summarise,
    write_posterior,
)
from oceaninv.scenario import load_scenario
from oceaninv.scenario.predict import predict


@pytest.fixture(scope="module", params=["pressure", "csdm", "transmission_loss"])
def weighted(request: pytest.FixtureRequest) -> Posterior:
    return _posterior(request.param, weighted=True)


@pytest.fixture(scope="module")
def chains() -> Posterior:
    return _posterior("pressure", weighted=False)


def test_a_posterior_comes_back_from_its_file_as_it_was(
    weighted: Posterior, tmp_path: Path
) -> None:
    write_posterior(weighted, tmp_path / "p.nc")
    back = read_posterior(tmp_path / "p.nc")
    assert back.scenario == weighted.scenario
    assert back.names == weighted.names
    for field in ("samples", "log_weight", "log_likelihood", "prior_samples"):
        assert np.array_equal(getattr(back, field), getattr(weighted, field)), field
    assert np.array_equal(back.posterior_predictive, weighted.posterior_predictive)
    assert np.array_equal(back.sample_stats["lp"], weighted.sample_stats["lp"])
    assert back.attributes == weighted.attributes
    assert torch.equal(back.observed.data, weighted.observed.data)
    assert back.observed.kind == weighted.observed.kind
    assert [f.name for f in tmp_path.iterdir()] == ["p.nc"]


def test_the_date_of_the_measurement_is_kept_in_the_posterior(
    chains: Posterior, tmp_path: Path
) -> None:
    dated = {"date_created": "1996-05-10T23:15:00+00:00"}
    observed = replace(chains.observed, attributes={**chains.observed.attributes, **dated})
    write_measurement(observed, tmp_path / "m.nc")
    recorded = read_measurement(tmp_path / "m.nc")
    write_posterior(replace(chains, observed=recorded), tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc", group="observed_data") as group:
        assert group.attrs["date_created"] == dated["date_created"]
    back = read_posterior(tmp_path / "p.nc").observed
    assert back.attributes["date_created"] == dated["date_created"]


def test_arviz_reads_the_file_and_sees_only_the_unknowns(chains: Posterior, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz

    write_posterior(chains, tmp_path / "p.nc")
    data = arviz.from_netcdf(tmp_path / "p.nc")
    table = arviz.summary(data)
    assert list(table.index) == list(chains.names)
    assert table["mean"].to_numpy() == pytest.approx(chains.samples.mean(0), rel=1e-3)
    assert data.posterior.sizes["chain"] == 4
    first = data.posterior[chains.names[0]]
    assert first.attrs == {"units": "m", "long_name": "water depth"}
    assert first.values[1] == pytest.approx(chains.samples[250:500, 0])


@pytest.mark.parametrize(
    ("kind", "name", "unit"),
    [("pressure", "pressure_imag", "1"), ("transmission_loss", "transmission_loss", "dB")],
)
def test_predictions_have_units_and_say_how_they_are_to_be_read(
    tmp_path: Path, kind: str, name: str, unit: str
) -> None:
    posterior = _posterior(kind, weighted=True)
    write_posterior(posterior, tmp_path / "p.nc")
    with xr.open_dataset(tmp_path / "p.nc", group="posterior_predictive") as group:
        assert group[name].attrs["units"] == unit
        assert "noise-free" in group.attrs["comment"]
        if kind == "pressure":
            assert group[name].attrs["comment"] == "normalised to 1 at 1 m"
            assert group.attrs["time_convention"] == "exp(-iwt)"
            depth = group["receiver_depth"]
            assert depth.dims == ("receiver",)
            assert depth.attrs["units"] == "m"
            assert depth.values == pytest.approx(posterior.observed.receiver_depth.numpy())


def test_log_weight_stands_beside_the_unknowns_and_in_the_statistics(
    weighted: Posterior, tmp_path: Path
) -> None:
    write_posterior(weighted, tmp_path / "p.nc")
    with xr.open_datatree(tmp_path / "p.nc") as tree:
        groups = set(tree.children)
        beside = tree["posterior"].coords["log_weight"].values.ravel()
        kept = tree["sample_stats/log_weight"].values.ravel()
    assert groups == {
        "posterior", "prior", "observed_data", "posterior_predictive", "log_likelihood",
        "sample_stats",
    }  # fmt: skip
    assert np.array_equal(beside, weighted.log_weight)
    assert np.array_equal(kept, weighted.log_weight)


def test_a_missing_a_cut_and_a_foreign_file_are_each_told_in_one_line(
    chains: Posterior, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"none\.nc: no such file"):
        read_posterior(tmp_path / "none.nc")
    write_posterior(chains, tmp_path / "p.nc")
    content = (tmp_path / "p.nc").read_bytes()
    for length in (0, 3, len(content) // 2, len(content) - 1000):
        (tmp_path / "cut.nc").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"cut\.nc: cannot be read as netCDF") as caught:
            read_posterior(tmp_path / "cut.nc")
        assert "\n" not in str(caught.value)
    xr.Dataset({"x": ("a", [1.0])}).to_netcdf(tmp_path / "other.nc")
    with pytest.raises(InputError, match=r"other\.nc: oceaninv_posterior is absent"):
        read_posterior(tmp_path / "other.nc")


def test_a_file_that_lacks_a_group_is_refused(chains: Posterior, tmp_path: Path) -> None:
    write_posterior(chains, tmp_path / "p.nc")
    with xr.open_datatree(tmp_path / "p.nc") as tree:
        part = tree.load()
    part.filter(lambda node: node.name != "prior").to_netcdf(tmp_path / "part.nc")
    with pytest.raises(InputError, match="prior is absent"):
        read_posterior(tmp_path / "part.nc")


def test_summary_and_resampling_follow_the_weights() -> None:
    posterior = _posterior("pressure", weighted=True)
    x = posterior.samples[:, 0]
    heavy = replace(posterior, log_weight=np.where(x > 215.0, 0.0, -np.inf))
    row = summarise(heavy)[0]
    assert row.lower >= 215.0
    assert row.median == pytest.approx(np.median(x[x > 215.0]), abs=0.1)
    assert row.sd == pytest.approx(np.std(x[x > 215.0]), rel=1e-6)
    drawn = equal_weight(heavy, 500, np.random.default_rng(0))
    assert drawn.shape == (500, 2)
    assert drawn[:, 0].min() > 215.0


def test_the_best_draw_has_the_greatest_posterior_density(chains: Posterior) -> None:
    theta = torch.from_numpy(chains.samples)
    density = chains.log_likelihood + chains.scenario.prior.log_prob(theta).numpy()
    assert np.array_equal(chains.best, chains.samples[density.argmax()])


def test_predictions_are_those_of_draws(chains: Posterior) -> None:
    replica = predict(chains.scenario, torch.from_numpy(chains.samples)).numpy()
    for one in chains.posterior_predictive:
        assert np.isclose(replica, one).all(axis=(1, 2)).any()


def test_shapes_that_do_not_fit_are_refused(chains: Posterior) -> None:
    with pytest.raises(ValueError, match="log_likelihood has shape"):
        replace(chains, log_likelihood=chains.log_likelihood[:-1])
    with pytest.raises(ValueError, match="do not divide into 3 chains"):
        replace(chains, chains=3)


def test_data_hash_changes_with_the_data(chains: Posterior) -> None:
    other = replace(chains.observed, data=chains.observed.data * 1.0000001)
    assert data_hash(other) != data_hash(chains.observed)


def test_data_hash_knows_no_sign_of_zero(chains: Posterior) -> None:
    real = chains.observed.data.real
    data = (torch.complex(real, zero) for zero in (torch.zeros_like(real), -torch.zeros_like(real)))
    plus, minus = (data_hash(replace(chains.observed, data=values)) for values in data)
    assert plus == minus


def test_data_hash_changes_with_the_kind_and_the_number_of_snapshots(chains: Posterior) -> None:
    square = chains.observed.data[0, :5, :5]
    tones = replace(chains.observed, frequency=chains.observed.frequency[:1], data=square[None])
    csdm = [replace(tones, kind="csdm", n_snapshots=k) for k in (1, 10)]
    assert len({data_hash(m) for m in (tones, *csdm)}) == 3


def test_data_hash_of_posteriors_kept_so_far_stays_valid() -> None:
    path = Path(__file__).parents[1] / "data" / "swellex96-vla.nc"
    assert data_hash(read_measurement(path)).startswith("9943d3fbc3464c62")


def test_data_hash_of_a_posterior_does_not_depend_on_the_order_in_the_file() -> None:
    path = Path(__file__).parents[1] / "data" / "swellex96-vla.nc"
    m, scenario = read_measurement(path), load_scenario("swellex96-vla")
    turned = replace(
        m,
        frequency=m.frequency.flip(0),
        receiver_depth=m.receiver_depth.flip(0),
        data=m.data.flip(1, 2),
    )
    for measurement in (m, turned):
        posterior = make_posterior(
            scenario,
            measurement,
            scenario.prior.sample(2, 1),
            log_likelihood=np.zeros(2),
            method="test",
            seed=0,
            n_predictive=1,
        )
        assert posterior.attributes["data_hash"] == data_hash(m)


def _posterior(kind: str, *, weighted: bool) -> Posterior:
    name = "swellex96-tl" if kind == "transmission_loss" else "swellex96-2p"
    scenario = load_scenario(name)
    rng = np.random.default_rng(5)
    truth = predict(scenario, scenario.prior.sample(1, 1))
    data = truth
    if kind == "csdm":
        data = torch.einsum("fi,fj->fij", truth[0], truth[0].conj())
    elif kind == "transmission_loss":
        data = truth[0]
    measurement = Measurement(
        frequency=torch.tensor(scenario.frequency, dtype=torch.float64),
        receiver_depth=torch.tensor(scenario.receiver_depth, dtype=torch.float64),
        range_m=torch.tensor(scenario.range_m, dtype=torch.float64),
        kind=kind,  # type: ignore[arg-type]
        data=data,
    )
    n = 1000
    return make_posterior(
        scenario,
        measurement,
        scenario.prior.sample(n, 2),
        log_likelihood=rng.standard_normal(n),
        log_weight=rng.standard_normal(n) if weighted else None,
        method="test",
        seed=3,
        chains=1 if weighted else 4,
        n_predictive=20,
        attributes={"log_evidence": -3.5, "model": "none"},
    )


def _set(group: str, name: str, values: object) -> Callable[[netCDF4.Dataset], None]:
    def spoil(file: netCDF4.Dataset) -> None:
        file[group][name][:] = values

    return spoil


def _say(name: str, value: object, group: str = "/") -> Callable[[netCDF4.Dataset], None]:
    return lambda file: (file[group] if group != "/" else file).setncattr(name, value)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_say("scenario_json", ""), "scenario_json: '' is no scenario"),
        (_say("scenario_json", "{"), "scenario_json: '{' is no scenario"),
        (_say("scenario_json", "{}"), "scenario_json: '{}' is no scenario"),
        (_say("scenario_json", "[" * 10**4), "is no scenario (is nested too deeply)"),
        (_say("scenario_json", 5), "scenario_json: '5' is no scenario"),
        (_set("posterior", "water_depth", np.nan), "posterior/water_depth: 1000 of 1000 draws are"),
        (
            _set("posterior", "water_depth", 5.0),
            "water_depth: 5 lies outside of its prior, 200.5 to",
        ),
        (_set("prior", "water_depth", np.inf), "prior/water_depth: 4000 of 4000 draws are"),
        (_set("sample_stats", "log_weight", np.nan), "sample_stats/log_weight: 1000 of 1000 are"),
        (_set("sample_stats", "log_weight", np.inf), "sample_stats/log_weight: 1000 of 1000 are"),
        (_set("sample_stats", "log_weight", -np.inf), "sample_stats/log_weight: all are -inf"),
        (_say("pareto_k", "good"), "pareto_k: good is not a number"),
        (_say("converged", 0), "ess: is absent though converged is 0"),
        (_say("effective_sample_size", "many"), "effective_sample_size: many is not a number"),
        (_say("mismatch_p_overall", "?"), "mismatch_p_overall: ? is not a number"),
        (lambda file: file.delncattr("mismatch_p_summary"), "mismatch_p_summary: None is not a"),
        (_say("mismatch_p_tone", "[1, "), "mismatch_p_tone: [1,  is not a JSON list of numbers"),
        (_say("mismatch_p_tone", '["a"]'), 'mismatch_p_tone: ["a"] is not a JSON list of numbers'),
        (_say("mismatch_p_tone", "[" * 10**4), "is not a JSON list of numbers"),
        (_say("mismatch_p_receiver", 3), "mismatch_p_receiver: 3 is not a JSON list of numbers"),
        (_say("true_parameters", "{", "observed_data"), "true_parameters: is not a JSON object"),
        (_say("true_parameters", '{"a": "b"}', "observed_data"), "true_parameters: is not a JSON"),
    ],
)
def test_a_damaged_file_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[netCDF4.Dataset], None], told: str
) -> None:
    path = tmp_path / "p.nc"
    mismatch = {f"mismatch_p_{kind}": 0.5 for kind in ("summary", "overall", "outliers")}
    lists = {f"mismatch_p_{kind}": "[0.5, null]" for kind in ("tone", "receiver")}
    whole = _posterior("pressure", weighted=True)
    write_posterior(
        replace(whole, attributes={**whole.attributes, "mismatch": "none", **mismatch, **lists}),
        path,
    )
    assert read_posterior(path).attributes["mismatch_p_tone"] == "[0.5, null]"
    with netCDF4.Dataset(path, "a") as file:
        spoil(file)
    with pytest.raises(InputError) as caught:
        read_posterior(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("group", ["log_likelihood", "sample_stats", "posterior_predictive"])
def test_groups_of_different_length_are_told_in_one_line(
    chains: Posterior, tmp_path: Path, group: str
) -> None:
    write_posterior(chains, tmp_path / "p.nc")
    with xr.open_datatree(tmp_path / "p.nc") as tree:
        part = tree.load()
    dim = "frequency" if group == "posterior_predictive" else "draw"
    part[group] = xr.DataTree(part[group].to_dataset().isel({dim: slice(0, 1)}))
    part.to_netcdf(tmp_path / "part.nc")
    with pytest.raises(InputError, match=r"part\.nc: .*shape .*damaged, write it again"):
        read_posterior(tmp_path / "part.nc")


def test_draws_without_weight_among_others_are_read(tmp_path: Path) -> None:
    whole = _posterior("pressure", weighted=True)
    assert whole.log_weight is not None
    weight = np.where(np.arange(1000) < 500, -np.inf, whole.log_weight)
    write_posterior(replace(whole, log_weight=weight), tmp_path / "p.nc")
    assert read_posterior(tmp_path / "p.nc").weights[:500].sum() == 0
