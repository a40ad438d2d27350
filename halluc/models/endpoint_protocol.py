"""What chat-completions servers reply, read into `Generation`s whatever is missing from it or differs between servers.

Not here: sending (endpoint.py) and what servers refuse (endpoint_refusals.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from halluc.models.language_model import Generation

__all__ = [
    "clip",
    "error_words",
    "first_of",
    "get",
    "logprob_entries",
    "plain",
    "read_generation",
    "safe_length",
    "told_window",
]


def read_generation(text: str, reason: str, entries: Sequence[object], stop: Sequence[str], top: int) -> Generation:
    """A completion as a `Generation`, cut at a stop string the server left in; without log-probabilities that make no sense.

    Args:
        text: the completion.
        reason: the server's finish reason.
        entries: what `logprob_entries` found.
        stop: the stop strings asked for.
        top: the number of `top_logprobs` asked for.
    """
    cut = min((at for s in stop if (at := text.find(s)) >= 0), default=-1)
    if cut >= 0:  # The server left the stop string in, or does not know stop.
        text, reason = text[:cut], "stop"
    try:
        spans = _spans(entries)
        logprobs = [_finite(get(entry, "logprob")) for entry in entries]
        tops = [_top(entry, top) for entry in entries]
    except (TypeError, ValueError):  # Unusable log-probabilities are as good as none; the text stands.
        return Generation(text, finish_reason=reason)
    kept = _tokens_of(text, spans)
    ids = [get(entries[i], "id") for i in kept]
    return Generation(
        text=text,
        token_ids=tuple(ids) if all(isinstance(i, int) for i in ids) else (),
        token_logprobs=tuple(logprobs[i] for i in kept),
        finish_reason=reason,
        top_logprobs=tuple(tops[i] for i in kept) if top and any(tops) else (),
    )


def _top(entry: object, count: int) -> tuple[tuple[str, float], ...]:
    found = get(entry, "top_logprobs")
    likely = found[:count] if isinstance(found, list) else []
    # llama.cpp writes the log-probability of an impossible token as null.
    return tuple((str(get(t, "token")), _finite(get(t, "logprob"))) for t in likely if get(t, "logprob") is not None)


def _spans(entries: Sequence[object]) -> list[bytes]:
    """Each token as bytes; servers give these beside the text, which cannot hold half a character."""
    own = []
    for entry in entries:
        given, token = get(entry, "bytes"), get(entry, "token")
        if not isinstance(token, str):
            raise TypeError("a token is not text")
        own.append(bytes(given) if isinstance(given, list) else token.encode())
    return own


def _tokens_of(text: str, spans: Sequence[bytes]) -> range:
    """The tokens that spell `text`: not those of the stop string, the end of the turn, or a hidden train of thought."""
    whole, wanted = b"".join(spans), text.encode("utf-8", "surrogatepass")
    start = 0 if whole.startswith(wanted) else whole.rfind(wanted)
    if start < 0:
        return range(len(spans))
    first = last = at = 0
    for i, span in enumerate(spans):
        if at + len(span) <= start:
            first = i + 1
        if at < start + len(wanted):
            last = i + 1
        at += len(span)
    return range(first, max(first, last))


def logprob_entries(choice: object) -> list[object]:
    """Per generated token, a mapping with token, logprob and, of some servers, bytes, id and top_logprobs."""
    told = get(choice, "logprobs")
    content = get(told, "content")
    if isinstance(content, list):
        return content
    tokens, values = get(told, "tokens"), get(told, "token_logprobs")  # The form of the older /completions.
    if isinstance(tokens, list) and isinstance(values, list) and len(tokens) == len(values):
        return [{"token": token, "logprob": value} for token, value in zip(tokens, values, strict=True)]
    return []


def safe_length(text: str, stop: Sequence[str]) -> int:
    """How much of `text` can be shown: all up to a stop string or to what may become one."""
    cut = min((at for s in stop if (at := text.find(s)) >= 0), default=-1)
    if cut >= 0:
        return cut
    return len(text) - max((k for s in stop for k in range(1, len(s)) if text.endswith(s[:k])), default=0)


def told_window(entry: object) -> int | None:
    """The context window that a server tells of a model in its list, under whichever name."""
    told = [get(entry, name) for name in ("max_model_len", "context_window", "context_length")]
    return next((w for w in (*told, get(entry, "meta", "n_ctx")) if isinstance(w, int) and w > 0), None)


def error_words(body: object) -> str:
    """The server's own words in the body of an error, in whichever of the usual places; "" where there are none."""
    if isinstance(body, str):
        return clip(body)
    for name in ("error", "message", "detail"):
        found = get(body, name)
        if found and (words := error_words(found)):
            return words
    return ""


def get(value: object, *path: str) -> Any:
    """The value at the end of a path of keys, None where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def first_of(value: object) -> object:
    """The first element of a list, None of an empty one and of what is no list."""
    return value[0] if isinstance(value, list) and value else None


def plain(event: Any) -> object:
    """An event of the client library as plain values, fields it does not know included."""
    return event.to_dict(warnings=False) if hasattr(event, "to_dict") else event


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a log-probability")
    return float(value)


def clip(text: str) -> str:
    """Text on one line, at most 200 characters of it."""
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]}…"
