"""SimpleQA: short questions that are hard, with one answer each (Wei et al. 2024, arXiv 2411.04368).

Rows have a question (or `problem`) and an answer. Grading and figures are those of `halluc.evaluation.short_answers`.
"""

from __future__ import annotations

from functools import partial

from halluc.evaluation.benchmark import Benchmark, HubRows
from halluc.evaluation.short_answers import score_short_answers, short_answer_figures, short_answer_items

__all__ = ["BENCHMARK"]

BENCHMARK = Benchmark(
    name="simpleqa",
    summary="SimpleQA: short, hard questions (arXiv 2411.04368)",
    kind="generation",
    hub=(HubRows("basicv8vc/SimpleQA", None, "test"),),
    items=partial(short_answer_items, questions=("question", "problem")),
    score=score_short_answers,
    figures=short_answer_figures,
)
