"""Find the quantities of a text: numbers, amounts with a unit or a currency, percentages, dates and times of day.

Left alone are version numbers, addresses, phone numbers and ids (digits that letters, dots, colons or slashes hold
together), ordinal numbers, number words in names ("Twelve Angry Men"), "one" without a unit, and fractions in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from halluc.quantities.dates import DATE, TIME_OF_DAY, read_date, read_times
from halluc.quantities.number_words import MULTIPLIERS, NUMBER_WORDS, value_of_words
from halluc.quantities.units import CURRENCY_CODES, CURRENCY_SIGNS, UNITS, Unit

__all__ = ["Quantity", "find_quantities"]


@dataclass(frozen=True)
class Quantity:
    """A number, amount, date or time of a text.

    Attributes:
        start, end: its characters [start, end) of the text.
        written: how it is written in one way for all that are equal, as far as the words around it allow.
        dimension: what it measures: "number", "date", "time of day", or the dimension of its unit, such as "mass" or "euro".
        values: its value in the base unit of the dimension; (day, month, year or 0) of a date; the minutes since midnight of
            one or two times.
        number: the number of an amount as it is written, before conversion; 0 of dates and times.
    """

    start: int
    end: int
    written: str
    dimension: str
    values: tuple[Fraction, ...]
    number: Fraction = Fraction(0)


_THIN = "\u00a0\u202f\u2009"
_BY_LENGTH = sorted(UNITS, key=lambda spelling: -len(spelling))
_UNIT = "|".join(re.escape(spelling) for spelling in _BY_LENGTH)
_LONG_UNIT = "|".join(re.escape(spelling) for spelling in _BY_LENGTH if len(spelling) > 1 or not spelling.isalpha())
_SIGN = "|".join(re.escape(sign) for sign in CURRENCY_SIGNS)
_MONEY_AFTER = r"\ (?:euros?|dollars?|pounds?|EUR|USD|GBP|CHF)\b"
# "2 500 mg tablets" are two.
_PACKED = r"(?:tablet|capsule|pill|dose|bottle|can|bag|pack|prize|note|coin)"
_AMOUNT = re.compile(
    rf"""(?<![\w.,:/\#@^_=+&])(?<![A-Za-z][-–])
      (?P<minus>(?:minus\ |[-−–])(?=[\d$€£¥]))?
      (?:(?P<sign>{_SIGN})\ ?(?=\d)|(?P<code>{"|".join(CURRENCY_CODES)})[\ {_THIN}]?(?=\d))?
      (?:(?P<digits>(?>
            \d{{1,3}}(?:,\d{{2,3}})*,\d{{3}}(?:\.\d+)?(?![\d,]) | \d{{1,3}}(?:[{_THIN}]\d{{3}})+(?:\.\d+)?(?!\d)
          | \d{{1,3}}(?:\ 000)+(?!\d) | \d{{1,3}}(?:\ \d{{3}})+(?:\.\d{{1,2}})?(?=\ (?:{_LONG_UNIT})(?!\w|\ {_PACKED}))
          | (?:\d{{1,3}}(?:\.\d{{3}})+|\d{{1,9}}),\d{{1,2}}(?=\ ?(?:{_LONG_UNIT})(?!\w)) | \d+(?:\.\d+)?))
        (?P<scale>[\ {_THIN}]?(?:{"|".join(MULTIPLIERS)})\b|(?(sign)\ ?[kKmMB]\b|[kKmMB](?={_MONEY_AFTER})))?
      | (?P<words>(?i:{NUMBER_WORDS}))(?!\w))
      (?:(?P<gap>[-\ {_THIN}]?)(?P<unit>{_UNIT})(?![\w$€£])(?<!\ [WVL](?=\.?\ [A-Z])))?
      (?!\w|[.:/]\d|@|,\d)
    """,
    re.VERBOSE,
)
_SCALE_LETTERS = {"k": 10**3, "m": 10**6, "b": 10**9}
_QUICK = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w{3,5}teen|\w{3,5}ty|one)\b", re.IGNORECASE
)
_FRACTION = re.compile(r"[- ](?:third|quarter|half|halves|fourth|fifth|sixth|seventh|eighth|ninth|tenth|and an? )")
_SENTENCE_START = re.compile(r"(?:\A|[.!?:\n])[\s\"'“‘(]*\Z")
_NOT_AFTER_ONE = ("day", "second", "star", "foot", "yard")
_MOST_DIGITS = 40
_DASH = re.compile(r" ?[-–—] ?")
_CLOSE_DASH = re.compile(r"[-–—]")
_WORD_BETWEEN = re.compile(r" (?:to|or) ")


def find_quantities(text: str) -> list[Quantity]:
    """Find the quantities of a text.

    Returns:
        Quantities in the order of the text; they do not overlap. Time is linear in the length of the text.
    """
    if not _QUICK.search(text):
        return []
    dates = [quantity for match in DATE.finditer(text) if (quantity := _date(match))]
    times = [_time(match) for start, end in _gaps(text, dates) for match in TIME_OF_DAY.finditer(text, start, end)]
    moments = sorted([*dates, *times], key=lambda quantity: quantity.start)
    matches = [match for start, end in _gaps(text, moments) for match in _AMOUNT.finditer(text, start, end)]
    amounts = [amount for match in matches if (amount := _amount(match))]
    return sorted([*moments, *_ranges_joined(text, amounts)], key=lambda quantity: quantity.start)


@dataclass(frozen=True)
class _Amount:
    """A match of `_AMOUNT`: characters [start, end), the number and how it is written, its unit and how that is written.

    `signed` says that the unit is before the number, `scaled` that a word such as "million" is in it, `grouped` that it
    cannot be a year.
    """

    start: int
    end: int
    number: Fraction
    digits: str
    unit: Unit | None
    unit_text: str
    signed: bool
    scaled: bool
    grouped: bool


def _date(match: re.Match[str]) -> Quantity | None:
    date = read_date(match)
    if date is None:
        return None
    (day, month, year), text = date
    return Quantity(match.start(), match.end(), text, "date", (Fraction(day), Fraction(month), Fraction(year or 0)))


def _time(match: re.Match[str]) -> Quantity:
    times, text = read_times(match)
    return Quantity(match.start(), match.end(), text, "time of day", tuple(Fraction(minutes) for minutes in times))


def _amount(match: re.Match[str]) -> _Amount | None:
    text, start, end = match.string, match.start(), match.end()
    if match["minus"] and not _is_minus(text, start):
        start += len(match["minus"])
        negative = False
    else:
        negative = match["minus"] is not None
    if match["digits"] and len(match["digits"]) > _MOST_DIGITS:
        return None
    unit = UNITS[match["unit"]] if match["unit"] else None
    sign = CURRENCY_SIGNS.get(match["sign"] or "") or CURRENCY_CODES.get(match["code"] or "")
    if unit and (unit.dimension != sign.dimension if sign else match["unit"] == "m" and not match["gap"]):
        if not sign:
            return None
        unit, end = None, match.start("gap")
    number = _value_of_digits(match) if match["digits"] else _value_of_words(match, unit)
    if number is None or _FRACTION.match(text, end):
        return None
    number = -number if negative else number
    return _Amount(
        start,
        end,
        number,
        _written_number(match, number, exact=unit is None and sign is None),
        sign or unit,
        _written_unit(match, sign or unit, number, after=unit is not None),
        sign is not None,
        match["scale"] is not None,
        match["words"] is not None or match["scale"] is not None or number.denominator != 1 or not 1000 <= number <= 2100,
    )


def _is_minus(text: str, start: int) -> bool:
    """Whether a mark stands where a sign can: after white space or a bracket, and not after another number."""
    before = text[max(0, start - 2) : start]
    if not before:
        return True
    return before[-1] in "(\"'“" or (before[-1].isspace() and not (before[0].isdigit() and text[start] != "m"))


def _value_of_digits(match: re.Match[str]) -> Fraction:
    digits = re.sub(rf"[ {_THIN}]", "", match["digits"])
    if re.fullmatch(r"\d+(?:\.\d{3})*,\d{1,2}", digits):
        digits = digits.replace(".", "").replace(",", ".")
    scale = (match["scale"] or "").strip(f" {_THIN}")
    return Fraction(digits.replace(",", "")) * (MULTIPLIERS.get(scale) or _SCALE_LETTERS.get(scale.lower(), 1))


def _value_of_words(match: re.Match[str], unit: Unit | None) -> Fraction | None:
    """The value of number words; None where they are a part of a name or of an idiom."""
    words, text = match["words"], match.string
    number = value_of_words(words)
    if number is None or (number < 2 and (unit is None or unit.one in _NOT_AFTER_ONE)):
        return None
    if words[0].isupper():
        following = text[match.end("words") : match.end("words") + 2]
        names = following[1:].isupper() or any(word[0].isupper() for word in words.split()[1:])
        if names or not _SENTENCE_START.search(text[max(0, match.start() - 6) : match.start()]) or words.isupper():
            return None
    if unit is None and re.match(r"-[^\W\d_]|[ -]\d| [$€£¥]", text[match.end() : match.end() + 2]):
        return None
    return number


def _written_number(match: re.Match[str], number: Fraction, *, exact: bool) -> str:
    """Digits without separators; from a million on with a word, if that takes at most four digits."""
    raw = match["digits"]
    plain = raw is not None and raw.replace(".", "").isdigit() and not match["scale"]
    # The point of "1.250 euros" may separate thousands.
    if plain and (exact or re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", raw)):
        return ("-" if number < 0 else "") + raw
    size = abs(number)
    for name, scale in (("trillion", 10**12), ("billion", 10**9), ("million", 10**6)):
        scaled = size / scale
        if scaled >= 1 and (scaled * 1000).denominator == 1 and scaled < 10**6:
            short = _decimal(scaled)
            if len(short.replace(".", "")) <= 4:
                return ("-" if number < 0 else "") + f"{short} {name}"
            break
    return ("-" if number < 0 else "") + _decimal(size)


def _decimal(number: Fraction) -> str:
    """Digits of a non-negative number whose denominator is a power of ten."""
    places = 0
    while number.denominator != 1 and (number * 10**places).denominator != 1:
        places += 1
    whole = str(int(number * 10**places))
    if not places:
        return whole
    whole = whole.rjust(places + 1, "0")
    return f"{whole[:-places]}.{whole[-places:]}"


def _written_unit(match: re.Match[str], unit: Unit | None, number: Fraction, *, after: bool) -> str:
    if unit is None:
        return ""
    spelling = match["unit"] if after else ""
    if unit.one == "%":
        return "%"
    if match["gap"] == "-" and after:
        return f"-{spelling if spelling in (unit.one, unit.many) else unit.one}"
    if spelling in (unit.one, unit.many):
        return f" {spelling}"
    return f" {unit.one if number == 1 else unit.many}"


def _ranges_joined(text: str, amounts: list[_Amount]) -> list[Quantity]:
    """Give both ends of a range ("$5-10", "5 to 10 kg") the unit that one of them has, and write it once."""
    quantities: list[Quantity] = []
    for i, amount in enumerate(amounts):
        before = amounts[i - 1] if i else None
        after = amounts[i + 1] if i + 1 < len(amounts) else None
        unit, number, unit_text = amount.unit, amount.number, amount.unit_text
        if before and not unit and before.signed and _CLOSE_DASH.fullmatch(text, before.end, amount.start):
            unit, unit_text = before.unit, f" {before.unit.many}" if before.unit else ""
        if after and _DASH.fullmatch(text, amount.end, after.start):
            # "$5 - 10 pages" is no range.
            if amount.signed and (after.unit == unit or (not after.unit and after.start == amount.end + 1)):
                unit_text = ""
                number *= _shared_scale(amount, after)
            elif unit is None and after.unit and amount.grouped:
                unit = after.unit
                number *= _shared_scale(amount, after)
        elif after and not unit and after.unit and amount.grouped and _WORD_BETWEEN.fullmatch(text, amount.end, after.start):
            unit = after.unit
            number *= _shared_scale(amount, after)
        end = amount.end
        counted = before is not None and before.unit is None and before.end == amount.start - 1
        if amount.signed and unit_text and (counted or re.match(r"-\w", text[end : end + 2])):
            written = text[amount.start : end]  # "2 $500 notes", "$5-a-head"
        else:
            written = amount.digits + unit_text
        values = number * unit.factor + unit.offset if unit else number
        quantities.append(Quantity(amount.start, end, written, unit.dimension if unit else "number", (values,), number))
    return quantities


def _shared_scale(amount: _Amount, after: _Amount) -> int:
    """The factor that the word after "5-10 million" gives the first number."""
    if amount.scaled or not after.scaled or amount.number >= 1000:
        return 1
    return next((scale for scale in (10**12, 10**9, 10**6, 10**3) if after.number >= scale), 1)


def _gaps(text: str, quantities: list[Quantity]) -> Iterator[tuple[int, int]]:
    """The characters [start, end) of a text between quantities."""
    start = 0
    for quantity in quantities:
        yield start, quantity.start
        start = quantity.end
    yield start, len(text)
