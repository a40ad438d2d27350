"""TriviaQA: trivia questions with many accepted wordings (Joshi et al. 2017, arXiv 1705.03551).

Rows have a question and a list of `answers`, or on the hub an `answer` with `aliases`. Grading and figures are those of
`halluc.evaluation.short_answers`.
"""

from __future__ import annotations

from functools import partial

from halluc.evaluation.benchmark import Benchmark, HubRows
from halluc.evaluation.short_answers import score_short_answers, short_answer_figures, short_answer_items

__all__ = ["BENCHMARK"]

BENCHMARK = Benchmark(
    name="triviaqa",
    summary="TriviaQA: trivia questions (arXiv 1705.03551)",
    kind="generation",
    hub=(HubRows("mandarjoshi/trivia_qa", "rc.nocontext", "validation"),),
    items=partial(short_answer_items, questions=("question", "Question")),
    score=score_short_answers,
    figures=short_answer_figures,
)
