"""NQ-open: questions that people searched for (Lee et al. 2019, arXiv 1906.00300; Kwiatkowski et al. 2019).

Rows have a question and a list of accepted answers as `answer`. Grading and figures are those of
`halluc.evaluation.short_answers`.
"""

from __future__ import annotations

from halluc.evaluation.benchmark import Benchmark, HubRows
from halluc.evaluation.short_answers import score_short_answers, short_answer_figures, short_answer_items

__all__ = ["BENCHMARK"]

BENCHMARK = Benchmark(
    name="nq",
    summary="NQ-open: questions that people searched for (arXiv 1906.00300)",
    kind="generation",
    hub=(HubRows("google-research-datasets/nq_open", None, "validation"),),
    items=short_answer_items,
    score=score_short_answers,
    figures=short_answer_figures,
)
