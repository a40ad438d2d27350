"""What a sentence offers as the answer to a question, and whether two offers exclude each other.

"It is Paris." and "The answer could also be 1987." offer Paris and 1987, which cannot both answer one question, although
they are of different kinds. "It is Paris. It is the capital of France." has an answer and its description. Parts of speech
tell descriptions from answers ("It is oxygen. It is colorless."). Not covered: what the question asks for, so that a second
answer in the form of a description ("Ada Berg", "the committee") passes for one, and which of two answers is right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from halluc.claims.parsing import parsed
from halluc.grading.number_words import numbers_in_digits
from halluc.quantities.find import find_quantities

__all__ = ["Candidate", "candidate", "exclude", "offered", "restates"]

_BE = (
    r"(?:['’]s|(?:is|was|are|were)|(?:could|might|may|would|can|must|should|will)(?: \w+)? (?:be|have been))\b"
    r"(?: (?:also|either|probably|perhaps|possibly|maybe|likely|certainly|definitely|clearly|then)\b)*"
)
_BEGINNING = (
    r"(?:also|alternatively|otherwise|or|and|so|then|thus|hence|maybe|perhaps|possibly|probably|either|else)\b[\s,]*"
)
_ANSWER = (
    r"(?:(?:my|the|an?|one|another|final|correct|right|best|possible|likely|short|other) )*"
    r"(?:answer|guess|response|candidate|possibility|option|alternative)s?"
)
_I_SAY = r"I(?:['’]d| would| could| might)?(?: also)? (?:say|guess|think|believe|suppose|answer)\b(?: that\b)?"
_FRAME = re.compile(
    rf"\W*(?:{_BEGINNING})*(?:{_ANSWER}(?:\s*:| ?{_BE})|(?:it|that|this|they|these|those|there)(?: also)? ?{_BE}"
    rf"|(?:is|was|are|were) (?:it|that|this|they)\b|{_I_SAY}(?: it ?{_BE})?)?[\s*_\"“]*",
    re.IGNORECASE,
)
# What comes after an answer rather than being part of it.
_REST = re.compile(
    r"\s*(?:[,:](?!\d)|[;(–—?!]|\.(?=\s|\W*$)"
    r"|\b(?:which|that|who|whose|where|when|because|since|as|but|or|and also|also|as well)\b"
    r"|['”\"*_]+(?=\W|$)).*",
    re.IGNORECASE | re.DOTALL,
)
# "Explanation: …"
_LABEL = re.compile(r"\W*\w+(?: \w+)?:\s")
_PREPOSITION = re.compile(
    r"(in|at|on|by|from|to|of|for|with|during|after|before|near|under|between|among|until|since)\b", re.IGNORECASE
)
_DETERMINER = re.compile(r"(?:(the|its|his|her|their|this|that)|(an?|one of|some|another))\s+", re.IGNORECASE)
_POSSESSIVE = re.compile(r"^\w+['’]s? ")
_MONTH_OR_DAY = re.compile(
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)[a-z]*\b"
)
_SUPERLATIVE = re.compile(
    r"\b(?:most|least|best|worst|only|main|first|last|second|third|fourth|fifth|\w{3,}est)\b", re.IGNORECASE
)
# Nouns that describe a number.
_OF_NUMBERS = re.compile(
    r"\b(?:number|year|date|day|month|decade|century|age|amount|total|sum|figure|result|answer|score|share|percentage|rate|value"
    r"|count|time|price|height|length|record|limit|average|minimum|maximum)s?\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
# Longer texts after "It is" explain rather than answer.
_NAME_WORDS = 10
_NOUN_WORDS = 6
# Amounts that are equal but for rounding, such as 100 km and 62 miles.
_ROUNDING = 0.03


@dataclass(frozen=True)
class Candidate:
    """A short phrase that may answer a question.

    Attributes:
        text: the phrase, without preposition and determiner.
        kind: "number", "name", "noun" or "adjective".
        preposition: what it follows, as in "in France"; empty if nothing.
        determiner: "the", "a", or empty.
        tags: universal parts of speech of its tokens.
    """

    text: str
    kind: str
    preposition: str
    determiner: str
    tags: tuple[str, ...]

    @property
    def words(self) -> frozenset[str]:
        """Its words in lower case, numbers in digits."""
        return frozenset(word.lower() for word in _WORD.findall(numbers_in_digits(self.text)))


def offered(sentence: str, *, accepted: bool = False) -> Candidate | None:
    """Find what a sentence gives as the answer: "It is X", "The answer could be X", "X"; None if it gives none."""
    frame = _FRAME.match(sentence)
    return candidate(sentence[frame.end() :] if frame else sentence, accepted=accepted)


def candidate(text: str, *, accepted: bool = False) -> Candidate | None:
    """Read the beginning of a text as a candidate; None if it is no short phrase without a verb, unless it is accepted."""
    if _LABEL.match(text):
        return None
    text = _REST.sub("", text).strip(" \t\n.*_\"'“”-•")
    preposition = _PREPOSITION.match(text)
    phrase = text[preposition.end() :].strip() if preposition else text
    determiner = _DETERMINER.match(phrase)
    bare = phrase[determiner.end() :] if determiner else phrase
    count = len(_WORD.findall(bare))
    if count == 0 or (count > _NAME_WORDS and not accepted) or re.match(r"not\b|n't\b", bare):
        return None
    tokens = _tokens(phrase)
    tags = tuple(tag for _, tag in tokens)
    kind = _kind(bare, tags)
    if not accepted and not _is_phrase(tokens, kind):
        return None
    kept = "the" if determiner and determiner[1] else "a" if determiner else "the" if _POSSESSIVE.match(bare) else ""
    return Candidate(bare, kind, preposition[1].lower() if preposition else "", kept, tags)


def _is_phrase(tokens: tuple[tuple[str, str], ...], kind: str) -> bool:
    """Whether tokens have no verb; words of a title may be verbs and pronouns, but are written with capitals."""
    if kind == "noun" and sum(tag != "PUNCT" for _, tag in tokens) > _NOUN_WORDS:
        return False
    return not any(tag in ("VERB", "AUX", "SCONJ", "PRON") and (kind != "name" or word.islower()) for word, tag in tokens)


def exclude(answer: Candidate, other: Candidate) -> bool:
    """Whether two candidates cannot both answer one question: neither restates nor describes the other.

    >>> it_is = lambda text: offered(f"It is {text}.")
    >>> [exclude(it_is("Paris"), it_is(text)) for text in ("Rome", "1987", "oxygen", "the capital of France", "famous")]
    [True, True, True, False, False]
    """
    if restates(answer, other):
        return False
    if answer.preposition != other.preposition:
        # "It is Paris. It is in France."; "It was in 1900. It was Ada Berg." is left alone too.
        return False
    if answer.preposition and answer.kind != other.kind:
        # Where and when: "It was in 1900. It was in Spain."
        return False
    # "It is the director. It is Ada Berg."
    return not _describes(answer, other) and not (other.kind == "name" and _describes(other, answer))


def _describes(one: Candidate, other: Candidate) -> bool:
    """Whether the second candidate says something about the first rather than naming another answer."""
    if other.kind == "adjective":
        return one.kind != "adjective" or len(other.tags) > 1
    if other.kind == "number":
        # "8 km long", "300 million years ago"
        last = other.text.split()[-1].lower()
        return other.tags[-1] in ("ADJ", "ADV") and last != one.text.split()[-1].lower()
    if other.kind == "name" or not other.determiner:
        return False
    if _SUPERLATIVE.search(other.text):
        return True
    if one.kind == "number":
        return other.determiner == "a" or _OF_NUMBERS.search(other.text) is not None
    return one.kind == "name" or one.determiner != other.determiner


def restates(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are the same: one has fewer of the other's words, or its initials, or both are one amount."""
    if one.words <= other.words or other.words <= one.words:
        return True
    if any(_initials(a.text) == b.text.replace(".", "") for a, b in ((one, other), (other, one))):
        return True
    amounts = [find_quantities(each.text) for each in (one, other)]
    return any(
        a.dimension == b.dimension != "date"
        and len(a.values) == len(b.values) == 1
        and abs(float(a.values[0] - b.values[0])) <= (_ROUNDING * abs(float(a.values[0])) if a.dimension != "number" else 0)
        for a in amounts[0]
        for b in amounts[1]
    )


def _initials(name: str) -> str:
    return "".join(word[0] for word in _WORD.findall(name) if word[0].isupper())


def _kind(text: str, tags: tuple[str, ...]) -> str:
    words = _WORD.findall(text)
    first, last = words[0], words[-1]
    begins_name = first[:1].isupper() and not _MONTH_OR_DAY.match(first)
    if any(character.isdigit() for character in numbers_in_digits(text)) and not begins_name:
        return "number"
    if tags and tags[-1] in ("ADJ", "ADV") and "NOUN" not in tags and "PROPN" not in tags:
        return "adjective"
    if tags and tags[0] == "ADJ" and "ADP" in tags:
        # "famous for its museums"
        return "adjective"
    if last[:1].isupper() and (begins_name or "ADP" not in tags):
        return "name"
    return "noun"


@lru_cache(maxsize=20_000)
def _tokens(phrase: str) -> tuple[tuple[str, str], ...]:
    """Tokens and their universal parts of speech, as a predicate."""
    sentence = f"It is {phrase}."
    return tuple((token.text, token.pos_) for token in parsed([sentence])[sentence][2:-1])
