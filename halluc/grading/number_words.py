"""Numbers of an answer in digits, so that "seven" and "7", or "1,000" and "a thousand", are the same answer.

Not covered: ordinals ("seventh"), Roman numerals, fractions and decimals in words, and years that are read in pairs
("nineteen forty-five").
"""

from __future__ import annotations

import re
from fractions import Fraction

from halluc.quantities.number_words import NUMBER_WORDS, value_of_words

__all__ = ["numbers_in_digits", "without_dates_and_names"]

_SCALE = "thousand|million|billion|trillion"
# "a hundred" is one hundred; "half a million" and "a quarter of a million" are not.
_ARTICLE = re.compile(rf"(?<!half )(?<!of )(?<!such )\ban? (?=(?:hundred|{_SCALE})\b)", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)")
_SCALED = re.compile(rf"(?<![\w.,])(\d+(?:\.\d+)?)[- ]({_SCALE})\b", re.IGNORECASE)
# Number words that more of a number follows or precedes, as in "two thirds", "two and a half", "two dozen", "fifty-fifty".
_MORE = (
    rf"half|halves|thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|dozen|point|and an? \w+"
    rf"|hundred\w*|(?:{_SCALE})\w*|(?:{NUMBER_WORDS})\b"
)
_WORDS = re.compile(rf"(?<![\w'’-])(?:{NUMBER_WORDS})(?![\w'’])(?![- ](?:{_MORE}))", re.IGNORECASE)
_NUMBER_BEFORE = re.compile(rf"(?:\b(?:{NUMBER_WORDS})|\bpoint|\bhalf|\d)[- ]$", re.IGNORECASE)
# "one" is the number 1 where it ends a clause, and is no pronoun ("no one", "the other one").
_CLAUSE_END = re.compile(r"\s*(?:[.,;:!?)\"”*]|$)")
_COUNTS_ONE = re.compile(
    r"(?:^|[.,;:!?(\"“*\n]|\b(?:is|was|are|were|be|has|had|have|only|just|exactly|number|answer|to|with|and|or|not|by))\s*$",
    re.IGNORECASE,
)

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATES_AND_NAMES = re.compile(
    rf"(?i:\b{_MONTH})\s\d{{1,2}}(?:st|nd|rd|th)?\b|\b\d{{1,2}}(?:\s?(?:-|–|to|and)\s?\d{{1,2}})?\s(?i:{_MONTH})\b"
    rf"|(?<=[\w'’] )[A-Z][\w'’-]*\s\d+\b|\d+[.:/]\d[\d.:/]*|\d+\s?(?:%|°|ft\b|[ap]\.?m\b)"
    rf"|(?i:\b(?:c\.|ca\.|circa))\s\d+|\b\d+\s(?:AD|BC|CE|BCE)\b"
)


def numbers_in_digits(text: str) -> str:
    """Write whole numbers of a text in digits, without separators of thousands.

    >>> numbers_in_digits("Two hundred and fifty, 1,000, a million, 3.5 million; one of the cities")
    '250, 1000, 1000000, 3500000; one of the cities'
    """
    text = _ARTICLE.sub("one ", text)
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    text = _WORDS.sub(_digits_of_words, text)
    return _SCALED.sub(_product, text)


def without_dates_and_names(text: str) -> str:
    """Leave out numbers that do not count things: days, hours, years of an era, decimals, shares, and those that end a name.

    >>> without_dates_and_names("It opened on May 4 with Home Alone 4 in 4 cities")
    'It opened on  with Home  in 4 cities'
    """
    return _DATES_AND_NAMES.sub("", text)


def _digits_of_words(match: re.Match[str]) -> str:
    before, words, after = match.string[: match.start()], match[0], match.string[match.end() :]
    value = value_of_words(words)
    if value is None or _NUMBER_BEFORE.search(before[-40:]):
        return words
    if words.lower() == "one" and not (_CLAUSE_END.match(after) and _COUNTS_ONE.search(before)):
        return words
    return str(value)


def _product(match: re.Match[str]) -> str:
    value = Fraction(match[1]) * (value_of_words(f"one {match[2]}") or 0)
    return str(value) if value.denominator == 1 else match[0]
