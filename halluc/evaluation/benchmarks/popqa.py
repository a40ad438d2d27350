"""PopQA: questions on entities of known popularity (Mallen et al. 2023, arXiv 2212.10511).

Rows have a question, accepted answers (`answers`, or `possible_answers` as JSON text) and the monthly page views of the
entity (`pop` or `s_pop`). Grading and figures are those of `halluc.evaluation.short_answers`; the share of correct answers
is also reported for each power of ten of popularity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Row, Scores, column, number_column, text_column
from halluc.evaluation.figures import Figure, share
from halluc.evaluation.short_answers import accepted_answers, question_prompt, score_short_answers, short_answer_figures

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        question = text_column(row, ["question"], where)
        value = column(row, ["answers", "possible_answers"], where)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except ValueError as error:
                raise InvalidInput(f"{where} has possible_answers that are not JSON: {value[:60]!r}") from error
        views = number_column(row, ["pop", "s_pop"], where)
        if views < 0:
            raise InvalidInput(f"{where} has the popularity {views:g}; write a number of page views")
        reference = {"answers": accepted_answers(value, where), "magnitude": int(math.log10(max(views, 1)))}
        items.append(Item(question, prompt=question_prompt(question), reference=reference))
    return items


def _figures(scores: Sequence[Scores]) -> list[Figure]:
    magnitudes = [row["magnitude"] for row in scores]
    correct = [row["correct"] for row in scores]
    by_popularity = [
        share(
            f"correct: {10**magnitude:,} to {10 ** (magnitude + 1):,} page views",
            correct,
            [other == magnitude for other in magnitudes],
        )
        for magnitude in sorted(set(magnitudes))
    ]
    return [*short_answer_figures(scores), *by_popularity]


BENCHMARK = Benchmark(
    name="popqa",
    summary="PopQA: questions on entities by popularity (arXiv 2212.10511)",
    kind="generation",
    hub=(HubRows("akariasai/PopQA", None, "test"),),
    items=_items,
    score=score_short_answers,
    figures=_figures,
)
