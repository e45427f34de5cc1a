"""How do our modes and their cost compare with KRAKEN, KRAKENC and pykrak on this machine?

    python benchmarks/forward_peers.py [--tones 3] [--repeat 3] [--batch 64] [--timeout 60] [--keep]

Runs whatever it finds: ``kraken.exe`` or ``kraken`` and ``krakenc.exe`` or ``krakenc`` on the PATH,
and the package pykrak of ocean acoustics (other programs and packages bear these names; they are
told apart). What it does not find, it says. KRAKEN and pykrak treat attenuation to first order and
are compared with our perturbative modes, KRAKENC with our exact ones; each also with the reference
wavenumbers of ``tests/reference``, for the SWellEx-96 case, the Pekeris waveguide and two random
cases. The peers refine their mesh until a range is served. They run three times: on their first
mesh; for the largest range of the case; and so from a mesh of 100 points to a wavelength, as they
have mode functions, and with these the loss, from the first mesh only.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from forward_speed import copies
from numpy.typing import NDArray
from record import finish
from scipy.optimize import linear_sum_assignment

from forward_models import Environment, solve_modes
from oceaninv.cli.command import table

sys.path.append(str(Path(__file__).parents[1] / "tests" / "reference"))
from reference_cases import Case, load_case

CASES = ("pekeris", "swellex", "rand00", "rand07")
PROGRAMS = {
    "KRAKEN": (("kraken.exe", "kraken"), "perturbative"),
    "KRAKENC": (("krakenc.exe", "krakenc"), "exact"),
}
SETTINGS = {  # whether for the largest range, points to a wavelength (0: as the peer chooses)
    "first mesh": (False, 0),
    "to range": (True, 0),
    "fine mesh": (True, 100),
}
_PYKRAK_UNIT = {"W": "dbplam", "F": "dbpkmhz", "M": "dbpm", "N": "npm", "Q": "q"}
_HEADER_BYTES = 100  # of a mode file: record length, title of 80, four counts
_LOSS = 1e-8  # 1/m, not 0.01 dB in 100 km: the error of less does not matter
_AGREE = 1e-6  # of the two files of a run: the binary one has single precision

Complex = NDArray[np.complex128]


class PeerError(Exception):
    """A peer has not answered: why, in one line."""


@dataclass(frozen=True)
class Answer:
    """Wavenumbers (mode,) in 1/m of exp(ikr); seconds in all, and by the peer's own clock."""

    k: Complex
    seconds: float
    own_seconds: float | None = None


@dataclass(frozen=True)
class Method:
    """Something that solves a case at a frequency, by one treatment of attenuation."""

    name: str
    attenuation: str
    solve: Callable[[Case, float], Answer]


@dataclass
class Score:
    """What a method has made of all environments and frequencies together."""

    failures: list[str] = field(default_factory=list)
    missed: int = 0
    extra: int = 0
    modes: int = 0
    seconds: list[float] = field(default_factory=list)
    own_seconds: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    loss_error: list[float] = field(default_factory=list)
    error_exact: list[float] = field(default_factory=list)
    from_ours: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Difference:
    """Of two sets of modes, paired by the least total distance of their wavenumbers."""

    k: NDArray[np.float64]  # |k - k0| / |k0| of the pairs
    loss: NDArray[np.float64]  # |Im k - Im k0| / Im k0, where this is above _LOSS
    extra: int  # how many modes the first set has more, or fewer if negative


