from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oceaninv.ensemble.checkpoint import Checkpoint
from oceaninv.errors import InputError
from oceaninv.likelihood import log_likelihood
from oceaninv.mcmc import ChainSettings, mcmc, sample_ensembles
from oceaninv.measurement.synthetic import synthetic_measurement
from oceaninv.posterior import read_posterior
from oceaninv.scenario import load_scenario

SHORT = ChainSettings(effective_samples=1000, max_steps=4000, samples=8000)


class Killed(Exception):
    pass


def test_gaussian_posterior_matches_its_closed_form() -> None:
    rng = np.random.default_rng(3)
    d = 5
    a = rng.standard_normal((d, d))
    precision, centre = 5 * a @ a.T, rng.standard_normal(d)
    covariance = np.linalg.inv(precision + np.eye(d))
    mean, sd = covariance @ precision @ centre, np.sqrt(np.diag(covariance))

    def log_likelihood(v: np.ndarray) -> np.ndarray:
        return -0.5 * np.einsum("ni,ij,nj->n", v - centre, precision, v - centre)

    draws = sample_ensembles(log_likelihood, d, SHORT, seed=0)
    assert draws.attributes["converged"] == 1
    assert (draws.v.mean(0) - mean) / sd == pytest.approx(np.zeros(d), abs=0.12)
    assert np.cov(draws.v.T) / np.outer(sd, sd) == pytest.approx(
        covariance / np.outer(sd, sd), abs=0.12
    )
    assert draws.log_likelihood == pytest.approx(log_likelihood(draws.v))


def test_far_modes_are_found_and_have_their_share() -> None:
    # Two modes 30 standard deviations apart, one twice as heavy.
    draws = sample_ensembles(_two_modes, 3, SHORT, seed=1)
    assert np.mean(draws.v[:, 0] > 0) == pytest.approx(2 / 3, abs=0.06)
    assert draws.attributes["converged"] == 1


def test_likelihood_that_vanishes_over_half_of_the_prior() -> None:
    def log_likelihood(v: np.ndarray) -> np.ndarray:
        return np.where(v[:, 0] > 0, 0.0, -np.inf)

    draws = sample_ensembles(log_likelihood, 2, SHORT, seed=0)
    assert draws.v[:, 0].min() > 0
    assert draws.v[:, 0].mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.05)


def test_likelihood_that_vanishes_everywhere_is_refused() -> None:
    with pytest.raises(RuntimeError, match="zero at every draw"):
        sample_ensembles(lambda v: np.full(len(v), -np.inf), 2, SHORT, seed=0)


