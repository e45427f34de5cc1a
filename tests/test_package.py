"""The verbs are functions of the package, whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import oceaninv


@pytest.mark.parametrize("name", oceaninv.__all__)
def test_every_verb_is_a_function_of_the_package(name: str) -> None:
    verb = getattr(oceaninv, name)
    assert callable(verb)
    assert verb.__name__ == name


def test_a_verb_stays_a_function_after_its_module_is_imported() -> None:
    code = "import oceaninv.mcmc\nfrom oceaninv import mcmc\nassert callable(mcmc), mcmc"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_is_light() -> None:
    code = "import sys, oceaninv; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        oceaninv.nonsense  # noqa: B018
