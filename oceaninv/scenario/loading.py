"""Reading scenarios: the built-in ones by name, a user's own by the path of a YAML file."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.resources import files
from inspect import isclass
from pathlib import Path
from reprlib import Repr
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from oceaninv.errors import InputError
from oceaninv.scenario.schema import Scenario

_BUILTIN = files("oceaninv.scenario") / "builtin"


def list_scenarios() -> dict[str, str]:
    """Names of the built-in scenarios, each with its title."""
    return {name: load_scenario(name).title for name in _names()}


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read and check a scenario: a built-in name, or the path of a YAML file.

    Example:
        >>> load_scenario("swellex96-2p").names
        ('water_depth', 'sediment_top_speed')

    Raises:
        InputError: no such scenario, or something in the file that cannot be; one line.
    """
    text = scenario_text(name_or_path)
    problems, scenario = _read(text, str(name_or_path))
    if scenario is None:
        rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(problems[0] + rest)
    return scenario


def check_scenario(name_or_path: str | Path) -> list[str]:
    """All problems of a scenario file, one line each; empty when it is sound.

    Besides the form of the file, the environment is built for draws from the prior and checked.

    Raises:
        InputError: the file cannot be read at all.
    """
    problems, scenario = _read(scenario_text(name_or_path), str(name_or_path))
    if scenario is not None:
        from oceaninv.scenario.predict import check_draws

        problems += [f"{name_or_path}: {problem}" for problem in check_draws(scenario)]
    return problems


def scenario_text(name_or_path: str | Path) -> str:
    """The YAML text of a scenario, comments included.

    Raises:
        InputError: neither a built-in scenario nor a readable file.
    """
    builtin = _BUILTIN / f"{name_or_path}.yaml"
    if "/" not in str(name_or_path) and builtin.is_file():
        return builtin.read_text(encoding="utf-8")
    path = Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(_names())
        raise InputError(
            f"{path}: no such scenario file; give the path of a YAML file or one of {known}"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not in UTF-8 ({error}); save it so, as YAML") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); give a YAML file") from None


def scenario_template() -> str:
    """A commented scenario to start one's own from."""
    return scenario_text("template")


def scenario_from_json(text: str) -> Scenario:
    """A scenario from the JSON that `scenario_json` made, as kept in models and results."""
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    return Scenario.model_validate(content)


def scenario_json(scenario: Scenario) -> str:
    """A scenario as JSON, to be kept with what was made from it."""
    return json.dumps(scenario.model_dump(mode="json"))


class _Repeated(Exception):
    """A field that is given twice, where YAML's own reader would take the last."""


class _DistinctKeys(yaml.SafeLoader):
    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (AttributeError, LookupError, ValueError) as error:  # such as of the 45th of a month
            raise yaml.constructor.ConstructorError(
                None, None, f"{str(node.value)[:40]!r} cannot be read ({error})", node.start_mark
            ) from None

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Here and not when the mapping is made: what `<<` merges into it may be replaced in it.
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                # As Python reads names in expressions: the micro sign is the Greek letter.
                key.value = unicodedata.normalize("NFKC", key.value)
                line, name = key.start_mark.line + 1, (key.tag, key.value)
                if name in lines:
                    raise _Repeated(
                        f"{key.value}: is given in line {lines[name]} and again in line {line}; "
                        "remove one"
                    )
                lines[name] = line
        return node


def _names() -> list[str]:
    stems = (p.name.removesuffix(".yaml") for p in _BUILTIN.iterdir() if p.name.endswith(".yaml"))
    return sorted(stem for stem in stems if stem != "template")


def _read(text: str, where: str) -> tuple[list[str], Scenario | None]:
    try:
        content = _DistinctKeys(text).get_single_data()
    except _Repeated as error:
        return [f"{where}: {error}"], None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        return [f"{where}: is not YAML: {reason}; mend the file at that line"], None
    except RecursionError:
        return [f"{where}: is nested too deeply; start from `oceaninv scenario new FILE`"], None
    if not isinstance(content, dict):
        return [f"{where}: holds no fields; start from `oceaninv scenario new FILE`"], None
    try:
        return [], Scenario.model_validate(content)
    except ValidationError as error:
        return [_one_line(where, problem) for problem in _distinct(error)], None


# What a value of the wrong kind should have been, by pydantic's type of the error.
_KINDS = {
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "an expression",
    "list_type": "[a, b, ...]",
    "tuple_type": "[a, b, ...]",
    "dict_type": "{field: value, ...}",
    "model_type": "{field: value, ...}",
}


def _distinct(error: ValidationError) -> list[Any]:
    """The errors, one per field.

    Of the branches of a union that a value is of the wrong kind for, all are told, unless another
    has it right and is wrong further down, or has the right kind and is wrong otherwise.
    """
    found: dict[tuple[Any, ...], Any] = {}
    for problem in error.errors():
        place = tuple(p for p in problem["loc"] if not _is_branch(p))
        kinds = [*found[place]["kinds"]] if place in found else []
        if problem["type"] in _KINDS:
            kinds.append(_KINDS[problem["type"]])
        right_kind = place in found and found[place]["type"] not in _KINDS
        told = found[place] if right_kind else problem
        found[place] = {**told, "loc": place, "kinds": list(dict.fromkeys(kinds))}

    def entered(place: tuple[Any, ...]) -> bool:
        return any(other != place and other[: len(place)] == place for other in found)

    return [p for place, p in found.items() if p["type"] not in _KINDS or not entered(place)]


def _is_branch(part: int | str) -> bool:
    """Whether pydantic put this in a path to tell the branches of a union apart."""
    return isinstance(part, str) and (
        part in {"float", "str", "int", "Grid"} or "[" in part or "(" in part
    )


def _one_line(where: str, problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case kind if kind in _KINDS and len(problem["kinds"]) > 1:
            reason = f"{_shown(problem['input'])} must be {' or '.join(problem['kinds'])}"
        case "missing":
            reason = "is missing; add it"
        case "extra_forbidden":
            near = get_close_matches(str(problem["loc"][-1]), _fields_at(problem["loc"][:-1]), 1)
            mend = f"write {near[0]}" if near else "correct its name"
            reason = f"is not a field of a scenario; {mend} or remove it"
        case "value_error":
            reason = str(problem["ctx"]["error"])
        case "list_type":
            reason = f"{_shown(problem['input'])} is not a list; write [a, b, ...]"
        case "dict_type" | "model_type":
            reason = f"{_shown(problem['input'])} has no fields; write {{field: value, ...}}"
        case _:
            value = problem["input"]
            told = f"{_shown(value)}: " if isinstance(value, int | float | str) else ""
            reason = told + problem["msg"][0].lower() + problem["msg"][1:]
    return f"{where}: {path}: {reason}" if path else f"{where}: {reason}"


_SHOWN = 80  # characters of a value in an error
_SHORT = Repr()  # which does not write out all of what aliases of YAML have multiplied
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = _SHOWN


def _shown(value: object) -> str:
    """A value as it stands in an error, cut where it is long."""
    text = _SHORT.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _fields_at(place: Sequence[int | str]) -> list[str]:
    """Names of the fields of the part of a scenario at a place, such as (environment, water)."""
    parts: list[type[BaseModel]] = [Scenario]
    for step in place:
        # A step into a list, or to an unknown by its name, stays with the same parts.
        parts = [
            inner
            for part in parts
            if step in part.model_fields
            for inner in _parts_in(part.model_fields[str(step)].annotation)
        ] or parts
    return [name for part in parts for name in part.model_fields]


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts_in(inner)
