"""The chat-completions protocol: what is sent, what servers reply, and what their refusals mean.

Servers differ in what they omit, rename and refuse; these functions read all of them into the same `Generation`s and
errors. Not covered: HTTP, retries and concurrency (endpoint.py).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from halluc.errors import ContextOverflow, HallucError, InvalidInput, ModelResponseError, ModelUnavailable
from halluc.models.chat_template import merge_system_message
from halluc.models.language_model import Generation, Prompt, as_conversation, check_prompts
from halluc.models.stop_strings import first_stop
from retrieval.files import lone_surrogate, whole_characters

__all__ = [
    "OVERFLOW",
    "clip",
    "context_overflow",
    "context_window_of",
    "custom_header_names",
    "error_words",
    "estimated_tokens",
    "explained",
    "first_of",
    "get",
    "is_trusted",
    "logprob_entries",
    "plain",
    "read_generation",
    "refused_parameter",
    "split_spec",
    "without",
]

# -- requests ----------------------------------------------------------------------------------------------------------


def split_spec(spec: str) -> tuple[str, str]:
    """Split "http://host:port/v1#model-name" into URL and model.

    Raises:
        InvalidInput: the spec is malformed.
    """
    form = "pass http://host:port/v1#model-name"
    if lone_surrogate(spec) is not None:
        raise InvalidInput(f"{spec!r} has a lone surrogate; {form}")
    url, _, model = spec.strip().partition("#")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if "@" in url:
        raise InvalidInput("the URL of the endpoint contains a user name or password; pass the key as api_key=")
    if not usable or re.search(r"\s", url):
        raise InvalidInput(f"{url!r} is not the URL of an endpoint; {form}")
    if parts.query:
        # It may be a key, so it is not repeated.
        raise InvalidInput(f"the URL of {parts.hostname} has a query (?…); {form}")
    if not model.strip():
        raise InvalidInput(f"{spec!r} names no model; {form}")
    return url.rstrip("/").removesuffix("/chat/completions"), model.strip()


def is_trusted(base_url: str, *, named_by_user: bool) -> bool:
    """Decide whether a server may get the environment's key and headers: the user, or OPENAI_BASE_URL, names it."""
    return named_by_user or _origin(base_url) == _origin(os.environ.get("OPENAI_BASE_URL", ""))


