"""Short questions with accepted answers: what SimpleQA, PopQA, TriviaQA and NQ-open share.

A reply is not attempted if it abstains, correct if it contains an accepted answer as whole words (both normalized, and
numbers in words or digits), and else incorrect. With the numbers of each (SimpleQA, Wei et al. 2024, arXiv 2411.04368,
section 2.3):

    correct, incorrect, not attempted     shares of all questions
    correct given attempted               correct / (correct + incorrect)
    F1                                    harmonic mean of correct and correct given attempted

SimpleQA's authors grade by a language model. Matching needs none, and is stricter about other wordings and more lenient
about a right answer beside wrong ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from halluc.claims.abstention import abstains
from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Item, Reply, Row, Scores, Tools, column, text_column
from halluc.evaluation.figures import Figure, FloatArray, ratio, share
from halluc.grading.correctness import gives_answer
from halluc.models.language_model import Prompt

__all__ = [
    "accepted_answers",
    "attempted",
    "question_prompt",
    "score_short_answers",
    "short_answer_figures",
    "short_answer_items",
]

_INSTRUCTION = "Answer the question in a few words. If you do not know the answer, say that you do not know."


def question_prompt(question: str) -> Prompt:
    """The conversation that asks for a short answer, and allows for not knowing one."""
    return ({"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": question})


def short_answer_items(rows: Sequence[Row], *, questions: Sequence[str] = ("question",)) -> list[Item]:
    """Read rows with a question and accepted `answers` (or `answer`).

    Args:
        rows: of a file, or of the hub.
        questions: what the column of the question may be called.

    Raises:
        InvalidInput: a row lacks one of the two; the message names it.
    """
    items = []
    for where, row in rows:
        question = text_column(row, questions, where)
        answers = accepted_answers(column(row, ["answers", "answer", "Answer"], where), where)
        items.append(Item(question, prompt=question_prompt(question), reference={"answers": answers}))
    return items


def accepted_answers(value: object, where: str) -> list[str]:
    """Read accepted answers: a text, a list of texts, or an object with a list of `aliases`; empty texts are left out.

    Raises:
        InvalidInput: there is none.
    """
    if isinstance(value, Mapping):
        value = value.get("aliases", value.get("Aliases"))
    texts = [value] if isinstance(value, str) else value
    texts = [text for text in texts if text != ""] if isinstance(texts, list) else []
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InvalidInput(f"{where} has the answers {value!r}; write a text or a list of accepted texts")
    return texts


def attempted(reply: Reply) -> bool:
    """Whether a reply tries to answer."""
    return not reply.abstained and not abstains(reply.text)


def score_short_answers(items: Sequence[Item], replies: Sequence[Reply], _tools: Tools) -> list[Scores]:
    """Grade replies against `item.reference["answers"]`; what else is in the reference is passed on, to group by."""
    scores: list[Scores] = []
    for item, reply in zip(items, replies, strict=True):
        tried = attempted(reply)
        correct = tried and gives_answer(reply.text, item.reference["answers"])
        passed = {name: value for name, value in item.reference.items() if name != "answers"}
        scores.append({"attempted": tried, "correct": correct, "confidence": reply.confidence, **passed})
    return scores


def short_answer_figures(scores: Sequence[Scores]) -> list[Figure]:
    """The figures of the module's docstring."""
    tried = np.array([row["attempted"] for row in scores], dtype=bool)
    correct = np.array([row["correct"] for row in scores], dtype=bool)

    def f1(weights: FloatArray) -> float:
        right = weights @ correct
        # The harmonic mean of right/n and right/attempted is 2·right / (n + attempted).
        return ratio(2 * right, weights.sum() + weights @ tried)

    return [
        share("correct", correct),
        share("incorrect", tried & ~correct),
        share("not attempted", ~tried),
        share("correct given attempted", correct, tried),
        Figure("F1", f1, len(scores)),
    ]
