"""Whether a claim states quantities that its evidence does not: `quantity_conflicts`.

A verifier overlooks a changed digit more easily than a changed word; this check does not read anything but the quantities.
Not covered: what a quantity is of, so a claim that takes another number of the evidence has no conflict; and sums,
differences and counts, which have one although the claim may be right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from halluc.quantities.find import Quantity, find_quantities
from halluc.quantities.units import CURRENCY_CODES, CURRENCY_SIGNS

__all__ = ["QuantityConflict", "quantity_conflicts"]


@dataclass(frozen=True)
class QuantityConflict:
    """A quantity of a claim that the evidence does not state.

    Attributes:
        start, end: its characters [start, end) of the claim.
        dimension: what it measures (see `Quantity`); "year" for a number that can be one.
        evidence: how the evidence writes its quantities of the same dimension, without repetition; empty if it has none.
        reliable: whether conflicts of this kind mean that the claim is not supported: dates, years, times of day, prices,
            and measures of which the evidence has another value. Counts, percentages and spans of time are too often right
            although the evidence does not state them.
    """

    start: int
    end: int
    dimension: str
    evidence: tuple[str, ...]
    reliable: bool


# Words that say that a number is rounded.
_ABOUT = re.compile(
    r"\b(?:about|around|approximately|approx\.?|roughly|nearly|almost|over|under|some|circa|ca\.|more than|less than"
    r"|fewer than|at least|up to|close to|estimated|just) (?:US|EUR |USD |[$€£¥₹])?\Z|[~≈><] ?\Z",
    re.IGNORECASE,
)
# What is said of every week, of a scale or of the answer itself; and marks of citations and of list items.
_NO_STATEMENT = re.compile(r"(?<=days) a week\b|(?<=hours) a day\b| words\b|[-\d, ]*\]")
_NO_STATEMENT_BEFORE = re.compile(r"\bout of \Z|\[[-\d, ]*\Z")
_ITEM = re.compile(r"\s*\(?\d{1,3}[.)]\s")
_DIGITS = re.compile(r"\d+")
# Smaller counts are rarely stated as numbers.
_SMALLEST_COUNT = 4
_CURRENCIES = frozenset(unit.dimension for unit in (*CURRENCY_SIGNS.values(), *CURRENCY_CODES.values()))
_SPANS = ("time", "month", "percent", "percentage point", "star")


def quantity_conflicts(evidence: str, claim: str) -> list[QuantityConflict]:
    """Find the quantities of a claim that do not occur in its evidence in any equal writing.

    1500 m equals 1.5 km, a date without a year equals the same date with any year, a rounded amount equals the exact one,
    and a number without a unit equals any amount with the same number.

    Args:
        evidence: the whole text that the claim is judged against.
        claim: a sentence.

    Returns:
        One conflict per quantity, in the order of the claim.
    """
    quantities = [quantity for quantity in find_quantities(claim) if _is_statement(quantity, claim)]
    if not quantities:
        return []
    stated = _stated(evidence)
    return [_conflict(quantity, stated) for quantity in quantities if not stated.has(quantity, claim)]


def _is_statement(quantity: Quantity, claim: str) -> bool:
    item = _ITEM.match(claim)
    if item and quantity.start < item.end():
        return False
    if quantity.dimension == "number" and abs(quantity.number) < _SMALLEST_COUNT and quantity.number.denominator == 1:
        return False
    before = claim[max(0, quantity.start - 20) : quantity.start]
    return not _NO_STATEMENT.match(claim, quantity.end) and not _NO_STATEMENT_BEFORE.search(before)


def _conflict(quantity: Quantity, stated: _Stated) -> QuantityConflict:
    dimension = quantity.dimension
    evidence = tuple(stated.writings.get(dimension, ()))
    if dimension == "number" and _is_year(quantity):
        dimension = "year"
    reliable = dimension in ("date", "time of day", "year") or dimension in _CURRENCIES
    reliable = reliable or (dimension not in ("number", *_SPANS) and bool(evidence))
    return QuantityConflict(quantity.start, quantity.end, dimension, evidence, reliable)


def _is_year(quantity: Quantity) -> bool:
    return quantity.written.isdigit() and 1000 <= quantity.number <= 2100


class _Stated:
    """The quantities of an evidence, arranged for comparison."""

    def __init__(self, evidence: str) -> None:
        self.values: dict[str, set[Fraction]] = defaultdict(set)
        self.writings: dict[str, dict[str, None]] = defaultdict(dict)
        self.dates: set[tuple[Fraction, ...]] = set()
        self.digits = set(_DIGITS.findall(evidence))
        self.bare: set[Fraction] = set()
        for quantity in find_quantities(evidence):
            self.writings[quantity.dimension][quantity.written.strip(" .")] = None
            if quantity.dimension == "date":
                self.dates.add(quantity.values)
                self.bare.update(quantity.values)
            else:
                self.values[quantity.dimension].update(quantity.values)
                self.bare.update((quantity.number, abs(quantity.number)))

    def has(self, quantity: Quantity, claim: str) -> bool:
        """Whether the evidence states a quantity of the claim."""
        if quantity.dimension == "date":
            return any(_same_date(quantity.values, date) for date in self.dates)
        if quantity.dimension == "time of day":
            return all(self._has_time(value) for value in quantity.values)
        number = quantity.number
        if quantity.dimension == "number":
            literal = _DIGITS.findall(claim[quantity.start : quantity.end])
            if number in self.bare or (len(literal) == 1 and number >= 0 and literal[0] in self.digits):
                return True
            return any(self._has_rounded(number, values, quantity, claim) for values in self.values.values())
        value = quantity.values[0]
        same = self.values.get(quantity.dimension, set())
        if value in same or number in self.values.get("number", set()):
            return True
        return self._has_rounded(value, same, quantity, claim)

    def _has_time(self, minutes: Fraction) -> bool:
        times = self.values.get("time of day", set())
        if {minutes, (minutes + 1440) % 2880} & times or (minutes % 1440 == 0 and {Fraction(0), Fraction(1440)} & times):
            return True
        # "5:30" may be that of the afternoon, unless the evidence counts to 24 hours.
        return minutes - 720 in times and max(times) < 780

    def _has_rounded(self, value: Fraction, stated: set[Fraction], quantity: Quantity, claim: str) -> bool:
        """Whether a stated value becomes this one when it is rounded to as many digits, or nearly after "about"."""
        number = quantity.number
        if not number or not value:
            return False
        if _ABOUT.search(claim[max(0, quantity.start - 16) : quantity.start]):
            tolerance = abs(value) / 10
        else:
            place = _last_place(number)
            # A round number such as 2000 has too few digits to be a rounded one.
            if abs(number) >= 1000 and abs(number) < 10 * place:
                return False
            tolerance = abs(value / number) * place / 2
        return any(abs(value - other) <= tolerance and value * other > 0 for other in stated)


def _same_date(one: tuple[Fraction, ...], other: tuple[Fraction, ...]) -> bool:
    return one[:2] == other[:2] and (one[2] == other[2] or not one[2] or not other[2])


def _last_place(number: Fraction) -> Fraction:
    """The value of the last digit that is known: 0.1 for 2.5, 1 for 40, 100 for 1200."""
    place = Fraction(1)
    while (number / place).denominator != 1:
        place /= 10
    while abs(number) >= 1000 and (number / (place * 10)).denominator == 1:
        place *= 10
    return place


@lru_cache(maxsize=32)
def _stated(evidence: str) -> _Stated:
    return _Stated(evidence)
