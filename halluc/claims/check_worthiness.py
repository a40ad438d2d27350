"""Decide which sentences state something that evidence can confirm or deny.

Not check-worthy are questions, refusals, greetings, talk about the conversation, judgments of taste and sentences without
content (announcements, "Yes." without a question). The rules list what is not check-worthy; everything else is, advice,
instructions and opinions with a factual core included, since an unchecked falsehood costs more than an unnecessary check.
Not covered: refusals and small talk themselves (abstention.py, small_talk.py), which are removed before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["guess_in_question", "is_bare_reply", "is_check_worthy", "is_question", "states_nothing_alone"]

_TASTE = re.compile(
    r"^\W*(?:\w+, )?[Ii]t(?: i|['’])s (?:\w+ly )?(?:difficult|hard|unclear|interesting|fascinating|a good idea)"
    r" (?:to|that|for|how|what|when|why|if|whether)\b[^,;\d]*$"
    r"|\bpurely speculative\b|\b(?:hard|impossible|difficult) to (?:say|tell|predict|know|determine)\b"
    r"|\b(?:is|are|was|were) (?:an? |the )?(?:\w+ly |very |so |much |more |most )*(?:beautiful|wonderful|amazing|awesome"
    r"|delicious|boring|ugly|nicer?|nicest|lovelier|overrated|underrated|fascinating|lovely|cool|fun"
    r"|(?:good|great|excellent|perfect|fantastic|nice|beautiful) (?:option|choice|way|idea|place|city|film|book|song))\W*$"
    r"|\bup to you\b|\bdepends on (?:your|personal)\b"
)
_REPLY = re.compile(
    r"^\W*(?:(?:yes|no|yeah|yep|nope|true|false|correct|incorrect|of course(?: not)?|never|always|neither|both)"
    r"|(?:(?:yes|no),? )?(?:i|it|he|she|they|that|this|there|we) (?:is|are|was|were|does|do|did|has|have|had|can|could|will"
    r"|would)(?: not|n['’]t)?)\W*$",
    re.IGNORECASE,
)
_ASKING = re.compile(r"^\W*(?:who|whom|whose|what|when|where|which|why|how)\b", re.IGNORECASE)
_IS_IT = re.compile(
    r"^\W*(?:was|is|were|are|could|might|may|would|wasn['’]t|isn['’]t|weren['’]t|aren['’]t) (?:it|that|this|he|she|they) "
    r"(?:be |have been |not |maybe |perhaps |possibly )*",
    re.IGNORECASE,
)


def is_check_worthy(sentence: str, parse: Doc | None, *, answers_question: bool) -> bool:
    """Whether a sentence that is neither a refusal nor small talk states a fact.

    Args:
        sentence: the sentence.
        parse: its parse, or None where there is none; rules that read the grammar are then skipped.
        answers_question: whether it answers a question, and so may be a fragment ("308.").
    """
    if is_question(sentence):
        return False
    if is_bare_reply(sentence):
        return answers_question
    if sentence.rstrip("* _").endswith(":") and (parse is None or not _has_subject(parse)):
        return False
    return _TASTE.search(sentence) is None


def is_question(sentence: str) -> bool:
    """Whether a sentence ends in a question mark."""
    return sentence.rstrip("\"'”’)*_ ").endswith(("?", "？", "؟"))


def guess_in_question(sentence: str) -> str | None:
    """Get the guess that a question makes ("Josh Norman?", "Was it Josh Norman?"); None where it asks something else.

    >>> guess_in_question("Was it Josh Norman?"), guess_in_question("Who was it?")
    ('Josh Norman.', None)
    """
    if _ASKING.match(sentence) or len(sentence.split()) > 12:
        return None
    guess = _IS_IT.sub("", sentence).strip(" \"'”’)*_?？؟")
    return f"{guess}." if guess else None


def is_bare_reply(sentence: str) -> bool:
    """Whether a sentence is a reply that says nothing without its question: "Yes.", "No, it is not.", "Of course not"."""
    return _REPLY.match(sentence) is not None


def states_nothing_alone(sentence: str, parse: Doc | None) -> bool:
    """Whether a sentence has no subject of its own, so that only its question shows what it is about ("308.")."""
    return is_bare_reply(sentence) or (parse is not None and not _has_subject(parse))


def _has_subject(parse: Doc) -> bool:
    return any(token.dep_ in ("nsubj", "nsubjpass", "csubj", "csubjpass", "expl") for token in parse)
