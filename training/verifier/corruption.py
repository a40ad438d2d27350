"""Corrupt claims for training a verifier, one fact at a time.

`corrupt` changes a number, a date, a unit, a name, a role, a comparison or the polarity of a sentence; `simplify` and
`restate` change its words and not what it says. Together they make pairs that share nearly all words and differ in one fact,
which data sets of independent claims lack (similar to FactCC, arXiv 1910.12840, with more transformations and three labels).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from halluc.answers import Label

__all__ = ["Corruption", "corrupt", "names", "restate", "simplify"]


class Corruption(NamedTuple):
    """A changed sentence, and its label given a text that contains the original.

    The label is None if a name was changed: the text may refute the claim or not mention it.
    """

    text: str
    label: Label | None


def corrupt(sentence: str, other_names: Sequence[str], generator: random.Random) -> Corruption | None:
    """Change one fact in a sentence.

    Args:
        sentence: a statement.
        other_names: names to replace a name in the sentence with, preferably from the same document.
        generator: draws the kind of change and the place.

    Returns:
        The changed sentence, or None if nothing in it can be changed.
    """
    kinds: list[tuple[Callable[[], str | None], float, Label | None]] = [
        # Models mostly get names and numbers wrong; negations are easy to make and easy to detect.
        (lambda: _change_number(sentence, generator), 1.0, "refuted"),
        (lambda: _swap_name(sentence, other_names, generator), 1.0, None),
        (lambda: _turn_comparison(sentence, generator), 0.9, "refuted"),
        (lambda: _swap_roles(sentence), 0.8, "refuted"),
        (lambda: _drop_restriction(sentence, generator), 0.8, "refuted"),
        (lambda: _change_unit(sentence, generator), 0.5, "refuted"),
        (lambda: _negate(sentence, generator), 0.6, "refuted"),
    ]
    for change, _, label in sorted(kinds, key=lambda kind: -generator.random() * kind[1]):
        changed = change()
        if changed is not None and changed != sentence:
            return Corruption(changed, label)
    return None


def restate(sentence: str, generator: random.Random) -> str:
    """Write numbers, dates, units and some words of a sentence differently, without changing what it says."""
    restated = sentence
    for pattern, write in _RESTATEMENTS:
        if generator.random() < 0.7:
            restated = pattern.sub(write, restated)
    if generator.random() < 0.6:
        restated = re.sub(
            r"\b[a-z]+\b",
            lambda word: _SYNONYM[word[0]] if word[0] in _SYNONYM and generator.random() < 0.7 else word[0],
            restated,
        )
    return restated


def simplify(sentence: str, generator: random.Random) -> str:
    """Shorten a sentence: drop parentheses, a leading "In …," and a trailing ", which …", the latter two at random."""
    shorter = re.sub(r"\s*\([^()]*\)", "", sentence)
    if generator.random() < 0.5:
        shorter = re.sub(r"^(?:In|On|At|During|After|Before|By|Since|From) [^,;]{3,60}, (?=\w+ )", "", shorter)
    if generator.random() < 0.5:
        shorter = re.sub(r", (?:which|who|where|whose) [^,;]+(?=[.!]?$)", "", shorter)
    return shorter[:1].upper() + shorter[1:]


def names(text: str) -> list[str]:
    """Names: runs of capitalized words, except a single word at the beginning of a sentence."""
    runs = []
    for match in _NAME.finditer(text):
        begins = match.start() == 0 or text[: match.start()].rstrip()[-1:] in ".!?\"'"
        if (" " in match[0] or not begins) and match[0].lower() not in _SERIES_OF:
            runs.append(match[0])
    return list(dict.fromkeys(runs))


_NAME = re.compile(r"\b[A-Z][\w’'.-]*\w(?: (?:(?:of|the|de|la|van|von|du) )?[A-Z][\w’'.-]*\w)*")
_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
_SERIES = [
    _MONTHS,
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"],
    ["north", "east", "south", "west"],
    ["northern", "eastern", "southern", "western"],
    ["hundred", "thousand", "million", "billion"],
]
_SERIES_OF = {word.lower(): series for series in _SERIES for word in series}
_OPPOSITES = [
    ("more", "less"), ("most", "least"), ("higher", "lower"), ("highest", "lowest"), ("larger", "smaller"),
    ("largest", "smallest"), ("older", "younger"), ("oldest", "youngest"), ("before", "after"), ("increase", "decrease"),
    ("increased", "decreased"), ("increases", "decreases"), ("rise", "fall"), ("rose", "fell"), ("early", "late"),
    ("earlier", "later"), ("best", "worst"), ("better", "worse"), ("won", "lost"), ("above", "below"), ("always", "never"),
    ("all", "none"), ("born", "died"), ("male", "female"), ("father", "son"), ("mother", "daughter"), ("husband", "wife"),
    ("brother", "sister"), ("success", "failure"), ("successful", "unsuccessful"), ("common", "rare"), ("strong", "weak"),
    ("began", "ended"), ("begins", "ends"), ("start", "end"), ("started", "ended"), ("open", "closed"),
    ("public", "private"), ("warm", "cold"), ("warming", "cooling"), ("major", "minor"), ("positive", "negative"),
    ("long", "short"), ("buy", "sell"), ("bought", "sold"), ("inside", "outside"), ("left", "right"), ("upper", "lower"),
    ("many", "few"), ("causes", "prevents"), ("effective", "ineffective"), ("possible", "impossible"),
    ("safe", "dangerous"), ("accepted", "rejected"), ("supported", "opposed"), ("joined", "left"), ("agreed", "refused"),
    ("same", "different"),
]  # fmt: skip
_OPPOSITE = dict(_OPPOSITES) | {b: a for a, b in reversed(_OPPOSITES)}
_AUXILIARY = re.compile(r"\b(?:is|was|are|were|has|have|had|can|could|will|would|should|must|does|did|do)\b(?! not|n.t)")


_UNITS = [
    ["kilograms", "grams", "tonnes", "pounds"], ["kg", "g", "lb"], ["kilometers", "meters", "miles", "feet"],
    ["kilometres", "metres", "centimetres"], ["km", "m", "mi", "ft"], ["seconds", "minutes", "hours", "days"],
    ["days", "weeks", "months", "years"], ["day", "week", "month", "year"], ["dollars", "euros", "pounds"],
    ["mg", "g", "ml"], ["mm", "cm", "m"], ["percent", "million"], ["Celsius", "Fahrenheit"], ["inches", "feet", "yards"],
    ["acres", "hectares"],
]  # fmt: skip
_UNIT_SERIES = {unit: series for series in _UNITS for unit in series}
_UNIT = re.compile(r"(?<=\d )(?:" + "|".join(sorted(_UNIT_SERIES, key=len, reverse=True)) + r")\b")
_RESTRICTIONS = re.compile(
    r" (?:not|never|only|no longer|almost|nearly|partly|up to|at least|at most|some of|most of|part of)(?= )"
    r"|(?<=\bcan)not\b|n't\b"
)
_SYNONYMS = [
    ("began", "started"), ("big", "large"), ("rose", "increased"), ("fell", "decreased"), ("bought", "purchased"),
    ("got", "received"), ("approximately", "about"), ("around", "about"), ("over", "more than"), ("used", "utilized"),
    ("also", "additionally"), ("helped", "assisted"), ("however", "but"), ("because", "since"), ("many", "numerous"),
    ("died", "passed away"), ("movie", "film"), ("film", "movie"), ("children", "kids"), ("located", "situated"),
    ("announced", "said"), ("said", "stated"), ("show", "demonstrate"), ("shows", "demonstrates"), ("needed", "required"),
    ("ended", "finished"), ("near", "close to"), ("built", "constructed"), ("created", "made"), ("whole", "entire"),
    ("about", "approximately"), ("often", "frequently"),
]  # fmt: skip
_SYNONYM = dict(_SYNONYMS)
_MONTH = "|".join(_MONTHS)
_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_RESTATEMENTS: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), lambda _: ""),
    (re.compile(rf"\b(\d{{1,2}}) ({_MONTH}),? (\d{{4}})\b"), lambda m: f"{m[2]} {m[1]}, {m[3]}"),
    (
        re.compile(rf"\b({_MONTH}) (\d{{1,2}}), (\d{{4}})\b"),
        lambda m: f"{m[3]}-{_MONTHS.index(m[1]) + 1:02d}-{int(m[2]):02d}",
    ),
    (re.compile(r"(?<=\d) ?(?:percent|per cent)\b"), lambda _: "%"),
    (re.compile(r"(?<=\d)%"), lambda _: " percent"),
    (re.compile(r"(?<=\d )kilograms?\b"), lambda _: "kg"),
    (re.compile(r"(?<=\d )kilomet(?:er|re)s?\b"), lambda _: "km"),
    (re.compile(r"(?<=\d )met(?:er|re)s\b"), lambda _: "m"),
    (re.compile(r"(?<=\d )km\b"), lambda _: "kilometers"),
    (re.compile(r"(?<=\d )(?:hrs|h)\b"), lambda _: "hours"),
    (re.compile(r"\$(\d[\d,.]*\d|\d)(?! (?:million|billion))"), lambda m: f"{m[1]} dollars"),
    (re.compile(r"\b(\d+)\.(\d) million\b"), lambda m: f"{m[1]},{m[2]}00,000"),
    (re.compile(rf"\b(?:{'|'.join(_ONES[1:])})\b"), lambda m: str(_ONES.index(m[0]) + 1)),
    (re.compile(r"\b([2-9]|1[0-2])\b(?=\s[a-z])"), lambda m: _ONES[int(m[1]) - 1]),
]


def _change_number(sentence: str, generator: random.Random) -> str | None:
    matches = list(re.finditer(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", sentence))
    matches += [
        match for match in re.finditer(r"\b[A-Za-z]+\b", sentence) if match[0].lower() in _SERIES_OF and _cased(match[0])
    ]
    if not matches:
        return None
    place = generator.choice(matches)
    return sentence[: place.start()] + _other_number(place[0], generator) + sentence[place.end() :]


def _cased(word: str) -> bool:
    """Whether a word has the case of its series: "May" is a month and "may" is not."""
    series = _SERIES_OF[word.lower()]
    return (series[0][0].isupper()) == word[0].isupper()


def _other_number(text: str, generator: random.Random) -> str:
    if (series := _SERIES_OF.get(text.lower())) is not None:
        others = [word for word in series if word.lower() != text.lower()]
        return generator.choice(others)
    digits = text.replace(",", "").rstrip(".")
    if "." in digits:
        whole, fraction = digits.split(".")
        return f"{int(whole) + generator.randint(1, 9)}.{fraction}"
    value = int(digits)
    if len(digits) == 4 and digits[0] in "12" and "," not in text:
        if generator.random() < 0.25:
            return str(_with_swapped_digits(value))
        return str(value + generator.choice([-1, 1]) * generator.choice([1, 2, 3, 5, 10, 20, 100]))
    changed = generator.choice(
        [
            value + generator.randint(1, 5),
            value * 2 + 1,
            max(0, value - generator.randint(1, 5)),
            value * 10,
            value * 1000,
            _with_swapped_digits(value),
        ]
    )
    changed = changed if changed != value else value + 1
    return f"{changed:,}" if "," in text.rstrip(",") else str(changed)


def _with_swapped_digits(value: int) -> int:
    """The number with its last two digits exchanged, a common slip; another number where that changes nothing."""
    digits = str(value)
    swapped = int(digits[:-2] + digits[-1] + digits[-2]) if len(digits) > 1 else value + 1
    return swapped if swapped != value else value + 10


def _swap_name(sentence: str, other_names: Sequence[str], generator: random.Random) -> str | None:
    present = names(sentence)
    # Part of a name in the sentence would say the same (Obama for Barack Obama).
    others = [other for other in other_names if other not in sentence and not any(name in other for name in present)]
    pairs = [(name, other) for name in present for other in others if abs(name.count(" ") - other.count(" ")) <= 1]
    if len(present) > 1 and generator.random() < 0.15:
        first, second = generator.sample(present, 2)
        if first not in second and second not in first:
            return sentence.replace(first, "\0").replace(second, first).replace("\0", second)
    if not pairs:
        return None
    name, other = generator.choice(pairs)
    return re.sub(rf"\b{re.escape(name)}\b", lambda _match: other, sentence, count=1)


_ROLES = re.compile(
    r"^(?P<a>(?:The |A |An )?[A-Z][\w'-]*(?: (?:of |the )?[A-Z][\w'-]*){0,3}) "
    r"(?P<verb>(?:was |were |is |are |has |had )?[a-z]+(?:ed|es|s|ew|oke|ote|ght|un|id|on)"
    r"(?: (?:by|to|from|with|for|in|against|over|at))?) "
    r"(?P<b>(?:the |a |an )?[A-Z][\w'-]*(?: (?:of |the )?[A-Z][\w'-]*){0,3})(?P<rest>\b.*)$"
)
# Relations that hold both ways, or whose two sides are of different kinds.
_SYMMETRIC = re.compile(r"\b(?:is|was|were|are|met|married|with|in|at|from|has|had|joined|equals)$")


def _swap_roles(sentence: str) -> str | None:
    """Exchange who does something and who it is done to."""
    match = _ROLES.match(sentence)
    if match is None or _SYMMETRIC.search(match["verb"]):
        return None
    first, second = match["b"], match["a"]
    first = first[:1].upper() + first[1:]
    second = re.sub(r"^(The|An?) ", lambda article: article[0].lower(), second)
    return f"{first} {match['verb']} {second}{match['rest']}"


def _drop_restriction(sentence: str, generator: random.Random) -> str | None:
    """Leave out "not", "only" or another word that restricts the statement."""
    places = list(_RESTRICTIONS.finditer(sentence))
    if not places:
        return None
    place = generator.choice(places)
    return sentence[: place.start()] + sentence[place.end() :]


def _change_unit(sentence: str, generator: random.Random) -> str | None:
    places = list(_UNIT.finditer(sentence))
    if not places:
        return None
    place = generator.choice(places)
    others = [unit for unit in _UNIT_SERIES[place[0]] if unit != place[0]]
    return sentence[: place.start()] + generator.choice(others) + sentence[place.end() :]


def _turn_comparison(sentence: str, generator: random.Random) -> str | None:
    places = [match for match in re.finditer(r"\b[a-z]+\b", sentence) if match[0] in _OPPOSITE]
    if not places:
        return None
    place = generator.choice(places)
    return sentence[: place.start()] + _OPPOSITE[place[0]] + sentence[place.end() :]


def _negate(sentence: str, generator: random.Random) -> str | None:
    if (match := re.search(r" not\b|n't\b", sentence)) is not None:
        return sentence[: match.start()] + sentence[match.end() :]
    places = list(_AUXILIARY.finditer(sentence))
    if not places:
        return None
    place = places[0]
    return sentence[: place.end()] + generator.choice([" not", " not", " never"]) + sentence[place.end() :]
