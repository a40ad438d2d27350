"""TriviaQA: trivia questions with many accepted wordings (Joshi et al. 2017, arXiv 1705.03551).

Rows have a question and a list of `answers`, or on the hub an `answer` with `aliases`. Grading and figures are those of
`halluc.evaluation.short_answers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Row, column, text_column
from halluc.evaluation.short_answers import accepted_answers, question_prompt, score_short_answers, short_answer_figures

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        question = text_column(row, ["question"], where)
        value = column(row, ["answers", "answer"], where)
        answers = accepted_answers(value.get("aliases") if isinstance(value, Mapping) else value, where)
        items.append(Item(question, prompt=question_prompt(question), reference={"answers": answers}))
    return items


BENCHMARK = Benchmark(
    name="triviaqa",
    summary="TriviaQA: trivia questions (arXiv 1705.03551)",
    kind="generation",
    hub=HubRows("mandarjoshi/trivia_qa", "rc.nocontext", "validation"),
    items=_items,
    score=score_short_answers,
    figures=short_answer_figures,
)
