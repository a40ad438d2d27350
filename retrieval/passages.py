"""The records that move through retrieval: documents come in, passages are indexed, hits come out.

Not covered: reading documents (documents.py) and cutting them into passages (split.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

from retrieval.errors import DuplicateId, EmptyCorpus, InvalidPassage
from retrieval.files import check_encodable
from retrieval.records import Record

__all__ = ["AddReport", "Document", "Hit", "IndexInfo", "Passage", "checked_passages"]


@dataclass(frozen=True)
class Document(Record):
    """A text as it was loaded.

    Attributes:
        id: names the document among those that are split together.
        text, title: what is searched, and its heading.
        source: the file, or file and row, it was loaded from.
        metadata: JSON values to filter by.
    """

    id: str
    text: str
    title: str | None = None
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Passage(Record):
    """A piece of text to retrieve.

    Attributes:
        id: unique in an index.
        text: what is searched.
        title: names the document, not the passage.
        metadata: JSON values to filter by.
        source: the file, or file and row, that the document was loaded from.
        document_id, start, end: the document that the passage was cut from, and its characters [start, end) there.
    """

    id: str
    text: str
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    document_id: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Hit(Record):
    """A passage that a search returned.

    Attributes:
        passage: the passage.
        score: cosine similarity (dense), BM25 (sparse) or reciprocal rank fusion (hybrid); higher is better.
        rank: 1 for the best.
        similarity: cosine similarity of query and passage in [-1, 1]; None in sparse search without `min_similarity`, which
            computes no embedding.
    """

    passage: Passage
    score: float
    rank: int
    similarity: float | None = None


@dataclass(frozen=True)
class AddReport(Record):
    """What `add` did.

    Attributes:
        added: number of passages that were added.
        duplicates: passages that were left out, as (their id, id of the passage with the same text).
    """

    added: int
    duplicates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class IndexInfo(Record):
    """Facts about an index.

    Attributes:
        path: its folder.
        passages: number of passages.
        embedder, fingerprint, dimension: the embedder it was built with, and the length of its vectors.
        kind: "auto", "flat", "hnsw" or "ivf".
        segments: number of segments the passages are in.
        generation: number of changes since it was created.
        format_version: version of the layout on disk.
        bytes: size of passages and vectors on disk.
    """

    path: str
    passages: int
    embedder: str
    fingerprint: str
    dimension: int
    kind: str
    segments: int
    generation: int
    format_version: int
    bytes: int


def checked_passages(passages: Sequence[Passage]) -> list[Passage]:
    """Check that an index can store passages, and return them as a list.

    Raises:
        EmptyCorpus: there are none, or one has no text.
        InvalidPassage: one is not a `Passage`, or holds what JSON or UTF-8 cannot represent.
        DuplicateId: an id occurs twice.
    """
    if isinstance(passages, (str, bytes, Passage)) or not isinstance(passages, Iterable):
        raise InvalidPassage(f"passages is a {type(passages).__name__}; pass a list of Passage(id, text)")
    passages = list(passages)
    if not passages:
        raise EmptyCorpus("there are no passages; nothing to write")
    for i, passage in enumerate(passages):
        if not isinstance(passage, Passage):
            raise InvalidPassage(f"passages[{i}] is a {type(passage).__name__}; pass Passage(id, text)")
        try:
            _check_fields(passage)
        except (TypeError, ValueError) as error:
            raise InvalidPassage(f"passage {passage.id!r} cannot be stored: {error}") from error
        if not passage.text.strip():
            raise EmptyCorpus(f"passage {passage.id!r} has no text; leave it out")
    counts = Counter(passage.id for passage in passages)
    if repeated := [passage_id for passage_id, count in counts.items() if count > 1]:
        named = ", ".join(map(repr, repeated[:5]))
        raise DuplicateId(f"{len(repeated)} passage ids occur twice in one call ({named}); give each passage its own id")
    return passages


def _check_fields(passage: Passage) -> None:
    """Check the types of the fields, and that they can be written as UTF-8 and JSON."""
    for name in ("id", "text", "title", "source", "document_id"):
        value = getattr(passage, name)
        if not isinstance(value, str) and (value is not None or name in ("id", "text")):
            raise TypeError(f"its {name} is {value!r}, not a text")
    for name in ("start", "end"):
        value = getattr(passage, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"its {name} is {value!r}, not a whole number")
    if not isinstance(passage.metadata, Mapping):
        raise TypeError(f"its metadata is a {type(passage.metadata).__name__}, not a mapping")
    if not all(isinstance(key, str) for key in passage.metadata):
        raise TypeError("a key of its metadata is not a text")
    try:
        json.dumps(dict(passage.metadata), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"its metadata is not JSON ({error}); use texts, finite numbers, lists and mappings") from error
    for name in ("id", "text", "title", "source", "document_id", "metadata"):
        try:
            check_encodable(getattr(passage, name))
        except ValueError as error:
            raise ValueError(f"its {name} {error}") from error
