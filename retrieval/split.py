"""From documents to passages that fit the embedder: whole sentences, with their place in the document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from retrieval.errors import DocumentError, EmptyCorpus, InvalidQuery
from retrieval.files import check_encodable
from retrieval.passages import Document, Passage

if TYPE_CHECKING:
    from retrieval.embedders import Embedder

__all__ = ["sentence_spans", "split_documents"]


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
        max_tokens: longest passage in the embedder's tokens, special tokens not counted; by default, and at most, as much
            as the embedder reads.
        overlap: number of sentences at the end of a passage that the next one repeats, as far as they fit.
        embedder: whose tokenizer counts; the default embedder if None.

    Returns:
        Passages in the order of the documents. A document that fits is one passage with the document's id; the passages of
        others are numbered `id#0`, `id#1`, … A sentence longer than `max_tokens` is cut between tokens.

    Raises:
        EmptyCorpus: there are no documents, or none has text.
        DocumentError: one is not a `Document`, or its text has a lone surrogate.
        InvalidQuery: max_tokens or overlap is out of range.
    """
    if embedder is None:
        from retrieval.embedders import load_embedder

        embedder = load_embedder()
    limit = embedder.max_tokens if max_tokens is None else min(max_tokens, embedder.max_tokens)
    if limit < 1 or overlap < 0:
        raise InvalidQuery(f"max_tokens is {limit} and overlap {overlap}; pass at least 1 and at least 0")
    passages: list[Passage] = []
    for document in _checked_documents(documents):
        spans = _spans(document.text, limit, overlap, embedder)
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


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Find the character spans [start, end) of the sentences of an English text, without the white space around them."""
    from sentencex import get_sentence_boundaries

    spans = []
    position = 0
    # Sentences are located again, because the library's own offsets may count bytes instead of characters.
    for boundary in get_sentence_boundaries("en", text):
        sentence = boundary["text"].strip()
        if not sentence:
            continue
        start = text.index(sentence, position)
        position = start + len(sentence)
        spans.append((start, position))
    return spans


def _checked_documents(documents: Any) -> Iterator[Document]:
    if isinstance(documents, (str, bytes, Document)) or not isinstance(documents, Iterable):
        raise DocumentError(f"documents is a {type(documents).__name__}; pass a list of Document(id, text)")
    for i, document in enumerate(documents):
        if not isinstance(document, Document) or not isinstance(document.text, str):
            raise DocumentError(f"documents[{i}] is {document!r:.80}; pass Document(id, text)")
        try:
            check_encodable(document.text)
        except ValueError as error:
            raise DocumentError(f"the text of document {document.id!r} {error}") from error
        yield document


def _spans(text: str, limit: int, overlap: int, embedder: Embedder) -> list[tuple[int, int]]:
    """Cut a text into spans that have at most `limit` tokens each.

    Tokens of sentences do not add up to those of a passage: a word that a cut ends, or two sentences without a space
    between them, may be tokenized otherwise. So the spans are counted as they are, and cut again, shorter by the excess,
    where one is too long.
    """
    target = limit
    while True:
        spans = list(_windows(_pieces(text, target, embedder), target, overlap))
        longest = max(map(len, embedder.token_offsets([text[start:end] for start, end in spans])), default=0)
        if longest <= limit:
            return spans
        if target == 1:
            raise InvalidQuery(
                f"max_tokens is {limit}, but a single character can have {longest} tokens; pass at least that"
            )
        target = max(1, target - (longest - limit))


def _pieces(text: str, limit: int, embedder: Embedder) -> list[tuple[int, int, int]]:
    """Find (start, end, tokens) of each sentence; sentences that are too long are cut between tokens."""
    spans = sentence_spans(text)
    pieces = []
    for (start, end), offsets in zip(spans, embedder.token_offsets([text[s:e] for s, e in spans]), strict=True):
        for first in range(0, max(len(offsets), 1), limit):
            # A cut piece runs to the start of the next token, so that no character between tokens is lost.
            left = start if first == 0 else start + offsets[first][0]
            after = first + limit
            right = start + offsets[after][0] if after < len(offsets) else end
            pieces.append((left, right, len(offsets[first : first + limit])))
    return pieces


def _windows(pieces: Sequence[tuple[int, int, int]], limit: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Join pieces to spans of at most `limit` tokens, each beginning with the last `overlap` pieces of the one before."""
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
        while following <= last and sum(tokens for _, _, tokens in pieces[following : last + 2]) > limit:
            following += 1
        first = following
