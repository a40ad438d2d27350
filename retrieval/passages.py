"""The records that move through retrieval: documents come in, passages are indexed, hits come out.

Not covered: reading documents (documents.py) and cutting them into passages (split.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import filterfalse
from numbers import Integral
from operator import attrgetter
from typing import Any

from retrieval.errors import DuplicateId, EmptyCorpus, InvalidPassage
from retrieval.files import check_encodable, lone_surrogate
from retrieval.records import Record

__all__ = [
    "AddReport",
    "Document",
    "Hit",
    "IndexInfo",
    "IndexedDocument",
    "Passage",
    "UpdateReport",
    "checked_passages",
    "document_of",
]


@dataclass(frozen=True)
class Document(Record):
    """A text as it was loaded.

    Attributes:
        id: names the document among those that are split together.
        text, title: what is searched, and its heading.
        source: the file, or file and row, it was loaded from.
        metadata: JSON values to filter by.
        page_starts: position in `text` at which each page starts, ascending; empty if the document has no pages. The
            passages that are cut from it have the number of their page, from 1, in their metadata as "page".
    """

    id: str
    text: str
    title: str | None = None
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    page_starts: Sequence[int] = ()


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
        score: cosine similarity (dense), BM25 (sparse), reciprocal rank fusion (hybrid), or that of the reranker; higher is
            better.
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
        added: number of passages that were written.
        duplicates: passages that were left out, as (their id, id of the passage with the same text).
        replaced: number of passages of the index with the same ids, which the new ones replaced.
        unchanged: number of passages that were in the index already, exactly as they are.
    """

    added: int
    duplicates: tuple[tuple[str, str], ...] = ()
    replaced: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class IndexedDocument(Record):
    """A document of which an index has passages.

    Attributes:
        id: the `document_id` of its passages, or the id of a passage that was added without one.
        source, title: as its passages have them.
        passages: number of its passages.
    """

    id: str
    source: str | None
    title: str | None
    passages: int


@dataclass(frozen=True)
class UpdateReport(Record):
    """What `update` did.

    Attributes:
        new, changed, deleted: ids of the documents of which passages were written for the first time, were changed, and were
            all removed.
        unchanged: number of documents that were in the index already, exactly as they are.
        missing: ids of documents that are not in the index and were left out.
        added, removed: numbers of passages that were written and removed.
        duplicates: as in `AddReport`.
    """

    new: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    unchanged: int
    missing: tuple[str, ...]
    added: int
    removed: int
    duplicates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class IndexInfo(Record):
    """Facts about an index.

    Attributes:
        location: its folder, or its URL without the password.
        store: where the passages are: "folder", "postgresql" or "qdrant".
        passages: number of passages.
        embedder, fingerprint, dimension: the embedder it was built with, and the length of its vectors.
        kind: "auto", "flat", "hnsw" or "ivf".
        generation: number of changes since it was created.
        format_version: version of the layout in the store.
        bytes: size of passages and vectors in the store; None if the store does not say.
        segments: number of segments the passages are in; None if the store keeps no such count.
    """

    location: str
    store: str
    passages: int
    embedder: str
    fingerprint: str
    dimension: int
    kind: str
    generation: int
    format_version: int
    bytes: int | None = None
    segments: int | None = None


def document_of(passage: Passage) -> str:
    """The id of the document of a passage; one that was made without a document is a document of its own."""
    return passage.id if passage.document_id is None else passage.document_id


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
    # By column, where one step of C finds that all values are sound; the loops only name the one that is not.
    for name in ("id", "text", "title", "source", "document_id"):
        _check_texts(name, passages)
    for passage in passages:
        if not passage.text or passage.text.isspace():
            raise EmptyCorpus(f"passage {passage.id!r} has no text; leave it out")
    for name in ("start", "end"):
        _check_positions(name, passages)
    for passage in passages:
        if type(passage.metadata) is not dict or passage.metadata:
            _check_metadata(passage)
    ids = list(map(attrgetter("id"), passages))
    if len(set(ids)) < len(ids):
        repeated = [passage_id for passage_id, count in Counter(ids).items() if count > 1]
        named = ", ".join(map(repr, repeated[:5]))
        raise DuplicateId(f"{len(repeated)} passage ids occur twice in one call ({named}); give each passage its own id")
    return passages


def _check_texts(name: str, passages: Sequence[Passage]) -> None:
    """Check that a field is text, or None where it may be, and that it can be written as UTF-8."""
    values = list(map(attrgetter(name), passages))
    optional = name not in ("id", "text")
    if not set(map(type, values)) <= {str, *([type(None)] if optional else [])}:
        for passage, value in zip(passages, values, strict=True):
            if not isinstance(value, str) and not (optional and value is None):
                raise _cannot_be_stored(passage, f"its {name} is {value!r}, not a text")
    if lone_surrogate("".join(filterfalse(str.isascii, filter(None, values)))) is not None:
        for passage, value in zip(passages, values, strict=True):
            if (fault := _fault(value)) is not None:
                raise _cannot_be_stored(passage, f"its {name} {fault}")


def _fault(value: Any) -> ValueError | None:
    try:
        check_encodable(value)
    except ValueError as error:
        return error
    return None


def _check_positions(name: str, passages: Sequence[Passage]) -> None:
    """Check that a field is a whole number that stores can hold, or None."""
    values = list(map(attrgetter(name), passages))
    if set(map(type, values)) == {type(None)}:
        return
    for passage, value in zip(passages, values, strict=True):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise _cannot_be_stored(passage, f"its {name} is {value!r}, not a whole number")
        if not 0 <= int(value) < 2**63:
            raise _cannot_be_stored(passage, f"its {name} is {value}, not a position in a text")


def _check_metadata(passage: Passage) -> None:
    """Check that the metadata are a mapping that JSON can hold."""
    if not isinstance(passage.metadata, Mapping):
        raise _cannot_be_stored(passage, f"its metadata is a {type(passage.metadata).__name__}, not a mapping")
    if not all(isinstance(key, str) for key in passage.metadata):
        raise _cannot_be_stored(passage, "a key of its metadata is not a text")
    try:
        json.dumps(dict(passage.metadata), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"its metadata is not JSON ({error}); use texts, finite numbers, lists and mappings"
        raise _cannot_be_stored(passage, reason) from error
    if (fault := _fault(passage.metadata)) is not None:
        raise _cannot_be_stored(passage, f"its metadata {fault}")


def _cannot_be_stored(passage: Passage, reason: object) -> InvalidPassage:
    return InvalidPassage(f"passage {passage.id!r} cannot be stored: {reason}")
