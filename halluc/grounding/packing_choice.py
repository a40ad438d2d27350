"""How many tokens of passages a language model should read: chosen by its own answers to questions with known answers.

Small models are distracted by what they do not need, and larger ones need what surrounds an answer. Not covered: the choice
of sentences (context.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput, check_integer, check_same_length, check_texts
from halluc.grading.matching import contains_answer
from halluc.grading.overlap import answer_f1
from retrieval.records import Record

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel
    from retrieval import PassageStore

__all__ = ["PackingChoice", "choose_passage_tokens"]

SIZES = (16, 64, 300, 1024)
"""Sizes that are tried by default: a sentence, two or three, the best passage, and several passages."""

_RIGHT_F1 = 0.5


@dataclass(frozen=True)
class PackingChoice(Record):
    """The size with the most right answers.

    Attributes:
        passage_tokens: pass it to `GroundedModel`.
        right: by size, the share of right answers.
        n: number of questions.
    """

    passage_tokens: int
    right: dict[int, float]
    n: int


def choose_passage_tokens(
    lm: LanguageModel,
    index: PassageStore,
    questions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    sizes: Sequence[int] = SIZES,
    **options: Any,
) -> PackingChoice:
    """Answer questions with each size of the context, and choose the size with the most right answers.

    An answer is right if it contains a reference as whole words, or has at least half of SQuAD's token F1 with one.

    Args:
        lm: the model.
        index: what the questions are answered from.
        questions: (N,) questions.
        references: (N,) lists of accepted answers.
        sizes: tokens of passages to try; of equally good ones the smallest is chosen.
        options: further arguments of `GroundedModel`, such as `k`.

    Returns:
        The size, and how many answers were right with each.

    Raises:
        InvalidInput: there are no questions, not one list of references for each, or an option is unusable.
    """
    from halluc.grounding.grounded_model import GroundedModel

    check_texts("questions", questions)
    check_same_length(questions=questions, references=references)
    if not questions or not sizes:
        raise InvalidInput("there are no questions, or no sizes; pass at least one of each")
    for size in sizes:
        check_integer("each of sizes", size, 1)
    right = {}
    for size in sorted(set(sizes)):
        answers = GroundedModel(lm, index, passage_tokens=size, **options).batch(questions)
        texts = ["" if answer.abstained else answer.text for answer in answers]
        right[size] = sum(map(_is_right, texts, references)) / len(questions)
    return PackingChoice(max(right, key=lambda size: (right[size], -size)), right, len(questions))


def _is_right(text: str, references: Sequence[str]) -> bool:
    return contains_answer(text, references) or answer_f1(text, references) >= _RIGHT_F1