def test_a_killed_run_goes_on_to_the_same_draws(tmp_path: Path) -> None:
    settings = ChainSettings(effective_samples=800, max_steps=2000, samples=1000)
    whole = sample_ensembles(_two_modes, 3, settings, seed=2)
    calls = 0

    def dies(v: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 1100:
            raise Killed
        return _two_modes(v)

    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    with pytest.raises(Killed):
        sample_ensembles(dies, 3, settings, seed=2, checkpoint=checkpoint)
    assert checkpoint.exists
    resumed = sample_ensembles(_two_modes, 3, settings, seed=2, checkpoint=checkpoint)
    assert np.array_equal(resumed.v, whole.v)
    assert resumed.attributes == whole.attributes


def test_a_resumed_run_ends_where_the_whole_one_does(tmp_path: Path) -> None:
    """The whole run is judged at 100 and 140 stored steps, not at 120, where it would do."""
    settings = ChainSettings(ensembles=2, walkers=8, effective_samples=1000, samples=1000)

    def log_likelihood(v: np.ndarray) -> np.ndarray:
        return -0.5 * np.sum((v - 0.5) ** 2, -1) / 0.09

    whole = sample_ensembles(log_likelihood, 2, settings, seed=5)
    assert whole.attributes["steps"] == 700
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    stopped = replace(settings, max_steps=600, effective_samples=10**6)
    with pytest.warns(RuntimeWarning, match="not converged"):
        sample_ensembles(log_likelihood, 2, stopped, seed=5, checkpoint=checkpoint)
    resumed = sample_ensembles(log_likelihood, 2, settings, seed=5, checkpoint=checkpoint)
    assert np.array_equal(resumed.v, whole.v)
    assert resumed.attributes == whole.attributes


def test_a_checkpoint_of_another_problem_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    settings = ChainSettings(max_steps=300)
    with pytest.warns(RuntimeWarning, match="not converged"):
        sample_ensembles(_two_modes, 2, settings, 0, checkpoint, {"measurement": "a"})
    with pytest.raises(InputError, match="measurement was a and is now b"):
        sample_ensembles(_two_modes, 2, settings, 0, checkpoint, {"measurement": "b"})


@pytest.mark.parametrize("content", ['{"measureme', "", "3", "[" * 10**4])
def test_a_checkpoint_that_is_cut_off_is_refused(tmp_path: Path, content: str) -> None:
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    checkpoint.claim({"measurement": "a"})
    (checkpoint.path / "identity.json").write_text(content)
    with pytest.raises(InputError, match=r"identity\.json: is cut off or not .* without --resume"):
        checkpoint.claim({"measurement": "a"})


def test_a_kill_while_a_run_is_claimed_leaves_no_half_of_its_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.write_text

    def half(path: Path, text: str) -> int:
        whole(path, text[: len(text) // 2])
        raise Killed

    checkpoint = Checkpoint(tmp_path / "run.checkpoint")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", half)
        with pytest.raises(Killed):
            checkpoint.claim({"measurement": "a"})
    checkpoint.claim({"measurement": "b"})  # nothing was claimed
    with pytest.raises(InputError, match="measurement was b and is now a"):
        checkpoint.claim({"measurement": "a"})


# no whole number of segments, no multiple of the steps between stored ones, and the fewest
@pytest.mark.parametrize(("asked", "done"), [(300, 300), (253, 250), (40, 40)])
def test_a_run_ends_where_it_was_told_to_and_says_that_it_is_too_short(
    asked: int, done: int
) -> None:
    settings = ChainSettings(max_steps=asked, effective_samples=10**6)
    with pytest.warns(RuntimeWarning, match=f"not converged after {done} steps"):
        draws = sample_ensembles(_two_modes, 3, settings, seed=0)
    assert draws.attributes["converged"] == 0
    assert draws.attributes["steps"] == done


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ChainSettings(walkers=7), "walkers: 7"),
        (ChainSettings(walkers=4), "walkers: 4"),
        (ChainSettings(ensembles=1), "ensembles: 1"),
        (ChainSettings(max_steps=1), "max_steps: 1 are too few .* give 40 or more"),
        (ChainSettings(max_steps=39), "max_steps: 39 are too few"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: ChainSettings, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sample_ensembles(_two_modes, 3, settings, seed=0)


def test_mcmc_of_a_measurement_writes_its_posterior_and_goes_on_after_a_kill(
    tmp_path: Path,
) -> None:
    known = load_scenario("north-elba-1993")
    # In noise this strong the posterior is wide, and the starting points are found at once.
    scenario = known.model_copy(update={"noise": known.noise.model_copy(update={"snr_db": -15.0})})
    measurement, _ = synthetic_measurement(scenario, seed=3)
    other, _ = synthetic_measurement(scenario, seed=4)
    settings = ChainSettings(ensembles=2, walkers=24, max_steps=200, samples=480)
    out = tmp_path / "mcmc.nc"

    def kill(done: int, total: int, text: str) -> None:
        if done:
            raise Killed

    with pytest.raises(Killed):
        mcmc(measurement, scenario, seed=1, out=out, settings=settings, progress=kill)
    assert not out.exists()
    with pytest.raises(InputError, match="measurement was"):
        mcmc(other, scenario, seed=1, out=out, settings=settings, resume=True)
    with pytest.warns(RuntimeWarning, match="not converged"):
        posterior = mcmc(measurement, scenario, seed=1, out=out, settings=settings, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mcmc.nc"]
    written = read_posterior(out)
    assert np.array_equal(written.samples, posterior.samples)
    assert written.chains == 2
    assert written.attributes["converged"] == 0
    likelihood = log_likelihood(scenario, measurement)(torch.from_numpy(posterior.samples[:50]))
    assert posterior.log_likelihood[:50] == pytest.approx(likelihood.numpy(), abs=1e-6)


def test_unknown_samplers_and_a_resume_of_nothing_are_refused() -> None:
    scenario = load_scenario("north-elba-1993")
    measurement, _ = synthetic_measurement(scenario, seed=3)
    with pytest.raises(InputError, match="'gibbs' is unknown; choose one of emcee, nautilus"):
        mcmc(measurement, scenario, sampler="gibbs")
    with pytest.raises(InputError, match="give -o FILE"):
        mcmc(measurement, scenario, resume=True)


def _two_modes(v: np.ndarray) -> np.ndarray:
    near = -0.5 * np.sum((v - 1.5) ** 2, -1) / 0.1**2
    far = -0.5 * np.sum((v + 1.5) ** 2, -1) / 0.1**2
    return np.logaddexp(near, far + np.log(0.5))
