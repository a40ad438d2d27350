"""Numbers that are written in words: "twelve", "two hundred and fifty", "3.5 million"."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["MULTIPLIERS", "NUMBER_WORDS", "value_of_words"]

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * i for i, word in enumerate(_TENS, start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

MULTIPLIERS = _SCALES | {"mn": 10**6, "mln": 10**6, "bn": 10**9, "bln": 10**9, "tn": 10**12, "trn": 10**12}
"""Words after a number that multiply it."""

_SMALL = "|".join(sorted(_VALUES, key=lambda word: -len(word)))
_SMALL = rf"(?:{_SMALL})(?:[- ](?:{'|'.join(_UNITS[1:10])}))?"
_HUNDREDS = rf"(?:{_SMALL})(?:[ -]hundred(?:(?:\ and)?\ {_SMALL})?)?"
NUMBER_WORDS = rf"{_HUNDREDS}(?:\ (?:thousand|million|billion|trillion)\b(?:(?:\ and|,)?\ {_HUNDREDS})?){{0,4}}"
"""Pattern of a number in lower-case words."""


def value_of_words(words: str) -> Fraction | None:
    """Get the value of a match of `NUMBER_WORDS`; None if the words do not make one number ("five six")."""
    total = part = 0
    last = 10**15
    for word in re.findall(r"[a-z]+", words.lower()):
        if word == "and":
            continue
        if word == "hundred":
            if not 0 < part < 100:
                return None
            part, last = part * 100, 100
        elif word in _SCALES:
            total, part, last = total + part * _SCALES[word], 0, _SCALES[word]
        else:
            value = _VALUES[word]
            # "twenty" takes 1 to 9 after it, and "hundred" takes less than 100.
            if part and (value == 0 or (part % 100 and not (part % 10 == 0 and part % 100 >= 20 and value < 10))):
                return None
            part += value
    return Fraction(total + part) if last else None
