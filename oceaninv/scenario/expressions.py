"""Arithmetic of unknowns inside a scenario, such as `sediment_top_speed + speed_increase`."""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

_DEEPEST = 300  # operations within operations, of which a sum of n terms has n - 1
_SHOWN = 60  # characters of an expression in an error

_BINARY: dict[type[ast.operator], Callable[[Tensor, Tensor], Tensor]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def names_in(value: float | str) -> set[str]:
    """Names of the unknowns that a number or an expression depends on.

    Raises:
        ValueError: the expression is not made of numbers, names, `+ - * /` and parentheses, or a
            number is too large, or it is nested too deeply.
    """
    if not isinstance(value, str):
        return set()
    tree = _parse(value)
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def evaluate(value: float | str, unknowns: Mapping[str, Tensor], n: int) -> Tensor:
    """Value of a number or an expression for n parameter vectors, (n,) float64.

    `unknowns` holds one (n,) tensor per name.

    Example:
        >>> evaluate("2 * c + 1", {"c": torch.tensor([1.0, 2.0], dtype=torch.float64)}, 2)
        tensor([3., 5.], dtype=torch.float64)
    """
    if not isinstance(value, str):
        return torch.full((n,), float(value), dtype=torch.float64)
    return _evaluate(_parse(value), unknowns, n)


def _parse(text: str) -> ast.expr:
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        deep = _depth(tree) > _DEEPEST
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"'{shown}' is not an expression of numbers, names, + - * / and parentheses"
        ) from error
    except (RecursionError, MemoryError):  # how the parser of Python says that it is too deep
        deep = True
    if deep:
        raise ValueError(f"'{shown}' is nested too deeply; write it in fewer operations")
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            continue
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            continue
        number = node.value if isinstance(node, ast.Constant) else None
        if isinstance(number, int | float) and not isinstance(number, bool):
            if number > sys.float_info.max:
                raise ValueError(
                    f"'{text[:20]}...' has a number above {sys.float_info.max:.2g}, the largest "
                    "there is; write a smaller one"
                )
            continue
        if isinstance(node, ast.Name | ast.operator | ast.unaryop | ast.expr_context):
            continue
        raise ValueError(
            f"'{shown}' has more than numbers, names, + - * / and parentheses; write it with these"
        )
    return tree


def _depth(tree: ast.expr) -> int:
    """Length of the longest branch."""
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _evaluate(node: ast.expr, unknowns: Mapping[str, Tensor], n: int) -> Tensor:
    match node:
        case ast.BinOp():
            left, right = (_evaluate(side, unknowns, n) for side in (node.left, node.right))
            return _BINARY[type(node.op)](left, right)
        case ast.UnaryOp():
            inside = _evaluate(node.operand, unknowns, n)
            return -inside if isinstance(node.op, ast.USub) else inside
        case ast.Constant(value=int() | float() as number):
            return torch.full((n,), float(number), dtype=torch.float64)
        case ast.Name():
            return unknowns[node.id]
    raise AssertionError("_parse lets nothing else through")
