"""Dates and times of day: their spellings, what they mean, and the one way in which they are written.

Not covered: dates whose order of day and month is open (03/05/2021), names of days, and time zones.
"""

from __future__ import annotations

import re

__all__ = ["DATE", "TIME_OF_DAY", "read_date", "read_times"]

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NUMBERS = {name: number for number, name in enumerate(_MONTHS, start=1)}
_NUMBERS |= {name[:3]: number for name, number in _NUMBERS.items()} | {"Sept": 9}
_MONTH = rf"(?:{'|'.join(_MONTHS)})\b"
_SHORT_MONTH = r"(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:1\d{3}|20\d{2})"

DATE = re.compile(
    rf"""(?<![\w/.-])(?:
      (?P<iso_year>{_YEAR})(?P<mark>[-/])(?P<iso_month>0?[1-9]|1[0-2])(?P=mark)(?P<iso_day>{_DAY})(?:(?P<iso_time>T)(?=\d\d:)|(?![\w/]|-\d|\.\d))
    | (?P<dmy_day>{_DAY})(?P<dmy_mark>[/.])(?P<dmy_month>{_DAY})(?P=dmy_mark)(?P<dmy_year>{_YEAR})(?![\w/-]|\.\d)
    | (?:(?P<month_first>{_MONTH})|(?P<short_month>{_SHORT_MONTH})\.?)\ (?:the\ )?(?P<month_first_day>{_DAY})(?:st|nd|rd|th)?
      (?![\w%]|[.:,]\d|[-–/]\d|\ (?:{_MONTH}|{_SHORT_MONTH}))
      (?:,?\ (?P<month_first_year>{_YEAR})(?![\w%]|[.:,]\d))?
    | (?P<day_first_day>{_DAY})(?:st|nd|rd|th)?\ (?:of\ )?
      (?:(?P<day_first>{_MONTH})|(?P<day_first_short>{_SHORT_MONTH})(?:\.(?=,?\ {_YEAR}))?)
      (?:,?\ (?P<day_first_year>{_YEAR})(?![\w%]|[.:,]\d))?
    )""",
    re.VERBOSE,
)
"""A date with a day. A month that is shortened must begin with a capital, like its name."""

_CLOCK = r"(?:[01]?\d|2[0-4])"
_HALF = r"(?:[ap]\.m\.|[ap]m\b|[AP]\.M\.|[AP]M\b)"

TIME_OF_DAY = re.compile(
    rf"""(?<![\w:.,/$€£-])(?:
      (?P<first>{_CLOCK})(?:[:.](?P<first_minute>[0-5]\d))?\ ?(?P<first_half>{_HALF})?
        (?P<to>\ ?[-–—]\ ?|\ to\ |\ until\ |\ and\ )
      (?P<second>{_CLOCK})(?:[:.](?P<second_minute>[0-5]\d))?\ ?(?P<second_half>{_HALF})
    | (?P<from>{_CLOCK}):(?P<from_minute>[0-5]?\d)\ ?[-–—]\ ?(?P<until>{_CLOCK}):(?P<until_minute>[0-5]?\d)(?![\w:])
    | (?P<hour>{_CLOCK})(?:[:.](?P<minute>[0-5]\d))?\ ?(?P<half>{_HALF})
    | (?P<zero_hour>0\d):(?P<zero_minute>[0-5]\d)(?![\w:])
    | (?P<plain_hour>{_CLOCK}):(?P<plain_minute>[0-5]\d)(?![\w:])
    )""",
    re.VERBOSE,
)
"""A time of day, or two with a dash or a word between them."""


# What is not the rest of the time, such as "ET" or "Monday".
_NEW_SENTENCE = re.compile(
    r"\s+(?!(?:[ECMP][SD]?T|GMT|UTC|BST|CEST)\b|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)|"
    + _MONTH
    + r"|"
    + _SHORT_MONTH
    + r")[A-Z]|\s*\Z"
)


def read_date(match: re.Match[str]) -> tuple[tuple[int, int, int | None], str] | None:
    """Get (day, month, year or None) of a match of `DATE`, and how it is written; None if day and month may be swapped."""
    if match["iso_year"]:
        day, month, year = int(match["iso_day"]), int(match["iso_month"]), match["iso_year"]
    elif match["dmy_day"]:
        day, month, year = int(match["dmy_day"]), int(match["dmy_month"]), match["dmy_year"]
        if match["dmy_mark"] == "/" or month > 12:
            if day <= 12 and month <= 12 and day != month:
                return None
            day, month = (month, day) if month > 12 else (day, month)
        if month > 12:
            return None
    elif match["month_first_day"]:
        name = match["month_first"] or match["short_month"]
        day, month, year = int(match["month_first_day"]), _NUMBERS[name], match["month_first_year"]
    else:
        name = match["day_first"] or match["day_first_short"]
        day, month, year = int(match["day_first_day"]), _NUMBERS[name], match["day_first_year"]
    text = f"{day} {_MONTHS[month - 1]}" + (f" {year}" if year else "") + (" " if match["iso_time"] else "")
    return (day, month, int(year) if year else None), text


def read_times(match: re.Match[str]) -> tuple[list[int], str]:
    """Get the minutes since midnight of the one or two times of a match of `TIME_OF_DAY`, and how they are written."""
    if match["second"]:
        half = match["second_half"]
        last = _minutes(match["second"], match["second_minute"], half)
        first = _minutes(match["first"], match["first_minute"], match["first_half"] or half)
        if not match["first_half"] and first >= last >= 720:
            first = _minutes(match["first"], match["first_minute"], "am")
        word = match["to"].strip()
        times = [first, last]
        text = f"{_clock(first)} {word if word.isalpha() else 'to'} {_clock(last)}"
    elif match["from"]:
        half = None
        times = [_minutes(match["from"], match["from_minute"], None), _minutes(match["until"], match["until_minute"], None)]
        text = f"{_clock(times[0])} to {_clock(times[1])}"
    else:
        half = match["half"]
        hour = match["hour"] or match["zero_hour"] or match["plain_hour"]
        times = [_minutes(hour, match["minute"] or match["zero_minute"] or match["plain_minute"], half)]
        text = _clock(times[0])
    # The full stop of "p.m." may also end the sentence.
    ends = half is not None and half.endswith(".") and _NEW_SENTENCE.match(match.string[match.end() : match.end() + 9])
    return times, text + "." if ends else text


def _minutes(hour: str, minute: str | None, half: str | None) -> int:
    hours = int(hour)
    if half and hours <= 12:
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    return hours * 60 + int(minute or 0)


def _clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02}"
