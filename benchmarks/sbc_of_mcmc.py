"""Are likelihood and simulator of swellex96-2p the same model?

If they are, and the sampler is right, the truth of a fresh simulation ranks evenly among the draws
of its posterior. The posterior of each simulation is sampled by the ensembles of `oceaninv mcmc`
and, independently, on a grid. Ranks, balls (TARP) and ellipsoids are tested as by `oceaninv
calibrate`, and so are draws that must fail: the chains' draws made half as wide, and shifted by
half a standard deviation.

    python benchmarks/sbc_of_mcmc.py
    python benchmarks/sbc_of_mcmc.py --keep    # also writes benchmarks/results/

Waveguides are solved once, at the centres of 540 × 180 cells of 0.07 m by 0.33 m/s; for both
samplers the likelihood is that of the cell. The narrowest posteriors are 0.09 m wide (sd), so that
this widens them by 2 % at most; the simulations themselves are exact.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from grid import NAME, cells
from record import finish

from oceaninv import load_scenario
from oceaninv.diagnostics.calibrate import Sample, calibrate_sampler
from oceaninv.ensemble.chains import sample_ensembles
from oceaninv.ensemble.draws import ChainSettings
from oceaninv.likelihood import log_likelihood
from oceaninv.measurement import Measurement
from oceaninv.scenario import Scenario
from oceaninv.scenario.predict import predict

SEED = 7
CELLS = (540, 180)
DRAWS = 320
SETTINGS = ChainSettings(
    ensembles=2, walkers=16, effective_samples=2 * DRAWS, max_steps=6000, samples=DRAWS
)


def main() -> None:
    parser = argparse.ArgumentParser(description="SBC of MCMC on swellex96-2p")
    parser.add_argument("-n", type=int, default=200, help="simulations")
    parser.add_argument("--keep", action="store_true", help="write benchmarks/results/")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table.of(load_scenario(NAME))
    kept: list[np.ndarray] = []  # the draws of the chains, for the controls

    def chains(measurement: Measurement, seed: int) -> tuple[np.ndarray, None]:
        kept.append(table.chains(measurement, seed))
        return kept[-1], None

    def changed(change: Callable[[np.ndarray], np.ndarray]) -> Sample:
        again = iter(kept)
        return lambda *_: (table.inside(change(next(again))), None)

    begun = time.process_time()
    samplers: dict[str, Callable[[], Sample]] = {
        "chains": lambda: chains,
        "grid": lambda: lambda measurement, seed: (table.draws(measurement, seed), None),
        "narrow": lambda: changed(lambda x: x.mean(0) + 0.5 * (x - x.mean(0))),
        "shifted": lambda: changed(lambda x: x + 0.5 * x.std(0)),
    }
    lines = [f"{'':8}  {'':16}  coverage of 50    80    90   95 %  p-value"]
    answer: dict[str, object] = {"n": arguments.n}
    for name, sampler in samplers.items():
        result = calibrate_sampler(
            table.scenario, sampler(), arguments.n, seed=SEED, progress=told(name)
        )
        if name == "chains":
            answer["seconds_per_posterior"] = (time.process_time() - begun) / arguments.n
        for dim, share, p_value in (
            ("parameter", "coverage", "p_value"),
            ("joint", "expected_coverage", "joint_p_value"),
        ):
            for of in result[dim].values:
                covered = "  ".join(f"{c:4.0%}" for c in result[share].sel({dim: of}).values)
                p = float(result[p_value].sel({dim: of}))
                verdict = "passes" if p >= result.attrs["alpha"] else "FAILS"
                lines.append(f"{name:8}  {of:16}  {'':8}  {covered}  {p:9.2g}  {verdict}")
        answer[f"{name}_passes"] = int(result.attrs["passes"])
        answer[f"{name}_least_p_value"] = float(
            min(result["p_value"].min(), result["joint_p_value"].min())
        )
    finish("sbc_of_mcmc", "\n".join(lines), answer, seed=SEED, keep=arguments.keep)


@dataclass(frozen=True)
class Table:
    """Noise-free data at the centre of every cell, and the cells."""

    scenario: Scenario
    centre: torch.Tensor
    size: np.ndarray
    replica: torch.Tensor

    @classmethod
    def of(cls, scenario: Scenario) -> Table:
        """Solve the waveguides of all cells."""
        centre, size = cells(scenario, CELLS)
        parts = []
        for i, part in enumerate(centre.split(1000)):
            parts.append(predict(scenario, part))
            if i % 20 == 0:
                print(f"table: {i} of {len(centre) // 1000} thousand", flush=True)
        return cls(scenario, centre, size, torch.cat(parts))

    def chains(self, measurement: Measurement, seed: int) -> np.ndarray:
        """Draws of the ensembles, (n, 2)."""
        likelihood, prior = log_likelihood(self.scenario, measurement), self.scenario.prior
        low = prior.lower.numpy()

        def of_v(v: np.ndarray) -> np.ndarray:
            theta = prior.from_normal(torch.from_numpy(v)).numpy()
            index = np.clip(((theta - low) / self.size).astype(int), 0, np.array(CELLS) - 1)
            flat = torch.from_numpy(np.ravel_multi_index(tuple(index.T), CELLS))
            return likelihood.of_replica(self.replica[flat], self.centre[flat]).numpy()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # R-hat of so few draws is rough
            draws = sample_ensembles(of_v, prior.dim, SETTINGS, seed)
        return prior.from_normal(torch.from_numpy(draws.v)).numpy()

    def draws(self, measurement: Measurement, seed: int) -> np.ndarray:
        """Draws of the cells by their likelihood, moved evenly within, (n, 2)."""
        likelihood = log_likelihood(self.scenario, measurement)
        weight = likelihood.of_replica(self.replica, self.centre).softmax(0).numpy()  # flat prior
        rng = np.random.default_rng(seed)
        index = rng.choice(len(weight), size=DRAWS, p=weight)
        return self.centre.numpy()[index] + (rng.random((DRAWS, 2)) - 0.5) * self.size

    def inside(self, theta: np.ndarray) -> np.ndarray:
        """The nearest parameters that the prior allows."""
        prior = self.scenario.prior
        return np.clip(theta, prior.lower.numpy(), prior.upper.numpy())


def told(name: str) -> Callable[[int, int, str], None]:
    def progress(done: int, n: int, _text: str) -> None:
        if done % 50 == 0:
            print(f"{name}: {done} of {n}", flush=True)

    return progress


if __name__ == "__main__":
    main()
