"""Short wrong answers to a question about a passage: mostly spans of the passage, of the same kind as the right one.

A verifier that has seen none believes any span of the passage. Not covered: wrong sentences (corruption.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from training.verifier.corruption import corrupt, names
from training.verifier.pairs import Row

__all__ = ["wrong_answers"]

_NUMBER = re.compile(r"(?:[$€£]\s?)?\d[\d.,]*\d(?:\s?(?:%|percent|million|billion|km|miles|feet|years|people))?|\b\d\b")
_DATE = re.compile(
    r"(?:\d{1,2} )?(?:January|February|March|April|May|June|July|August|September|October|November|December)"
    r"(?: \d{1,2},?)?(?: \d{4})?|\b(?:1[5-9]|20)\d\d\b"
)
_PHRASE = re.compile(r"\b(?:a|an|the|his|her|its|their)\s+((?:[a-z]+\s+){0,2}[a-z]{3,})\b")


def wrong_answers(
    question: str, references: Sequence[str], passage: str, other: str, generator: random.Random
) -> Iterator[Row]:
    """Make wrong answers: other spans of the passage, a changed number, or the answer to another question.

    Args:
        question: the question, put before each answer.
        references: the right answers.
        passage: the evidence.
        other: the answer to another question.
        generator: decides which are made.

    Yields:
        Rows labeled "not_supported"; "not_enough_info" for the answer to another question.
    """
    same_kind = _same_kind(references[0], passage)
    wrong = [span for span in same_kind if not _overlaps(span, [*references, question])]
    for span in generator.sample(wrong, min(2, len(wrong))):
        yield Row(passage, f"{question} {span}", "not_supported")
    others = [span for span in _spans_of_any_kind(passage) if not _overlaps(span, [*references, question, *wrong])]
    if others and generator.random() < 0.35:
        yield Row(passage, f"{question} {generator.choice(others)}", "not_supported")
    if any(c.isdigit() for c in references[0]) and (changed := corrupt(references[0], [], generator)):
        yield Row(passage, f"{question} {changed.text}", "refuted")
    if not _overlaps(other, references) and generator.random() < 0.15:
        yield Row(passage, f"{question} {other}", "not_supported" if other.lower() in passage.lower() else "not_enough_info")


def _same_kind(answer: str, passage: str) -> list[str]:
    """Spans of the passage that look like the answer: dates, numbers, names or common phrases."""
    if _DATE.fullmatch(answer):
        return list(dict.fromkeys(_DATE.findall(passage)))
    if answer[:1].isdigit() or answer[:1] in "$€£":
        return list(dict.fromkeys(_NUMBER.findall(passage)))
    if any(word[:1].isupper() for word in answer.split()):
        return names(passage)
    return list(dict.fromkeys(_PHRASE.findall(passage)))


def _spans_of_any_kind(passage: str) -> list[str]:
    found = [*_DATE.findall(passage), *_NUMBER.findall(passage), *names(passage), *_PHRASE.findall(passage)]
    return list(dict.fromkeys(found))


def _overlaps(candidate: str, texts: Sequence[str]) -> bool:
    lowered = candidate.lower()
    return any(lowered in text.lower() or text.lower() in lowered for text in texts)
