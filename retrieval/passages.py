"""The records that move through retrieval: documents come in, passages are indexed, hits come out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from retrieval.errors import DuplicateId, EmptyCorpus, InvalidPassage

__all__ = ["Document", "Hit", "Passage", "checked_passages"]


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


def checked_passages(passages: Sequence[Passage]) -> list[Passage]:
    """The passages as a list, if an index can store them.

    Raises:
        EmptyCorpus: there are none, or one has no text.
        InvalidPassage: one is no `Passage`, or holds what JSON or UTF-8 cannot.
        DuplicateId: an id comes twice.
    """
    passages = list(passages)
    if not passages:
        raise EmptyCorpus("there are no passages; nothing to write")
    for i, passage in enumerate(passages):
        if not isinstance(passage, Passage):
            raise InvalidPassage(f"passage {i} is a {type(passage).__name__}; pass Passage(id, text)")
        if not passage.text.strip():
            raise EmptyCorpus(f"passage {passage.id!r} has no text; leave it out")
        try:
            json.dumps(dict(passage.metadata))
            "".join(filter(None, (passage.id, passage.text, passage.title, passage.source, passage.document_id))).encode()
        except (TypeError, ValueError) as error:
            raise InvalidPassage(
                f"passage {passage.id!r} cannot be stored: {error}; ids, texts and titles must be valid Unicode strings, "
                "metadata JSON values"
            ) from error
    twice = [passage_id for passage_id, times in Counter(passage.id for passage in passages).items() if times > 1]
    if twice:
        raise DuplicateId(f"{len(twice)} passage ids come twice in one call ({', '.join(map(repr, twice[:5]))})")
    return passages
