"""FActScore: biographies, judged claim by claim (Min et al. 2023, arXiv 2305.14251).

Rows name an entity as `topic` (or `entity`). Figures, over the entities that the model wrote about:

    FActScore                  mean share of supported claims with the length penalty, gamma 10
    without length penalty     mean share of supported claims (eq. 1)
    response ratio             share of entities that the model wrote about
    claims per answer          mean number of claims
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halluc.evaluation.benchmark import Benchmark, Item, Row, Scores, text_column
from halluc.evaluation.figures import Figure, mean, share
from halluc.evaluation.long_answers import count_supported, penalized_precision

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    topics = dict.fromkeys(text_column(row, ["topic", "entity"], where) for where, row in rows)
    return [Item(question, prompt=question) for question in (f"Tell me a bio of {topic}." for topic in topics)]


def _figures(scores: Sequence[Scores]) -> list[Figure]:
    answered = np.array([row["answered"] for row in scores], dtype=bool)
    counts = [(row["n_supported"], row["n_claims"]) for row in scores]
    return [
        mean("FActScore", [penalized_precision(*count) for count in counts], answered),
        mean("without length penalty", [supported / max(n, 1) for supported, n in counts], answered),
        share("response ratio", answered),
        mean("claims per answer", [n for _, n in counts], answered, bounds=None),
    ]


BENCHMARK = Benchmark(
    name="factscore",
    summary="FActScore: biographies, claim by claim (arXiv 2305.14251)",
    kind="generation",
    hub=(),
    items=_items,
    score=count_supported,
    figures=_figures,
    max_new_tokens=256,
    needs=frozenset({"index", "verifier"}),
    note="Claims are judged by the passages of the index alone; what it does not cover counts as unsupported.",
)
