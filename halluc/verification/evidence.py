"""Long evidence as units that a cross-encoder can read: overlapping windows of whole sentences, and single sentences.

A verifier reads each unit and the best one counts (SummaC, arXiv 2111.09525, section 3: the maximum over evidence units).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from retrieval.split import sentence_spans

__all__ = ["TOKENS_PER_CHARACTER", "evidence_units", "nearest_sentences", "terms"]

# At most: tokenizers take a Hangul syllable apart into up to three letters.
TOKENS_PER_CHARACTER = 3


def evidence_units(evidence: str, count_tokens: Callable[[Sequence[str]], list[int]], *, max_tokens: int) -> list[str]:
    """Windows of consecutive sentences, each at most `max_tokens` long, overlapping by a quarter; together all of the text.

    Args:
        evidence: any text.
        count_tokens: the tokens of each of some texts, without special tokens.
        max_tokens: longest unit. A sentence that is longer is cut at white space into pieces that overlap by a quarter.

    Returns:
        `[evidence]` if it is short enough, else the windows in their order.
    """
    if count_tokens([evidence])[0] <= max_tokens:
        return [evidence]
    spans = _partition(evidence)
    lengths = count_tokens([evidence[start:end] for start, end in spans])
    pieces: list[tuple[int, int, int]] = []
    for (start, end), length in zip(spans, lengths, strict=True):
        if length <= max_tokens:
            pieces.append((start, end, length))
        else:
            pieces += _cut(evidence, start, end, count_tokens, max_tokens)
    units = []
    first = 0
    while True:
        last, total = first, 0
        while last < len(pieces) and (total + pieces[last][2] <= max_tokens or last == first):
            total += pieces[last][2]
            last += 1
        units.append(evidence[pieces[first][0] : pieces[last - 1][1]].strip())
        if last == len(pieces):
            return units
        # The next window repeats the last sentences of this one, up to a quarter of its tokens.
        repeated, start = 0, last
        while start - 1 > first and repeated + pieces[start - 1][2] <= max_tokens // 4:
            start -= 1
            repeated += pieces[start][2]
        first = start


def nearest_sentences(evidence: str, claim: str, count: int) -> list[str]:
    """The `count` sentences of a text that share the most words with a claim, the first of equal ones first."""
    wanted = terms(claim)
    sentences = [evidence[start:end].strip() for start, end in _partition(evidence)]
    shared = {sentence: len(wanted & terms(sentence)) for sentence in sentences if sentence}
    return sorted(shared, key=lambda sentence: -shared[sentence])[:count]


def terms(text: str) -> set[str]:
    """Lower-cased words cut to five letters, a cheap form of stemming ("discovered" matches "discovery")."""
    return {word[:5] for word in re.findall(r"\w+", text.lower())}


def _partition(text: str) -> list[tuple[int, int]]:
    """Sentences with the white space after them, so that no character is between two of them."""
    # The library ends sentences within words too ("..a"); those ends are left out.
    starts = [0, *(start for start, _ in sentence_spans(text)[1:] if text[start - 1].isspace())]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _cut(
    text: str, start: int, end: int, count_tokens: Callable[[Sequence[str]], list[int]], max_tokens: int
) -> list[tuple[int, int, int]]:
    """Pieces of one overlong sentence, in whole words where it has white space and in characters where it has none."""
    words: list[tuple[int, int]] = []
    position = start
    for word in text[start:end].split():
        at = text.index(word, position)
        position = at + len(word)
        words.append((at, position))
    lengths = count_tokens([text[a:b] for a, b in words])
    # A piece of this many characters always fits.
    step = max(1, max_tokens // TOKENS_PER_CHARACTER)
    words = [
        piece
        for (a, b), length in zip(words, lengths, strict=True)
        for piece in ([(a, b)] if length <= max_tokens else [(i, min(i + step, b)) for i in range(a, b, step)])
    ]
    costs = count_tokens([text[a:b] for a, b in words])
    pieces: list[tuple[int, int, int]] = []
    first = 0
    quarter = max(1, max_tokens // 4)
    while first < len(words):
        last, total = first, 0
        while last < len(words) and (total + costs[last] <= quarter or last == first):
            total += costs[last]
            last += 1
        pieces.append((words[first][0], words[last - 1][1], total))
        first = last
    return pieces
