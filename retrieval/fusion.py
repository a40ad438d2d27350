"""Merging rankings from different searches."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["reciprocal_rank_fusion"]


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], *, k: int = 60) -> list[tuple[int, float]]:
    """Sum of 1 / (k + rank) over the rankings an item is in (Cormack et al., SIGIR 2009), best first.

    Args:
        rankings: lists of items, best first.
        k: damps the lead of the first ranks; 60 is the paper's.

    Returns:
        (item, score), highest score first, ties in the order of the first ranking that has the item.
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
