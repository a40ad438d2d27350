"""Recognize abstentions ("I don't know", refusals, "not in the text") and hedged answers, in many languages.

One judge for everything that must know: claims are not extracted from an abstention, rewards pay it as one, and evaluation
counts it as one. What the rules do not recognize is an answer: taking an answer for an abstention would hide a
hallucination. Not covered: the phrases (abstention_phrases.py, foreign_phrases.py), and making models abstain
(`halluc.grounding`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from halluc.claims import abstention_phrases as phrases
from halluc.claims import foreign_phrases
from halluc.claims.markup import final_answer, plain_text
from halluc.claims.small_talk import is_small_talk
from retrieval.split import sentence_spans

__all__ = ["ReplyKind", "abstains", "content_span", "is_hedged", "reply_kind"]

ReplyKind = Literal["abstention", "hedged", "answer"]

_CJK_END = re.compile(r"(?<=[。！？؟।])\s*")
# Where a sentence may switch between abstaining and answering.
_SWITCH = re.compile(
    r"\s*(?:[,;:–—]\s*)?\b(?:but|however|although|though|yet)\b,?\s*|[;–—]\s*|(?<=sorry),\s*|\s*,\s+(?:and|so)\s+(?=i\b)"
    r"|,\s+(?=(?:it|he|she|they|there|i|the \w+|maybe|perhaps|probably|possibly) "
    r"(?:is|was|are|were|can|think|believe|guess)\b)"
    r"|,?\s+(?=(?:maybe|perhaps)\b)|,\s+(?=(?:probably|possibly|presumably|most likely)\b)|,\s+because\s+",
    re.IGNORECASE,
)
_CONCESSION = re.compile(r"^(\W*(?:even though|although|though|while)\b[^,]*),\s*", re.IGNORECASE)
_QUOTATION = re.compile(
    r"\"[^\"\n]{0,200}\"|“[^”\n]{0,200}”|„[^“”\n]{0,200}[“”]|«[^»\n]{0,200}»|‘(?:[^’\n]|’(?=\w)){0,200}’|「[^」\n]{0,200}」"
    r"|『[^』\n]{0,200}』|《[^》\n]{0,200}》|(?<!\w)'(?=\S)(?:[^'\n]|(?<=\w)'(?=\w)){1,200}'(?!\w)"
)
_WRAPPED = re.compile(r"^\W*?[\"“„«‘「'\[(]([^\"”»’」'\])]+(?:['’]\w+[^\"”»’」'\])]*)*)[\"”“»’」'\])]\W*$")


def abstains(reply: str) -> bool:
    """Whether a reply gives no answer: it is empty, or says only that it cannot or will not answer.

    What a reasoning model thinks first (`<think>…</think>`) does not count.

    >>> abstains("I'm sorry, but I don't have that information."), abstains("I'm not sure, but I think it was Paris.")
    (True, False)
    """
    return reply_kind(reply) == "abstention"


def reply_kind(reply: str) -> ReplyKind:
    r"""Decide what a reply is.

    Args:
        reply: what a model said; thoughts and markup in it do not count.

    Returns:
        "abstention" if it gives no answer, "hedged" if it answers only with doubt ("I think ...", "Paris?"), else "answer".

    >>> reply_kind("Kann ich nicht sagen."), reply_kind("Josh Norman?"), reply_kind('He said "I don\'t know".')
    ('abstention', 'hedged', 'answer')
    """
    plain = plain_text(reply)
    if plain.tables:
        return "answer"
    text = plain.text
    if not any(map(str.isalnum, text)):
        return "answer" if any(map(str.isalnum, final_answer(reply))) else "abstention"
    wrapped = _WRAPPED.match(text)
    text = wrapped[1] if wrapped else text
    abstained = hedged = False
    for sentence in _sentences(text):
        kinds = [_clause_kind(sentence[start:end], titles=not text.isupper()) for start, end in _clauses(sentence)]
        abstained |= "abstains" in kinds or "doubts" in kinds
        if "states" in kinds and "doubts" not in kinds:
            return "answer"
        hedged |= "states" in kinds or "hedges" in kinds
    if hedged:
        return "hedged"
    return "abstention" if abstained else "answer"


def content_span(sentence: str) -> tuple[int, int, bool] | None:
    """Find what a sentence states, without the abstaining and hedging around it.

    Args:
        sentence: the sentence, without markup.

    Returns:
        The characters [start, end) that state something, and whether there was hedging around them; None if the sentence
        states nothing.

    >>> sentence = "I'm not sure, but I think the bridge opened in 1987."
    >>> start, end, hedged = content_span(sentence)
    >>> sentence[start:end], hedged
    ('the bridge opened in 1987.', True)
    """
    clauses = list(_clauses(sentence))
    kinds = [_clause_kind(sentence[start:end], titles=True, world=True) for start, end in clauses]
    stating = [i for i, kind in enumerate(kinds) if kind in ("states", "hedges", "refers")]
    if not any(kinds[i] != "refers" for i in stating) and any(kind in ("abstains", "doubts") for kind in kinds):
        return None
    if not stating:
        return None
    # A conjunction alone ("However, ...") is not cut off.
    start = clauses[stating[0]][0] if stating[0] else 0
    end = clauses[stating[-1]][1] if stating[-1] < len(clauses) - 1 else len(sentence)
    length, guesses = _prefix(sentence[start:end])
    start += length
    if (after := phrases.GUESS_AFTER.search(sentence, start, end)) is not None:
        end = after.start()
    return start, end, guesses or after is not None or "doubts" in kinds


def is_hedged(statement: str) -> bool:
    """Whether a statement says that something may be true rather than that it is.

    >>> is_hedged("Paris may be in France."), is_hedged("Paris fell in May 1940.")
    (True, False)
    """
    if any(pattern.search(statement) for pattern in (phrases.HEDGE, phrases.GUESS, phrases.GUESS_AFTER)):
        return True
    if _is_english(statement):
        return False
    return foreign_phrases.GUESS.match(statement) is not None or foreign_phrases.GUESS_AFTER.search(statement) is not None


_KNOWLEDGE = re.compile(
    r"^\W*(?:i (?:also )?(?:know|am (?:sure|certain|confident)|can (?:tell you|confirm|say)|found)"
    r"|i['’]m (?:sure|certain|confident))(?: that)?\s+|^\W*(?:please )?(?:note|be aware|keep in mind|remember) that\s+"
    r"|^\W*it(?: is|['’]s) (?:\w+ )?(?:important|worth|essential|crucial|interesting|useful) "
    r"(?:to (?:note|mention|remember|know|understand)|noting|mentioning)(?: here)? that\s+",
    re.IGNORECASE,
)


def _prefix(statement: str) -> tuple[int, bool]:
    """Count the characters of guessing and knowing before what is stated; return also whether there is guessing."""
    length, guesses = 0, False
    while True:
        rest = statement[length:]
        guess = phrases.GUESS.match(rest)
        if guess is None and not _is_english(rest):
            guess = foreign_phrases.GUESS.match(rest)
        match = guess or _KNOWLEDGE.match(rest)
        if match is None or not match.end() or not any(map(str.isalnum, rest[match.end() :])):
            return length, guesses
        length += match.end()
        guesses |= guess is not None


# Words of English sentences that are no words of other languages with Latin letters.
_ENGLISH = re.compile(
    r"\b(?:the|and|are|were|with|that|she|from|this|his|its|is an?|was an?|been|but|which|would|could|it|i|you|my|not"
    r"|don['’]t)\b",
    re.IGNORECASE,
)


def _is_english(text: str) -> bool:
    return _ENGLISH.search(text) is not None


def _sentences(text: str) -> Iterator[str]:
    for line in text.splitlines():
        for start, end in sentence_spans(line):
            yield from (part for part in _CJK_END.split(line[start:end]) if part.strip())


def _clauses(sentence: str) -> Iterator[tuple[int, int]]:
    """Find the clauses of a sentence between which it may switch from abstaining to answering."""
    position = 0
    if (concession := _CONCESSION.match(sentence)) is not None:
        yield concession.span(1)
        position = concession.end()
    switch = _SWITCH if _is_english(sentence) else foreign_phrases.BUT
    for start, end in [match.span() for match in switch.finditer(sentence, position)]:
        if start > position:
            yield position, start
        position = max(position, end)
    if position < len(sentence):
        yield position, len(sentence)


def _clause_kind(
    clause: str, *, titles: bool, world: bool = False
) -> Literal["abstains", "doubts", "refers", "hedges", "states", "empty"]:
    """Decide what a clause does.

    Args:
        clause: the clause.
        titles: whether capitalized words are a title ("I Don't Know").
        world: whether "The cause is unknown." is a statement about the world.
    """
    visible = _QUOTATION.sub("Quotation", clause)
    if not any(map(str.isalnum, visible)):
        return "empty"
    lead = phrases.LEAD.match(visible)
    body = visible[lead.end() :] if lead else visible.lstrip(" \t.,;:!?…*_-–—>([{")
    foreign = not _is_english(visible)
    if (
        phrases.AS_AN_AI.match(visible)
        or _matches(phrases.ABSTAINING, body, titles=titles, world=world)
        or (foreign and foreign_phrases.ABSTAINING.match(_after_lead(visible)) is not None)
    ):
        return "doubts" if phrases.DOUBT.search(body) else "abstains"
    guess = phrases.GUESS.match(visible) or (foreign_phrases.GUESS.match(visible) if foreign else None)
    if guess is not None and not any(map(str.isalnum, visible[guess.end() :])):
        return "doubts"
    if not body.strip(" .,!?…"):
        return "states" if _YES_NO.match(visible) else "empty"
    if is_small_talk(visible):
        return "empty"
    if phrases.COURTESY.match(visible):
        return "refers"
    if guess is not None or is_hedged(visible) or visible.rstrip(" \"'”’)*_").endswith(("?", "？", "؟")):
        return "hedges"
    return "states"


_YES_NO = re.compile(r"^\W*(?:yes|no|yep|nope|yeah|nah)\W*$", re.IGNORECASE)


def _after_lead(clause: str) -> str:
    lead = foreign_phrases.LEAD.match(clause)
    body = clause[lead.end() :] if lead else clause
    return body.strip(" \t.,;:!?…*_-–—¿¡“”\"'。！？、，؟")


def _matches(pattern: re.Pattern[str], body: str, *, titles: bool, world: bool) -> bool:
    match = pattern.match(body)
    if match is None or (world and match["world"] is not None):
        return False
    words = [word for word in re.findall(r"[A-Za-z]+(?:['’][a-z]+)?", match[0])[1:] if len(word) > 3]
    return not (titles and words and all(word[0].isupper() for word in words))
