"""Decide which sentences state something that evidence can confirm or deny.

Not check-worthy are questions, greetings, talk about the conversation or the speaker, refusals, advice, judgments of taste
and sentences without content (headings, "Yes." without a question). The rules list what is not check-worthy; everything
else is, since an unchecked falsehood costs more than an unnecessary check.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from halluc.claims.parsing import subject_of

if TYPE_CHECKING:
    from spacy.tokens import Doc

__all__ = ["is_bare_reply", "is_check_worthy", "states_nothing_alone"]

# "I" or "we" as a subject: not the numeral of "World War I" or "Elizabeth I", and not inside a quotation.
_I = r"(?:^\W*|[,;–—]\s*|\b(?:but|and|so|that|if|because|sorry|unfortunately|however|while|afraid)\s+)(?:I|[Ww]e)\b"
_TALK = re.compile(
    r"""^\W*(?:
      (?:hi|hello|hey|greetings|good\ luck|best\ regards)(?:\ (?:there|all|everyone))?\ *(?:[!,.]|$)
    | (?:thanks|thank\ you|you['’]re\ welcome)\b
    | (?:sure|certainly|absolutely|of\ course|great\ question|good\ question|okay|ok|alright|no\ problem)\W*$
    | (?:sure|certainly|absolutely|okay|of\ course)\W+(?:here|i|let|happy)\b
    | (?:i|we)\ hope\b | hope\ (?:this|that)\b | let\ me\ know\b | let\ us\ know\b | feel\ free\b
    | please\ (?:note|let|feel|provide|specify|consult|keep|be|remember|clarify|ask)\b
    | here\ you\ go\b
    | if\ you\ (?:have|need|want|would\ like|['’]d\ like|require)\b.*\b(?:ask|let\ me|know|help|feel\ free)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# "Here are three facts:", when it ends in a colon.
_ANNOUNCEMENT = re.compile(r"^\W*(?:(?:here|below) (?:is|are)|here['’]s)\b", re.IGNORECASE)
_SPEAKER = re.compile(
    rf"{_I}(?:['’]m|\s+am|\s+are|['’]re)?\s+(?:\w+ly\s+|so\s+|very\s+|just\s+)?"
    r"(?:sorry|afraid|unable|unsure|not (?:able|sure|aware|certain|familiar)|happy to|glad to|here to|apologi[sz]e"
    r"|think|believe|feel|guess|suppose|recommend|suggest|hope|love|prefer|wish|wonder|assume|need more"
    r"|have no (?:information|way|idea)"
    r"|(?:do|did) ?n[o'’]t (?:know|have|think|believe|recall|see|find|want to|understand)"
    r"|(?:can ?not|can['’]t|could ?n[o'’]t|can) (?:\w+ly )?(?:answer|provide|help|say|tell|confirm|determine|verify|find"
    r"|access|assist|browse|comment|give|predict|offer|do that|be sure|try|see)"
    r"|would (?:say|recommend|suggest|like|love|need|be happy|argue|advise))\b"
)
_ASSISTANT = re.compile(
    r"\bas an? (?:ai|artificial intelligence|(?:large )?language model|virtual assistant)\b"
    r"|\bmy (?:training data|knowledge cut)"
    r"|\bi['’]?(?:m| am) an? (?:ai|(?:large )?language model|virtual assistant)\b"
    r"|\bin my (?:humble |personal )?(?:opinion|view|experience)\b|\bto my knowledge\b|^\W*(?:my )?apologies\b"
    r"|\b(?:passages?|context|article|documents?|text) (?:provided )?(?:does|do) ?n[o'’]t"
    r" (?:say|mention|provide|contain|specify|state)\b",
    re.IGNORECASE,
)
_OPINION = re.compile(
    r"^\W*(?:\w+, )?[Ii]t(?: i|['’])s (?:\w+ly )?(?:important|essential|crucial|worth|best|advisable|recommended|difficult"
    r"|hard|unclear|interesting|helpful|a good idea) (?:to|that|for|how|what|when|why|if|whether|noting)\b"
    r"|\b(?:may|might) seem\b|\bpurely speculative\b"
    r"|\b(?:hard|impossible|difficult) to (?:say|tell|predict|know|determine)\b"
    r"|\b(?:is|are|was|were) (?:an? |the )?(?:\w+ly |very |so )?(?:beautiful|wonderful|amazing|awesome|delicious|boring|ugly"
    r"|overrated|underrated|fascinating|lovely"
    r"|(?:good|great|excellent|perfect|fantastic) (?:option|choice|way|idea|place))\b"
    r"|\bmakes? it easy\b|\bup to you\b|\bdepends on (?:your|personal)\b"
)
_REPLY = re.compile(r"^\W*(?:yes|no|yeah|yep|nope|true|false|correct|incorrect|of course(?: not)?|never|always)\W*$", re.I)


def is_check_worthy(sentence: str, parse: Doc | None, *, answers_question: bool) -> bool:
    """Whether a sentence states a fact.

    Args:
        sentence: the sentence.
        parse: its parse, or None where there is none; rules that read the grammar are then skipped.
        answers_question: whether it answers a question, and so may be a fragment ("308.").
    """
    if not any(character.isalnum() for character in sentence) or sentence.rstrip("\"'”’)*_ ").endswith("?"):
        return False
    if _TALK.search(sentence) or _SPEAKER.search(sentence) or _ASSISTANT.search(sentence):
        return False
    if _ANNOUNCEMENT.match(sentence) and _ends_with_colon(sentence):
        return False
    if is_bare_reply(sentence):
        return answers_question
    if sentence.rstrip("* _").endswith(":") and (parse is None or not _has_subject(parse)):
        return False
    if _OPINION.search(sentence) or _is_recommendation(parse):
        return False
    return answers_question or not _is_imperative(parse)


def is_bare_reply(sentence: str) -> bool:
    """Whether a sentence is a reply that says nothing without its question: "Yes.", "No!", "Of course not"."""
    return _REPLY.match(sentence) is not None


def states_nothing_alone(sentence: str, parse: Doc | None) -> bool:
    """Whether a sentence has no subject of its own, so that only its question shows what it is about ("308.")."""
    return is_bare_reply(sentence) or (parse is not None and not _has_subject(parse))


def _ends_with_colon(sentence: str) -> bool:
    """Whether a colon follows the last word."""
    end = len(sentence)
    while end and not (sentence[end - 1].isalnum() or sentence[end - 1] == "_"):
        end -= 1
    return ":" in sentence[end:]


def _has_subject(parse: Doc) -> bool:
    return any(token.dep_ in ("nsubj", "nsubjpass", "csubj", "csubjpass", "expl") for token in parse)


def _is_recommendation(parse: Doc | None) -> bool:
    """Whether a sentence says what should be: "You should ...", not "She argued that taxes should fall"."""
    return parse is not None and any(t.lower_ in ("should", "ought") and t.head.dep_ == "ROOT" for t in parse)


def _is_imperative(parse: Doc | None) -> bool:
    """Whether the root is a bare verb without a subject."""
    if parse is None:
        return False
    root = next((token for token in parse if token.dep_ == "ROOT"), None)
    if root is None or root.tag_ != "VB" or subject_of(root) is not None:
        return False
    return not any(child.dep_ in ("aux", "auxpass", "csubj", "expl") for child in root.children)
