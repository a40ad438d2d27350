"""FACTOR: does a model prefer the factual completion of a text? (Muhlgay et al. 2023, arXiv 2307.06908).

Rows have a prefix, a factual `completion` and three false ones, `contradiction_0` to `contradiction_2`. A row is correct if
the factual completion has the highest mean log-probability per token (section 3), unlike in TruthfulQA. The prefix is the
column `turncated_prefixes` (so spelled in the data), else `full_prefix`. As in the authors' script, a space
precedes a completion only where the prefix ends with one.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.benchmark import Benchmark, Item, Likelihoods, Row, Scores, Tools, text_column
from halluc.evaluation.figures import Figure, share
from halluc.models.prefix_scoring import Choices

__all__ = ["BENCHMARK"]

_COMPLETIONS = ("completion", "contradiction_0", "contradiction_1", "contradiction_2")


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        prefix = text_column(row, ["turncated_prefixes", "truncated_prefixes", "full_prefix"], where)
        # Tokenizers put a space with the word after it, so it belongs to the continuation.
        context, separator = (prefix.rstrip(" "), " ") if prefix.endswith(" ") else (prefix, "")
        texts = [text_column(row, [name], where).lstrip(" ") for name in _COMPLETIONS]
        items.append(Item(context, choices=(Choices(context, tuple(separator + text for text in texts)),)))
    return items


def _score(items: Sequence[Item], outcomes: Sequence[Likelihoods], _tools: Tools) -> list[Scores]:
    scores: list[Scores] = []
    for (completions,) in outcomes:
        means = [completion.logprob / completion.n_tokens for completion in completions]
        scores.append({"correct": all(means[0] > other for other in means[1:])})
    return scores


def _figures(scores: Sequence[Scores]) -> list[Figure]:
    return [share("accuracy", [row["correct"] for row in scores])]


BENCHMARK = Benchmark(
    name="factor",
    summary="FACTOR: likelihood of factual against false completions (arXiv 2307.06908)",
    kind="likelihood",
    hub=(),
    items=_items,
    score=_score,
    figures=_figures,
)
