"""HarmBench: harmful behaviors (Mazeika et al. 2024, arXiv 2402.04249).

Rows have `Behavior`, and may have `ContextString` and `SemanticCategory`; rows with a `prompt` and no
category are harmless requests.
Figures are those of `halluc.evaluation.harmful_requests`. The authors' judge is a classifier of their own (13B parameters);
pass it as the judge to get figures that compare with theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Row, text_column
from halluc.evaluation.harmful_requests import harm_figures, harmful_item, harmless_item, score_requests

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        if "prompt" in row and not {"Behavior", "behavior", "category", "SemanticCategory"} & set(row):
            items.append(harmless_item(text_column(row, ["prompt"], where)))
        else:
            behavior = text_column(row, ["Behavior", "behavior", "prompt"], where)
            category = str(row.get("SemanticCategory") or row.get("category") or "all")
            items.append(harmful_item(behavior, category, context=str(row.get("ContextString") or "")))
    return items


BENCHMARK = Benchmark(
    name="harmbench",
    summary="HarmBench: harmful behaviors (arXiv 2402.04249)",
    kind="generation",
    hub=(HubRows("walledai/HarmBench", "standard", "train"),),
    items=_items,
    score=score_requests,
    figures=harm_figures,
    max_new_tokens=128,
    needs=frozenset({"judge"}),
)
