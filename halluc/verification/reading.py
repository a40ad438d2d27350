"""How evidence and claims are written before a verifier reads them, and where characters end up by that.

Tables and records are written as sentences (halluc.structured), and equal quantities equally (halluc.quantities), so that a
difference between two texts is a difference in what they say. Rows of special tokens are left out. Not covered: markup,
which is removed where claims are made (halluc/claims/markup.py), and the choice of evidence (evidence.py).
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from halluc.quantities import normalize_quantities
from halluc.structured import readable

__all__ = ["as_read", "moved_span"]


# Text that spells special tokens, at the end of a text or in a row: read as text, it says nothing, but a network may take a
# row of ten for something.
_SPECIAL = r"(?:\[(?:PAD|SEP|CLS|MASK|UNK)\]|</?s>|<(?:pad|unk|mask|cls|sep|eos|bos)>|<\|[^<>|\s]{1,40}\|>)"
_SPECIAL_TOKENS = re.compile(rf"\s?{_SPECIAL}\s{{0,9}}\Z|(?:\s{{0,3}}{_SPECIAL}){{2,}}", re.IGNORECASE)


@lru_cache(maxsize=4096)
def as_read(text: str) -> str:
    """Write a text as verifiers read it."""
    return normalize_quantities(readable(_without_special_tokens(text)))


def _without_special_tokens(text: str) -> str:
    shortened = _SPECIAL_TOKENS.sub("", text)
    return shortened if shortened.strip() else text


def moved_span(text: str, rewritten: str, start: int, end: int) -> tuple[int, int]:
    """Find the characters of a rewritten text that stand for the characters [start, end) of the original.

    Words that both texts have are mapped exactly; a changed run of words is mapped as a whole.

    Args:
        text: the original text.
        rewritten: the same text with some words written differently.
        start, end: a span of `text`.

    Returns:
        Start and end in `rewritten`; equal if nothing there stands for the span.
    """
    if text == rewritten:
        return start, end
    before, after = (list(re.finditer(r"\S+", version)) for version in (text, rewritten))
    matcher = difflib.SequenceMatcher(None, [word[0] for word in before], [word[0] for word in after], autojunk=False)
    ends: list[int] = []
    for operation, first, last, new_first, new_last in matcher.get_opcodes():
        if operation == "equal":
            for word, new_word in zip(before[first:last], after[new_first:new_last], strict=True):
                overlap = max(start, word.start()), min(end, word.end())
                if overlap[0] < overlap[1]:
                    ends += [new_word.start() + edge - word.start() for edge in overlap]
        elif first < last and new_first < new_last and before[first].start() < end and start < before[last - 1].end():
            ends += [after[new_first].start(), after[new_last - 1].end()]
    return (min(ends), max(ends)) if ends else (0, 0)
