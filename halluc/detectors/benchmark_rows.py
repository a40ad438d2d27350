"""Labelled rows to evaluate detectors on: questions with accepted answers, true or false statements, judged responses.

    {"question": ..., "answer": [...]}                    the model answers; right if an accepted answer stands in it
    {"statement": ..., "label": 1 | 0}                    the model says True or False; right if that is the label
    {"question": ..., "response": ..., "hallucinated": bool, "context": ... (optional)}     the response is judged

A file holds rows of one kind; other fields are ignored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import read_rows, text_of
from halluc.grading.matching import contains_answer
from halluc.models.language_model import Prompt

__all__ = ["LabelledPrompts", "read_labelled"]

_SHORT = "Answer the question in a few words."
_TRUE_OR_FALSE = "Say whether the statement is true or false. Reply with True or False."


@dataclass(frozen=True)
class LabelledPrompts:
    """N prompts, and how to tell whether an answer is wrong.

    Attributes:
        prompts: what the model is asked.
        accepted: per prompt the accepted answers, for questions.
        truth: per prompt whether the statement is true, for statements.
        responses, hallucinated, contexts: given answers with their labels, and what they must follow; else None.
    """

    prompts: tuple[Prompt, ...]
    accepted: tuple[tuple[str, ...], ...] | None = None
    truth: tuple[bool, ...] | None = None
    responses: tuple[str, ...] | None = None
    hallucinated: tuple[bool, ...] | None = None
    contexts: tuple[str, ...] | None = None

    def wrong(self, answers: Sequence[str]) -> list[bool]:
        """(N,) whether each answer is wrong. A reply that says neither True nor False, or both, is."""
        if self.hallucinated is not None:
            return list(self.hallucinated)
        if self.accepted is not None:
            return [not contains_answer(text, own) for text, own in zip(answers, self.accepted, strict=True)]
        assert self.truth is not None
        return [_says(text) is not own for text, own in zip(answers, self.truth, strict=True)]


def read_labelled(paths: Sequence[Path], *, limit: int | None = None, seed: int = 0) -> LabelledPrompts:
    """The rows of JSON-lines files of one kind, or `limit` of them drawn with `seed`.

    Raises:
        InvalidInput: a file cannot be read, or a row is of no kind or of another than the first.
    """
    rows = [row for path in paths for row in read_rows(path)]
    if not rows:
        raise InvalidInput(f"{', '.join(map(str, paths))} holds no rows")
    if limit is not None and limit < len(rows):
        rows = random.Random(seed).sample(rows, limit)
    where, first = rows[0]
    if "statement" in first:
        return _statements(rows)
    if "response" in first:
        return _responses(rows)
    if "answer" in first:
        return _questions(rows)
    raise InvalidInput(
        f"{where} has the fields {', '.join(first)}; a row needs question and answer, statement and label, or question, "
        "response and hallucinated"
    )


def _questions(rows: Sequence[tuple[str, dict[str, Any]]]) -> LabelledPrompts:
    prompts, accepted = [], []
    for where, row in rows:
        prompts.append(_asked(_SHORT, text_of(row, "question", where)))
        answers = row.get("answer")
        own = [answers] if isinstance(answers, str) else answers
        if not isinstance(own, list) or not own or not all(isinstance(answer, str) for answer in own):
            raise InvalidInput(f"{where} has the answer {answers!r}; write a text or a list of accepted texts")
        accepted.append(tuple(own))
    return LabelledPrompts(tuple(prompts), accepted=tuple(accepted))


def _statements(rows: Sequence[tuple[str, dict[str, Any]]]) -> LabelledPrompts:
    prompts = tuple(_asked(_TRUE_OR_FALSE, text_of(row, "statement", where)) for where, row in rows)
    return LabelledPrompts(prompts, truth=tuple(_flag(row, "label", where) for where, row in rows))


def _responses(rows: Sequence[tuple[str, dict[str, Any]]]) -> LabelledPrompts:
    with_context = ["context" in row for _, row in rows]
    if any(with_context) and not all(with_context):
        where = rows[with_context.index(False)][0]
        raise InvalidInput(f"{where} has no context, which other rows have; give all rows one, or none")
    return LabelledPrompts(
        tuple(text_of(row, "question", where) for where, row in rows),
        responses=tuple(text_of(row, "response", where) for where, row in rows),
        hallucinated=tuple(_flag(row, "hallucinated", where) for where, row in rows),
        contexts=tuple(text_of(row, "context", where) for where, row in rows) if all(with_context) else None,
    )


def _flag(row: dict[str, Any], name: str, where: str) -> bool:
    value = row.get(name)
    if str(value).lower() not in ("0", "1", "true", "false"):
        raise InvalidInput(f"{where} has the {name} {value!r}; write true or false")
    return str(value).lower() in ("1", "true")


def _asked(instruction: str, text: str) -> Prompt:
    # Apart from the question, so that detectors compare answers to the question and not to the instruction.
    return ({"role": "system", "content": instruction}, {"role": "user", "content": text})


def _says(text: str) -> bool | None:
    found = {word.lower() for word in re.findall(r"\b(true|false)\b", text, re.IGNORECASE)}
    return found == {"true"} if len(found) == 1 else None