def main() -> None:
    """Looks for the peers, runs them beside our solver, and compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tones", type=int, default=3, help="of each case, lowest to highest")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--batch", type=int, default=64, help="environments of our batches")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds a peer's run may take")
    parser.add_argument("--seed", type=int, default=1, help="of the changes within a batch")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    chosen = parser.parse_args()
    peers, found, absent = find_peers(chosen.timeout)
    methods = our_methods(chosen.batch, chosen.seed) + peers
    scores, rows = compare(methods, chosen.tones, chosen.repeat)
    answer = {
        "found": found,
        "not_found": absent,
        "cases": CASES,
        "tones": chosen.tones,
        "batch": chosen.batch,
        "threads_of_batch": min(os.cpu_count() or 1, chosen.batch),
        "methods": {name: summary(score) for name, score in scores.items()},
    }
    tables = report(scores, rows, answer)
    finish("forward_peers", tables, answer, seed=chosen.seed, keep=chosen.keep)


def find_peers(timeout: float) -> tuple[list[Method], dict[str, str], dict[str, str]]:
    """Methods of the peers that are here, and a line for each that is and for each that is not."""
    methods, found, absent = [], {}, {}
    for name, (files, attenuation) in PROGRAMS.items():
        paths = [path for path in map(shutil.which, files) if path]
        if not paths:
            absent[name] = f"{name}: not found, neither {' nor '.join(files)} is on the PATH"
            continue
        found[name] = f"{name}: found, {Path(paths[0]).name} on the PATH"
        methods += [
            Method(f"{name}, {setting}", attenuation, kraken(paths[0], *how, timeout))
            for setting, how in SETTINGS.items()
        ]
    try:
        module = acoustic_pykrak()
    except PeerError as error:
        absent["pykrak"] = f"pykrak: {error}"
    else:
        found["pykrak"] = f"pykrak: found, {release_of_pykrak()}, the one of ocean acoustics"
        if not hasattr(np, "trapz"):  # its 3.0 needs what NumPy 2.4 has dropped
            np.trapz = np.trapezoid  # noqa: NPY201
            found["pykrak"] += "; it fails with this NumPy, whose trapz was put back for it"
        methods += [
            Method(f"pykrak, {setting}", "perturbative", pykrak(module, *how))
            for setting, how in SETTINGS.items()
        ]
    return methods, found, absent


def acoustic_pykrak() -> Any:
    """The module of pykrak with its environment, if this package is the one of ocean acoustics."""
    if importlib.util.find_spec("pykrak") is None:
        raise PeerError("not found, no package of that name can be imported")
    try:
        module = importlib.import_module("pykrak.pykrak_env")
    except ModuleNotFoundError as error:
        if error.name in ("pykrak.pykrak_env", "pykrak"):
            raise PeerError(
                "not found: the package of that name here is something else, it has no pykrak_env"
            ) from None
        raise PeerError(f"not usable: it lacks the package {error.name}") from None
    except Exception as error:  # whatever a foreign package does when imported
        raise PeerError(f"not usable: {type(error).__name__} when imported") from None
    if not hasattr(module, "Env"):
        raise PeerError("not found: the package of that name here has no acoustic environment")
    return module


def release_of_pykrak() -> str:
    try:
        return version("pykrak")
    except PackageNotFoundError:  # on the path without having been installed
        return "of unknown release"


def our_methods(batch: int, seed: int) -> list[Method]:
    """Ours, one environment and frequency at a time as the peers work, and in a batch."""
    batches: dict[str, Environment] = {}

    def one(attenuation: str) -> Callable[[Case, float], Answer]:
        return lambda case, tone: ours(case, case.environment, tone, attenuation)

    def many(attenuation: str) -> Callable[[Case, float], Answer]:
        def solve(case: Case, tone: float) -> Answer:
            if case.name not in batches:
                batches[case.name] = copies(case, batch, np.random.default_rng(seed))
            return ours(case, batches[case.name], tone, attenuation)

        return solve

    return [
        method
        for kind in ("perturbative", "exact")
        for method in (
            Method(f"oceaninv {kind}", kind, one(kind)),
            Method(f"oceaninv {kind}, batch", kind, many(kind)),
        )
    ]


def ours(case: Case, environment: Environment, tone: float, attenuation: str) -> Answer:
    """Modes at the depths of source and receivers; those of the case are the batch's first."""
    start = time.perf_counter()
    modes = solve_modes(
        environment,
        [tone],
        depth=[*case.source_depth, *case.receiver_depth],
        c_high=case.env["c_high"],
        attenuation=attenuation,
    )
    seconds = (time.perf_counter() - start) / len(environment)
    count = int(modes.n_modes[0, 0])
    return Answer(modes.wavenumber[0, 0, :count].numpy().astype(complex), seconds)