def custom_header_names() -> list[str]:
    """List the headers that the client library reads from OPENAI_CUSTOM_HEADERS."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    return [line.partition(":")[0].strip() for line in lines if ":" in line]


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url.strip())
        return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", "", None


# With the space before it, which tokenizers join to the word. A word next to digits is counted by its bytes.
_WORD = re.compile(r" ?(?<![0-9A-Za-z])([A-Za-z]+)(?![0-9A-Za-z])")


def estimated_tokens(prompt: Prompt) -> int:
    """Estimate the tokens of a prompt from above; see `EndpointModel.count_tokens`."""
    check_prompts([prompt])
    return 40 + sum(8 + _count(message["content"]) for message in as_conversation(prompt))


def _count(text: str) -> int:
    return sum(-(-len(word) // 3) for word in _WORD.findall(text)) + len(_WORD.sub("", text).encode())


# -- replies -----------------------------------------------------------------------------------------------------------


def read_generation(text: str, reason: str, entries: Sequence[object], stop: Sequence[str], top: int) -> Generation:
    """Build a `Generation` from a reply, without log-probabilities if they make no sense.

    Args:
        text: the completion; it is cut at a stop string that the server left in.
        reason: the server's finish reason.
        entries: what `logprob_entries` returned.
        stop: the requested stop strings.
        top: the requested number of `top_logprobs`.
    """
    text = whole_characters(text)
    if (cut := first_stop(text, stop)) is not None:
        text, reason = text[:cut], "stop"
    try:
        spans = _spans(entries)
        logprobs = [_finite(get(entry, "logprob")) for entry in entries]
        tops = [_top(entry, top) for entry in entries]
    except (TypeError, ValueError):  # The text is good without them.
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
    reported = get(entry, "top_logprobs")
    likely = reported[:count] if isinstance(reported, list) else []
    # llama.cpp writes the log-probability of an impossible token as null.
    return tuple(
        (whole_characters(str(get(t, "token"))), _finite(get(t, "logprob"))) for t in likely if get(t, "logprob") is not None
    )


def _spans(entries: Sequence[object]) -> list[bytes]:
    """Each token as bytes; servers send these beside the text, which cannot contain half a character."""
    spans = []
    for entry in entries:
        sent, token = get(entry, "bytes"), get(entry, "token")
        if not isinstance(token, str):
            raise TypeError("a token is not text")
        spans.append(bytes(sent) if isinstance(sent, list) else token.encode())
    return spans


def _tokens_of(text: str, spans: Sequence[bytes]) -> range:
    """The tokens that spell `text`: not those of a stop string, the end of the turn, or hidden reasoning."""
    spelled, wanted = b"".join(spans), text.encode()
    start = 0 if spelled.startswith(wanted) else spelled.rfind(wanted)
    if start < 0:
        return range(len(spans))
    first = last = position = 0
    for i, span in enumerate(spans):
        if position + len(span) <= start:
            first = i + 1
        if position < start + len(wanted):
            last = i + 1
        position += len(span)
    return range(first, max(first, last))


def logprob_entries(choice: object) -> list[object]:
    """Get, per generated token, a mapping with token, logprob and, from some servers, bytes, id and top_logprobs."""
    logprobs = get(choice, "logprobs")
    content = get(logprobs, "content")
    if isinstance(content, list):
        return content
    tokens, values = get(logprobs, "tokens"), get(logprobs, "token_logprobs")  # The form of the older /completions.
    if isinstance(tokens, list) and isinstance(values, list) and len(tokens) == len(values):
        return [{"token": token, "logprob": value} for token, value in zip(tokens, values, strict=True)]
    return []


def context_window_of(entry: object) -> int | None:
    """Get the context window from a server's description of a model, under whichever name; None if it has none."""
    windows = [get(entry, name) for name in ("max_model_len", "context_window", "context_length")]
    return next((w for w in (*windows, get(entry, "meta", "n_ctx")) if isinstance(w, int) and w > 0), None)


def get(value: object, *path: str) -> Any:
    """Follow a path of keys into nested mappings; None if a key is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def first_of(value: object) -> object:
    """Get the first element of a list; None if it is empty or not a list."""
    return value[0] if isinstance(value, list) and value else None


def plain(event: Any) -> object:
    """Convert an event of the client library to plain values, including fields it does not know."""
    return event.to_dict(warnings=False) if hasattr(event, "to_dict") else event


def _finite(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a log-probability")
    return float(value)


def clip(text: str) -> str:
    """Put text on one line and cut it to 200 characters."""
    text = " ".join(whole_characters(text).split())
    return text if len(text) <= 200 else f"{text[:200]}…"


# -- refusals ----------------------------------------------------------------------------------------------------------

OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum (model|context|sequence|input) length|max_model_len|"
    r"(prompt|input)s? (is|are) too long|must have less than \d+ (input )?tokens|`?max_new_tokens`? must be <=|n_ctx",
    re.IGNORECASE,
)

_NAMED = {
    # Most specific first: "top_logprobs" also contains "logprob".
    "system": r"system (role|message)|conversation roles must alternate",
    "top_logprobs": r"top_logprobs",
    "logprobs": r"log_?prob",
    "seed": r"\bseed\b",
    "max_tokens": r"max_completion_tokens",
    "n": r"\bn\b|completion choice",
}


def error_words(body: object) -> str:
    """Get the server's own words from the body of an error, in any of the usual places; "" if there are none."""
    if isinstance(body, str):
        return clip(body)
    for name in ("error", "message", "detail"):
        value = get(body, name)
        if value and (words := error_words(value)):
            return words
    return ""


