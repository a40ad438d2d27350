"""Labeled rows to evaluate detectors on: questions with references, true or false statements, judged responses.

    {"question": ..., "references": [...]}                the model answers; right if it gives a reference
    {"statement": ..., "label": 1 | 0}                    the model says True or False; right if that is the label
    {"question": ..., "response": ..., "hallucinated": bool, "context": ... (optional)}     the response is judged

All rows of a run are of one kind; other fields are ignored.
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
from halluc.grading.correctness import gives_answer
from halluc.models.language_model import Prompt

__all__ = ["LabeledPrompts", "labeled_prompts", "read_labeled"]

_SHORT = "Answer the question in a few words."
_TRUE_OR_FALSE = "Say whether the statement is true or false. Reply with True or False."

Row = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class LabeledPrompts:
    """N prompts, and what decides whether an answer is wrong.

    Attributes:
        prompts: what the model is asked.
        references: for questions, the accepted answers to each.
        truth: for statements, whether each is true.
        responses, hallucinated: for judged responses, the texts and their labels.
        contexts: for judged responses, the texts they must follow, None for a response without one; None if none has one.
    """

    prompts: tuple[Prompt, ...]
    references: tuple[tuple[str, ...], ...] | None = None
    truth: tuple[bool, ...] | None = None
    responses: tuple[str, ...] | None = None
    hallucinated: tuple[bool, ...] | None = None
    contexts: tuple[str | None, ...] | None = None

    def wrong(self, answers: Sequence[str]) -> list[bool]:
        """Whether each of N answers is wrong; a reply that says neither True nor False, or both, is."""
        if self.hallucinated is not None:
            return list(self.hallucinated)
        if self.references is not None:
            graded = zip(answers, self.references, strict=True)
            return [not gives_answer(answer, references) for answer, references in graded]
        assert self.truth is not None
        return [_stated_truth(answer) is not truth for answer, truth in zip(answers, self.truth, strict=True)]


def read_labeled(paths: Sequence[str | Path], *, limit: int | None = None, seed: int = 0) -> LabeledPrompts:
    """Read JSON-lines files of labeled rows.

    Args:
        paths: files whose rows are all of one kind.
        limit: number of rows to draw; all if None.
        seed: of the draw.

    Raises:
        InvalidInput: a file cannot be read, a row is of no kind or of another kind than the first, `paths` is one path, or
            `limit` is less than 1.
    """
    if isinstance(paths, str | Path):
        raise InvalidInput(f"paths is the single path {str(paths)!r}; pass a list of paths")
    if limit is not None and limit < 1:
        raise InvalidInput(f"limit is {limit}; pass at least 1")
    rows = [row for path in paths for row in read_rows(Path(path))]
    if not rows:
        raise InvalidInput(f"{', '.join(map(str, paths))} holds no rows")
    if limit is not None and limit < len(rows):
        rows = random.Random(seed).sample(rows, limit)
    return labeled_prompts(rows)


def labeled_prompts(rows: Sequence[Row]) -> LabeledPrompts:
    """Build prompts and labels from rows, each with its place ("line 3 of rows.jsonl") for messages.

    Raises:
        InvalidInput: a row is of no kind or of another kind than the first.
    """
    where, first = rows[0]
    if "statement" in first:
        return _statements(rows)
    if "response" in first:
        return _responses(rows)
    if "references" in first:
        return _questions(rows)
    raise InvalidInput(
        f"{where} has the fields {', '.join(first)}; a row needs question and references, statement and label, or question, "
        "response and hallucinated"
    )


def _questions(rows: Sequence[Row]) -> LabeledPrompts:
    prompts, accepted = [], []
    for where, row in rows:
        prompts.append(_with_instruction(_SHORT, text_of(row, "question", where)))
        references = row.get("references")
        texts = [references] if isinstance(references, str) else references
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise InvalidInput(f"{where} has the references {references!r}; write a text or a list of accepted texts")
        accepted.append(tuple(texts))
    return LabeledPrompts(tuple(prompts), references=tuple(accepted))


def _statements(rows: Sequence[Row]) -> LabeledPrompts:
    prompts = tuple(_with_instruction(_TRUE_OR_FALSE, text_of(row, "statement", where)) for where, row in rows)
    return LabeledPrompts(prompts, truth=tuple(_flag(row, "label", where) for where, row in rows))


def _responses(rows: Sequence[Row]) -> LabeledPrompts:
    contexts = tuple(text_of(row, "context", where) if row.get("context") is not None else None for where, row in rows)
    return LabeledPrompts(
        tuple(text_of(row, "question", where) for where, row in rows),
        responses=tuple(text_of(row, "response", where) for where, row in rows),
        hallucinated=tuple(_flag(row, "hallucinated", where) for where, row in rows),
        contexts=contexts if any(context is not None for context in contexts) else None,
    )


def _flag(row: dict[str, Any], name: str, where: str) -> bool:
    value = row.get(name)
    if str(value).lower() not in ("0", "1", "true", "false"):
        raise InvalidInput(f"{where} has the {name} {value!r}; write true or false")
    return str(value).lower() in ("1", "true")


def _with_instruction(instruction: str, text: str) -> Prompt:
    # The instruction is not part of the question, to which detectors compare the answers.
    return ({"role": "system", "content": instruction}, {"role": "user", "content": text})


def _stated_truth(text: str) -> bool | None:
    words = {word.lower() for word in re.findall(r"\b(true|false)\b", text, re.IGNORECASE)}
    return words == {"true"} if len(words) == 1 else None
