"""NQ-open: questions that people searched for (Lee et al. 2019, arXiv 1906.00300; Kwiatkowski et al. 2019).

Rows have a question and a list of accepted answers as `answer`. Grading and figures are those of
`halluc.evaluation.short_answers`.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Row, column, text_column
from halluc.evaluation.short_answers import accepted_answers, question_prompt, score_short_answers, short_answer_figures

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        question = text_column(row, ["question"], where)
        answers = accepted_answers(column(row, ["answer", "answers"], where), where)
        items.append(Item(question, prompt=question_prompt(question), reference={"answers": answers}))
    return items


BENCHMARK = Benchmark(
    name="nq",
    summary="NQ-open: questions that people searched for (arXiv 1906.00300)",
    kind="generation",
    hub=HubRows("google-research-datasets/nq_open", None, "validation"),
    items=_items,
    score=score_short_answers,
    figures=short_answer_figures,
)
