"""What every claim extractor offers, and the plain function for one text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from halluc.answers import Claim
from halluc.errors import InvalidInput

__all__ = ["ClaimExtractor", "checked_texts", "extract_claims"]


@runtime_checkable
class ClaimExtractor(Protocol):
    """Turns answers into claims, each self-contained and with its place in the answer."""

    name: str

    def extract(self, texts: Sequence[str], *, questions: Sequence[str | None] | None = None) -> list[list[Claim]]:
        """(N,) lists of claims in the order of the text; a sentence yields at least one.

        Args:
            texts: (N,) answers; an empty one has no claims.
            questions: (N,) what each text answers, None for a text that answers nothing. A sentence that says nothing
                without its question ("308.", "Yes.", "It is red.") becomes the claim `f"{question} {sentence}"`.

        Returns:
            Claims with `check_worthy` False for questions, opinions, refusals, greetings and talk about the conversation.

        Raises:
            InvalidInput: a text is not a string, or there are more or fewer questions than texts.
        """


def extract_claims(text: str, *, question: str | None = None) -> list[Claim]:
    """The check-worthy claims of one text by the default extractor, `RuleClaimExtractor`; see `ClaimExtractor.extract`."""
    from halluc.claims.rule_extractor import RuleClaimExtractor

    return [claim for claim in RuleClaimExtractor().extract([text], questions=[question])[0] if claim.check_worthy]


def checked_texts(texts: Sequence[str], questions: Sequence[str | None] | None) -> tuple[list[str], list[str | None]]:
    """The texts and one question or None for each; InvalidInput where they are not strings or do not match."""
    if isinstance(texts, str):
        raise InvalidInput("texts is a string; pass a list of strings")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidInput(f"text {i} is of type {type(text).__name__}; pass a string")
    if questions is None:
        return list(texts), [None] * len(texts)
    if isinstance(questions, str) or len(questions) != len(texts):
        given = "a string" if isinstance(questions, str) else f"{len(questions)} questions"
        raise InvalidInput(f"{given} for {len(texts)} texts; pass a list with one question, or None, for each text")
    for i, question in enumerate(questions):
        if question is not None and not isinstance(question, str):
            raise InvalidInput(f"question {i} is of type {type(question).__name__}; pass a string or None")
    return list(texts), [question.strip() or None if question else None for question in questions]
