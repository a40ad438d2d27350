"""SelfAware: questions with and without an answer that anyone could give (Yin et al. 2023, arXiv 2305.18153).

Rows have a question and `answerable`. Figures are those of `halluc.evaluation.answerability`; whether an answer is right
does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.answerability import (
    answerability_curve,
    answerability_figures,
    answerability_items,
    score_answerability,
)
from halluc.evaluation.benchmark import Benchmark, Item, Row
from halluc.evaluation.short_answers import question_prompt

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    return answerability_items(rows, lambda question, _row, _where: question_prompt(question))


BENCHMARK = Benchmark(
    name="self_aware",
    summary="SelfAware: knowing what cannot be answered (arXiv 2305.18153)",
    kind="generation",
    hub=(),
    items=_items,
    score=score_answerability,
    figures=answerability_figures,
    curve=answerability_curve,
)
