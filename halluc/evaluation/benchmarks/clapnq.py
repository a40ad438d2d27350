"""CLAP NQ: questions with a passage that answers them, or nearly does (Rosenthal et al. 2024, arXiv 2404.02103).

Rows have a question, a passage and `answerable`. The model alone is asked with the row's passage in the passage block of
this project; with a mitigation, passages come from its index. Figures are those of `halluc.evaluation.answerability`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halluc.evaluation.answerability import (
    answerability_curve,
    answerability_figures,
    answerability_items,
    score_answerability,
)
from halluc.evaluation.benchmark import Benchmark, Item, Row, text_column
from halluc.models.language_model import Prompt
from halluc.prompts import passage_block

__all__ = ["BENCHMARK"]

_INSTRUCTION = "Answer the question from the passages. If they do not answer it, say that they do not."


def _items(rows: Sequence[Row]) -> list[Item]:
    return answerability_items(rows, _prompt)


def _prompt(question: str, row: dict[str, Any], where: str) -> Prompt:
    passages = passage_block([text_column(row, ["passage"], where)])
    return (
        {"role": "system", "content": _INSTRUCTION},
        {"role": "user", "content": f"Passages:\n{passages}\n\nQuestion: {question}"},
    )


BENCHMARK = Benchmark(
    name="clapnq",
    summary="CLAP NQ: passages that answer a question, or nearly do (arXiv 2404.02103)",
    kind="generation",
    hub=(),
    items=_items,
    score=score_answerability,
    figures=answerability_figures,
    curve=answerability_curve,
    max_new_tokens=64,
)
