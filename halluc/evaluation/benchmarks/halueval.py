"""HaluEval: does a model recognize a hallucinated answer? (Li et al. 2023, arXiv 2305.11747, section 3).

Two kinds of rows, which one file does not mix:

    {"question", "knowledge", "right_answer", "hallucinated_answer"}    one of the two answers is shown, chosen by the digest
                                                                        of the question, so that it never changes
    {"user_query", "chatgpt_response", "hallucination": "yes" | "no"}   the response is shown

The model is asked whether the answer contains information that is wrong or cannot be verified. A reply with neither Yes nor
No, or with both, has failed and counts as wrong, as in the paper.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Reply, Row, Scores, Tools, column, text_column
from halluc.evaluation.figures import Figure, share

__all__ = ["BENCHMARK"]

_INSTRUCTION = (
    "Decide whether the answer contains a hallucination: something false, something that the knowledge does not support, or "
    "something that does not answer the question. Reply with Yes or No."
)


def _items(rows: Sequence[Row]) -> list[Item]:
    return [_general(row, where) if "user_query" in row else _pair(row, where) for where, row in rows]


def _pair(row: dict[str, object], where: str) -> Item:
    question = text_column(row, ["question"], where)
    knowledge = text_column(row, ["knowledge"], where)
    answers = [text_column(row, [name], where) for name in ("right_answer", "hallucinated_answer")]
    hallucinated = hashlib.sha256(question.encode()).digest()[0] % 2 == 1
    return _item(question, f"Knowledge: {knowledge}\n", answers[hallucinated], hallucinated)


def _general(row: dict[str, object], where: str) -> Item:
    label = column(row, ["hallucination"], where)
    if label not in ("yes", "no"):
        raise InvalidInput(f"{where} has hallucination {label!r}; write 'yes' or 'no'")
    question = text_column(row, ["user_query"], where)
    return _item(question, "", text_column(row, ["chatgpt_response"], where), label == "yes")


def _item(question: str, knowledge: str, answer: str, hallucinated: bool) -> Item:
    text = f"{knowledge}Question: {question}\nAnswer: {answer}\n\nDoes the answer contain a hallucination?"
    prompt = ({"role": "system", "content": _INSTRUCTION}, {"role": "user", "content": text})
    return Item(question, prompt=prompt, reference={"hallucinated": hallucinated})


def _score(items: Sequence[Item], replies: Sequence[Reply], _tools: Tools) -> list[Scores]:
    scores: list[Scores] = []
    for item, reply in zip(items, replies, strict=True):
        words = {word.lower() for word in re.findall(r"\b(yes|no)\b", reply.text, re.IGNORECASE)}
        verdict = words == {"yes"} if len(words) == 1 else None
        hallucinated = item.reference["hallucinated"]
        scores.append({"correct": verdict is hallucinated, "failed": verdict is None, "hallucinated": hallucinated})
    return scores


def _figures(scores: Sequence[Scores]) -> list[Figure]:
    hallucinated = np.array([row["hallucinated"] for row in scores], dtype=bool)
    correct = [row["correct"] for row in scores]
    return [
        share("accuracy", correct),
        share("accuracy on hallucinated answers", correct, hallucinated),
        share("accuracy on right answers", correct, ~hallucinated),
        share("neither Yes nor No", [row["failed"] for row in scores]),
    ]


BENCHMARK = Benchmark(
    name="halueval",
    summary="HaluEval: recognizing hallucinated answers (arXiv 2305.11747)",
    kind="generation",
    hub=(HubRows("pminervini/HaluEval", "qa", "data"),),
    items=_items,
    score=_score,
    figures=_figures,
    max_new_tokens=8,
)
