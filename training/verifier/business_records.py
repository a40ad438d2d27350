"""Made statements about business records: opening hours, services, ambience, place and rating.

Models that describe a structured record state what it does not say: a service whose value is missing, hours that hold on
some days only, one attribute too many. The records are those of RAGTruth (arXiv 2401.00396, data-to-text), with values drawn
anew. Not covered: tables of numbers (made_facts.py), and what the answers of RAGTruth say (annotated_answers.py).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from halluc.answers import SpanKind
from halluc.files import read_rows
from training.verifier.pairs import ClaimSpan, Row, label_of

__all__ = ["business_records"]

_VARIANTS = 14  # drawn records of each real one
_WRONG_SHARE = 0.22  # of statements; a claim has up to four

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_KINDS_OF_AMBIENCE = ("romantic", "intimate", "touristy", "hipster", "divey", "classy", "trendy", "upscale", "casual")
_KINDS_OF_PARKING = ("garage", "street", "validated", "lot", "valet")
# What is said of an attribute that holds, and of one that does not.
_SERVICES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "RestaurantsReservations": (
        ("takes reservations", "accepts reservations", "lets guests reserve a table"),
        ("does not take reservations", "does not accept reservations", "has no reservations"),
    ),
    "OutdoorSeating": (
        ("offers outdoor seating", "has tables outside", "provides an outdoor seating area"),
        ("does not offer outdoor seating", "has no outdoor seating", "lacks outdoor seating"),
    ),
    "RestaurantsTakeOut": (
        ("offers takeout", "provides take-out service", "sells food to go"),
        ("does not offer takeout", "has no take-out service"),
    ),
    "RestaurantsGoodForGroups": (
        ("is good for groups", "suits large groups", "welcomes groups"),
        ("is not suited to groups", "is not a good place for groups"),
    ),
    "WiFi": (
        ("offers free WiFi", "provides free Wi-Fi", "has free wireless internet"),
        ("does not offer WiFi", "has no Wi-Fi", "provides no wireless internet"),
    ),
    "Music": (("plays music", "has music", "offers live music"), ("has no music", "does not offer music")),
}
_UNKNOWN_SERVICES = (
    "delivers",
    "offers catering",
    "has gluten-free dishes",
    "is wheelchair accessible",
    "accepts credit cards",
    "hosts live bands on weekends",
    "has a happy hour",
    "has a children's menu",
    "allows dogs",
)


class _Statement(NamedTuple):
    """A predicate without its subject, and what is wrong: nothing, a conflict, or that the record does not say it."""

    text: str
    wrong: SpanKind | None


def business_records(folder: Path, generator: random.Random) -> Iterator[Row]:
    """Make claims about records with drawn values; the document of a row is the real record."""
    rows = [row for _, row in read_rows(folder / "ragtruth" / "responses.jsonl") if row["task"] == "data2txt"]
    for text in dict.fromkeys(row["context"] for row in rows):
        for _ in range(_VARIANTS):
            record = _drawn(json.loads(text), generator)
            evidence = json.dumps(record, ensure_ascii=False)
            for _ in range(3):
                yield _claim(record, evidence, text, generator)


def _drawn(record: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    """The record with other attributes and hours, and one or two of its reviews."""
    attributes: dict[str, Any] = {
        name: generator.choice([True, True, False, False, None]) for name in _SERVICES if name != "WiFi"
    }
    attributes["WiFi"] = generator.choice(["free", "free", "no", "no", None])
    for name, kinds in (("Ambience", _KINDS_OF_AMBIENCE), ("BusinessParking", _KINDS_OF_PARKING)):
        held = generator.sample(kinds, generator.choice([0, 1, 1, 2, 2, 3]))
        attributes[name] = None if generator.random() < 0.15 else {kind: kind in held for kind in kinds}
    names = list(attributes)
    generator.shuffle(names)
    reviews = record.get("review_info") or []
    return record | {
        "hours": _drawn_hours(generator),
        "attributes": {name: attributes[name] for name in names},
        "business_stars": generator.choice([2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0]),
        "review_info": generator.sample(reviews, min(len(reviews), generator.randint(1, 2))),
    }


def _drawn_hours(generator: random.Random) -> dict[str, str] | None:
    if generator.random() < 0.1:
        return None
    usual, other = _drawn_times(generator), _drawn_times(generator)
    kind = generator.random()
    late = _DAYS[generator.choice([4, 5, 6]) :] if kind < 0.5 else ()
    closed = generator.sample(_DAYS, 1) if kind > 0.7 else []
    return {day: other if day in late else usual for day in _DAYS if day not in closed}


def _drawn_times(generator: random.Random) -> str:
    opening, closing = generator.randint(6, 11), generator.randint(14, 23)
    return f"{opening}:{generator.choice([0, 0, 30])}-{closing}:{generator.choice([0, 0, 30])}"


def _claim(record: dict[str, Any], evidence: str, document: str, generator: random.Random) -> Row:
    makers = [_service, _service, _service, _ambience, _parking, _hours, _hours, _rating, _place]
    statements: list[_Statement] = []
    for maker in generator.sample(makers, generator.choice([1, 1, 2, 2, 3, 4])):
        statement = maker(record, generator)
        if statement is not None and statement.text not in {other.text for other in statements}:
            statements.append(statement)
    if not statements:
        statements.append(_rating(record, generator))
    subject = generator.choice(["The restaurant", "The business", str(record["name"]), str(record["name"]), "It"])
    return _row(subject, statements, evidence, document)


def _row(subject: str, statements: Sequence[_Statement], evidence: str, document: str) -> Row:
    claim, spans = subject, []
    for i, statement in enumerate(statements):
        claim += " " if i == 0 else " and " if i == len(statements) - 1 else ", "
        if statement.wrong:
            spans.append(ClaimSpan(len(claim), len(claim) + len(statement.text), statement.wrong))
        claim += statement.text
    return Row(evidence, claim + ".", label_of(spans), document, tuple(spans))


def _service(record: dict[str, Any], generator: random.Random) -> _Statement | None:
    if generator.random() < _WRONG_SHARE / 3:
        return _Statement(generator.choice(_UNKNOWN_SERVICES), "baseless")
    name = generator.choice(list(_SERVICES))
    value = record["attributes"][name]
    if value is None:
        return _Statement(_said(name, generator.random() < 0.5, generator), "baseless") if _is_wrong(generator) else None
    holds = value is True or value == "free"
    wrong = _is_wrong(generator)
    return _Statement(_said(name, holds != wrong, generator), "conflict" if wrong else None)


def _said(name: str, holds: bool, generator: random.Random) -> str:
    return generator.choice(_SERVICES[name][0 if holds else 1])


def _ambience(record: dict[str, Any], generator: random.Random) -> _Statement | None:
    kinds = record["attributes"]["Ambience"]
    wrong = _is_wrong(generator)
    held = [kind for kind in _KINDS_OF_AMBIENCE if kinds and kinds[kind]]
    others = [kind for kind in _KINDS_OF_AMBIENCE if kind not in held]
    if not wrong and not held:
        return None
    words = [generator.choice(others)] if wrong else generator.sample(held, min(len(held), 2))
    frame = generator.choice(["has {} atmosphere", "has {} ambience", "is described as {}"])
    article = "" if "described" in frame else "an " if words[0][0] in "aeiou" else "a "
    return _Statement(frame.format(article + " and ".join(words)), ("conflict" if kinds else "baseless") if wrong else None)


def _parking(record: dict[str, Any], generator: random.Random) -> _Statement | None:
    kinds = record["attributes"]["BusinessParking"]
    wrong = _is_wrong(generator)
    chosen = [kind for kind in _KINDS_OF_PARKING if kind != "validated" and bool(kinds and kinds[kind]) != wrong]
    if not chosen:
        return None
    kind = {"garage": "a parking garage", "street": "street parking", "lot": "a parking lot", "valet": "valet parking"}
    frame = generator.choice(["has {}", "offers {}", "provides {}"])
    return _Statement(frame.format(kind[generator.choice(chosen)]), ("conflict" if kinds else "baseless") if wrong else None)


def _hours(record: dict[str, Any], generator: random.Random) -> _Statement | None:
    hours: dict[str, str] | None = record["hours"]
    if not hours:
        wrong_times = _written_times(_drawn_times(generator), generator)
        return _Statement(f"is open from {wrong_times}", "baseless") if _is_wrong(generator) else None
    closed = [day for day in _DAYS if day not in hours]
    if generator.random() < 0.25:
        if _is_wrong(generator):
            return _Statement(f"is closed on {generator.choice(list(hours))}s", "conflict")
        return _Statement(f"is closed on {closed[0]}s", None) if closed else None
    first = generator.randrange(len(_DAYS))
    last = generator.randrange(first, len(_DAYS))
    if generator.random() < 0.4:
        first, last = 0, len(_DAYS) - 1
    days = _DAYS[first : last + 1]
    times = [hours.get(day) for day in days]
    stated = next((time for time in times if time), None) or _drawn_times(generator)
    if _is_wrong(generator):
        stated = _drawn_times(generator)
    wrong = any(time != stated for time in times)
    if len(days) == len(_DAYS):
        when = generator.choice(["seven days a week", "every day", "Monday through Sunday", "daily"])
    else:
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        when = f"on {when}s" if len(days) == 1 else f"from {when}"
    verb = generator.choice(["is open", "operates", "opens"])
    return _Statement(f"{verb} {when} from {_written_times(stated, generator)}", "conflict" if wrong else None)


def _written_times(times: str, generator: random.Random) -> str:
    style = generator.choice(["12", "12", "24"])
    return " to ".join(_written_time(time, style) for time in times.split("-"))


def _written_time(time: str, style: str) -> str:
    hour, minute = (int(part) for part in time.split(":"))
    if style == "24":
        return f"{hour}:{minute:02}"
    return f"{(hour - 1) % 12 + 1}{f':{minute:02}' if minute else ''} {'AM' if hour < 12 else 'PM'}"


def _rating(record: dict[str, Any], generator: random.Random) -> _Statement:
    stars = record["business_stars"]
    wrong = _is_wrong(generator)
    stated = generator.choice([value / 2 for value in range(3, 11) if value / 2 != stars]) if wrong else stars
    frame = generator.choice(["has a rating of {} stars", "is rated {} out of 5 stars", "has {} stars overall"])
    return _Statement(frame.format(f"{stated:g}"), "conflict" if wrong else None)


def _place(record: dict[str, Any], generator: random.Random) -> _Statement | None:
    cities = ["Goleta", "Carpinteria", "Montecito", "Ventura", "Oxnard", "Lompoc", "Santa Barbara", "Isla Vista"]
    wrong = _is_wrong(generator)
    city = generator.choice([city for city in cities if city != record["city"]]) if wrong else record["city"]
    frame = generator.choice(["is located in {}, {}", "is in {}, {}", "can be found in {}, {}"])
    return _Statement(frame.format(city, record["state"]), "conflict" if wrong else None)


def _is_wrong(generator: random.Random) -> bool:
    return generator.random() < _WRONG_SHARE
