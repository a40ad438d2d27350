"""Make long evidence short enough for a cross-encoder: an excerpt for each claim, or overlapping windows.

`EvidenceText.excerpt` joins the sentences that share the most with a claim, wherever they are in the text, so that a claim
that needs two of them is read against both together. Windows cover the text, and the best one counts (SummaC, arXiv
2111.09525, section 3: the maximum over evidence units). Not covered: reading them (cross_encoder.py), and which sentence of
a passage is quoted (judge.py).
"""

from __future__ import annotations

import heapq
import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from retrieval.split import sentence_spans

__all__ = ["TOKENS_PER_CHARACTER", "EvidenceText", "TokenCounter", "evidence_units", "nearest_sentences", "terms"]

TOKENS_PER_CHARACTER = 3
"""Most tokens of one character: tokenizers split a Hangul syllable into up to three letters."""

TokenCounter: TypeAlias = Callable[[Sequence[str]], list[int]]
"""Counts the tokens of each of (N,) texts, without special tokens."""


# Shares of a sentence's score: of words that a chosen sentence has already, and of the score of its better neighbor, which
# may say what its pronouns refer to.
_REPEATED_SHARE = 0.25
_NEIGHBOR_SHARE = 0.35
# The first sentence often names the subject of the whole text; it is taken if it is no longer than this share of an excerpt.
_FIRST_SENTENCE_SHARE = 0.2
# Sentences that an excerpt is chosen from: those with the highest scores.
_MAX_CANDIDATES = 100


class EvidenceText:
    """One text of evidence, split into sentences once, from which an excerpt can be made for each claim.

    Args:
        text: any text.
        count_tokens: counts tokens as the reader does.
        max_tokens: longest excerpt.
    """

    def __init__(self, text: str, count_tokens: TokenCounter, *, max_tokens: int) -> None:
        self.text = text
        self.max_tokens = max_tokens
        # A text of few characters has few tokens, so it need not be counted.
        self.is_short = len(text) * TOKENS_PER_CHARACTER <= max_tokens or count_tokens([text])[0] <= max_tokens
        self._pieces: list[_Piece] = []
        self._pieces_with: dict[str, list[int]] = defaultdict(list)
        if not self.is_short:
            # Pieces of at most a quarter of the excerpt leave room for others.
            self._pieces = _pieces(text, count_tokens, max_tokens // 4)
            for i, piece in enumerate(self._pieces):
                for term in terms(text[piece.start : piece.end]):
                    self._pieces_with[term].append(i)

    def excerpt(self, claim: str) -> str:
        """Join the sentences that share the most words with a claim, in the order of the text.

        Sentences are chosen greedily: words weigh by their rarity in the text, and those that a chosen sentence has already
        weigh less, so that the parts of a claim may find their support in different places.

        Args:
            claim: the claim that the excerpt should decide.

        Returns:
            The text itself if it is short enough, else at most `max_tokens` tokens of it.
        """
        if self.is_short:
            return self.text
        weight_of = {
            term: math.log(1 + len(self._pieces) / len(self._pieces_with[term]))
            for term in terms(claim)
            if term in self._pieces_with
        }
        score: dict[int, float] = defaultdict(float)
        for term, weight in weight_of.items():
            for i in self._pieces_with[term]:
                score[i] += weight

        def value(i: int) -> tuple[float, int]:
            return score.get(i, 0.0) + _NEIGHBOR_SHARE * max(score.get(i - 1, 0.0), score.get(i + 1, 0.0)), -i

        chosen: set[int] = set()
        room = self.max_tokens
        if self._pieces[0].tokens <= _FIRST_SENTENCE_SHARE * self.max_tokens:
            chosen.add(0)
            room -= self._pieces[0].tokens
        # Neighbors of sentences that share a word are candidates too.
        near = {j for i in score for j in (i - 1, i, i + 1) if 0 <= j < len(self._pieces)} - chosen
        candidates = heapq.nlargest(_MAX_CANDIDATES, near, key=value)
        scored = {j for i in candidates for j in (i - 1, i, i + 1) if j in score}
        terms_of = {i: weight_of.keys() & terms(self._piece_text(i)) for i in {*scored, *candidates}}
        while candidates:
            best = max(candidates, key=value)
            candidates.remove(best)
            if self._pieces[best].tokens > room:
                continue
            chosen.add(best)
            room -= self._pieces[best].tokens
            for term in terms_of[best]:
                for i in scored:
                    if term in terms_of[i]:
                        score[i] -= (1 - _REPEATED_SHARE) * weight_of[term]
                weight_of[term] *= _REPEATED_SHARE
        if not chosen:
            chosen = set(range(_run_end(self._pieces, 0, self.max_tokens)))
        return " ".join(self._piece_text(i).strip() for i in sorted(chosen))

    def _piece_text(self, i: int) -> str:
        return self.text[self._pieces[i].start : self._pieces[i].end]


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
    pieces = _pieces(evidence, count_tokens, max_tokens)
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


def _pieces(text: str, count_tokens: TokenCounter, max_tokens: int) -> list[_Piece]:
    """The sentences of a text; one that is too long is cut into pieces of a quarter of that at white space."""
    spans = _sentences(text)
    lengths = count_tokens([text[start:end] for start, end in spans])
    pieces: list[_Piece] = []
    for (start, end), length in zip(spans, lengths, strict=True):
        if length <= max_tokens:
            pieces.append(_Piece(start, end, length))
        else:
            pieces += _cut_sentence(text, start, end, count_tokens, max_tokens)
    return pieces


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
