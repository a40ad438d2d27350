"""Whether a reply gives a right answer: not merely whether a reference occurs in it.

`contains_answer` is the rule of open-domain question answering, and a reply that names every candidate, or denies the right
one, satisfies it. `gives_answer` also asks that the reply commits to the reference. Not covered: abstentions
(`halluc.claims.abstention`), and answers in other words than the references.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from halluc.claims.markup import final_answer
from halluc.grading.candidates import Candidate, candidate, exclude, offered, restates
from halluc.grading.matching import contains_answer
from halluc.grading.number_words import numbers_in_digits, without_dates_and_names

__all__ = ["gives_answer"]

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ARTICLES = frozenset(("a", "an", "the"))
_ARTICLE_BEFORE = re.compile(r"\b(?:the|an?) $", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\W*[A-Z0-9])|\s*\n+\s*")
_DATE_COMMA = re.compile(r"(?<=[a-z] )(\d{1,2}),(?= \d{4}\b)")
_ITEM_NUMBER = re.compile(r"^[ \t]*\(?\d{1,2}[.)][ \t]+", re.MULTILINE)
# A clause that gives an answer of its own: "it is Paris and it is 1987"; not a correction ("…, but it is Paris").
_OWN_CLAUSE = re.compile(
    r"(?:\s*[,;]\s*(?:and |or )?|\s+(?:and|or)\s+)(?=(?:it|that)(?:['’]s| (?:is|was|could|might|may)\b(?! not\b|n['’]t)))",
    re.IGNORECASE,
)
# A clause in which a negation may stand, and negations that deny nothing of what follows.
_CLAUSE_END = re.compile(r"[,;:–—]|\bbut\b|\bhowever\b", re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|no|cannot|without|except|unlike|rather than|instead of|other than)\b|n['’]t\b",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:not only|not just|or not|no doubt|without (?:a )?doubt|no later|no earlier|no less|no more|no longer"
    r"|no one but|nothing but|none other than|until|unless|because|only)\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"\s*(?:(?:is|was|are|were|would be|is clearly|was clearly)\s+(?:not|never)|(?:is|was|are|were)n['’]t)"
    r"\s+(?!only\b|just\b)(?:the|a|an|in|it|one|right|correct|true|where|who|what|when)\b"
    r"|\s*(?:is|was|would be)\s+(?:wrong|false|incorrect)\b|,?\s+not\s*[.!]?\s*$",
    re.IGNORECASE,
)
# Words between a negation and what it denies.
_NEGATED_WORDS = 6
_SEPARATOR = re.compile(r"\s*(?:(?:[,;/|•]|\b(?:or|else|and|also|alternatively)\b)\s*)+", re.IGNORECASE)
_OR = re.compile(r"\bor\b|/|\balso\b|\balternatively\b", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:\W|\b(?:and|or|either|maybe|perhaps|possibly|probably|also|even|then|it|its|it's|is|was|are|were|could|might|may|be|in|at"
    r"|on|by|from|to|of|for|the|a|an|answer|answers|not)\b)+",
    re.IGNORECASE,
)
_CANDIDATE_WORDS = 4
# In a list, so many other candidates make a guess of each; two may be apposition ("Lyon, Rhône, France").
_OTHERS_IN_LIST = 3
# Or so many of any kind with descriptions, such as "1987, London, the committee, Ada Berg".
_BARE_IN_LIST = 4
# Or fewer of different kinds, such as "1987, silver, Ada Berg".
_KINDS_IN_LIST = 3
_LONGEST_PHRASE = 6
_NUMBER = re.compile(r"\W*\d+\W*")


def gives_answer(answer: str, references: Sequence[str]) -> bool:
    """Whether a reply commits to one of the references.

    It does not if a reference is denied ("not in France"), or if the reply offers other answers beside it, of whatever kind:
    alternatives ("France or Spain"), a list of them, or further sentences or lines ("It is France. It is Spain."). What
    describes or restates the answer, and other references, are no other answers. Thoughts (`<think>…</think>`) do not count.
    Numbers in words are the same as in digits ("seven", "7"), whichever of them the reference has.

    Args:
        answer: what the model wrote.
        references: accepted answers.

    Raises:
        InvalidInput: references is one string in place of a list.

    >>> gives_answer("It is in France.", ["France"]), gives_answer("It is in France, Spain, Italy or Peru.", ["France"])
    (True, False)
    """
    text = final_answer(answer)
    # "Seven or Alien" offers another film only as written, "7 or eight" another number only in digits.
    readings = [(text, references), *_in_digits(text, references)]
    committed = [_commits(reading, accepted) for reading, accepted in readings if contains_answer(reading, accepted)]
    return bool(committed) and all(committed)


def _in_digits(text: str, references: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Reply and references with numbers in digits, if they have any; "four" is neither "Home Alone 4" nor "May 4"."""
    digits, accepted = numbers_in_digits(text), [numbers_in_digits(reference) for reference in references]
    if (digits, accepted) == (text, list(references)):
        return []
    return [
        (digits, [reference for reference in accepted if not _NUMBER.fullmatch(reference)]),
        (without_dates_and_names(digits), accepted),
    ]


