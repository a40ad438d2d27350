"""Rerankers: they read query and passage together, and put the first hits of a search in a better order.

A search finds passages by vectors and words that were computed without the query; a reranker is slower and more exact, so it
scores only the first hits. Not covered: search itself (search.py), the reranker that comes with this package
(trained_reranker.py) and training one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from retrieval.errors import InvalidQuery, RerankerUnavailable, check_text, first_line
from retrieval.hub import require_hub
from retrieval.passages import Hit
from retrieval.progress import no_transformers_bars

if TYPE_CHECKING:
    from retrieval.trained_reranker import TrainedReranker

__all__ = ["CrossEncoderReranker", "Reranker", "ScoringReranker", "checked_reranker", "reranked"]


@runtime_checkable
class Reranker(Protocol):
    """What a search needs of a reranker.

    Attributes:
        name: shown in reports.
    """

    name: str

    def score(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """Score N pairs of a query and the text of a passage; the higher, the better the passage answers the query."""


class CrossEncoderReranker:
    """A cross-encoder with one output, loaded on first use.

    Args:
        name: a folder, or a hub id such as "cross-encoder/ms-marco-MiniLM-L6-v2".
        batch_size: number of pairs scored at a time.
        max_tokens: longest pair in tokens; the end of longer passages is not read. By default what the model reads.
    """

    def __init__(self, name: str, *, batch_size: int = 32, max_tokens: int | None = None) -> None:
        check_text("the name of the reranker", name)
        self.name = name
        self.batch_size = batch_size
        self.max_tokens = max_tokens

    @cached_property
    def model(self) -> Any:
        """The `CrossEncoder`.

        Raises:
            RerankerUnavailable: it cannot be loaded, or has several outputs.
        """
        from sentence_transformers import CrossEncoder

        try:
            require_hub(self.name)
            with no_transformers_bars():
                model = CrossEncoder(self.name, max_length=self.max_tokens)
        except (OSError, ValueError) as error:
            raise RerankerUnavailable(
                f"reranker {self.name} cannot be loaded: {first_line(error)}; pass the folder of a cross-encoder, "
                "or a hub id this machine can reach"
            ) from error
        if model.num_labels != 1:
            raise RerankerUnavailable(
                f"{self.name} has {model.num_labels} outputs; a reranker has one, the relevance of the passage"
            )
        # Text that spells a special token, such as "[SEP]", is text.
        model.tokenizer.split_special_tokens = True
        return model

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score N pairs of a query and the text of a passage."""
        if not pairs:
            return []
        scores = self.model.predict([list(pair) for pair in pairs], batch_size=self.batch_size, show_progress_bar=False)
        return [float(score) for score in scores]


class ScoringReranker:
    """A reranker that scores with a function, such as the score of a verifier for the question as a claim.

    Args:
        function: from N pairs of a query and the text of a passage to N numbers; the higher, the better.
        name: shown in reports.
    """

    def __init__(self, function: Callable[[Sequence[tuple[str, str]]], Sequence[float]], *, name: str = "function") -> None:
        if not callable(function):
            raise InvalidQuery(f"function is {function!r}; pass a function from (query, text) pairs to scores")
        self.name = name
        self._function = function

    def score(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """Score N pairs of a query and the text of a passage."""
        return self._function(pairs)


def checked_reranker(reranker: Any) -> Reranker:
    """Take a reranker, or load the one that a name stands for, so that a wrong one is named before any work.

    Args:
        reranker: a `Reranker`, "default", or the folder or hub id of a cross-encoder.

    Raises:
        InvalidQuery: it is something else.
        RerankerUnavailable: it cannot be loaded.
    """
    if isinstance(reranker, str):
        named = _named_reranker(reranker)
        _ = named.model
        return named
    if not hasattr(reranker, "score"):
        raise InvalidQuery(f"rerank is {reranker!r}; pass a Reranker, 'default', or the folder or hub id of a cross-encoder")
    model: Reranker = reranker
    return model


def reranked(reranker: Reranker, queries: Sequence[str], hits: Sequence[Sequence[Hit]], k: int) -> list[list[Hit]]:
    """Put the hits of each query in the order of the reranker's scores, and keep the first k.

    A reranker with a method `combine` (scores, hits) also weighs what the search says about the hits.

    Hits of equal score stay in the order of the search.

    Raises:
        InvalidQuery: the reranker did not return one finite number for each pair.
    """
    import numpy as np

    pairs = [(query, hit.passage.text) for query, query_hits in zip(queries, hits, strict=True) for hit in query_hits]
    scores = np.asarray(reranker.score(pairs) if pairs else [], float)
    if scores.shape != (len(pairs),) or not np.isfinite(scores).all():
        raise InvalidQuery(
            f"reranker {reranker.name} returned {scores.shape} scores for {len(pairs)} pairs, or not finite ones"
        )
    results, start = [], 0
    for query_hits in hits:
        query_scores = scores[start : start + len(query_hits)]
        start += len(query_hits)
        if (combine := getattr(reranker, "combine", None)) is not None:
            query_scores = combine(query_scores, query_hits)
        order = np.argsort(-query_scores, kind="stable")[:k].tolist()
        results.append([replace(query_hits[i], score=float(query_scores[i]), rank=rank) for rank, i in enumerate(order, 1)])
    return results


def _named_reranker(name: str) -> TrainedReranker | CrossEncoderReranker:
    from retrieval.trained_reranker import DEFAULT_RERANKER, TrainedReranker, default_reranker, is_trained_reranker

    if name == DEFAULT_RERANKER:
        return default_reranker()
    return TrainedReranker(name) if is_trained_reranker(name) else CrossEncoderReranker(name)
