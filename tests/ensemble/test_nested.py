"""Nested sampling against closed forms, and what happens to a run that is killed."""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from oceaninv.ensemble.checkpoint import Checkpoint
from oceaninv.ensemble.draws import ChainSettings
from oceaninv.ensemble.nested import sample_nested
from oceaninv.errors import InputError
from oceaninv.weighted import normalised_weights

SHORT = ChainSettings(walkers=300, effective_samples=2000, samples=100_000)


@pytest.fixture(autouse=True)
def only_ellipsoids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training the networks takes nearly all of the time; one test does without this."""
    monkeypatch.setattr("oceaninv.ensemble.nested.NETWORKS", 0)


class Killed(Exception):
    pass


def test_gaussian_posterior_and_evidence_match_their_closed_forms() -> None:
    d = 3
    rng = np.random.default_rng(3)
    a = rng.standard_normal((d, d))
    spread = torch.from_numpy(0.05 * a @ a.T + 0.02 * np.eye(d))
    centre = torch.from_numpy(0.7 * rng.standard_normal(d))
    eye = torch.eye(d, dtype=torch.float64)
    evidence = MultivariateNormal(torch.zeros(d).double(), spread + eye).log_prob(centre).item()
    covariance = torch.linalg.inv(eye + torch.linalg.inv(spread)).numpy()
    mean = covariance @ np.linalg.solve(spread.numpy(), centre.numpy())
    likelihood = MultivariateNormal(centre, spread).log_prob

    def of_v(v: np.ndarray) -> np.ndarray:
        return likelihood(torch.from_numpy(v)).numpy()

    draws = sample_nested(of_v, d, SHORT, seed=0)
    assert draws.attributes["converged"] == 1
    error = float(draws.attributes["log_evidence_error"])
    assert error < 0.03
    assert abs(float(draws.attributes["log_evidence"]) - evidence) < 3 * error
    weights = normalised_weights(draws.log_weight, len(draws.v))
    sd = np.sqrt(np.diag(covariance))
    found = weights @ draws.v
    assert (found - mean) / sd == pytest.approx(np.zeros(d), abs=0.1)
    gap = draws.v - found
    assert (gap.T * weights) @ gap / np.outer(sd, sd) == pytest.approx(
        covariance / np.outer(sd, sd), abs=0.1
    )
    assert draws.log_likelihood == pytest.approx(of_v(draws.v))
    assert float(draws.attributes["ess"]) >= 2000


def test_far_modes_have_their_share_and_log_weights_the_evidence_as_their_mean() -> None:
    """Two narrow modes, one twice as heavy: the evidence is that of a sum of Gaussians."""
    draws = sample_nested(_two_modes, 2, SHORT, seed=1)
    weights = normalised_weights(draws.log_weight, len(draws.v))
    assert weights[draws.v[:, 0] > 0].sum() == pytest.approx(2 / 3, abs=0.05)
    one = 2 * math.log(0.1 / math.sqrt(1.01)) - 0.5 * 2 * 1.5**2 / 1.01
    assert draws.attributes["log_evidence"] == pytest.approx(one + math.log(1.5), abs=0.08)
    mean = np.logaddexp.reduce(draws.log_weight) - math.log(len(draws.v))
    assert mean == pytest.approx(draws.attributes["log_evidence"], abs=1e-6)


def test_a_killed_run_goes_on_to_the_same_draws(tmp_path: Path) -> None:
    whole = sample_nested(_two_modes, 2, SHORT, seed=2)
    checkpoint = Checkpoint(tmp_path / "run.checkpoint")

    def kill(_done: int, _total: int, text: str) -> None:
        if "log evidence" in text:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oceaninv.ensemble.nested._CHECKPOINT_SECONDS", 0.0)
        with pytest.raises(Killed):
            sample_nested(_two_modes, 2, SHORT, 2, checkpoint, {"measurement": "a"}, kill)
    counted = 0

    def counting(v: np.ndarray) -> np.ndarray:
        nonlocal counted
        counted += len(v)
        return _two_modes(v)

    with pytest.raises(InputError, match="measurement was a and is now b"):
        sample_nested(counting, 2, SHORT, 2, checkpoint, {"measurement": "b"})
    resumed = sample_nested(counting, 2, SHORT, 2, checkpoint, {"measurement": "a"})
    assert np.array_equal(resumed.v, whole.v)
    assert resumed.attributes == whole.attributes
    assert 0 < counted < int(str(whole.attributes["n_likelihoods"])) / 2


def test_a_spoilt_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    (tmp_path / "nautilus.h5").write_bytes(b"\x89HDF\r\n\x1a\n cut off")
    with pytest.raises(InputError, match="cannot be read; start anew without --resume"):
        sample_nested(_two_modes, 2, SHORT, 0, checkpoint)


def test_a_checkpoint_with_a_spoilt_number_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path)
    with h5py.File(tmp_path / "nautilus.h5", "w") as file:
        file.create_group("sampler").attrs["rng_state"] = "12e"
    with pytest.raises(InputError, match="cannot be read; start anew without --resume"):
        sample_nested(_two_modes, 2, SHORT, 0, checkpoint)


def test_a_run_that_is_too_short_says_so() -> None:
    with pytest.warns(RuntimeWarning, match="not come to its end after 1000 likelihoods"):
        draws = sample_nested(_two_modes, 2, ChainSettings(walkers=300, max_steps=10), seed=0)
    assert draws.attributes["converged"] == 0


def test_exploration_may_end_with_a_stretch_of_the_run() -> None:
    """Its draws are given up then, and there are no others: no likelihood is zero, though."""
    drawn = sample_nested(
        lambda v: -2.0 * ((v - 0.3) ** 2).sum(1), 2, ChainSettings(effective_samples=300), seed=3
    )
    assert drawn.attributes["log_evidence"] == pytest.approx(-np.log(5) - 0.09 / 1.25, abs=0.15)


def test_likelihoods_that_vanish() -> None:
    with pytest.raises(RuntimeError, match="zero at every draw"):
        sample_nested(lambda v: np.full(len(v), -np.inf), 2, SHORT, seed=0)

    def half(v: np.ndarray) -> np.ndarray:
        return np.where(v[:, 0] > 0, -1.5 * np.sum(v**2, -1), -np.inf)

    draws = sample_nested(half, 2, SHORT, seed=0)
    assert draws.v[:, 0].min() > 0
    assert draws.attributes["log_evidence"] == pytest.approx(math.log(0.25 / 2), abs=0.08)


def test_problems_it_cannot_solve_are_refused() -> None:
    with pytest.raises(InputError, match="two unknowns or more"):
        sample_nested(_two_modes, 1, SHORT, seed=0)
    with pytest.raises(InputError, match="20 live points are too few for 2 unknowns; give 104"):
        sample_nested(_two_modes, 2, ChainSettings(walkers=20), seed=0)


def _two_modes(v: np.ndarray) -> np.ndarray:
    near = -0.5 * np.sum((v - 1.5) ** 2, -1) / 0.1**2
    far = -0.5 * np.sum((v + 1.5) ** 2, -1) / 0.1**2
    return np.logaddexp(near, far + np.log(0.5))
