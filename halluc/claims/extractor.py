"""The protocol of claim extractors, and the check of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from halluc.answers import Claim
from halluc.errors import InvalidInput, check_texts

__all__ = ["ClaimExtractor", "checked_texts"]


@runtime_checkable
class ClaimExtractor(Protocol):
    """Extracts claims from answers: self-contained statements, each with its place in the answer."""

    name: str

    def extract(self, texts: Sequence[str], *, questions: Sequence[str | None] | None = None) -> list[list[Claim]]:
        """Extract the claims of N answers.

        Args:
            texts: N answers; an empty one has no claims.
            questions: N questions that the texts answer, or None for a text that answers none. A sentence that says
                nothing without its question ("308.", "Yes.", "It is red.") becomes the claim `f"{question} {sentence}"`.

        Returns:
            N lists of claims, in the order of the text; every sentence yields at least one. `check_worthy` is False for
            questions, opinions, refusals, greetings, talk about the conversation, and code blocks. Thoughts, citation
            marks, emphasis and other markup are no part of a claim's text (`halluc.claims.markup`).

        Raises:
            InvalidInput: a text or question is not a string that UTF-8 can encode, or their numbers differ.
        """


def checked_texts(texts: Sequence[str], questions: Sequence[str | None] | None) -> tuple[list[str], list[str | None]]:
    """Check the arguments of `ClaimExtractor.extract`.

    Returns:
        The N texts, and N questions without surrounding white space; None where a text has no question or a blank one.

    Raises:
        InvalidInput: see `ClaimExtractor.extract`.
    """
    check_texts("texts", texts, allow_blank=True)
    if questions is None:
        return list(texts), [None] * len(texts)
    if isinstance(questions, str):
        raise InvalidInput(f"questions is one string, {questions[:40]!r}; pass a list of strings")
    check_texts("questions", ["" if question is None else question for question in questions], allow_blank=True)
    if len(questions) != len(texts):
        raise InvalidInput(f"there are {len(questions)} questions for {len(texts)} texts; pass one, or None, for each text")
    return list(texts), [question.strip() or None if question else None for question in questions]
