"""How often retrieval finds the passage that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from retrieval.errors import InvalidQuery

if TYPE_CHECKING:
    from retrieval.index import Mode, PassageIndex

__all__ = ["RetrievalScore", "evaluate_retrieval"]


@dataclass(frozen=True)
class RetrievalScore:
    """One search mode on one set of questions.

    Attributes:
        mode: "dense", "sparse" or "hybrid".
        hit_at: per k the share of questions whose gold passage is among the first k hits, in [0, 1].
        mrr: mean of 1 / rank of the gold passage, 0 where it is not among the largest k.
    """

    mode: str
    hit_at: Mapping[int, float]
    mrr: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def evaluate_retrieval(
    index: PassageIndex,
    questions: Sequence[str],
    gold: Sequence[str],
    *,
    ks: Sequence[int] = (1, 3, 5),
    modes: Sequence[Mode] = ("dense", "sparse", "hybrid"),
) -> list[RetrievalScore]:
    """Score each mode. `gold` holds a passage id per question, or the id of the document it was cut from.

    Raises:
        InvalidQuery: there are no questions, or not one gold id each.
    """
    if not questions or len(questions) != len(gold):
        raise InvalidQuery(f"{len(questions)} questions and {len(gold)} gold ids; pass at least one, and one id a question")
    scores = []
    for mode in modes:
        ranks = []
        for hits, wanted in zip(index.search(list(questions), k=max(ks), mode=mode), gold, strict=True):
            found = (hit.rank for hit in hits if wanted in (hit.passage.id, hit.passage.document_id))
            ranks.append(next(found, None))
        hit_at = {k: sum(rank is not None and rank <= k for rank in ranks) / len(ranks) for k in ks}
        scores.append(RetrievalScore(mode, hit_at, sum(1 / rank for rank in ranks if rank) / len(ranks)))
    return scores
