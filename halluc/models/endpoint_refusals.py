"""What a server's refusals mean: parameters to do without, told from its error message, and failures as errors of ours.

Not here: sending (endpoint.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from halluc.errors import ContextOverflow, HallucError, ModelResponseError, ModelUnavailable
from halluc.models.endpoint_protocol import clip, error_words

__all__ = ["OVERFLOW", "context_overflow", "explained", "refused_parameter", "without"]

OVERFLOW = re.compile(
    r"context[ _](length|window|size)|maximum (model|context|sequence|input) length|max_model_len|"
    r"(prompt|input)s? (is|are) too long|must have less than \d+ (input )?tokens|`?max_new_tokens`? must be <=|n_ctx",
    re.IGNORECASE,
)

_NAMED = {
    # Most specific first: "top_logprobs" also holds "logprob".
    "top_logprobs": r"top_logprobs",
    "logprobs": r"log_?prob",
    "seed": r"\bseed\b",
    "max_tokens": r"max_completion_tokens",
    "n": r"\bn\b|completion choice",
}


def refused_parameter(error: Any, body: Mapping[str, Any]) -> str | None:
    """Which parameter to do without after a 400 or 422: the one it names, else the first that servers often lack."""
    if error.status_code not in (400, 422):
        return None
    words = f"{error_words(error.body) or error} {error.param or ''}"
    if OVERFLOW.search(f"{words} {error.code or ''}"):
        return None
    named = [name for name, pattern in _NAMED.items() if name in body and re.search(pattern, words, re.IGNORECASE)]
    return next((name for name in (*named, "top_logprobs", "logprobs", "n") if name in body), None)


def without(body: Mapping[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """The request without the refused parameters, and without what makes no sense without them."""
    # top_logprobs is an error without logprobs; a refused max_tokens goes by its newer name (OpenAI's reasoning models).
    dropped = refused | {"top_logprobs"} if "logprobs" in refused else refused
    kept = {name: value for name, value in body.items() if name not in dropped}
    if "max_tokens" in refused:
        kept["max_completion_tokens"] = body["max_tokens"]
    return kept


def explained(error: Exception, *, name: str, timeout: float, tries: int, what_is_served: Callable[[], str]) -> HallucError:
    """What an error of the client library means, as an error of ours to raise.

    Args:
        error: what the client raised.
        name: how to call the model.
        timeout: seconds it waited for a reply.
        tries: how often it tried.
        what_is_served: asks the server, for the mend where the model was not found.
    """
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    tried = f"after {tries} tries" if tries > 1 else "at the only try"
    # No connection within its own, shorter limit: the host does not exist rather than being slow.
    unconnected = type(error.__cause__).__name__ == "ConnectTimeout"
    if isinstance(error, APITimeoutError) and not unconnected:
        return ModelUnavailable(
            f"{name} did not answer in {timeout:g} s {tried}; look whether the server is overloaded, raise timeout, or "
            "lower max_concurrency or max_new_tokens"
        )
    if isinstance(error, APIConnectionError):
        return ModelUnavailable(
            f"{name} cannot be reached {tried}: {clip(str(error.__cause__ or error))}; start the server or correct the URL"
        )
    words = error_words(getattr(error, "body", None)) or "no reason given"
    status = getattr(error, "status_code", 400)
    if status in (400, 413, 422, 500) and OVERFLOW.search(f"{words} {getattr(error, 'code', '')}"):
        return context_overflow(name, words)
    if not isinstance(error, APIStatusError):
        return ModelResponseError(f"{name} answered with an error: {words}")
    if status in (401, 403):
        return ModelUnavailable(f"{name} refused the API key ({status}: {words}); set OPENAI_API_KEY or pass api_key=")
    if status == 404:
        return ModelUnavailable(f"{name} was not found (404: {words}); {what_is_served()}")
    if status == 429:
        return ModelUnavailable(
            f"{name} is still refusing requests as too many {tried} (429: {words}); wait, check the account's quota, or "
            "lower max_concurrency"
        )
    if status >= 500:
        return ModelUnavailable(f"{name} failed {tried} ({status}: {words}); look at the server's log")
    return ModelResponseError(f"{name} refused the request ({status}: {words})")


def context_overflow(name: str, words: str) -> ContextOverflow:
    """The error for a prompt that the server says does not fit."""
    return ContextOverflow(
        f"a prompt does not fit the context window of {name}: {words}; shorten the prompt or lower max_new_tokens"
    )
