"""Which sentences state something that evidence can confirm or deny.

Not check-worthy are questions, greetings, talk about the conversation or the speaker, refusals, advice, judgements of taste
and sentences without content (headings, "Yes." to nobody). The rules name what they leave out; what they do not know counts
as check-worthy, since an unchecked falsehood costs more than a check too many.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from halluc.claims.parsing import subject_of

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["is_bare_reply", "is_check_worthy", "states_nothing_alone"]

_TALK = re.compile(
    r"""^\W*(?:
      (?:hi|hello|hey|greetings|welcome|thanks|thank\ you|dear|sincerely|best\ regards|you're\ welcome|good\ luck)\b
    | (?:sure|certainly|absolutely|great\ question|good\ question|okay|ok|alright|no\ problem)\W*$
    | (?:sure|certainly|absolutely|okay|of\ course)\W+(?:here|i|let|happy)\b
    | (?:i|we)\ hope\b | hope\ (?:this|that|it)\b | let\ me\b | let\ us\b | let['’]s\b | feel\ free\b | please\b
    | (?:here|below)\ (?:is|are|'s)\b.*:\W*$ | here['’]s\b.*:\W*$ | here\ you\ go\b
    | (?:if|should)\ you\ (?:have|need|want|would|['’]d|require)\b
    | (?:is\ there\ anything|do\ you\ have\ any|would\ you\ like)\b
    | in\ (?:conclusion|summary)\W*$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_SPEAKER = re.compile(
    r"""\b(?:as\ an?\ (?:ai|artificial|large|language|assistant|virtual)\b | i(?:['’]m|\ am)\ an?\ (?:ai|language|large|assistant)
    | my\ (?:training|knowledge\ cut|knowledge\ is|training\ data|last\ update|knowledge)
    | (?:i(?:['’]m|\ am)|we\ are)\ (?:so\ |very\ |deeply\ |really\ )?(?:sorry|afraid|unable|not\ (?:able|sure|aware|certain|familiar)|unsure|happy|glad|here)
    | i\ (?:apologi[sz]e|cannot|can['’]?t|could\ not|couldn['’]t|do\ not|don['’]t|did\ not|didn['’]t|was\ unable|would|will|can|have\ no|need)\b
    | (?:unfortunately|sorry)\W+(?:but\ )?i\b | apologies\b | my\ apologies
    | (?:i|we)\ (?:\w+ly\ )?(?:think|believe|feel|guess|suppose|recommend|suggest|hope|love|like|enjoy|prefer|wish|wonder|assume)\b
    | in\ my\ (?:humble\ |personal\ )?(?:opinion|view|experience) | to\ my\ (?:knowledge|mind)
    | (?:passages?|context|text|article|documents?)\ (?:does|do)\ (?:not|n['’]t)\ (?:say|mention|provide|contain|specify|state)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_OPINION = re.compile(
    r"""\b(?:should(?:n['’]t)?\b(?!\ have) | ought\ to | had\ better | it\ is\ (?:\w+ly\ )?(?:important|essential|crucial|vital|worth|best|advisable
      |recommended|difficult|hard|unclear|unlikely|likely|possible|impossible|fair|safe|hoped|tempting|easy|interesting|helpful)\b\ ?(?:to|that|for|when|if|whether|how|what|why)?
    | may\ seem | might\ seem | purely\ speculative | (?:hard|impossible|difficult)\ to\ (?:say|tell|predict|know)
    | (?:beautiful|wonderful|amazing|awesome|delicious|boring|ugly|overrated|underrated|fascinating|lovely|must-see|must-read)
    | (?:good|great|excellent|perfect|fantastic|popular)\ (?:option|choice|way|idea|place)\b
    | (?:makes|make)\ it\ easy | up\ to\ you | depends\ on\ (?:your|personal)
    | the\ (?:best|worst|greatest)\ (?:way|thing|part|choice|option)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_REPLY = re.compile(
    r"^\W*(?:yes|no|yeah|yep|nope|true|false|correct|incorrect|of\ course(?:\ not)?|never|always|maybe)\W*$", re.I
)


def is_check_worthy(sentence: str, parse: Doc | None, *, asked: bool) -> bool:
    """Whether the sentence states a fact; with `asked`, it answers a question and so may be a fragment."""
    if not any(character.isalnum() for character in sentence) or sentence.rstrip("\"'”’)*_ ").endswith("?"):
        return False
    if _TALK.search(sentence) or _SPEAKER.search(sentence):
        return False
    if is_bare_reply(sentence):
        return asked
    if sentence.rstrip("* _").endswith(":") and (parse is None or not _has_subject(parse)):
        return False
    if _OPINION.search(sentence):
        return False
    return asked or not _is_advice(parse)


def is_bare_reply(sentence: str) -> bool:
    """ "Yes.", "No!", "Of course not": an answer that says nothing without its question."""
    return _REPLY.match(sentence) is not None


def states_nothing_alone(sentence: str, parse: Doc | None) -> bool:
    """Whether a sentence lacks a subject of its own, so that only its question tells what it is about ("308.")."""
    return is_bare_reply(sentence) or (parse is not None and not _has_subject(parse))


def _has_subject(parse: Doc) -> bool:
    return any(token.dep_ in ("nsubj", "nsubjpass", "csubj", "csubjpass", "expl") for token in parse)


def _is_advice(parse: Doc | None) -> bool:
    """An imperative: a bare verb that opens the sentence and has no subject."""
    if parse is None:
        return False
    root = next((token for token in parse if token.dep_ == "ROOT"), None)
    if root is None or root.tag_ != "VB" or subject_of(root) is not None:
        return False
    return not any(child.dep_ in ("aux", "auxpass", "csubj", "expl") for child in root.children)
