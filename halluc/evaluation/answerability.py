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
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Item, Reply, Scores, Tools
from halluc.evaluation.figures import Curve, Figure, FloatArray, ratio, share
from halluc.evaluation.short_answers import attempted

__all__ = ["answerability_curve", "answerability_figures", "answerable_flag", "score_answerability"]


def answerable_flag(value: object, where: str) -> bool:
    """Read whether a question can be answered.

    Raises:
        InvalidInput: it is not true or false.
    """
    if value not in (True, False):
        raise InvalidInput(f"{where} has answerable {value!r}; write true or false")
    return bool(value)


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
