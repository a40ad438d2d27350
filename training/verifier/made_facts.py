"""Small facts put into real passages, with claims that restate them and claims that differ in one respect.

The variations are the minimal pairs that a verifier must tell apart: number, date, name, negation, antonym, role, unit and
table row. Not covered: claims made of the passage's own sentences (synthetic.py).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from halluc.answers import Label
from retrieval.split import sentence_spans
from training.verifier.corruption import names
from training.verifier.pairs import ClaimSpan, Row, changed_spans

__all__ = ["facts", "table_rows"]


class _Fact(NamedTuple):
    """A statement, claims that follow from it, and claims that do not, with their labels."""

    statement: str
    right: Sequence[str]
    wrong: Sequence[tuple[str, Label]]


def facts(text: str, generator: random.Random) -> Iterator[Row]:
    """Put two facts into a passage, each at a place between sentences, and make claims about them."""
    people = _drawn_names(text, generator)
    chosen = [make(people, generator) for make in generator.sample(_KINDS, 2)]
    sentences = [text[start:end] for start, end in sentence_spans(text)][: generator.choice([1, 2, 3, 4, 8])]
    for fact in chosen:
        sentences.insert(generator.randint(0, len(sentences)), fact.statement)
    passage = " ".join(sentences)
    for fact in chosen:
        right = generator.choice(fact.right)
        wrong, label = generator.choice(fact.wrong)
        yield Row(passage, right, "supported", text, ())
        spans = changed_spans(right, wrong, "conflict" if label == "refuted" else None)
        if wrong not in passage:
            yield Row(passage, wrong, label, text, spans if len(spans) < 3 else None)


def table_rows(text: str, generator: random.Random) -> Iterator[Row]:
    """Make a small table and claims about its cells: right, of another row, and of another column."""
    people = _drawn_names(text, generator)
    n_rows = generator.randint(3, 6)
    subjects = list(dict.fromkeys(people))[:n_rows]
    if len(subjects) < 3:
        return
    head = generator.choice(["Name", "Company", "Team", "Product", "Station", "Plan", "City", "Course", "Model"])
    columns = generator.sample(list(_COLUMNS), generator.randint(2, 4))
    cells = {subject: {column: _COLUMNS[column](generator) for column in columns} for subject in subjects}
    table = generator.choice([_as_records, _as_markdown, _as_bars, _as_csv])(head, columns, cells)
    around = " ".join(text[start:end] for start, end in sentence_spans(text)[: generator.randint(0, 3)])
    passage = f"{table}\n{around}" if generator.random() < 0.6 else f"{around}\n\n{table}"
    for _ in range(2):
        subject, other = generator.sample(subjects, 2)
        column = generator.choice(columns)
        value, wrong = cells[subject][column], cells[other][column]
        state = generator.choice(_CELL_CLAIMS)
        right = state(head, subject, column, value)
        yield Row(passage, right, "supported", text, ())
        if wrong != value:
            claim = state(head, subject, column, wrong)
            start = claim.rindex(wrong)
            yield Row(passage, claim, "refuted", text, (ClaimSpan(start, start + len(wrong), "conflict"),))


_INVENTED = [
    "Borealis", "Calder Group", "Lumen Works", "Tarn Valley", "Harrow Lane", "Quill Press", "Osprey II", "Vesper",
    "Meridian Trust", "Alder House", "Kestrel Air", "Norwood", "Sable Point", "Ridgeway", "Cobalt Labs", "Fenwick Hall",
    "Ivory Coast Line", "Juniper", "Larkspur", "Monarch 4",
]  # fmt: skip


def _drawn_names(text: str, generator: random.Random) -> list[str]:
    """Names of the passage and a few invented ones, in random order."""
    known = [name for name in names(text) if len(name.split()) <= 3 and len(name) > 2]
    drawn = generator.sample(known, min(4, len(known))) + generator.sample(_INVENTED, 4)
    generator.shuffle(drawn)
    return drawn


def _number(generator: random.Random) -> int:
    return generator.choice([generator.randint(2, 99), generator.randint(100, 999), generator.randint(1000, 99_999)])


def _near(value: int, generator: random.Random) -> int:
    """Another number that is easily taken for `value`."""
    digits = str(value)
    i = generator.randrange(len(digits))
    replaced = int(digits[:i] + str((int(digits[i]) + generator.randint(1, 9)) % 10) + digits[i + 1 :])
    swapped = int(digits[::-1]) if len(digits) < 3 else int(digits[0] + digits[2] + digits[1] + digits[3:])
    options = [other for other in (replaced, swapped, value * 10, value * 1000, value + 1, value + 2) if other != value]
    return generator.choice(options)


_MEASURES = [
    ("weighs", "kilograms", "kg"), ("is", "meters long", "m long"), ("covers", "square kilometers", "km²"),
    ("holds", "liters", "l"), ("reaches a speed of", "kilometers per hour", "km/h"), ("costs", "euros", "EUR"),
    ("costs", "dollars", "USD"), ("has", "employees", "employees"), ("uses", "kilowatts", "kW"),
    ("stands", "feet tall", "ft tall"), ("has", "seats", "seats"), ("publishes", "reports a year", "reports per year"),
]  # fmt: skip


def _measure(people: Sequence[str], generator: random.Random) -> _Fact:
    name, (verb, unit, short) = people[0], generator.choice(_MEASURES)
    value = _number(generator)
    wrong = _near(value, generator)
    others = [u for v, u, _ in _MEASURES if v == verb and u != unit] or ["millimeters"]
    right = [f"{name} {verb} {value:,} {unit}.", f"{name} {verb} {value} {short}.", f"{name} {verb} {value} {unit}."]
    bad: list[tuple[str, Label]] = [
        (f"{name} {verb} {wrong:,} {unit}.", "refuted"),
        (f"{name} {verb} {wrong} {short}.", "refuted"),
    ]
    bad.append((f"{name} {verb} {value:,} {generator.choice(others)}.", "refuted"))
    bad.append((f"{people[1]} {verb} {value:,} {unit}.", "not_enough_info"))
    return _Fact(f"{name} {verb} {value:,} {unit}.", right, bad)


_EVENTS = [
    "opened",
    "was founded",
    "was sold",
    "closed its office",
    "was rebuilt",
    "moved",
    "was launched",
    "signed the agreement",
]


def _date(people: Sequence[str], generator: random.Random) -> _Fact:
    name, event = people[0], generator.choice(_EVENTS)
    day, month, year = generator.randint(1, 28), generator.randrange(12), generator.randint(1820, 2024)
    months = [
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ]  # fmt: skip
    forms: list[Callable[[int, int, int], str]] = [
        lambda d, m, y: f"{d} {months[m]} {y}",
        lambda d, m, y: f"{months[m]} {d}, {y}",
        lambda d, m, y: f"{y}-{m + 1:02d}-{d:02d}",
    ]
    statement = f"{name} {event} on {generator.choice(forms)(day, month, year)}."
    form = generator.choice(forms)
    other_day, other_month = day % 28 + generator.randint(1, 3), (month + generator.randint(1, 11)) % 12
    other_year = generator.choice([year + 1, year - 1, year + 10, int(str(year)[:2] + str(year)[:1:-1])])
    other_year = other_year if other_year != year else year + 2
    right = [
        f"{name} {event} on {form(day, month, year)}.",
        f"{name} {event} in {year}.",
        f"{name} {event} in {months[month]} {year}.",
    ]
    bad: list[tuple[str, Label]] = [
        (f"{name} {event} on {form(day, month, other_year)}.", "refuted"),
        (f"{name} {event} on {form(other_day, month, year)}.", "refuted"),
        (f"{name} {event} in {other_year}.", "refuted"),
        (f"{name} {event} in {months[other_month]} {year}.", "refuted"),
    ]
    return _Fact(statement, right, bad)


_ACTIONS = [
    ("acquired", "acquired"), ("defeated", "defeated"), ("sued", "sued"), ("hired", "hired"), ("praised", "praised"),
    ("replaced", "replaced"), ("taught", "taught"), ("owns", "owned"), ("funded", "funded"), ("rejected", "rejected"),
    ("employs", "employed"), ("supplied", "supplied"), ("advised", "advised"), ("criticized", "criticized"),
    ("operates", "operated"), ("rescued", "rescued"), ("outsold", "outsold"), ("leads", "led"),
]  # fmt: skip


def _role(people: Sequence[str], generator: random.Random) -> _Fact:
    first, second, third = people[:3]
    verb, participle = generator.choice(_ACTIONS)
    be = "is" if verb.endswith("s") else "was"
    active, passive = f"{first} {verb} {second}.", f"{second} {be} {participle} by {first}."
    statement = generator.choice([active, passive])
    bad: list[tuple[str, Label]] = [
        (f"{second} {verb} {first}.", "refuted"),
        (f"{first} {be} {participle} by {second}.", "refuted"),
        (f"{third} {verb} {second}.", "not_enough_info"),
        (
            f"{first} did not {verb.removesuffix('s')} {second}." if be == "is" else f"{first} never {verb} {second}.",
            "refuted",
        ),
    ]
    return _Fact(statement, [active, passive], bad)


_OPPOSED = [
    ("{a} increased its prices in {y}", "{a} reduced its prices in {y}"),
    ("Sales of {a} rose in {y}", "Sales of {a} fell in {y}"), ("{a} is older than {b}", "{a} is younger than {b}"),
    ("{a} was finished before {b}", "{a} was finished after {b}"),
    ("{a} accepted the offer of {b}", "{a} rejected the offer of {b}"), ("{a} is north of {b}", "{a} is south of {b}"),
    ("The treatment at {a} is effective", "The treatment at {a} is ineffective"),
    ("{a} won against {b}", "{a} lost against {b}"), ("Entry to {a} is free", "Entry to {a} must be paid for"),
    ("{a} opens on Sundays", "{a} is closed on Sundays"), ("{a} supports the plan of {b}", "{a} opposes the plan of {b}"),
    ("{a} borrowed money from {b}", "{a} lent money to {b}"),
    ("All members of {a} voted", "None of the members of {a} voted"),
    ("The door of {a} is locked", "The door of {a} is unlocked"),
    ("{a} is the largest of them", "{a} is the smallest of them"), ("{a} gained 12 points", "{a} lost 12 points"),
]  # fmt: skip


def _antonym(people: Sequence[str], generator: random.Random) -> _Fact:
    pair = list(generator.choice(_OPPOSED))
    generator.shuffle(pair)
    right, wrong = (p.format(a=people[0], b=people[1], y=generator.randint(1990, 2024)) + "." for p in pair)
    year = right.split()[-1]
    if " in " in wrong:
        wrong = wrong.rsplit(" ", 1)[0] + " " + year
    return _Fact(right, [right], [(wrong, "refuted")])


_POLAR = [
    ("{a} carries passengers", "{a} does not carry passengers", "{a} carries no passengers"),
    ("Children may use {a}", "Children must not use {a}", "Children may not use {a}"),
    ("{a} was approved by the council", "{a} was not approved by the council", "The council did not approve {a}"),
    ("{a} has a branch in {b}", "{a} does not have a branch in {b}", "{a} has no branch in {b}"),
    ("{a} can be used outdoors", "{a} cannot be used outdoors", "{a} must not be used outdoors"),
    ("{a} was the first to join", "{a} was not the first to join", "Others joined before {a}"),
    ("{a} can be returned at any time", "It is impossible to return {a} at any time", "{a} cannot be returned at any time"),
    ("{a} has been tested", "{a} has not been tested", "{a} has never been tested"),
    ("{a} takes responsibility for {b}", "{a} takes no responsibility for {b}", "{a} does not take responsibility for {b}"),
    ("{a} should be kept cold", "{a} should not be kept cold", "{a} should never be kept cold"),
]  # fmt: skip


def _negation(people: Sequence[str], generator: random.Random) -> _Fact:
    positive, negative, also_negative = (p.format(a=people[0], b=people[1]) + "." for p in generator.choice(_POLAR))
    if generator.random() < 0.5:
        return _Fact(positive, [positive], [(negative, "refuted"), (also_negative, "refuted")])
    statement = generator.choice([negative, also_negative])
    return _Fact(statement, [negative, also_negative], [(positive, "refuted")])


def _restriction(people: Sequence[str], generator: random.Random) -> _Fact:
    a, b = people[:2]
    part, total = sorted(generator.sample(range(2, 99), 2))
    return generator.choice(
        [
            _Fact(f"Only {a} paid the fee.", [f"{a} paid the fee."], [(f"{b} paid the fee.", "refuted")]),
            _Fact(
                f"{part} of the {total} members of {a} agreed.",
                [f"{part} members of {a} agreed.", f"{a} has {total} members."],
                [(f"All members of {a} agreed.", "refuted"), (f"{total} members of {a} agreed.", "refuted")],
            ),
            _Fact(
                f"{a} may have been built by {b}.",
                [f"It is possible that {b} built {a}."],
                [(f"{a} was certainly built by {b}.", "not_enough_info")],
            ),
            _Fact(
                f"{a} is open only on weekdays.",
                [f"{a} is open on weekdays."],
                [(f"{a} is open on weekends.", "refuted"), (f"{a} is open every day.", "refuted")],
            ),
            _Fact(
                f"{a} fell by {part} percent to {total},000 dollars.",
                [f"{a} fell to {total},000 dollars.", f"{a} fell by {part}%."],
                [(f"{a} fell by {total},000 dollars.", "refuted"), (f"{a} rose by {part} percent.", "refuted")],
            ),
        ]
    )


def _place(people: Sequence[str], generator: random.Random) -> _Fact:
    places = generator.sample(
        ["Graz", "Porto", "Leeds", "Osaka", "Quito", "Tampere", "Cork", "Lyon", "Perth", "Accra", "Bergen", "Turin"], 2
    )
    pattern = generator.choice(
        ["{a} is based in {p}.", "{a} was born in {p}.", "The office of {a} is in {p}.", "{a} comes from {p}."]
    )
    statement = pattern.format(a=people[0], p=places[0])
    bad: list[tuple[str, Label]] = [
        (pattern.format(a=people[0], p=places[1]), "refuted"),
        (pattern.format(a=people[1], p=places[0]), "not_enough_info"),
    ]
    return _Fact(statement, [statement], bad)


_KINDS: list[Callable[[Sequence[str], random.Random], _Fact]] = [
    _measure, _measure, _date, _date, _role, _role, _antonym, _negation, _restriction, _place,
]  # fmt: skip

_COLUMNS: dict[str, Callable[[random.Random], str]] = {
    "Price": lambda generator: f"{generator.randint(1, 90)}.{generator.randint(10, 99)} EUR",
    "Population": lambda generator: f"{generator.randint(10, 900) * 1000:,}",
    "Founded": lambda generator: str(generator.randint(1850, 2020)),
    "Points": lambda generator: str(generator.randint(10, 99)),
    "Country": lambda generator: generator.choice(
        ["Norway", "Chile", "Japan", "Kenya", "Canada", "Portugal", "Poland", "Brazil"]
    ),
    "Notice period": lambda generator: f"{generator.randint(1, 12)} months",
    "Color": lambda generator: generator.choice(["red", "blue", "green", "black", "white", "yellow"]),
    "Weight": lambda generator: f"{generator.randint(2, 950)} kg",
    "Manager": lambda generator: generator.choice(
        ["Karin Moser", "Paul Reyes", "Anne Lind", "Omar Haddad", "Mei Tanaka", "Ivan Petrov"]
    ),
    "Opening hours": lambda generator: f"{generator.randint(7, 11)}:00-{generator.randint(15, 22)}:00",
    "Parking": lambda generator: generator.choice(["yes", "no"]),
}

_Cells = dict[str, dict[str, str]]


def _as_records(head: str, columns: Sequence[str], cells: _Cells) -> str:
    return "\n".join(
        f"{head}: {subject}; " + "; ".join(f"{column}: {row[column]}" for column in columns) + "."
        for subject, row in cells.items()
    )


def _as_markdown(head: str, columns: Sequence[str], cells: _Cells) -> str:
    lines = [[head, *columns], ["---"] * (len(columns) + 1), *([s, *(r[c] for c in columns)] for s, r in cells.items())]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _as_bars(head: str, columns: Sequence[str], cells: _Cells) -> str:
    lines = [[head, *columns], *([s, *(r[c] for c in columns)] for s, r in cells.items())]
    return "\n".join(" | ".join(line) for line in lines)


def _as_csv(head: str, columns: Sequence[str], cells: _Cells) -> str:
    lines = [[head, *columns], *([s, *(r[c].replace(",", "") for c in columns)] for s, r in cells.items())]
    return "\n".join(",".join(line) for line in lines)


_CELL_CLAIMS: list[Callable[[str, str, str, str], str]] = [
    lambda _head, subject, column, value: f"The {column.lower()} of {subject} is {value}.",
    lambda head, subject, column, value: f"The {head.lower()} {subject} has the {column.lower()} {value}.",
    lambda _head, subject, column, value: f"{subject} has a {column.lower()} of {value}.",
    lambda _head, subject, column, value: f"For {subject}, the {column.lower()} is {value}.",
]
