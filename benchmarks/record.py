"""What every benchmark does with its answer: a table, one line of JSON, and files that are kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("oceaninv", "torch", "numpy", "numba")


def finish(name: str, tables: str, answer: Mapping[str, object], *, seed: int, keep: bool) -> None:
    """Prints the tables and, as the last line, the answer as a JSON object.

    Args:
        name: of the benchmark; files are named after it.
        tables: readable text.
        answer: numbers by name.
        seed: of all random numbers in it.
        keep: write both, with versions and machine, to ``results/NAME.md`` and ``.json``.
    """
    print(f"{tables}\n")
    if keep:
        made_by = {"seed": seed, "versions": _versions(), "machine": _machine()}
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps({**answer, **made_by}, indent=1) + "\n")
        lines = "\n".join(f"- {key}: {value}" for key, value in made_by.items())
        text = f"# {name}\n\n{lines}\n\n```\n{tables}\n```\n"
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(json.dumps(answer), flush=True)


def _versions() -> str:
    packages = (f"{package} {version(package)}" for package in _PACKAGES)
    return ", ".join([f"python {platform.python_version()}", *packages])


def _machine() -> str:
    """Processor, cores and, as others may be using them, the load of the last minute."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}{load}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
