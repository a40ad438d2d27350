"""From documents to passages that fit the embedder: whole sentences, with their place in the document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from retrieval.errors import EmptyCorpus, InvalidQuery
from retrieval.passages import Document, Passage
from retrieval.sentences import sentence_spans

if TYPE_CHECKING:
    from retrieval.embedders import Embedder

__all__ = ["split_documents"]


def split_documents(
    documents: Iterable[Document],
    *,
    max_tokens: int | None = None,
    overlap: int = 1,
    embedder: Embedder | None = None,
) -> list[Passage]:
    """Cut documents into passages of whole sentences.

    Args:
        documents: what to cut; `document.text[passage.start:passage.end] == passage.text` holds for every passage.
        max_tokens: longest passage in the embedder's tokens; by default as much as the embedder reads.
        overlap: sentences at the end of a passage that the next one starts with, as far as they fit.
        embedder: whose tokenizer counts; the default embedder if None.

    Returns:
        Passages in the order of the documents. A document that fits is one passage with the document's id; the others
        are numbered `id#0`, `id#1`, … A sentence longer than `max_tokens` is cut between tokens.

    Raises:
        EmptyCorpus: there are no documents, or none has text.
        InvalidQuery: max_tokens or overlap is out of range.
    """
    if embedder is None:
        from retrieval.embedders import load_embedder

        embedder = load_embedder()
    limit = embedder.max_tokens if max_tokens is None else min(max_tokens, embedder.max_tokens)
    if limit < 1 or overlap < 0:
        raise InvalidQuery(f"max_tokens is {limit} and overlap {overlap}; pass at least 1 and at least 0")
    passages: list[Passage] = []
    for document in documents:
        pieces = _pieces(document.text, limit, embedder)
        spans = list(_windows(pieces, limit, overlap))
        for number, (start, end) in enumerate(spans):
            passages.append(
                Passage(
                    id=document.id if len(spans) == 1 else f"{document.id}#{number}",
                    text=document.text[start:end],
                    title=document.title,
                    metadata=document.metadata,
                    source=document.source,
                    document_id=document.id,
                    start=start,
                    end=end,
                )
            )
    if not passages:
        raise EmptyCorpus("there is no text in the documents; nothing to split")
    return passages


def _pieces(text: str, limit: int, embedder: Embedder) -> list[tuple[int, int, int]]:
    """(start, end, tokens) of each sentence, over-long ones cut between tokens."""
    spans = sentence_spans(text)
    pieces = []
    for (start, end), offsets in zip(spans, embedder.token_offsets([text[s:e] for s, e in spans]), strict=True):
        for first in range(0, max(len(offsets), 1), limit):
            own = offsets[first : first + limit]
            # A cut piece runs to the start of the next token, so that no character between tokens is lost.
            left = start if first == 0 else start + offsets[first][0]
            after = first + limit
            right = start + offsets[after][0] if after < len(offsets) else end
            pieces.append((left, right, len(own)))
    return pieces


def _windows(pieces: Sequence[tuple[int, int, int]], limit: int, overlap: int) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(pieces):
        last, tokens = first, pieces[first][2]
        while last + 1 < len(pieces) and tokens + pieces[last + 1][2] <= limit:
            last += 1
            tokens += pieces[last][2]
        yield pieces[first][0], pieces[last][1]
        if last + 1 == len(pieces):
            return
        # Step back by the overlap, but always past the window's start, and only as far as the next piece still fits.
        following = max(first + 1, last + 1 - overlap)
        while following <= last and sum(p[2] for p in pieces[following : last + 2]) > limit:
            following += 1
        first = following
