"""Corrupt claims for training a verifier, one fact at a time.

`corrupt` changes a number, a name, a comparison or the polarity of a sentence; `simplify` shortens a sentence to a claim
that stays true. Together they make pairs that share nearly all words and differ in one fact, which data sets of independent
claims lack (similar to FactCC, arXiv 1910.12840, with fewer transformations and three labels).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from halluc.answers import Label

__all__ = ["corrupt", "names", "simplify"]


def corrupt(sentence: str, other_names: Sequence[str], generator: random.Random) -> tuple[str, Label | None] | None:
    """Change one fact in a sentence.

    Args:
        sentence: a statement.
        other_names: names to replace a name in the sentence with, preferably from the same document.
        generator: draws the kind of change and the place.

    Returns:
        The changed sentence and its label given a text that contains the original sentence: "refuted", or None if a name
        was changed, when the text may refute the claim or not mention it. None if nothing in the sentence can be changed.
    """
    kinds: list[Callable[[], str | None]] = [
        lambda: _change_number(sentence, generator),
        lambda: _swap_name(sentence, other_names, generator),
        lambda: _turn_comparison(sentence, generator),
        lambda: _negate(sentence, generator),
    ]
    order = list(range(len(kinds)))
    # Models mostly get names and numbers wrong; negations are easy to make and easy to detect.
    generator.shuffle(order)
    order.sort(key=lambda kind: (kind == 3) and generator.random() < 0.5)
    for kind in order:
        changed = kinds[kind]()
        if changed is not None and changed != sentence:
            return changed, None if kind == 1 else "refuted"
    return None


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
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
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
    ("public", "private"),
    ("warm", "cold"), ("warming", "cooling"), ("major", "minor"), ("positive", "negative"), ("long", "short"),
    ("buy", "sell"), ("bought", "sold"), ("inside", "outside"), ("left", "right"), ("upper", "lower"), ("many", "few"),
    ("causes", "prevents"), ("effective", "ineffective"), ("possible", "impossible"), ("safe", "dangerous"),
    ("accepted", "rejected"), ("supported", "opposed"), ("joined", "left"), ("agreed", "refused"), ("same", "different"),
]  # fmt: skip
_OPPOSITE = dict(_OPPOSITES) | {b: a for a, b in reversed(_OPPOSITES)}
_AUXILIARY = re.compile(r"\b(?:is|was|are|were|has|have|had|can|could|will|would|should|must|does|did|do)\b(?! not|n.t)")


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
        return str(value + generator.choice([-1, 1]) * generator.choice([1, 2, 3, 5, 10, 20, 100]))
    changed = generator.choice(
        [value + generator.randint(1, 5), value * 2 + 1, max(0, value - generator.randint(1, 5)), value * 10]
    )
    changed = changed if changed != value else value + 1
    return f"{changed:,}" if "," in text.rstrip(",") else str(changed)


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
