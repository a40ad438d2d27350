"""What the words of evidence and claim alone decide, whatever the network says.

A claim that the evidence states in the same words is supported, and evidence that has none of the words of a claim cannot
refute it. Questions with their answers, which have a calibration of their own, are recognized. Not covered: quantities
(halluc.quantities).
"""

from __future__ import annotations

import re
from functools import lru_cache

from halluc.verification.evidence import terms

__all__ = ["answers_question", "shares_terms", "states_verbatim"]

_SHORTEST_STATEMENT = 3  # words
# Words of any subject, cut as `terms` cuts them.
_FUNCTION_WORDS = terms(
    """
    a about after all also an and any are as at be been before being both but by can could did do does doing each
    either every few first for from had has have having he her hers him his how i if in into is it its itself
    just last like made make many may me might more most much must my never new no nor not now of on once one
    only or other our out over own same she should so some such than that the their them then there these they
    this those through to too two under until up us very was we were what when where which while who whom whose
    why will with within without would you your
    """
)
# What ends before a sentence: nothing, a sentence that does not end in an abbreviation, a paragraph or a list mark.
_OPENING = re.compile(
    r"(?:\A|(?<!\b[A-Z])(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z]{2})(?<!\b[a-z])[.!?](?:\[[\w, ]{1,9}\])*\s+|\n\s*\n\s*)"
    r"(?:[*_#•–-]+\s*)?\Z|\n\s*[*•–-]+\s+\Z"
)
_CLOSING = re.compile(r"\s*(?:\[[\w, ]{1,9}\])*(?:[.!?*_]+(?:\[[\w, ]{1,9}\])*(?=\s|\Z)|\s*\Z|\s*\n\s*(?:\n|[*•–-]+\s))")
_LONGEST_OPENING = 40


def states_verbatim(evidence: str, claim: str) -> bool:
    """Whether a claim is one or several whole sentences of its evidence, except for white space and what ends it.

    Part of a sentence is not enough: "it was proven" is in "nobody believes it was proven".

    Args:
        evidence: the evidence, as it is read.
        claim: the claim, as it is read.
    """
    words = claim.strip(" .!").split()
    if len(words) < _SHORTEST_STATEMENT or "?" in words[-1]:
        return False
    # Looking for the first words alone is fast, and most claims are not in the evidence.
    if words[0] not in evidence:
        return False
    for match in re.finditer(r"\s+".join(map(re.escape, words)), evidence):
        before = max(0, match.start() - _LONGEST_OPENING)
        if _OPENING.search(evidence, before, match.start()) and _CLOSING.match(evidence, match.end()):
            return True
    return False


def shares_terms(evidence: str, claim: str) -> bool:
    """Whether evidence and claim have a word in common that names something, by its first five letters."""
    return not _content_terms(claim).isdisjoint(_content_terms(evidence))


@lru_cache(maxsize=1024)
def _content_terms(text: str) -> frozenset[str]:
    return frozenset(terms(text) - _FUNCTION_WORDS)


def answers_question(claim: str) -> bool:
    """Whether a claim is a question followed by its answer, as short answers are judged ("Who wrote it? Ada Lovelace")."""
    return re.search(r"\?\s+\S", claim) is not None
