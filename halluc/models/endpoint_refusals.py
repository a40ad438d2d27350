"""Parameters that a server refuses, told from its error message, and requests without them.

Not here: sending (endpoint.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from halluc.models.endpoint_replies import error_words

__all__ = ["OVERFLOW", "refused_parameter", "without"]

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
