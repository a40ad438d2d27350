"""Stop strings in generated text: where they are, and how much of a growing text can be shown.

Not covered: ending the generation itself (hooks.StopStrings; servers do it on their own).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["first_stop", "shown_length", "until_stop"]


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Find where the first stop string begins, or None."""
    return min((position for string in stop if (position := text.find(string)) >= 0), default=None)


def shown_length(text: str, stop: Sequence[str]) -> int:
    """Count the characters before a stop string, or before what may still become one."""
    if (cut := first_stop(text, stop)) is not None:
        return cut
    return len(text) - max((k for string in stop for k in range(1, len(string)) if text.endswith(string[:k])), default=0)


def until_stop(pieces: Iterator[str], stop: Sequence[str]) -> Iterator[str]:
    """Yield the text before the first stop string as it comes; the pieces after it are consumed and dropped."""
    text, shown = "", 0
    for piece in pieces:
        text += piece
        safe = shown_length(text, stop)
        if safe > shown:
            yield text[shown:safe]
            shown = safe
        if first_stop(text, stop) is not None:
            for _ in pieces:
                pass
            return
    if shown < len(text):
        yield text[shown:]
