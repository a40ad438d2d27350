"""Read the confidence that a text states: numbers, percentages, shares, ranges and words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from halluc.claims.markup import final_answer

__all__ = ["parse_confidence"]

# Medians, rounded to 0.05, of the survey whose words Tian et al. offer as answers (arXiv 2305.14975, "Ling." prompts;
# zonination/perceptions, 46 respondents), with negations and near synonyms.
_PHRASES = {
    "almost certain": 0.95, "almost certainly": 0.95, "nearly certain": 0.95, "virtually certain": 0.95, "certain": 0.95,
    "certainly": 0.95, "definitely": 0.95, "no doubt": 0.95, "without a doubt": 0.95,
    "highly likely": 0.9, "very likely": 0.9, "extremely likely": 0.9, "most likely": 0.9, "very probable": 0.9,
    "very good chance": 0.8, "good chance": 0.8, "quite likely": 0.8,
    "probably": 0.75, "likely": 0.7, "probable": 0.7, "we believe": 0.7, "i believe": 0.7, "i think": 0.7,
    "better than even": 0.6, "more likely than not": 0.6,
    "about even": 0.5, "fifty-fifty": 0.5, "toss-up": 0.5, "coin flip": 0.5, "coin toss": 0.5, "possible": 0.5,
    "possibly": 0.5, "maybe": 0.5, "perhaps": 0.5,
    "less than even": 0.4,
    "probably not": 0.25, "not likely": 0.25, "not very likely": 0.25, "not probable": 0.25, "we doubt": 0.25,
    "i doubt": 0.25, "doubtful": 0.25,
    "unlikely": 0.2, "improbable": 0.15, "little chance": 0.15, "chances are slight": 0.1, "slight chance": 0.1,
    "highly unlikely": 0.05, "very unlikely": 0.05, "extremely unlikely": 0.05, "certainly not": 0.05,
    "definitely not": 0.05, "almost no chance": 0.02, "no chance": 0.02, "impossible": 0.02,
}  # fmt: skip

# Five levels, each the middle of one fifth of the scale (the words are those of arXiv 2205.14334).
_LEVELS = {
    "lowest": 0.1, "very low": 0.1, "extremely low": 0.1, "low": 0.3, "not high": 0.3, "medium": 0.5, "moderate": 0.5,
    "high": 0.7, "highest": 0.9, "very high": 0.9, "extremely high": 0.9, "absolute": 0.9, "full": 0.9,
}  # fmt: skip
_ATTITUDES = {
    "no idea": 0.1, "no confidence": 0.1, "don't know": 0.1, "do not know": 0.1, "not at all sure": 0.1,
    "not at all confident": 0.1,
    "not sure": 0.3, "not certain": 0.3, "not confident": 0.3, "unsure": 0.3, "uncertain": 0.3, "not very sure": 0.3,
    "not very confident": 0.3, "not entirely sure": 0.3, "not completely sure": 0.3, "little confidence": 0.3,
    "some confidence": 0.5, "somewhat confident": 0.5, "somewhat sure": 0.5, "moderately confident": 0.5,
    "moderately sure": 0.5,
    "sure": 0.7, "confident": 0.7, "fairly sure": 0.7, "fairly confident": 0.7, "quite sure": 0.7, "pretty sure": 0.7,
    "very sure": 0.9, "very confident": 0.9, "highly confident": 0.9, "extremely confident": 0.9, "absolutely sure": 0.9,
    "completely sure": 0.9,
}  # fmt: skip
_WORDS = _PHRASES | _ATTITUDES

_BELOW_20 = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMERALS = {word: number for number, word in enumerate(_BELOW_20)}
for _number_of_tens, _ten in enumerate(_TENS, 2):
    _NUMERALS[_ten] = 10 * _number_of_tens
    for _unit in range(1, 10):
        _NUMERALS |= {f"{_ten}{joint}{_BELOW_20[_unit]}": 10 * _number_of_tens + _unit for joint in "- "}
_NUMERALS |= dict.fromkeys(("hundred", "a hundred", "one hundred"), 100)


def _any_of(words: Iterable[str]) -> str:
    """A pattern for the words; the longest matches where several begin at one position."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_N = r"\d+(?:[.,]\d+)?(?:e-?\d+)?|[.,]\d+"
# A number that is not negative and not the end of another number, a word or a date.
_START = r"(?<![\w.,/-])"
_END = r"(?![\w%/]|[.,-]\d)"
_HUNDREDTHS = r"\s*(?:%|percent\b|per cent\b)"
_TO = r"\s*(?:-|to|and|or)\s*"

