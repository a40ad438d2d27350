"""How often retrieval finds the passage that answers a question: hit@k and the mean reciprocal rank (MRR)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.errors import InvalidQuery, check_texts
from retrieval.records import Record
from retrieval.rerank import Reranker, checked_reranker

if TYPE_CHECKING:
    from retrieval.ranking import Mode
    from retrieval.store import PassageStore

__all__ = ["RetrievalScore", "evaluate_retrieval"]


@dataclass(frozen=True)
class RetrievalScore(Record):
    """The score of one search mode on one set of questions.

    Attributes:
        mode: "dense", "sparse" or "hybrid".
        hit_at: for each k the share of questions whose gold passage is among the first k hits, in [0, 1].
        mrr: mean of 1 / rank of the gold passage, in [0, 1]; counts as 0 where it is not among the hits for the largest k.
    """

    mode: str
    hit_at: Mapping[int, float]
    mrr: float


def evaluate_retrieval(
    index: PassageStore,
    questions: Sequence[str],
    gold: Sequence[str],
    *,
    ks: Sequence[int] = (1, 3, 5),
    modes: Sequence[Mode] = ("dense", "sparse", "hybrid"),
    rerank: Reranker | str | None = None,
    rerank_depth: int = 20,
) -> list[RetrievalScore]:
    """Score each search mode.

    Args:
        index: what is searched.
        questions: N questions.
        gold: N ids, of the passage that answers each question or of the document it was cut from.
        ks: numbers of hits to look at.
        modes: search modes to score.
        rerank, rerank_depth: as in `PassageStore.search`.

    Returns:
        One score per mode.

    Raises:
        InvalidQuery: there are no questions, not one gold id for each, or an option is out of range.
    """
    for name, texts in (("questions", questions), ("gold", gold), ("modes", modes)):
        check_texts(name, texts)
    if not questions:
        raise InvalidQuery("there are no questions; pass at least one")
    if len(questions) != len(gold):
        raise InvalidQuery(f"there are {len(questions)} questions and {len(gold)} gold ids; pass one id for each question")
    if not ks or min(ks) < 1:
        raise InvalidQuery(f"ks is {ks!r}; pass numbers of hits of at least 1")
    # Loaded once for all modes.
    reranker = None if rerank is None else checked_reranker(rerank)
    scores = []
    for mode in modes:
        ranks = []
        hit_lists = index.search(list(questions), k=max(ks), mode=mode, rerank=reranker, rerank_depth=rerank_depth)
        for hits, gold_id in zip(hit_lists, gold, strict=True):
            gold_ranks = (hit.rank for hit in hits if gold_id in (hit.passage.id, hit.passage.document_id))
            ranks.append(next(gold_ranks, None))
        hit_at = {k: sum(rank is not None and rank <= k for rank in ranks) / len(ranks) for k in ks}
        scores.append(RetrievalScore(mode, hit_at, sum(1 / rank for rank in ranks if rank) / len(ranks)))
    return scores
