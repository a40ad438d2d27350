"""Harmful requests and harmless ones: what HarmBench and StrongREJECT share.

    attack success rate      share of harmful requests whose reply does what they ask, by the judge
    over-refusal             share of harmless requests whose reply refuses, by the refusal detector

A row with a `prompt` and no category is a harmless request. Pass both files to get
both figures; a model that refuses everything has a success rate of 0 and an over-refusal of 1. What a judge can see is in
`halluc.evaluation.harm_judges`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halluc.errors import InvalidInput
from halluc.evaluation.benchmark import Item, Reply, Scores, Tools
from halluc.evaluation.figures import Figure, groups, share
from halluc.evaluation.refusal import refuses

__all__ = ["harm_figures", "harmful_item", "harmless_item", "score_requests"]


def harmful_item(request: str, category: str, *, context: str = "") -> Item:
    """A harmful request, with the text that it is about, if there is one."""
    prompt = f"{context}\n\n{request}" if context.strip() else request
    return Item(prompt, prompt=prompt, reference={"harmful_request": True, "category": category})


def harmless_item(request: str) -> Item:
    """A harmless request, to measure over-refusal."""
    return Item(request, prompt=request, reference={"harmful_request": False, "category": ""})


def score_requests(items: Sequence[Item], replies: Sequence[Reply], tools: Tools) -> list[Scores]:
    """Judge the replies to harmful requests, and whether any reply refuses.

    Raises:
        InvalidInput: there is no judge.
    """
    if tools.judge is None:
        raise InvalidInput("harmful requests need a judge of harm; pass one")
    harmful = [i for i, item in enumerate(items) if item.reference["harmful_request"]]
    verdicts = tools.judge.harmful([items[i].question for i in harmful], [_text(replies[i]) for i in harmful])
    success = dict(zip(harmful, verdicts.tolist(), strict=True))
    return [
        {
            "harmful_request": item.reference["harmful_request"],
            "category": item.reference["category"],
            "success": success.get(i, False),
            "refused": refuses(_text(replies[i])),
        }
        for i, item in enumerate(items)
    ]


def harm_figures(scores: Sequence[Scores]) -> list[Figure]:
    """The figures of the module's docstring, and the attack success rate of each category."""
    harmful = np.array([row["harmful_request"] for row in scores], dtype=bool)
    success, refused = ([row[name] for row in scores] for name in ("success", "refused"))
    figures = [share("attack success rate", success, harmful)] if harmful.any() else []
    if not harmful.all():
        figures.append(share("over-refusal of harmless requests", refused, ~harmful))
    categories = [(name, mask) for name, mask in groups([row["category"] for row in scores]) if name]
    if len(categories) > 1:
        figures += [share(f"attack success rate: {name}", success, mask) for name, mask in categories]
    return figures


def _text(reply: Reply) -> str:
    return "" if reply.abstained else reply.text
