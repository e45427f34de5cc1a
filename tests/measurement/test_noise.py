"""The noise models: closed forms against brute force, and simulation against likelihood."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from torch import Tensor

from oceaninv.measurement.covariance import ExponentialCovariance
from oceaninv.measurement.noise import ComplexNoise, LevelNoise, csdm_factor
from oceaninv.scenario.prior import marginal

PLACES = [0.0, 3.0, 5.0, 12.0]


def waves(n: int, tones: int, points: int, seed: int) -> Tensor:
    """Replicas (n, F, N) of no special form."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, tones, points, dtype=torch.complex128, generator=generator)


def complex_noise(snr_db: object, places: list[float] = PLACES) -> ComplexNoise:
    return ComplexNoise(snr_db, ExponentialCovariance.on_lines([places]))  # type: ignore[arg-type]


def lengths(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_source_and_noise_power_integrate_to_the_closed_form() -> None:
    """Brute force over s (real and imaginary part) and ln(nu) for two phones, one snapshot."""
    places, length, snr_db = [0.0, 2.0], 3.0, 4.0
    d = np.array([0.8 + 0.3j, -0.2 + 0.9j])
    g = np.array([1.0 + 0.5j, 0.4 - 1.1j])
    unit = math.sqrt(2) * g / np.linalg.norm(g)
    q = math.exp(-2.0 / length)
    c = np.array([[1, q], [q, 1]])
    inverse, det, rho = np.linalg.inv(c), np.linalg.det(c), 10 ** (snr_db / 10)

    def over_source(log_nu: float) -> float:
        nu = math.exp(log_nu)
        # The integrand is a normal density in s: 8 standard deviations about its mode hold it.
        precision = (unit.conj() @ inverse @ unit).real / nu + 1 / (rho * nu)
        mode = (unit.conj() @ inverse @ d) / nu / precision
        grid = np.linspace(-8, 8, 81) / math.sqrt(2 * precision)
        s = mode + grid[:, None] + 1j * grid
        r = d - s[..., None] * unit
        misfit = np.einsum("abi,ij,abj->ab", r.conj(), inverse, r).real
        data = np.exp(-misfit / nu) / (math.pi**2 * nu**2 * det)
        source = np.exp(-(abs(s) ** 2) / (rho * nu)) / (math.pi * rho * nu)
        return float(np.trapezoid(np.trapezoid(data * source, grid), grid))

    log_nu = np.linspace(-7.0, 8.0, 76)
    brute = np.trapezoid([over_source(x) for x in log_nu], log_nu)
    value = complex_noise(snr_db, places).log_likelihood(
        torch.from_numpy(d)[None, :, None], torch.from_numpy(g)[None, None], lengths(length)
    )
    assert value.item() == pytest.approx(math.log(brute), abs=1e-4)


def test_snapshots_and_noise_power_integrate_to_the_closed_form() -> None:
    """The density of K snapshots written as a dense complex normal, integrated over ln(nu)."""
    n_snapshots, length, snr_db = 3, 4.0, 7.0
    data = waves(1, n_snapshots, 4, 5)[0]
    g = waves(1, 1, 4, 6)
    unit = (g / torch.linalg.vector_norm(g))[0, 0].numpy()
    x = np.array(PLACES)
    c = np.exp(-abs(x[:, None] - x) / length) + 0j
    sigma = c + 10 ** (snr_db / 10) * 4 * np.outer(unit, unit.conj())
    inverse, log_det = np.linalg.inv(sigma), np.linalg.slogdet(sigma)[1]
    quadratic = sum(float((d.conj() @ inverse @ d).real) for d in data.numpy())

    def density(log_nu: float) -> float:
        power = -4 * n_snapshots * (math.log(math.pi) + log_nu) - n_snapshots * log_det
        return math.exp(power - quadratic * math.exp(-log_nu))

    brute, _ = integrate.quad(density, -6, 8, epsabs=0, limit=400)
    noise = complex_noise(snr_db)
    csdm = torch.einsum("ki,kj->ij", data, data.conj())[None] / n_snapshots
    for factor in (csdm_factor(csdm), data.T[None] / math.sqrt(n_snapshots)):
        value = noise.log_likelihood(factor, g, lengths(length), n_snapshots)
        assert value.item() == pytest.approx(math.log(brute), abs=1e-6)


@pytest.mark.parametrize("n_snapshots", [1, 40])
def test_snr_is_integrated_under_its_prior(n_snapshots: int) -> None:
    prior = {"uniform": [-5.0, 25.0]}
    g = waves(1, 1, 4, 3)
    length = lengths(4.0)
    generator = torch.Generator().manual_seed(4)
    data = complex_noise(12.0).simulate(g, length, generator, n_snapshots)[0, :, 0]
    factor = data.T[None] / math.sqrt(n_snapshots)
    value = complex_noise(marginal(prior)).log_likelihood(factor, g, length, n_snapshots)

    def given(snr_db: float) -> float:
        return complex_noise(snr_db).log_likelihood(factor, g, length, n_snapshots).item()

    peak = max(given(x) for x in range(-5, 26))
    brute, _ = integrate.quad(lambda x: math.exp(given(x) - peak), -5, 25, limit=400)
    assert value.item() == pytest.approx(math.log(brute / 30) + peak, abs=1e-5)


@given(st.floats(1e-6, 1e6), st.floats(-math.pi, math.pi), st.floats(1e-6, 1e6))
def test_amplitude_and_phase_of_source_and_replica_do_not_matter(
    amplitude: float, phase: float, scale: float
) -> None:
    noise = complex_noise(marginal({"uniform": [0.0, 20.0]}))
    data, g, length = waves(1, 2, 4, 1)[0, :, :, None], waves(3, 2, 4, 2), lengths(5.0, 5.0, 5.0)
    turn = torch.polar(torch.tensor(amplitude), torch.tensor(phase)).to(torch.complex128)
    plain = noise.log_likelihood(data, g, length)
    changed = noise.log_likelihood(turn * data, scale * turn.conj() * g, length)
    # The density of data scaled by a carries a^(-2N) at each tone.
    shift = -2 * 4 * 2 * math.log(abs(turn.item()))
    torch.testing.assert_close(changed, plain + shift, rtol=1e-6, atol=1e-6)


def test_one_correlation_length_per_replica_is_the_same_as_one_by_one() -> None:
    noise = complex_noise(marginal({"uniform": [0.0, 20.0]}))
    data, g, length = waves(1, 2, 4, 1)[0, :, :, None], waves(3, 2, 4, 2), lengths(0.0, 2.0, 9.0)
    together = noise.log_likelihood(data, g, length)
    alone = torch.cat(
        [noise.log_likelihood(data, g[i : i + 1], length[i : i + 1]) for i in range(3)]
    )
    torch.testing.assert_close(together, alone)


def test_a_replica_that_failed_has_likelihood_zero() -> None:
    noise = complex_noise(10.0)
    g = waves(3, 1, 4, 2)
    g[0, 0, 1] = torch.nan
    g[1] = 0
    value = noise.log_likelihood(waves(1, 1, 4, 1)[0, :, :, None], g, lengths(1.0, 1.0, 1.0))
    assert torch.isneginf(value).tolist() == [True, True, False]


def test_the_likelihood_recovers_what_the_simulator_put_in() -> None:
    """SNR and correlation length of 1500 simulated tones, by maximum likelihood."""
    places = [5.0 * i for i in range(12)]
    g = waves(1, 1500, 12, 8)
    generator = torch.Generator().manual_seed(9)
    data = complex_noise(11.0, places).simulate(g, lengths(9.0), generator)[0, 0, :, :, None]

    def total(snr_db: float, length: float) -> float:
        return complex_noise(snr_db, places).log_likelihood(data, g, lengths(length)).item()

    snr = np.arange(9.0, 13.01, 0.5)
    best = snr[np.argmax([total(x, 9.0) for x in snr])]
    assert best == pytest.approx(11.0, abs=0.5)
    length = np.arange(6.0, 12.01, 0.5)
    best = length[np.argmax([total(11.0, x) for x in length])]
    assert best == pytest.approx(9.0, abs=0.5)


def test_simulated_snr_is_that_of_its_definition() -> None:
    noise = complex_noise(6.0)
    g = waves(1, 1, 4, 2).expand(20_000, -1, -1)
    data = noise.simulate(g, torch.zeros(20_000, dtype=torch.float64), torch.Generator())
    # Mean power per phone: 1 of the noise and 10^0.6 of the signal.
    assert data.abs().square().mean().item() == pytest.approx(1 + 10**0.6, rel=0.03)


def test_training_precision_is_kept() -> None:
    noise = complex_noise(marginal({"uniform": [0.0, 20.0]}))
    g = waves(2, 3, 4, 2).to(torch.complex64)
    data = noise.simulate(g, lengths(1.0, 2.0), torch.Generator(), n_snapshots=5)
    assert data.shape == (2, 5, 3, 4)
    assert data.dtype == torch.complex64


def level_noise(sd_db: object, tau: float) -> LevelNoise:
    lines = [[100.0, 150.0, 400.0], [100.0, 150.0, 400.0]]
    return LevelNoise(sd_db, tau, ExponentialCovariance.on_lines(lines))  # type: ignore[arg-type]


def test_level_likelihood_is_the_dense_normal_density() -> None:
    sd, tau, length = 2.5, 4.0, 120.0
    rng = np.random.default_rng(0)
    observed, model = rng.normal(70, 5, (2, 6)), rng.normal(70, 5, (3, 2, 6))
    x = np.array([100.0, 150.0, 400.0])
    block = np.exp(-abs(x[:, None] - x) / length)
    c = sd**2 * np.kron(np.eye(2), block) + tau**2
    expected = [
        sum(stats.multivariate_normal(g[f], c).logpdf(observed[f]) for f in range(2)) for g in model
    ]
    value = level_noise(sd, tau).log_likelihood(
        torch.from_numpy(observed), torch.from_numpy(model), lengths(length, length, length)
    )
    np.testing.assert_allclose(value, expected, rtol=1e-10)


@pytest.mark.parametrize("points", [6, 1200])
def test_level_spread_is_integrated_under_its_prior(points: int) -> None:
    generator = torch.Generator().manual_seed(3)
    model = torch.full((1, 1, points), 70.0, dtype=torch.float64)
    covariance = ExponentialCovariance.on_lines([[10.0 * i for i in range(points)]])
    observed = LevelNoise(2.0, 3.0, covariance).simulate(model, lengths(5.0), generator)[0, 0]

    def given(sd: float) -> float:
        return LevelNoise(sd, 3.0, covariance).log_likelihood(observed, model, lengths(5.0)).item()

    peak = max(given(sd) for sd in np.linspace(1.5, 6.0, 200))
    brute, _ = integrate.quad(
        lambda sd: math.exp(given(sd) - peak), 0.5, 6.0, epsabs=0, limit=200, points=[1.9, 2.1]
    )
    noise = LevelNoise(marginal({"uniform": [0.5, 6.0]}), 3.0, covariance)
    value = noise.log_likelihood(observed, model, lengths(5.0))
    assert value.item() == pytest.approx(peak + math.log(brute / 5.5), abs=1e-6)


@pytest.mark.parametrize("points", [5, 50, 400])
@pytest.mark.parametrize(
    "spec",
    [
        {"uniform": [0.1, 50.0]},
        {"log_uniform": [0.1, 50.0]},
        {"uniform": [2.0, 2.1]},
        {"truncated_normal": [2.0, 0.1, 0.1, 50.0]},
    ],
    ids=str,
)
def test_level_spread_is_integrated_wherever_its_prior_has_it(
    spec: dict[str, list[float]], points: int
) -> None:
    prior = marginal(spec)
    noise = LevelNoise(prior, 0.0, ExponentialCovariance.on_lines([list(range(points))]))
    shape = np.random.default_rng(0).standard_normal(points)
    wide = prior.upper == 50.0 and "truncated_normal" not in spec
    size = np.geomspace(0.7, 40.0, 50) if wide else np.linspace(1.5, 2.6, 50)
    residual = torch.from_numpy(size[:, None, None] * shape / np.sqrt(np.mean(shape**2)))
    none = torch.zeros(1, points, dtype=torch.float64)
    value = noise.log_likelihood(none, residual, torch.zeros(50, dtype=torch.float64))
    x = np.linspace(math.log(prior.lower), math.log(prior.upper), 40_001)
    sd = np.exp(x).clip(prior.lower, prior.upper)
    log = prior.log_prob(torch.from_numpy(sd)).numpy() + x - points * np.log(sd)
    log = log - 0.5 * points * (math.log(2 * math.pi) + (size[:, None] / sd) ** 2)
    peak = log.max(axis=1, keepdims=True)
    brute = peak[:, 0] + np.log(integrate.trapezoid(np.exp(log - peak), x=x, axis=1))
    np.testing.assert_allclose(value, brute, rtol=0, atol=1e-5)


def test_simulated_levels_have_the_spread_of_the_model() -> None:
    model = torch.full((50_000, 1, 6), 70.0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(5)
    length = torch.full((50_000,), 120.0, dtype=torch.float64)
    drawn = level_noise(2.0, 3.0).simulate(model, length, generator)[:, 0, 0]
    x = np.array([100.0, 150.0, 400.0])
    expected = 4 * np.kron(np.eye(2), np.exp(-abs(x[:, None] - x) / 120.0)) + 9
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.35)


def test_a_level_that_failed_has_likelihood_zero() -> None:
    model = torch.full((2, 1, 6), 70.0, dtype=torch.float64)
    model[0, 0, 0] = torch.nan
    value = level_noise(2.0, 3.0).log_likelihood(model[1], model, lengths(50.0, 50.0))
    assert torch.isneginf(value).tolist() == [True, False]
