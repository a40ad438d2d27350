"""CLAP NQ: questions with a passage that answers them, or nearly does (Rosenthal et al. 2024, arXiv 2404.02103).

Rows have a question, a passage and `answerable`. The model alone is asked with the row's passage in the passage block of
this project; with a mitigation, passages come from its index. Figures are those of `halluc.evaluation.answerability`.
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
from halluc.prompts import passage_block

__all__ = ["BENCHMARK"]

_INSTRUCTION = "Answer the question from the passages. If they do not answer it, say that they do not."


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        question, passage = text_column(row, ["question"], where), text_column(row, ["passage"], where)
        prompt = (
            {"role": "system", "content": _INSTRUCTION},
            {"role": "user", "content": f"Passages:\n{passage_block([passage])}\n\nQuestion: {question}"},
        )
        answerable = answerable_flag(column(row, ["answerable"], where), where)
        items.append(Item(question, prompt=prompt, reference={"answerable": answerable}))
    return items


BENCHMARK = Benchmark(
    name="clapnq",
    summary="CLAP NQ: passages that answer a question, or nearly do (arXiv 2404.02103)",
    kind="generation",
    hub=None,
    items=_items,
    score=score_answerability,
    figures=answerability_figures,
    curve=answerability_curve,
    max_new_tokens=64,
)
