"""Sentences with their offsets."""

from __future__ import annotations

__all__ = ["sentence_spans"]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Character spans [start, end) of the sentences of an English text, without the white space around them."""
    from sentencex import get_sentence_boundaries

    spans = []
    position = 0
    # The library's own offsets are found again rather than trusted: they may count bytes where characters are meant.
    for boundary in get_sentence_boundaries("en", text):
        sentence = boundary["text"].strip()
        if not sentence:
            continue
        start = text.index(sentence, position)
        position = start + len(sentence)
        spans.append((start, position))
    return spans
