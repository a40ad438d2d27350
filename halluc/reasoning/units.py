"""Units in the equalities of worked solutions, and the equalities that they make impossible to judge.

Not covered: reading units (arithmetic.py).
"""

from __future__ import annotations

from halluc.reasoning.expressions import Expression, evaluate, literals

__all__ = ["has_units", "is_conversion", "mixes_units", "names_a_part"]

# (small unit, how many of them make a large one, large unit), in the round numbers that word problems use.
_CONVERSIONS = (
    ("second", 60, "minute"),
    ("second", 3600, "hour"),
    ("minute", 60, "hour"),
    ("minute", 1440, "day"),
    ("hour", 24, "day"),
    ("day", 7, "week"),
    ("day", 30, "month"),
    ("day", 365, "year"),
    ("week", 4, "month"),
    ("week", 52, "year"),
    ("month", 12, "year"),
    ("inch", 12, "foot"),
    ("inch", 36, "yard"),
    ("foot", 3, "yard"),
    ("foot", 5280, "mile"),
    ("yard", 1760, "mile"),
    ("cm", 100, "meter"),
    ("meter", 1000, "km"),
    ("ounce", 16, "pound"),
    ("gram", 1000, "kg"),
    ("cup", 2, "pint"),
    ("cup", 4, "quart"),
    ("cup", 16, "gallon"),
    ("pint", 2, "quart"),
    ("pint", 8, "gallon"),
    ("quart", 4, "gallon"),
    ("ml", 1000, "liter"),
    ("cent", 100, "$"),
)
_MEASURES = frozenset(unit for small, _, large in _CONVERSIONS for unit in (small, large))
_OTHER_NAMES = {
    "feet": "foot",
    "inches": "inch",
    "dollar": "$",
    "dollars": "$",
    "centimeter": "cm",
    "centimeters": "cm",
    "kilometer": "km",
    "kilometers": "km",
    "kilogram": "kg",
    "kilograms": "kg",
    "milliliter": "ml",
    "milliliters": "ml",
}


def is_conversion(left: Expression, right: Expression) -> bool:
    """Whether the right side is the left in another unit ("120 minutes = 2 hours"), so that the equality is no slip."""
    left_units, right_units = _measures(left), _measures(right)
    a, b = evaluate(left), evaluate(right)
    return any(
        (large in right_units and large not in left_units and a == factor * b)
        or (small in right_units and small not in left_units and b == factor * a)
        for small, factor, large in _CONVERSIONS
    )


def mixes_units(expression: Expression) -> bool:
    """Whether unlike units are added ("3 feet + 6 inches"), or a percentage to something else ("50 + 10%")."""
    if expression.kind in ("+", "-"):
        terms = _terms(expression)
        measures = {frozenset(_measures(term)) for term in terms if term.kind == "number"} - {frozenset()}
        if len(measures) > 1 or len({term.percent for term in terms}) > 1:
            return True
    return any(mixes_units(part) for part in expression.parts)


def names_a_part(expression: Expression) -> bool:
    """Whether it is a fraction of something, as in "1/4 container = 60 / 4 = 15 pints"."""
    if expression.kind != "/" or not all(part.kind == "number" for part in expression.parts):
        return False
    return bool(expression.parts[1].units) and not expression.parts[0].units


def has_units(expression: Expression) -> bool:
    """Whether one of its numbers has a unit or a percent sign."""
    return any(number.units or number.percent for number in literals(expression))


def _measures(expression: Expression) -> set[str]:
    """The units of its numbers that can be converted."""
    words = {word for number in literals(expression) for word in number.units}
    names = {_OTHER_NAMES.get(word, word if word in _MEASURES else word.removesuffix("s")) for word in words}
    return names & _MEASURES


def _terms(expression: Expression) -> list[Expression]:
    if expression.kind in ("+", "-"):
        return [term for part in expression.parts for term in _terms(part)]
    return [expression]
