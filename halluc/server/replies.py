"""Replies of the chat-completions protocol as JSON: complete ones, parts of a stream, log-probabilities, errors.

Not covered: how the answers come about (chat.py).
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from halluc.answers import Answer, Verdict
from halluc.errors import (
    ContextOverflow,
    HallucError,
    ModelResponseError,
    ModelUnavailable,
    RetrievalFailed,
)
from halluc.models.language_model import Generation
from halluc.server.options import Wording
from halluc.server.worker import QueueFull
from halluc.verification.spans import labeled_spans
from retrieval.errors import RetrievalError

__all__ = [
    "ReplyHead",
    "answer_fields",
    "answer_text",
    "described_error",
    "error_body",
    "logprobs_of",
    "span_fields",
    "sse",
    "usage_of",
]

logger = logging.getLogger(__name__)


class ReplyHead:
    """What all parts of one reply share: its id, time and the model's name as the client knows it."""

    def __init__(self, model: str) -> None:
        self._fields = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def completion(self, choices: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        """Build a complete reply; `fields` are added to it."""
        return {**self._fields, "object": "chat.completion", "choices": choices, **fields}

    def chunk(self, choices: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        """Build a part of a stream."""
        return {**self._fields, "object": "chat.completion.chunk", "choices": choices, **fields}


def sse(value: Mapping[str, Any]) -> str:
    """Write a server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Build the field `usage`."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def answer_text(answer: Answer, wording: Wording) -> str:
    """Get the text that a person reads: the answer, or that there is none."""
    if not answer.abstained:
        return answer.text
    return wording.not_found if answer.generation is None else wording.unsure


def answer_fields(answer: Answer) -> dict[str, Any]:
    """Get the field `halluc` of a reply."""
    fields = answer.to_dict()
    names = ("question", "verdicts", "unchecked", "citations", "confidence", "answerability", "abstained", "reason")
    return {
        **{name: fields[name] for name in names},
        "cited_text": answer.cited_text,
        "is_cut": answer.is_cut,
        **span_fields(answer.verdicts),
    }


def span_fields(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Get the field `spans` of a reply: the characters of the text that are marked with each label, without overlaps."""
    return {"spans": [span.to_dict() for span in labeled_spans(verdicts)]}


def logprobs_of(generation: Generation | None, lm: Any) -> dict[str, Any] | None:
    """Get the protocol's log-probabilities, with token ids; None if the model does not report its tokens."""
    tokenizer = getattr(lm, "tokenizer", None)
    if tokenizer is None or generation is None or not generation.token_ids:
        return None
    tops = generation.top_logprobs or ((),) * len(generation.token_ids)
    return {
        "content": [
            {
                "token": (text := tokenizer.decode([token])),
                "bytes": list(text.encode()),
                "id": token,
                "logprob": logprob,
                "top_logprobs": [
                    {"token": likely, "bytes": list(likely.encode()), "logprob": value} for likely, value in top
                ],
            }
            for token, logprob, top in zip(generation.token_ids, generation.token_logprobs, tops, strict=True)
        ]
    }


def described_error(error: Exception) -> tuple[int, dict[str, Any]]:
    """Get the status and the body of the reply to an error."""
    if isinstance(error, ContextOverflow):
        return 400, error_body(400, str(error), "context_length_exceeded")
    if isinstance(error, QueueFull):
        return 429, error_body(429, str(error), "rate_limit_exceeded")
    if isinstance(error, ModelUnavailable | RetrievalFailed):
        return 503, error_body(503, str(error))
    if isinstance(error, ModelResponseError):
        return 502, error_body(502, str(error))
    if isinstance(error, HallucError | RetrievalError):
        return 400, error_body(400, str(error))
    logger.error("a request failed", exc_info=error)
    return 500, error_body(500, "the server failed; see its log")


def error_body(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Build the body of an error."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