_PERCENT_RANGE = re.compile(rf"{_START}({_N})(?:{_HUNDREDTHS})?{_TO}({_N}){_HUNDREDTHS}")
_PERCENT = re.compile(rf"{_START}({_N}){_HUNDREDTHS}")
_HALVES = re.compile(r"(?<![\w.,/-])(\d\d)\s*[/-]\s*(\d\d)(?![\w/%]|[.,]\d)")
_SHARE = re.compile(rf"{_START}({_N})\s*(?:/|out of)\s*({_N}){_END}|{_START}({_N}) in (10|100|1000|\d(?= chance)){_END}")
_RANGE = re.compile(rf"{_START}({_N}){_TO}({_N}){_END}")
_DECIMAL = re.compile(rf"{_START}(\d*[.,]\d+(?:e-?\d+)?|\d+e-\d+){_END}")
_WHOLE = re.compile(r"[\W_]*([01])[\W_]*")
_LABEL = re.compile(r"\b(?:probabilit(?:y|ies)|confidence|certainty|likelihood|chances?|odds)\b")
_DIRECT = re.compile(rf"\s*(?:score|level|rating)?\s*(?:is|of|at|:|=)*\s*({_N}){_END}")
# The scale of the question, restated: "between 0.0 and 1.0", "(0-1)", "on a scale from 0 to 100 %".
_SCALE = re.compile(
    r"(?:\(|\bbetween\s+|\bfrom\s+|\bscale\s+of\s+)0(?:\.0+)?\s*%?\s*(?:-|to|and)\s*(?:1(?:\.0+)?|10|100)\s*%?\)?(?![.,]?\d)"
)
_WORDED = re.compile(
    rf"\b({_any_of(_NUMERALS)})(?=\s*(?:percent|per cent|%|out of|in (?:ten|10|a hundred|100)\b))"
    rf"|(?<=out of )({_any_of(_NUMERALS)})\b|(?<= in )(ten|a hundred)\b"
)


def parse_confidence(text: str) -> float | None:
    """Read the confidence in [0, 1] that a text states; None if it states none.

    It reads percentages ("85 %", "ninety percent"), shares ("8/10", "nine out of ten", "50/50"), numbers in [0, 1] (also
    ".85", "0,85", "1e-3"), ranges of these (their middle), and words ("almost certain", "not sure"; their values are the
    medians of a survey). Text after "probability", "confidence" or similar words takes precedence, because an answer may
    contain numbers of its own; only there is a bare 10 to 100 a percentage. A bare 1 elsewhere is ignored unless it is
    the whole text. Thoughts (`<think>…</think>`) are ignored. A restated scale ("from 0 to 1") is ignored, and so is a
    number outside the scale ("150 %").

    >>> parse_confidence("Guess: 1945. Probability: 0.8"), parse_confidence("I am 90% sure."), parse_confidence("In 1945.")
    (0.8, 0.9, None)
    """
    plain = (
        re.sub(r"[*_`]", "", final_answer(text).lower())
        .replace("−", "-")
        .replace("–", "-")
        .replace("—", "-")
        .replace("’", "'")
    )
    plain = _WORDED.sub(lambda match: str(_NUMERALS[match[0]]), plain)
    plain = _SCALE.sub(" ", plain)
    for label in reversed(list(_LABEL.finditer(plain))):
        stated = _after_label(plain[label.end() :].partition("\n")[0])
        if stated is not None:
            return stated
    if (whole := _WHOLE.fullmatch(plain)) is not None:
        return float(whole[1])
    for read in (_number, lambda part: _word(part, _LEVELS, rf"\s+{_LABEL.pattern}"), lambda part: _word(part, _WORDS)):
        stated = read(plain)
        if stated is not None:
            return stated
    return None


def _after_label(text: str) -> float | None:
    if (direct := _DIRECT.match(text)) is not None and (value := _float(direct[1])) is not None:
        if 0 <= value <= 1:
            return value
        if 10 <= value <= 100:
            return value / 100
    stated = _number(text)
    return _word(text, _PHRASES | _LEVELS) if stated is None else stated


def _number(text: str) -> float | None:
    """The first number in [0, 1], of the first kind of notation that has one."""
    readings = (
        [(_float(m[1]), _float(m[2]), 200.0) for m in _PERCENT_RANGE.finditer(text)],
        [(_float(m[1]), 0.0, 100.0) for m in _PERCENT.finditer(text)],
        # Odds that add up to a hundred: 60/40 is not a share of 40.
        [(_float(m[1]), 0.0, 100.0) for m in _HALVES.finditer(text) if int(m[1]) + int(m[2]) == 100],
        [(_float(m[1] or m[3]), 0.0, _float(m[2] or m[4])) for m in _SHARE.finditer(text)],
        [(_float(m[1]), _float(m[2]), 2.0) for m in _RANGE.finditer(text) if _is_unit(m[1]) and _is_unit(m[2])],
        [(_float(m[1]), 0.0, 1.0) for m in _DECIMAL.finditer(text)],
    )
    for reading in readings:
        for first, second, scale in reading:
            if first is not None and second is not None and scale and 0 <= (first + second) / scale <= 1:
                return (first + second) / scale
    return None


def _word(text: str, values: Mapping[str, float], then: str = "") -> float | None:
    """The value of the first of these phrases; the longest counts where several begin at one position."""
    match = re.search(rf"\b({_any_of(values)})\b{then}", text)
    return None if match is None else values[match[1]]


def _float(number: str) -> float | None:
    # A comma before three digits separates thousands; any other is a decimal point.
    if re.search(r"\d,\d{3}$", number) and not number.startswith("0,"):
        return None
    return float(number.replace(",", "."))


def _is_unit(number: str) -> bool:
    value = _float(number)
    return value is not None and value <= 1
