"""LongFact: long answers about many subjects, with F1@K (Wei et al. 2024, arXiv 2403.18802).

Rows have a `prompt`. An answer without a supported claim scores 0, an abstention too.

    F1@64, F1@178      mean F1@K: precision of the claims, and recall up to K supported claims
    precision          mean share of supported claims, over answers
    claims per answer  mean number of claims, over answers
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halluc.evaluation.benchmark import Benchmark, Item, Row, Scores, text_column
from halluc.evaluation.figures import Figure, mean
from halluc.evaluation.long_answers import count_supported, f1_at

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    prompts = [text_column(row, ["prompt"], where) for where, row in rows]
    return [Item(prompt, prompt=prompt) for prompt in prompts]


def _figures(scores: Sequence[Scores]) -> list[Figure]:
    answered = np.array([row["answered"] for row in scores], dtype=bool)
    counts = [(row["n_supported"], row["n_claims"]) for row in scores]
    return [
        *(mean(f"F1@{k}", [f1_at(supported, n, k) for supported, n in counts]) for k in (64, 178)),
        mean("precision", [supported / max(n, 1) for supported, n in counts], answered),
        mean("claims per answer", [n for _, n in counts], answered, bounds=None),
    ]


BENCHMARK = Benchmark(
    name="longfact",
    summary="LongFact: long answers with F1@K (arXiv 2403.18802)",
    kind="generation",
    hub=(),
    items=_items,
    score=count_supported,
    figures=_figures,
    max_new_tokens=512,
    needs=frozenset({"index", "verifier"}),
    note="Claims are judged by the passages of the index alone; what it does not cover counts as unsupported.",
)