def meshes(case: Case, tone: float, per_wavelength: int) -> list[int]:
    """Points in each layer, by its slowest speed."""
    return [
        round(per_wavelength * tone * (layer["z"][-1] - layer["z"][0]) / min(layer["c"])) + 1
        for layer in case.env["layers"]
    ]


def kraken(
    path: str, to_range: bool, per_wavelength: int, timeout: float
) -> Callable[[Case, float], Answer]:
    """KRAKEN or KRAKENC, a process for each environment and frequency."""

    def solve(case: Case, tone: float) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            file = case.write(Path(folder))
            text = re.sub(r"^.*! FREQ$", f"{tone}  ! FREQ", file.read_text(), flags=re.M)
            if per_wavelength:
                points = iter(meshes(case, tone, per_wavelength))
                text = re.sub(r"^0(?= .*! NMESH)", lambda _: f"{next(points)}", text, flags=re.M)
            range_km = max(case.range_km) if to_range else 0.0
            file.write_text(re.sub(r"^.*! RMAX$", f"{range_km}  ! RMAX", text, flags=re.M))
            start = time.perf_counter()
            try:
                done = subprocess.run(
                    [path, case.name],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=timeout,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise PeerError(f"not done after {timeout:g} s") from None
            except OSError as error:
                raise PeerError(f"cannot be run: {error.strerror}") from None
            seconds = time.perf_counter() - start
            printed = file.with_suffix(".prt")
            table_ = printed.read_text(errors="replace") if printed.is_file() else ""
            modes = file.with_suffix(".mod")
            if not modes.is_file():
                raise PeerError(f"wrote no mode file (exit code {done.returncode})")
            k = read_wavenumbers(modes.read_bytes(), table_)
        clock = re.findall(r"^\s+\d+\s+(\d*\.\d+(?:E[+-]\d+)?)\s*s\s*$", table_, flags=re.M)
        return Answer(k, seconds, sum(map(float, clock)) if clock else None)

    return solve


def read_wavenumbers(content: bytes, printed: str) -> Complex:
    """Wavenumbers (mode,) of a ``.mod`` file of one frequency, made more precise by the ``.prt``.

    The mode file has records of equal length: the length in words of four bytes, title and counts;
    then media, interfaces, frequencies and depths, a record each; the number of modes M;
    half-spaces; M mode functions; and the wavenumbers in single precision (6e-8), as many whole
    ones to a record as fit. The table has ten digits of the real part, two of the imaginary one
    and, of many modes, not all rows: where it has a row, the real part is taken from there.

    Raises:
        PeerError: a file that is not of this form, or that disagrees with the table.
    """
    length = 4 * int.from_bytes(content[:4], "little")
    if not _HEADER_BYTES <= length <= len(content) // 7:
        raise PeerError("the mode file has another form than expected")
    count = int.from_bytes(content[5 * length : 5 * length + 4], "little")
    if count == 0:
        return np.empty(0, complex)
    per_record = length // 8
    records = -(-count // per_record)
    start = (7 + count) * length
    if start + (records - 1) * length + 8 * (count - (records - 1) * per_record) > len(content):
        raise PeerError("the mode file ends early or has another form than expected")
    k = np.concatenate(
        [
            np.frombuffer(
                content, "<c8", min(per_record, count - i * per_record), start + i * length
            )
            for i in range(records)
        ]
    ).astype(complex)
    row = re.compile(r"^\s+(\d+)\s+(\d*\.\d+(?:E[+-]\d+)?)\s+\S+\s+\d*\.\d+", re.M)
    rows = [(int(i), float(real)) for i, real in row.findall(printed.partition("Phase Speed")[2])]
    if not rows:
        raise PeerError("the print file has no table of modes")
    if any(i > count or abs(k[i - 1].real - real) > _AGREE * real for i, real in rows):
        raise PeerError("mode file and print file disagree: another form than expected?")
    for i, real in rows:
        k[i - 1] = complex(real, k[i - 1].imag)
    return k.conj()  # KRAKEN's time is exp(iωt)


def pykrak(module: Any, to_range: bool, per_wavelength: int) -> Callable[[Case, float], Answer]:
    """pykrak, in this process: its failures are caught, but nothing ends it if it hangs."""

    def solve(case: Case, tone: float) -> Answer:
        env, bottom = case.env, case.env["bottom"]
        if env["interp"] != "C" or bottom["type"] != "A" or env["top"] != "V":
            raise PeerError("knows no such environment")
        layers = env["layers"]
        zeros = [np.zeros(len(layer["z"])) for layer in layers]
        start = time.perf_counter()
        try:
            environment = module.Env(
                [np.array(layer["z"], float) for layer in layers],
                [np.array(layer["c"], float) for layer in layers],
                zeros,
                [np.full(len(layer["z"]), float(layer["rho"])) for layer in layers],
                [np.array(layer["alpha"], float) for layer in layers],
                zeros,
                *(0.0,) * 5,  # above: vacuum
                float(bottom["c"]),
                float(bottom.get("cs", 0.0)),
                float(bottom["rho"]),
                float(bottom["alpha"]),
                float(bottom.get("alphas", 0.0)),
                _PYKRAK_UNIT[env["alpha_units"]],
                np.zeros(len(layers) + 1),
            )
            range_m = 1000.0 * max(case.range_km) if to_range else 0.0
            points = meshes(case, tone, per_wavelength) if per_wavelength else []
            k = environment.get_modes(  # a list of its own: the default one is shared by all calls
                tone, Ng_list=points, rmax=range_m, c_low=env["c_low"], c_high=env["c_high"]
            )[0]
        except Exception as error:  # a failure of a peer is a row
            raise PeerError(f"{type(error).__name__}: {error}".splitlines()[0]) from None
        seconds = time.perf_counter() - start
        k = np.asarray(k, complex)
        return Answer(k.conj() if k.imag.sum() < 0 else k, seconds)

    return solve


def compare(
    methods: list[Method], tones: int, repeat: int
) -> tuple[dict[str, Score], list[tuple[str, ...]]]:
    """Runs all methods in turn on every case and tone: their scores, and a row for each run."""
    scores = {method.name: Score() for method in methods}
    rows: list[tuple[str, ...]] = []
    for case in map(load_case, CASES):
        every = sorted(case.answers)
        chosen = np.unique(np.linspace(0, len(every) - 1, min(tones, len(every))).round())
        for tone in (every[int(i)] for i in chosen):
            results = run_in_turn(methods, case, tone, repeat)
            for method in methods:
                label = (case.name, f"{tone:g}", method.name)
                result, score = results[method.name], scores[method.name]
                if isinstance(result, PeerError):
                    score.failures.append(str(result))
                    rows.append((*label, "failed", "-", "-", "-", "-"))
                    continue
                rows.append((*label, *tally(score, result, method, case, tone, results)))
    return scores, rows


def run_in_turn(
    methods: list[Method], case: Case, tone: float, repeat: int
) -> dict[str, Answer | PeerError]:
    """The fastest of the repetitions, which alternate; the first, untimed one also compiles."""
    results: dict[str, Answer | PeerError] = {}
    for repetition in range(repeat + 1):
        for method in methods:
            before = results.get(method.name)
            if isinstance(before, PeerError):
                continue
            try:
                result = method.solve(case, tone)
            except PeerError as error:
                results[method.name] = error
                continue
            if repetition < 2 or before is None or result.seconds < before.seconds:
                results[method.name] = result
    return results


def tally(
    score: Score,
    result: Answer,
    method: Method,
    case: Case,
    tone: float,
    results: dict[str, Answer | PeerError],
) -> tuple[str, ...]:
    """Adds a result to the score; the columns of its row."""
    reference = case.answers[tone].k
    error = difference(result.k, reference[method.attenuation])
    exact = difference(result.k, reference["exact"])
    score.modes += len(reference[method.attenuation])
    score.missed += max(0, -error.extra)
    score.extra += max(0, error.extra)
    score.seconds.append(result.seconds)
    score.error += error.k.tolist()
    score.loss_error += error.loss.tolist()
    score.error_exact += exact.k.tolist()
    if result.own_seconds is not None:
        score.own_seconds.append(result.own_seconds)
    mine = results[f"oceaninv {method.attenuation}"]
    if isinstance(mine, Answer):
        score.from_ours += difference(result.k, mine.k).k.tolist()
    return (
        f"{len(result.k)} of {len(reference[method.attenuation])}",
        f"{1000 * result.seconds:.3f}",
        _largest(error.k),
        _largest(error.loss),
        _largest(exact.k),
    )


def difference(k: Complex, reference: Complex) -> Difference:
    """Pairs two sets of modes; of sets of different size, the nearest ones."""
    if not len(k):
        return Difference(np.empty(0), np.empty(0), -len(reference))
    distance = np.abs(k[:, None] - reference) / np.abs(reference)
    distance[~np.isfinite(distance)] = 1.0  # a wavenumber that is not a number is all wrong
    i, j = linear_sum_assignment(distance)
    lossy = reference[j].imag > _LOSS
    loss = np.abs(k[i].imag[lossy] / reference[j].imag[lossy] - 1.0)
    return Difference(distance[i, j], loss, len(k) - len(reference))


def summary(score: Score) -> dict[str, float | int | None]:
    """Numbers of one method for the JSON line; seconds are of one environment and frequency."""

    def figure(value: Callable[[Any], float], values: list[float]) -> float | None:
        return float(f"{value(values):.3g}") if values else None

    return {
        "failed": len(score.failures),
        "modes": score.modes,
        "missed": score.missed,
        "extra": score.extra,
        "ms_mean": figure(lambda s: 1000 * statistics.mean(s), score.seconds),
        "ms_own_clock_mean": figure(lambda s: 1000 * statistics.mean(s), score.own_seconds),
        "k_error_largest": figure(max, score.error),
        "loss_error_median": figure(statistics.median, score.loss_error),
        "loss_error_largest": figure(max, score.loss_error),
        "k_error_against_exact_largest": figure(max, score.error_exact),
        "k_from_ours_largest": figure(max, score.from_ours),
    }


def report(scores: dict[str, Score], rows: list[tuple[str, ...]], answer: dict[str, Any]) -> str:
    """What was found, all methods in a few numbers, and every run."""
    lines = [*answer["found"].values(), *answer["not_found"].values()]
    if not answer["found"]:
        lines.append("No peer was found: what follows is our solver against the references only.")
    numbers = {name: summary(score) for name, score in scores.items()}
    keys = (
        "ms_mean",
        "ms_own_clock_mean",
        "missed",
        "extra",
        "failed",
        "k_error_largest",
        "loss_error_median",
        "loss_error_largest",
        "k_error_against_exact_largest",
        "k_from_ours_largest",
    )
    head = ("method", "ms", "own ms", "missed", "extra", "failed", "k", "loss, median", "loss")
    overall = table(
        (*head, "k, of exact", "from ours"),
        [
            (name, *("-" if value[key] is None else f"{value[key]:g}" for key in keys))
            for name, value in numbers.items()
        ],
    )
    single = table(("case", "Hz", "method", "modes", "ms", "k", "loss", "k, of exact"), rows)
    failures = [
        f"{name} failed, {score.failures.count(why)} times: {why}"
        for name, score in scores.items()
        for why in sorted(set(score.failures))
    ]
    modes = max(score.modes for score in scores.values())
    return "\n".join(
        [
            *lines,
            "",
            f"All cases and tones ({len(rows) // len(scores)} runs a method, {modes} modes).",
            "ms: milliseconds an environment and frequency, the fastest repetition of each run,",
            "mean over the runs; a program's with its process and files, 'own ms' by its own clock",
            f"without them; a batch is {answer['batch']} environments,"
            f" {answer['threads_of_batch']} threads.",
            "k, loss: relative errors of wavenumber and of its imaginary part, of the references",
            "by the same treatment of attenuation, largest and median; 'k, of exact': of the exact",
            "ones; 'from ours': largest difference of k from our modes by the same treatment.",
            "missed, extra: modes fewer or more than the reference, in none of the errors.",
            "",
            overall,
            *failures,
            "",
            "Each run, largest errors",
            "",
            single,
        ]
    )


def _largest(values: NDArray[np.float64]) -> str:
    return f"{values.max():.1e}" if values.size else "-"


if __name__ == "__main__":
    main()
