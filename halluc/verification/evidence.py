"""Split long evidence into units that a cross-encoder can read: overlapping windows of sentences, and single sentences.

A verifier reads each unit and the best one counts (SummaC, arXiv 2111.09525, section 3: the maximum over evidence units).
Not covered: reading them (cross_encoder.py), and which sentence of a passage is quoted (judge.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from retrieval.split import sentence_spans

__all__ = ["TOKENS_PER_CHARACTER", "TokenCounter", "evidence_units", "nearest_sentences", "terms"]

TOKENS_PER_CHARACTER = 3
"""Most tokens of one character: tokenizers split a Hangul syllable into up to three letters."""

TokenCounter: TypeAlias = Callable[[Sequence[str]], list[int]]
"""Counts the tokens of each of (N,) texts, without special tokens."""


class _Piece(NamedTuple):
    """Characters [start, end) of the evidence, and their tokens."""

    start: int
    end: int
    tokens: int


def evidence_units(evidence: str, count_tokens: TokenCounter, *, max_tokens: int, overlap: float = 0.25) -> list[str]:
    """Split a text into windows of consecutive sentences that overlap and together cover all of it.

    Args:
        evidence: any text.
        count_tokens: the tokenizer that `max_tokens` refers to.
        max_tokens: longest window. A sentence that is longer is cut at white space into pieces of a quarter of a window.
        overlap: share of a window's tokens that the next window repeats, at most.

    Returns:
        `[evidence]` if it is short enough, else the windows in order.
    """
    if count_tokens([evidence])[0] <= max_tokens:
        return [evidence]
    spans = _sentences(evidence)
    lengths = count_tokens([evidence[start:end] for start, end in spans])
    pieces: list[_Piece] = []
    for (start, end), length in zip(spans, lengths, strict=True):
        if length <= max_tokens:
            pieces.append(_Piece(start, end, length))
        else:
            pieces += _cut_sentence(evidence, start, end, count_tokens, max_tokens)
    units = []
    first = 0
    while True:
        end = _run_end(pieces, first, max_tokens)
        units.append(evidence[pieces[first].start : pieces[end - 1].end].strip())
        if end == len(pieces):
            return units
        # The next window repeats the last sentences of this one.
        repeated, next_first = 0, end
        while next_first - 1 > first and repeated + pieces[next_first - 1].tokens <= int(max_tokens * overlap):
            next_first -= 1
            repeated += pieces[next_first].tokens
        first = next_first


def nearest_sentences(evidence: str, claim: str, count: int) -> list[str]:
    """Find the `count` sentences of a text that share the most words with a claim; of equal ones the first comes first."""
    claim_terms = terms(claim)
    sentences = [evidence[start:end].strip() for start, end in _sentences(evidence)]
    shared = {sentence: len(claim_terms & terms(sentence)) for sentence in sentences if sentence}
    return sorted(shared, key=lambda sentence: -shared[sentence])[:count]


def terms(text: str) -> set[str]:
    """Lower-cased words cut to five letters, a cheap form of stemming ("discovered" matches "discovery")."""
    return {word[:5] for word in re.findall(r"\w+", text.lower())}


def _sentences(text: str) -> list[tuple[int, int]]:
    """Spans of the sentences with the white space after them, so that every character is in one."""
    # The library also ends sentences inside words ("..a"); those ends are ignored.
    starts = [0, *(start for start, _ in sentence_spans(text)[1:] if text[start - 1].isspace())]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _cut_sentence(text: str, start: int, end: int, count_tokens: TokenCounter, max_tokens: int) -> list[_Piece]:
    """Pieces of an overlong sentence: runs of whole words, and where a word alone is too long, of characters."""
    spans = [match.span() for match in re.compile(r"\S+").finditer(text, start, end)]
    lengths = count_tokens([text[a:b] for a, b in spans])
    # So many characters always fit.
    step = max(1, max_tokens // TOKENS_PER_CHARACTER)
    spans = [
        piece
        for (a, b), length in zip(spans, lengths, strict=True)
        for piece in ([(a, b)] if length <= max_tokens else [(i, min(i + step, b)) for i in range(a, b, step)])
    ]
    lengths = count_tokens([text[a:b] for a, b in spans])
    words = [_Piece(a, b, length) for (a, b), length in zip(spans, lengths, strict=True)]
    pieces: list[_Piece] = []
    first = 0
    while first < len(words):
        last = _run_end(words, first, max(1, max_tokens // 4))
        run = words[first:last]
        pieces.append(_Piece(run[0].start, run[-1].end, sum(word.tokens for word in run)))
        first = last
    return pieces


def _run_end(pieces: Sequence[_Piece], first: int, max_tokens: int) -> int:
    """Index after the last of the pieces from `first` on that together have at most `max_tokens`; at least one is taken."""
    end, tokens = first + 1, pieces[first].tokens
    while end < len(pieces) and tokens + pieces[end].tokens <= max_tokens:
        tokens += pieces[end].tokens
        end += 1
    return end
