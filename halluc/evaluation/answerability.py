"""Questions that can be answered and questions that cannot: what CLAP NQ and SelfAware share.

    answered, answerable questions        share of them that get an answer
    refused, unanswerable questions       share of them that get none
    balanced accuracy                     mean of the two
    AUROC of confidence                   probability that an answered, answerable question has higher confidence than an
                                          answered, unanswerable one (a reply without confidence counts as 0)

The curve shows both shares at every threshold of confidence below which an answer would be withheld.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Item, Reply, Row, Scores, Tools, column, text_column
from halluc.evaluation.figures import Curve, Figure, FloatArray, ratio, share
from halluc.evaluation.short_answers import attempted
from halluc.models.language_model import Prompt

__all__ = ["answerability_curve", "answerability_figures", "answerability_items", "score_answerability"]


def answerability_items(rows: Sequence[Row], prompt: Callable[[str, dict[str, Any], str], Prompt]) -> list[Item]:
    """Read rows with a question and `answerable`.

    Args:
        rows: of a file.
        prompt: makes the prompt from the question, the row and the place of the row.

    Raises:
        InvalidInput: a row lacks one of the two, or does not say true or false.
    """
    items = []
    for where, row in rows:
        question, answerable = text_column(row, ["question"], where), column(row, ["answerable"], where)
        if answerable not in (True, False):
            raise InvalidInput(f"{where} has answerable {answerable!r}; write true or false")
        items.append(Item(question, prompt=prompt(question, row, where), reference={"answerable": bool(answerable)}))
    return items


def score_answerability(items: Sequence[Item], replies: Sequence[Reply], _tools: Tools) -> list[Scores]:
    """Score whether each question was answered, and with what confidence."""
    return [
        {"answerable": item.reference["answerable"], "answered": attempted(reply), "confidence": reply.confidence}
        for item, reply in zip(items, replies, strict=True)
    ]


def answerability_figures(scores: Sequence[Scores]) -> list[Figure]:
    """The figures of the module's docstring."""
    answerable, answered, confidence = _columns(scores)

    def balanced(weights: FloatArray) -> float:
        good = ratio(weights @ (answered & answerable), weights @ answerable.astype(float))
        return (good + ratio(weights @ (~answered & ~answerable), weights @ (~answerable).astype(float))) / 2

    def separation(weights: FloatArray) -> float:
        from calibration import auroc

        kept = answered & (weights > 0)
        if len(set(answerable[kept])) < 2:
            return math.nan
        return float(auroc(confidence[kept], answerable[kept], weights=weights[kept]))

    return [
        share("answered, answerable questions", answered, answerable),
        share("refused, unanswerable questions", ~answered, ~answerable),
        Figure("balanced accuracy", balanced, len(scores)),
        Figure("AUROC of confidence", separation, int(answered.sum())),
    ]


def answerability_curve(scores: Sequence[Scores]) -> Curve | None:
    """Share refused of unanswerable questions by share answered of answerable ones, over all thresholds of confidence."""
    answerable, answered, confidence = _columns(scores)
    if not answerable.any() or answerable.all():
        return None
    points = []
    for threshold in [*sorted(set(confidence[answered])), math.inf]:
        kept = answered & (confidence >= threshold)
        points.append((float(kept[answerable].mean()), float(1 - kept[~answerable].mean())))
    return Curve("answered, answerable questions", "refused, unanswerable questions", tuple(points))


def _columns(scores: Sequence[Scores]) -> tuple[NDArray[np.bool_], NDArray[np.bool_], FloatArray]:
    answerable = np.array([row["answerable"] for row in scores], dtype=bool)
    answered = np.array([row["answered"] for row in scores], dtype=bool)
    confidence = np.array([row["confidence"] if row["confidence"] is not None else 0.0 for row in scores], dtype=np.float64)
    return answerable, answered, confidence
