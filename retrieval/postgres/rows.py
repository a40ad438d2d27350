"""Rows of the table of passages in the binary format of COPY, and the counting of words for BM25."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from retrieval.passages import Passage, document_of
from retrieval.segment import text_hash
from retrieval.terms import terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "COPY_END", "COPY_START", "counted", "encoded_row", "signed_hash", "term_hash"]

COLUMNS = (
    "id", "document", "text", "title", "source", "document_id", "start_at", "end_at", "metadata", "text_hash", "words",
    "terms", "counts", "embedding",
)  # fmt: skip
COPY_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END = b"\xff\xff"
_BIGINT, _INTEGER = 20, 23  # numbers of the types in every PostgreSQL


def encoded_row(passage: Passage, vector: NDArray[np.float32]) -> tuple[bytes, int]:
    """Encode the row of a passage and its (d,) vector; returns the number of its words too."""
    hashes, counts, words = counted(passage.text)
    texts = (passage.id, document_of(passage), passage.text, passage.title, passage.source, passage.document_id)
    values = [
        *(None if text is None else text.encode() for text in texts),
        *(None if number is None else struct.pack(">q", number) for number in (passage.start, passage.end)),
        json.dumps(dict(passage.metadata), ensure_ascii=False).encode(),
        struct.pack(">q", signed_hash(text_hash(passage.text))),
        struct.pack(">i", words),
        _array(hashes, _BIGINT),
        _array(counts, _INTEGER),
        struct.pack(">HH", len(vector), 0) + vector.astype(">f4").tobytes(),
    ]
    parts = [struct.pack(">h", len(values))]
    for value in values:
        parts.append(struct.pack(">i", -1 if value is None else len(value)))
        parts.append(value or b"")
    return b"".join(parts), words


def counted(text: str) -> tuple[list[int], list[int], int]:
    """Count the terms of a text: their hashes, how often each occurs, and the number of words."""
    words = terms(text)
    counts = Counter(map(term_hash, words))
    return list(counts), list(counts.values()), len(words)


@lru_cache(maxsize=1 << 18)
def term_hash(term: str) -> int:
    """Compute the number by which a term is stored."""
    import xxhash

    return signed_hash(xxhash.xxh3_64_intdigest(term.encode()))


def signed_hash(value: int) -> int:
    """Map an unsigned 64-bit number to PostgreSQL's bigint."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _array(numbers: Sequence[int], kind: int) -> bytes:
    """Encode an array of bigint or integer."""
    if not numbers:
        return struct.pack(">iii", 0, 0, kind)
    width, letter = (8, "q") if kind == _BIGINT else (4, "i")
    pairs = [part for number in numbers for part in (width, number)]
    return struct.pack(f">5i{f'i{letter}' * len(numbers)}", 1, 0, kind, len(numbers), 1, *pairs)
