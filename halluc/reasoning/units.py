"""Units in the equalities of worked solutions: what they forbid to judge. Not here: how they are read (arithmetic.py)."""

from __future__ import annotations

from halluc.reasoning.arithmetic import Expression, evaluate, literals

__all__ = ["is_conversion", "measured", "mixes_units", "names_a_part"]

# Factors between units of time, length, mass and money. A difference by one of them is a change of unit, not a slip.
_FACTORS = frozenset({3, 4, 7, 12, 16, 24, 30, 36, 52, 60, 100, 365, 1000, 1440, 3600, 5280})


def is_conversion(left: Expression, right: Expression) -> bool:
    """Whether two sides in different units differ by a factor between units: a change of unit, not a slip."""
    units = [{unit for number in literals(side) for unit in number.units} for side in (left, right)]
    if not units[1] or units[0] == units[1] or (units[1] == {"$"} and not units[0]):
        return False
    a, b = evaluate(left), evaluate(right)
    return a != 0 and b != 0 and (abs(a / b) in _FACTORS or abs(b / a) in _FACTORS)


def mixes_units(expression: Expression) -> bool:
    """Whether unlike units are added ("3 feet + 6 inches"), or a percentage to something else ("50 + 10%")."""
    if expression.kind in ("+", "-"):
        numbers = [part for part in _terms(expression) if part.kind == "number"]
        measures = {frozenset(unit for unit in part.units if unit in _MEASURES) for part in numbers} - {frozenset()}
        if len(measures) > 1 or len({part.percent for part in _terms(expression)}) > 1:
            return True
    return any(mixes_units(part) for part in expression.parts)


# Units of one kind that differ by a factor.
_MEASURES = frozenset(
    unit
    for kind in (
        "$ cent cents dollar dollars",
        "second seconds minute minutes hour hours day days week weeks month months year years",
        "inch inches foot feet yard yards mile miles meter meters cm centimeters km kilometers",
        "gram grams kg kilograms ounce ounces pound pounds",
        "cup cups pint pints quart quarts gallon gallons liter liters ml milliliters",
    )
    for unit in kind.split()
)


def _terms(expression: Expression) -> list[Expression]:
    if expression.kind in ("+", "-"):
        return [term for part in expression.parts for term in _terms(part)]
    return [expression]


def names_a_part(expression: Expression) -> bool:
    """Whether it is a fraction of something, as in "1/4 container = 60 / 4 = 15 pints"."""
    if expression.kind != "/" or not all(part.kind == "number" for part in expression.parts):
        return False
    return bool(expression.parts[1].units) and not expression.parts[0].units


def measured(left: Expression, right: Expression) -> bool:
    """Whether a number on either side has a unit or a percent sign."""
    return any(number.units or number.percent for side in (left, right) for number in literals(side))
