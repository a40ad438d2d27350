"""Arithmetic expressions as trees, and their exact values.

Not covered: reading expressions from text (arithmetic.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Expression", "evaluate", "literals", "symbols"]


@dataclass(frozen=True)
class Expression:
    """A tree: a number, an unknown, or an operation on other expressions.

    Attributes:
        kind: "number", "symbol", "neg", or one of + - * / ^.
        text: the number as written, without commas, or the name of the unknown.
        percent: whether a percent sign follows the number.
        units: the words after a number, and "$" for a currency sign before it.
        parts: the operands.
    """

    kind: str
    text: str = ""
    percent: bool = False
    units: frozenset[str] = frozenset()
    parts: tuple[Expression, ...] = ()


def evaluate(expression: Expression, *, percent: bool = True, offsets: Mapping[int, Any] | None = None) -> Any:
    """Compute the exact value of an expression.

    Args:
        expression: what to compute.
        percent: whether "5%" is 1/20; otherwise the sign is read as a unit and "5%" is 5.
        offsets: amounts to add to the numbers of the expression, by their index in `literals`.

    Returns:
        A sympy rational or, with unknowns, a sympy expression; None if there is no value (division by zero, a huge power).
    """
    return _evaluate(expression, percent, iter(range(10**6)), offsets or {})


def literals(expression: Expression) -> list[Expression]:
    """List the numbers of an expression from left to right."""
    if expression.kind == "number":
        return [expression]
    return [number for part in expression.parts for number in literals(part)]


def symbols(expression: Expression) -> set[str]:
    """Get the names of the unknowns of an expression."""
    if expression.kind == "symbol":
        return {expression.text}
    return {name for part in expression.parts for name in symbols(part)}


def _evaluate(node: Expression, percent: bool, indices: Iterator[int], offsets: Mapping[int, Any]) -> Any:
    import sympy

    if node.kind == "number":
        value = sympy.Rational(node.text) + offsets.get(next(indices), 0)
        return value / 100 if node.percent and percent else value
    if node.kind == "symbol":
        return sympy.Symbol(node.text)
    values = [_evaluate(part, percent, indices, offsets) for part in node.parts]
    if any(value is None for value in values):
        return None
    if node.kind == "neg":
        return -values[0]
    a, b = values
    if node.kind == "+":
        return a + b
    if node.kind == "-":
        return a - b
    if node.kind == "*":
        return a * b
    if node.kind == "/":
        return None if b == 0 else a / b
    # Only powers that stay small.
    if not b.is_Integer or abs(b) > 16 or (a == 0 and b < 0) or (a.is_Rational and abs(a) > 10**6):
        return None
    return a**b
