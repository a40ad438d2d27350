"""SimpleQA: short questions that are hard, with one answer each (Wei et al. 2024, arXiv 2411.04368).

Rows have a question (or `problem`) and an answer. Grading and figures are those of `halluc.evaluation.short_answers`.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Row, column, text_column
from halluc.evaluation.short_answers import accepted_answers, question_prompt, score_short_answers, short_answer_figures

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        question = text_column(row, ["question", "problem"], where)
        answers = accepted_answers(column(row, ["answer", "answers"], where), where)
        items.append(Item(question, prompt=question_prompt(question), reference={"answers": answers}))
    return items


BENCHMARK = Benchmark(
    name="simpleqa",
    summary="SimpleQA: short, hard questions (arXiv 2411.04368)",
    kind="generation",
    hub=HubRows("basicv8vc/SimpleQA", None, "test"),
    items=_items,
    score=score_short_answers,
    figures=short_answer_figures,
)
