"""SelfAware: questions with and without an answer that anyone could give (Yin et al. 2023, arXiv 2305.18153).

Rows have a question and `answerable`. Figures are those of `halluc.evaluation.answerability`; whether an answer is right
does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.answerability import (
    answerability_curve,
    answerability_figures,
    answerable_flag,
    score_answerability,
)
from halluc.evaluation.benchmark import Benchmark, Item, Row, column, text_column
from halluc.evaluation.short_answers import question_prompt

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        question = text_column(row, ["question"], where)
        answerable = answerable_flag(column(row, ["answerable"], where), where)
        items.append(Item(question, prompt=question_prompt(question), reference={"answerable": answerable}))
    return items


BENCHMARK = Benchmark(
    name="self_aware",
    summary="SelfAware: knowing what cannot be answered (arXiv 2305.18153)",
    kind="generation",
    hub=None,
    items=_items,
    score=score_answerability,
    figures=answerability_figures,
    curve=answerability_curve,
)
