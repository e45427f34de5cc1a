"""Arithmetic of unknowns: the value of Python's own, and nothing more than arithmetic."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oceaninv.scenario.expressions import evaluate, names_in

_NUMBERS = st.floats(1.0, 100.0).map(lambda x: f"{x:.3f}")
_EXPRESSIONS = st.recursive(
    _NUMBERS | st.sampled_from(["a", "b"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda t: f"({t[0]} {t[1]} -{t[2]})"
    ),
    max_leaves=6,
)


@given(_EXPRESSIONS, st.floats(1.0, 9.0), st.floats(11.0, 19.0))
def test_value_is_that_of_python(text: str, a: float, b: float) -> None:
    unknowns = {name: torch.tensor([x], dtype=torch.float64) for name, x in (("a", a), ("b", b))}
    try:
        expected = eval(text, {"a": a, "b": b})
    except ZeroDivisionError:
        return
    value = evaluate(text, unknowns, 1)
    torch.testing.assert_close(value, torch.tensor([expected], dtype=torch.float64))


def test_numbers_fill_the_batch_and_names_are_found() -> None:
    assert torch.equal(evaluate(3, {}, 2), torch.tensor([3.0, 3.0], dtype=torch.float64))
    assert names_in("top + 2 * (increase - top)") == {"top", "increase"}
    assert names_in(5.0) == set()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "a.b",
        "a[0]",
        "a if b else c",
        "a ** 2",
        "'x'",
        "True",
        "1 +",
        "",
        "a; b",
    ],
)
def test_anything_but_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="numbers, names"):
        names_in(text)


@pytest.mark.parametrize("number", ["1" + 400 * "0", "1e999"])
def test_a_number_that_no_computer_holds_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=r"a \+ .*has a number above 1\.8e") as caught:
        names_in(f"a + {number}")
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "text", ["+".join(400 * ["a"]), "+".join(50_000 * ["a"]), 50_000 * "-" + "a"]
)
def test_what_is_nested_too_deeply_is_refused_in_a_short_line(text: str) -> None:
    with pytest.raises(ValueError, match="is nested too deeply; write it in fewer") as caught:
        names_in(text)
    assert len(str(caught.value)) < 150


def test_a_sum_of_many_terms_has_its_value() -> None:
    one = torch.ones(1, dtype=torch.float64)
    assert evaluate("+".join(250 * ["a"]), {"a": one}, 1).item() == 250
