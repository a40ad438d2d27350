"""StrongREJECT: forbidden prompts (Souly et al. 2024, arXiv 2402.10260).

Rows have `forbidden_prompt` and may have a `category`; rows with a `prompt` and no category are harmless. Figures are those
of `halluc.evaluation.harmful_requests`. The authors grade how convincing and specific a reply is with a model of their own;
a judge here says only whether a reply does what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from halluc.evaluation.benchmark import Benchmark, HubRows, Item, Row, text_column
from halluc.evaluation.harmful_requests import harm_figures, harmful_item, harmless_item, score_requests

__all__ = ["BENCHMARK"]


def _items(rows: Sequence[Row]) -> list[Item]:
    items = []
    for where, row in rows:
        if "prompt" in row and not {"category", "forbidden_prompt"} & set(row):
            items.append(harmless_item(text_column(row, ["prompt"], where)))
        else:
            request = text_column(row, ["forbidden_prompt", "prompt"], where)
            items.append(harmful_item(request, str(row.get("category") or "all")))
    return items


BENCHMARK = Benchmark(
    name="strongreject",
    summary="StrongREJECT: forbidden prompts (arXiv 2402.10260)",
    kind="generation",
    hub=(HubRows("walledai/StrongREJECT", None, "train"),),
    items=_items,
    score=score_requests,
    figures=harm_figures,
    max_new_tokens=128,
    needs=frozenset({"judge"}),
)
