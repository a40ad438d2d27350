"""Recognize refusals and "I don't know", by rules for English.

A hedged guess ("I'm not sure, but I think it was Paris") is an answer, and so is everything the rules do not recognize:
taking an answer for an abstention would hide a hallucination. Not covered: whether an answer is correct (matching.py), and
making models abstain (`halluc.grounding`, `calibration.ConformalAbstention`).
"""

from __future__ import annotations

import re

from halluc.claims.check_worthiness import is_check_worthy
from halluc.claims.markup import final_answer
from retrieval.split import sentence_spans

__all__ = ["abstains"]

_NOT = r"(?:\ not|n['’]?t)"
_REPLYING = (
    r"(?:answer|provide|help|say|tell|confirm|determine|verify|find|assist|give|predict|identify|recall|locate|comment"
    r"|be\ sure|be\ certain|offer|share|access|know)"
)
_THERE = r"(?:any\ |enough\ |sufficient\ |specific\ |further\ |clear\ )*"
_SUBJECT = r"(?:context|passages?|texts?|articles?|documents?|paragraphs?|question|information|sources?)"
_ABSTAINING = re.compile(
    rf"""
      \bi(?:\ (?:really|honestly|simply|just|truly))?\ (?:do|did){_NOT}\ (?:\w+\ )?
          (?:know|recall|remember|have\ (?:\w+\ ){{0,3}}(?:information|idea|answer|knowledge|data|access|details?|clue
          |capability|ability))\b
    | ^\W*(?:do|did){_NOT}\ know\b | \bidk\b
    | \bi\ (?:have\ no|lack)\ (?:\w+\ ){{0,2}}(?:information|idea|way|answer|knowledge|data|access|clue)\b
    | ^\W*(?:there\ is\ )?no\ (?:idea|clue|answer)\W*$
    | \bi\ (?:can(?:not|['’]?t)|could{_NOT}|am{_NOT}?\ able\ to|(?:\ ?am|['’]m)\ unable\ to|will{_NOT}|won['’]t)
          \ (?:\w+ly\ |be\ able\ to\ )?{_REPLYING}\b
    | \b(?:i['’]?m|i\ am|we['’]?re|we\ are)\ (?:\w+\ )?
          (?:unable\ to|not\ (?:\w+\ )?(?:able\ to|sure|certain|aware|familiar)|unsure|unaware|uncertain|unfamiliar)\b
    | ^\W*(?:not\ (?:\w+\ )?(?:sure|certain|known|specified|stated|mentioned|given|provided|available|enough\ information)
          |unknown|unsure|uncertain|unclear|unanswerable|n/?a|unspecified)\W*$
    | ^\W*not\ (?:mentioned|stated|specified|given|provided)\ in\b
    | \b(?:is|are|was|were|remains?)\ (?:\w+ly\ |still\ )?
          (?:unknown|unclear|uncertain|unanswerable|unspecified|undetermined|not\ (?:\w+\ )?(?:known|clear|specified
          |mentioned|stated|given|provided|available|in\ the\ {_SUBJECT}|possible\ to\ {_REPLYING}))\b
    | \b(?:can(?:not|['’]?t)|could{_NOT})\ (?:\w+\ )?be\ (?:\w+\ )?(?:answered|determined|known|verified|found|confirmed)\b
    | \b(?:hard|impossible|difficult)\ to\ (?:say|tell|know|determine|answer)\b
    | \b(?:no\ one|nobody)\ (?:really\ |actually\ )?knows\b
    | \bthere\ (?:is|are|was|were)(?:{_NOT}|\ no)\ {_THERE}(?:information|mention|data|evidence|details?|record|answer)\b
    | \b{_SUBJECT}\ (?:\w+\ )?(?:do|does|did){_NOT}\ (?:\w+ly\ )?(?:say|mention|provide|contain|specify|state|tell|give
          |include|answer|indicate)\b
    | \bnot\ (?:have\ )?enough\ (?:information|context|data)\b | \binsufficient\ (?:information|context|data)\b
    | \bno\ (?:relevant\ )?(?:information|answer|data)\ (?:is|was|in|on|about|available|found|given|provided)\b
    | \bi\ (?:must\ |will\ |would\ |have\ to\ |['’]d\ )?(?:rather\ )?(?:abstain|decline|refuse)\b
    | \bi\ have\ no\ comment\b | ^\W*no\ comment\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_GUESS = re.compile(
    r"\b(?:i (?:think|believe|guess|suppose|suspect|assume|would (?:say|guess)|can (?:say|tell you|confirm))"
    r"|i['’]d (?:say|guess)|my (?:best )?guess|perhaps|maybe|probably|possibly|presumably)\b(?: (?:is|that|would be))*",
    re.IGNORECASE,
)
# Accompanies an abstention without answering: apologies, what the speaker is, where to look instead.
_COURTESY = re.compile(
    r"""^\W*(?:
      (?:i['’]?m\ |i\ am\ )?(?:so\ |very\ |truly\ )?(?:sorry|afraid) | my\ apologies | i\ apologi[sz]e | unfortunately
    | as\ an?\ (?:ai|artificial|(?:large\ )?language\ model|assistant|digital)
    | please\ | you\ (?:can|could|may|might|should|will\ need\ to)\ | try\ | feel\ free | if\ you\ | let\ me\ know
    | i(?:\ would|\ can|['’]d)?\ (?:recommend|suggest|advise|encourage) | is\ there\ anything
    | for\ (?:more|further|the\ (?:most|latest))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# Where a sentence may switch between abstaining and answering.
_SWITCH = re.compile(
    r"\s*(?:[,;:–—]\s*)?\b(?:but|however|although|though)\b,?\s*|[;–—]\s*|(?<=sorry),\s*"
    r"|,\s+(?=(?:it|he|she|they|there|i) (?:is|was|are|were|can|think|believe)\b)",
    re.IGNORECASE,
)
_CONCESSION = re.compile(r"^(\W*(?:even though|although|though|while)\b[^,]*),\s*", re.IGNORECASE)


def abstains(reply: str) -> bool:
    """Whether a reply gives no answer: it is empty, or says only that it cannot or will not answer.

    What a reasoning model thinks first (`<think>…</think>`) does not count.

    >>> abstains("I'm sorry, but I don't have that information."), abstains("I'm not sure, but I think it was Paris.")
    (True, False)
    """
    sentences = [line[start:end].strip() for line in final_answer(reply).splitlines() for start, end in sentence_spans(line)]
    parts = [
        part
        for sentence in sentences
        for part in _SWITCH.split(_CONCESSION.sub(r"\1; ", sentence))
        if any(map(str.isalnum, part))
    ]
    if not parts:
        return True
    abstained = False
    for part in parts:
        if (match := _ABSTAINING.search(part)) is not None:
            abstained = True
            if _answers(_after_guess(part[match.end() :])):
                return False
        elif _answers(_GUESS.sub("", part)):
            return False
    return abstained


def _answers(part: str) -> bool:
    return bool(part) and _COURTESY.match(part) is None and is_check_worthy(part, None, answers_question=True)


def _after_guess(text: str) -> str:
    """Get the guess that follows an abstention ("I don't know, maybe Paris"); empty where there is none."""
    guess = _GUESS.search(text)
    return text[guess.end() :].strip() if guess else ""
