"""Verdicts on grounded answers, and abstention below the required support.

The passages retrieved count as a whole, not only what the model was shown of them: a right answer may come from a sentence
that it was not shown, and be supported by a sentence beside that. Not covered: the rule of a verdict
(halluc.verification.judge), citations (citing.py), and acting on verdicts while an answer is streamed (sentence_gate.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from halluc.answers import Answer, Claim, Verdict
from halluc.verification.judge import Judge, answer_support

if TYPE_CHECKING:
    from halluc.verification.verifier import Verifier
    from retrieval import Passage

__all__ = ["Part", "complete_length", "judge_answers", "judge_parts", "require_support"]


@dataclass(frozen=True)
class Part:
    """The characters [start, end) of an answer, to be judged against passages.

    Attributes:
        question: the question that is answered; None if there is none.
        text: the answer as far as it is known.
        start, end: the part.
        passages: what it should be supported by.
    """

    question: str | None
    text: str
    start: int
    end: int
    passages: tuple[Passage, ...]


def judge_parts(verifier: Verifier, parts: Sequence[Part]) -> list[tuple[tuple[Verdict, ...], tuple[Claim, ...]]]:
    """Judge the claims that begin in parts of answers, all of them together.

    Returns:
        (N,) for each part one verdict per check-worthy claim, and the claims that were not checked.
    """
    # Its expressions take a third of the start of a command.
    from halluc.claims import RuleClaimExtractor

    claims = RuleClaimExtractor().extract([part.text for part in parts], questions=[part.question for part in parts])
    inside = [
        [claim for claim in claims_of_part if part.start <= claim.start < part.end]
        for part, claims_of_part in zip(parts, claims, strict=True)
    ]
    worthy = [(i, claim) for i, claims_of_part in enumerate(inside) for claim in claims_of_part if claim.check_worthy]
    judged = Judge(verifier).verdicts([claim for _, claim in worthy], [parts[i].passages for i, _ in worthy], quote=True)
    verdicts: list[list[Verdict]] = [[] for _ in parts]
    for (i, _), verdict in zip(worthy, judged, strict=True):
        verdicts[i].append(verdict)
    unchecked = [tuple(claim for claim in claims_of_part if not claim.check_worthy) for claims_of_part in inside]
    return [(tuple(v), u) for v, u in zip(verdicts, unchecked, strict=True)]


def judge_answers(verifier: Verifier, answers: Sequence[Answer]) -> list[Answer]:
    """Judge the claims of answers against the passages retrieved for them; abstentions stay as they are.

    The last sentence of an answer that was cut is not judged: its end, which may change what it says, is missing.
    """
    given = [i for i, answer in enumerate(answers) if not answer.abstained]
    parts = [
        Part(
            answers[i].question,
            answers[i].text,
            0,
            complete_length(answers[i].text) if answers[i].is_cut else len(answers[i].text),
            tuple(hit.passage for hit in answers[i].hits),
        )
        for i in given
    ]
    judged = list(answers)
    for i, part, (verdicts, unchecked) in zip(given, parts, judge_parts(verifier, parts), strict=True):
        if cut := part.text[part.end :].strip():
            start = part.text.index(cut, part.end)
            unchecked = (*unchecked, Claim(cut, start, start + len(cut), check_worthy=False))
        judged[i] = replace(answers[i], verdicts=verdicts, unchecked=unchecked)
    return judged


def complete_length(text: str) -> int:
    """Number of characters of a text that was cut before the sentence that is not complete; all, if the last one is.

    >>> complete_length("It is long. It ends in the")
    11
    """
    from retrieval.split import sentence_spans

    text = text.rstrip()
    spans = sentence_spans(text)
    if not spans or _COMPLETE.search(text):
        return len(text)
    # A line of a list is a sentence of its own.
    start = max(spans[-1][0], text.rfind("\n") + 1)
    return len(text[:start].rstrip())


_COMPLETE = re.compile(r"""[.!?…。！？]["'”’)\]*]*$""")


def require_support(answer: Answer, min_support: float) -> Answer:
    """The answer, or an abstention with its verdicts if its support is below `min_support`."""
    support = answer_support(answer.verdicts)
    if answer.abstained or support >= min_support:
        return answer
    reason = (
        f"the least supported claim has support {support:.2f}, below {min_support:.2f}"
        if answer.verdicts
        else f"nothing in the answer could be checked, and a support of {min_support:.2f} is required"
    )
    return replace(answer, text="", citations=(), abstained=True, reason=reason, confidence=0.0)
