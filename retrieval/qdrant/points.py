"""Passages as points of Qdrant: their payload, their words as a sparse vector, and filters on their metadata."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.filters import choices_of
from retrieval.passages import Passage, document_of
from retrieval.segment import text_hash
from retrieval.terms import terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["condition_of", "passage_of", "point_of", "query_words", "visible", "word_count"]

# The parameters of bm25s, so that every store ranks alike. Qdrant multiplies by the inverse document frequency itself.
_K1 = 1.5
_B = 0.75


def point_of(number: int, passage: Passage, vector: NDArray[np.float32], mean_words: float, change: str | None) -> Any:
    """Make a point.

    Args:
        number: its id; points are read in the order of their ids.
        passage, vector: the passage, and its (d,) unit vector.
        mean_words: mean length of passages in words, by which BM25 measures length.
        change: the change that writes it, until it is committed; None for a passage that is there at once.
    """
    from qdrant_client import models

    payload = {
        "id": passage.id,
        "document": document_of(passage),
        "text": passage.text,
        "title": passage.title,
        "source": passage.source,
        "document_id": passage.document_id,
        "start": passage.start,
        "end": passage.end,
        "metadata": json.dumps(dict(passage.metadata), ensure_ascii=False),
        "facets": sorted(_facets(passage.metadata)),
        "text_hash": str(text_hash(passage.text)),
        **({} if change is None else {"change": change}),
    }
    counts = _counted(passage.text)
    damping = _K1 * (1 - _B + _B * sum(counts.values()) / mean_words) if mean_words else 1.0
    words = models.SparseVector(indices=list(counts), values=[count / (count + damping) for count in counts.values()])
    return models.PointStruct(id=number, vector={"dense": vector.tolist(), "words": words}, payload=payload)


def passage_of(payload: Mapping[str, Any]) -> Passage:
    """Make a passage of the payload of its point."""
    others = (payload.get(name) for name in ("source", "document_id", "start", "end"))
    return Passage(payload["id"], payload["text"], payload.get("title"), json.loads(payload["metadata"]), *others)


def query_words(query: str) -> Any:
    """Make the sparse vector of a query; None if it has no words."""
    from qdrant_client import models

    counts = _counted(query)
    return models.SparseVector(indices=list(counts), values=list(map(float, counts.values()))) if counts else None


def word_count(passages: Sequence[Passage]) -> int:
    """Number of words of some passages."""
    return sum(len(terms(passage.text)) for passage in passages)


def visible(condition: Any = None) -> Any:
    """The filter of points that are committed, and that pass another filter."""
    from qdrant_client import models

    committed = models.IsEmptyCondition(is_empty=models.PayloadField(key="change"))
    return models.Filter(must=[committed, *([] if condition is None else [condition])])


def condition_of(wanted: Mapping[str, Any]) -> Any:
    """Translate a filter: each key has one of its values, or, if it is a list, an element that is one of them."""
    from qdrant_client import models

    conditions: list[Any] = []
    for key, choices in choices_of(wanted).items():
        facets = [facet for choice in choices if (facet := _facet(key, choice)) is not None]
        alternatives: list[Any] = [_has_facet(facets or ["none"])]
        if None in choices:
            alternatives.append(models.Filter(must_not=[_has_facet([json.dumps([key])])]))
        conditions.append(models.Filter(should=alternatives))
    return models.Filter(must=conditions) if conditions else None


def _has_facet(facets: list[str]) -> Any:
    from qdrant_client import models

    return models.FieldCondition(key="facets", match=models.MatchAny(any=facets))


def _facets(metadata: Mapping[str, Any]) -> set[str]:
    """Write metadata as texts that filters look for: one for each key, and one for each of its values."""
    facets = {json.dumps([key]) for key in metadata}
    for key, value in metadata.items():
        facets |= {str(_facet(key, element)) for element in (value if isinstance(value, list) else [value])}
    return facets


def _facet(key: str, value: Any) -> str | None:
    """Write a value of a key; equal values are written alike, and what is not JSON is None."""
    try:
        text = json.dumps(value, allow_nan=False)
        is_json = bool(json.loads(text) == value) and _encodable(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return json.dumps([key, _normal(value)], sort_keys=True) if is_json else None


def _encodable(value: Any) -> bool:
    json.dumps(value, ensure_ascii=False).encode()
    return True


def _normal(value: Any) -> Any:
    """Replace floats that are whole numbers by them, as 1929.0 is equal to 1929."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return {key: _normal(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _counted(text: str) -> Counter[int]:
    """Count the terms of a text by the 32-bit numbers under which Qdrant keeps them."""
    import xxhash

    return Counter(xxhash.xxh32_intdigest(term.encode()) for term in terms(text))