def refused_parameter(error: Any, body: Mapping[str, Any]) -> str | None:
    """Decide which parameter to omit after a 400 or 422: the one it names, else the first that servers often lack.

    "system" stands for system messages, which the chat template of some models does not have.
    """
    if error.status_code not in (400, 422):
        return None
    words = f"{error_words(error.body) or error} {error.param or ''}"
    if OVERFLOW.search(f"{words} {error.code or ''}"):
        return None
    sent = {*body, *(["system"] if any(message["role"] == "system" for message in body["messages"]) else [])}
    named = [name for name, pattern in _NAMED.items() if name in sent and re.search(pattern, words, re.IGNORECASE)]
    return next((name for name in (*named, "top_logprobs", "logprobs", "n") if name in sent), None)


def without(body: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """Remove the refused parameters from a request, and what makes no sense without them."""
    # top_logprobs is an error without logprobs; a refused max_tokens goes by its newer name (OpenAI's reasoning models).
    dropped = refused | {"top_logprobs"} if "logprobs" in refused else refused
    kept = {name: value for name, value in body.items() if name not in dropped}
    if "max_tokens" in refused:
        kept["max_completion_tokens"] = body["max_tokens"]
    if "system" in refused:
        kept["messages"] = merge_system_message(body["messages"])
    return kept


def explained(error: Exception, *, name: str, timeout: float, tries: int, served_models: Callable[[], str]) -> HallucError:
    """Convert an error of the client library to one of halluc's, to raise.

    Args:
        error: what the client raised.
        name: what the message calls the model.
        timeout: seconds it waited for a reply.
        tries: number of attempts.
        served_models: asks the server which models it has, for the hint if the model was not found.
    """
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    attempts = f"after {tries} attempts" if tries > 1 else "in one attempt"
    # No connection within its own, shorter limit: the host does not exist rather than being slow.
    unconnected = type(error.__cause__).__name__ == "ConnectTimeout"
    if isinstance(error, APITimeoutError) and not unconnected:
        return ModelUnavailable(
            f"{name} did not respond within {timeout:g} s {attempts}; check whether the server is overloaded, raise "
            "timeout, or lower max_concurrency or max_new_tokens"
        )
    if isinstance(error, APIConnectionError):
        return ModelUnavailable(
            f"{name} cannot be reached {attempts}: {clip(str(error.__cause__ or error))}; start the server or correct the "
            "URL"
        )
    words = error_words(getattr(error, "body", None)) or "no reason given"
    status = getattr(error, "status_code", 400)
    if status in (400, 413, 422, 500) and OVERFLOW.search(f"{words} {getattr(error, 'code', '')}"):
        return context_overflow(name, words)
    if not isinstance(error, APIStatusError):
        return ModelResponseError(f"{name} replied with an error: {words}")
    if status in (401, 403):
        return ModelUnavailable(f"{name} refused the API key ({status}: {words}); set OPENAI_API_KEY or pass api_key=")
    if status == 404:
        return ModelUnavailable(f"{name} was not found (404: {words}); {served_models()}")
    if status == 429:
        return ModelUnavailable(
            f"{name} still refuses requests as too many {attempts} (429: {words}); wait, check the account's quota, or "
            "lower max_concurrency"
        )
    if status >= 500:
        return ModelUnavailable(f"{name} failed {attempts} ({status}: {words}); see the server's log")
    return ModelResponseError(f"{name} refused the request ({status}: {words})")


def context_overflow(name: str, words: str) -> ContextOverflow:
    """Build the error for a prompt that the server says does not fit."""
    return ContextOverflow(
        f"a prompt does not fit the context window of {name}: {words}; shorten the prompt or lower max_new_tokens"
    )
