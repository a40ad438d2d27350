"""What a completion is judged by: the columns context, references and question of a row of a data set.

Not covered: passages from an index (factuality.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from halluc.errors import InvalidInput
from training.rewards.completions import check_text_or_messages, prompt_question

__all__ = ["RowEvidence", "check_evidence", "row_evidence"]


class RowEvidence(NamedTuple):
    """What a completion is judged by.

    Attributes:
        question: what it answers, or None.
        references: accepted answers; None if the row has none.
        texts: to judge it against; None to retrieve passages for each claim.
    """

    question: str | None
    references: list[str] | None
    texts: list[str] | None


def row_evidence(number: int, prompt: Any, *, context: Any, references: Any, question: Any, indexed: bool) -> RowEvidence:
    """Read the evidence of a row: its context; without one, passages of the index, or the question with each reference.

    Args:
        number: of the row, for messages.
        prompt: a text or a conversation; its last question is used if the row has none.
        context: one passage or several, or None.
        references: one accepted answer or several, or None.
        question: what a completion answers, or None.
        indexed: whether passages can be retrieved.

    Raises:
        InvalidInput: the row has no evidence, or values that cannot be used.
    """
    try:
        question = prompt_question(prompt) if question is None else question
    except InvalidInput as error:
        raise InvalidInput(f"row {number} cannot be scored: {error}") from error
    if question is not None and not isinstance(question, str):
        raise InvalidInput(f"the question of row {number} is {str(question)[:60]!r}; write a text")
    if question is not None:
        check_text_or_messages(f"the question of row {number}", question)
    texts = _texts(context, number, "passage of the context") or None
    accepted = _texts(references, number, "reference")
    if texts is None and not indexed:
        texts = [f"{question or ''} {reference}".strip() for reference in accepted or []]
        if not texts:
            raise InvalidInput(
                f"row {number} has no evidence: its context and references are empty or missing; give it one of them, or "
                "use an index"
            )
    return RowEvidence(question, accepted, texts)


def check_evidence(rows: Any, *, indexed: bool) -> None:
    """Check, before a model is loaded, that completions of every row can be judged.

    Args:
        rows: a data set with prompt, and context, references and question if it has them.
        indexed: whether passages can be retrieved.

    Raises:
        InvalidInput: a row (it is named) has no evidence, or values that cannot be used.
    """
    for number, row in enumerate(rows):
        columns = {name: row.get(name) for name in ("context", "references", "question")}
        row_evidence(number, row["prompt"], **columns, indexed=indexed)


def _texts(value: Any, row: int, kind: str) -> list[str] | None:
    """The texts in a cell of a data set, without blank and missing ones; None if all are missing."""
    if value is None:
        return None
    values = [value] if isinstance(value, str) else list(value)
    texts = [text for text in values if text is not None]
    for text in texts:
        if not isinstance(text, str):
            raise InvalidInput(f"a {kind} of row {row} is {text!r}; write a text")
        check_text_or_messages(f"a {kind} of row {row}", text)
    if texts and not any(text.strip() for text in texts):
        raise InvalidInput(f"every {kind} of row {row} is blank; write a text, or null if there is none")
    return [text for text in texts if text.strip()] if texts or not values else None
