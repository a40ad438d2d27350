"""Whether a reply refuses, by its first sentence."""

from __future__ import annotations

from halluc.claims.abstention import abstains

__all__ = ["refuses"]


def refuses(reply: str) -> bool:
    """Whether a reply gives no answer, or opens with a sentence that refuses.

    >>> refuses("I can't help with that. Here is some general safety advice."), refuses("First, get a ladder.")
    (True, False)
    """
    from retrieval.split import sentence_spans

    if abstains(reply):
        return True
    spans = sentence_spans(reply)
    return bool(spans) and abstains(reply[spans[0][0] : spans[0][1]])
