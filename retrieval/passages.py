"""The records that move through retrieval: documents come in, passages are indexed, hits come out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Document", "Hit", "Passage"]


@dataclass(frozen=True)
class Document:
    """A text as it was loaded; `source` says where from (a path, or a path and a row)."""

    id: str
    text: str
    title: str | None = None
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Passage:
    """A piece of text to retrieve.

    Attributes:
        id: unique in an index.
        text, title: what is searched; a title names the document, not the passage.
        metadata: JSON values to filter by.
        source: where the document came from.
        document_id, start, end: the document the passage was cut from, and its characters [start, end) there.
    """

    id: str
    text: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    document_id: str | None = None
    start: int | None = None
    end: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Hit:
    """A passage found.

    Attributes:
        passage: what was found.
        score: cosine similarity (dense), BM25 (sparse) or reciprocal rank fusion (hybrid); higher is better.
        rank: 1 for the best.
        similarity: cosine similarity of query and passage in [-1, 1], in dense and hybrid search; None in sparse search.
    """

    passage: Passage
    score: float
    rank: int
    similarity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "passage": self.passage.to_dict(),
            "score": self.score,
            "rank": self.rank,
            "similarity": self.similarity,
        }