def _commits(text: str, references: Sequence[str]) -> bool:
    """Whether a text that contains a reference neither denies it nor offers others beside it."""
    sentences = _sentences(text)
    accepted = [words for words in map(_words, references) if words]
    places = [(i, place) for i, sentence in enumerate(sentences) for place in _places(sentence, accepted)]
    if not places:
        # A reference across two sentences, such as a title with a full stop.
        return True
    affirmed = [(i, place) for i, place in places if not _denied(sentences[i], *place)]
    if len(affirmed) < len(places) or not affirmed:
        # What is denied once is not the answer, whatever else the reply says.
        return False
    return not any(
        _in_list(sentences[i], place, accepted) or _among_sentences(sentences, i, place, accepted) for i, place in affirmed
    )


def _sentences(text: str) -> list[str]:
    """Sentences, lines, and clauses that give an answer of their own; without the numbers of a numbered list."""
    text = _DATE_COMMA.sub(r"\1", text)
    if len(_ITEM_NUMBER.findall(text)) > 1:
        text = _ITEM_NUMBER.sub("", text)
    return [clause for sentence in _SENTENCE_END.split(text) for clause in _OWN_CLAUSE.split(sentence) if clause.strip()]


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text) if word.lower() not in _ARTICLES]


def _places(sentence: str, accepted: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Spans of the references in a sentence, the longest where they overlap."""
    words = [word for word in _WORD.finditer(sentence) if word[0].lower() not in _ARTICLES]
    lowered = [word[0].lower() for word in words]
    spans = [
        (words[i].start(), words[i + len(reference) - 1].end())
        for reference in accepted
        for i in range(len(words) - len(reference) + 1)
        if lowered[i : i + len(reference)] == list(reference)
    ]
    return [span for span in spans if not any(a <= span[0] and span[1] <= b and (a, b) != span for a, b in spans)]


def _denied(sentence: str, start: int, end: int) -> bool:
    if not _LEAD.sub("", sentence[:start]) and _DENIED_AFTER.match(sentence, end):
        return True
    clause = sentence[max((match.end() for match in _CLAUSE_END.finditer(sentence, 0, start)), default=0) : start]
    negation = list(_NEGATION.finditer(clause))
    if not negation or _NO_DENIAL.search(clause):
        return False
    return len(clause[negation[-1].end() :].split()) <= _NEGATED_WORDS


def _in_list(sentence: str, place: tuple[int, int], accepted: Sequence[Sequence[str]]) -> bool:
    """Whether the reference is one of several candidates in its sentence."""
    start, end = place
    reference = sentence[start:end]
    edges = [
        0,
        *(edge for match in _SEPARATOR.finditer(sentence) if not _overlap(match.span(), place) for edge in match.span()),
    ]
    edges.append(len(sentence))
    spans = [(edges[i], edges[i + 1]) for i in range(0, len(edges) - 1, 2)]
    own = next(i for i, (first, last) in enumerate(spans) if first <= start and end <= last)
    items = [sentence[first:last] for first, last in spans]
    others = items[:own] + items[own + 1 :]
    if sum(_is_other(item, reference, accepted) for item in others) >= _OTHERS_IN_LIST or _is_list(items, own, accepted):
        return True
    beside = [
        i
        for i in (own - 1, own + 1)
        if 0 <= i < len(items) and _OR.search(sentence[spans[min(i, own)][1] : spans[max(i, own)][0]])
    ]
    if any(_is_alternative(items[i], items[own], reference, accepted) for i in beside):
        return True
    # A run of names without separators.
    phrase = _WORD.findall(_LEAD.sub("", items[own]))
    extra = len(phrase) - len(_WORD.findall(reference))
    return extra > _LONGEST_PHRASE and all(word[:1].isupper() or word[:1].isdigit() for word in phrase)


def _is_list(items: Sequence[str], own: int, accepted: Sequence[Sequence[str]]) -> bool:
    """Whether a sentence goes on from an answer to others: of three kinds, three of any kind, or four with descriptions."""
    if len(items) < _KINDS_IN_LIST:
        return False
    others = [item for i, item in enumerate(items) if i != own and not _places(item, accepted)]
    found = [one for one in map(candidate, others) if one is not None and not one.preposition]
    if sum(len(one.words) <= _CANDIDATE_WORDS for one in found) >= _BARE_IN_LIST:
        return True
    # A sentence about something else may list much.
    answer = offered(items[own]) if offered(items[0]) else None
    if answer is None:
        return False
    bare = [one for one in found if not one.determiner and not restates(answer, one)]
    return len(bare) >= _OTHERS_IN_LIST or len({answer.kind, *(one.kind for one in bare)}) >= _KINDS_IN_LIST


def _is_alternative(text: str, own: str, reference: str, accepted: Sequence[Sequence[str]]) -> bool:
    """Whether what "or" or "also" joins to the answer is another one, of whatever kind."""
    answer, other = offered(own), offered(text)
    if answer and other and restates(answer, other):
        return False
    if _is_other(text, reference, accepted):
        return True
    if answer is None or other is None or _places(text, accepted) or not set(_words(reference)) <= answer.words:
        return False
    return other.preposition == answer.preposition and (other.kind != "adjective" or answer.kind == "adjective")


def _among_sentences(
    sentences: Sequence[str], number: int, place: tuple[int, int], accepted: Sequence[Sequence[str]]
) -> bool:
    """Whether another sentence gives another answer, in the same words ("Its capital is …") or in those of any answer."""
    if len(sentences) == 1:
        return False
    sentence, (start, end) = sentences[number], place
    fragment = not _WORD.findall(sentence[:start] + sentence[end:])
    frame = _words(sentence[:start])
    # A reference that has a verb is an answer all the same.
    answer = offered(sentence, accepted=not _LEAD.sub("", sentence[:start]))
    general = answer is not None and set(_words(sentence[start:end])) <= answer.words | {answer.preposition}
    rivals: list[Candidate] = []
    article = _ARTICLE_BEFORE.search(sentence, 0, start)
    own = candidate(sentence[article.start() if article else start :])
    for i, other in enumerate(sentences):
        if i == number or _places(other, accepted):
            continue
        found = offered(other)
        # In a list of words, parts of speech are guesses.
        if fragment and _LEAD.sub("", other) == other.lstrip("-*• ") and _is_other(other, sentence[start:end], accepted):
            return True
        if general and answer is not None and found is not None:
            if exclude(answer, found) or any(exclude(rival, found) for rival in rivals):
                return True
            # Two names or numbers that exclude each other, although the answer might go with either.
            rivals += [found] if found.kind in ("name", "number") else []
        if frame and own is not None and _words(other)[: len(frame)] == frame:
            last = [word for word in _WORD.finditer(other) if word[0].lower() not in _ARTICLES][len(frame) - 1]
            found = candidate(other[last.end() :])
            if found is not None and exclude(own, found):
                return True
    return False


def _is_other(text: str, reference: str, accepted: Sequence[Sequence[str]]) -> bool:
    """Whether a text is a candidate of the same kind as the reference, and not a reference itself."""
    candidate = _LEAD.sub("", text)
    words: list[str] = _WORD.findall(candidate)
    if not 0 < len(words) <= _CANDIDATE_WORDS or _places(text, accepted):
        return False
    if {word.lower() for word in words} <= {word.lower() for word in _WORD.findall(reference)}:
        return False
    if any(character.isdigit() for character in reference):
        return any(character.isdigit() for character in candidate)
    if reference[:1].isupper():
        return words[0][:1].isupper() and words[-1][:1].isupper()
    return not words[0][:1].isupper() and not any(character.isdigit() for character in candidate)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]
