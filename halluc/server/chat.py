"""Chat-completions requests and replies as JSON.

Not covered: routes (app.py) and the thread that runs the model (worker.py).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halluc.answers import Answer
from halluc.control_tokens import break_control_tokens
from halluc.errors import InvalidInput, check_integer, check_number
from halluc.models.language_model import Generation, check_message, check_options

__all__ = ["ChatRequest", "answer_fields", "answer_text", "chunk", "completion", "logprobs_of", "read_chat"]

_MAX_TOKENS = 256


@dataclass(frozen=True)
class ChatRequest:
    """A chat-completions request; see `LanguageModel.generate` for the options.

    Attributes:
        messages: the conversation.
        max_tokens: None if the request does not set it.
        stream: whether to reply with server-sent events.
        logprobs: whether to reply with log-probabilities.
    """

    messages: tuple[dict[str, str], ...]
    max_tokens: int | None
    temperature: float
    top_p: float
    n: int
    seed: int
    stop: tuple[str, ...]
    stream: bool
    logprobs: bool
    top_logprobs: int

    def question(self, max_new_tokens: int) -> str:
        """Get the question for a grounded model, which answers one, greedily, in up to `max_new_tokens` tokens.

        Raises:
            InvalidInput: the request uses what a grounded model does not support.
        """
        if len(self.messages) != 1 or self.messages[0]["role"] != "user":
            raise InvalidInput("this server answers single questions from its index; send one message, with the role 'user'")
        if self.temperature > 0 or self.n > 1 or self.stop:
            raise InvalidInput("answers from the index are greedy; send temperature 0, n 1 and no stop, or leave them out")
        if self.max_tokens is not None and self.max_tokens < max_new_tokens:
            raise InvalidInput(f"max_tokens is {self.max_tokens}; answers from the index take up to {max_new_tokens}")
        return self.messages[0]["content"]

    def prompt(self, special_tokens: tuple[str, ...]) -> list[dict[str, str]]:
        """Get the conversation for a language model, with control tokens in its texts broken."""
        return [
            {**message, "content": break_control_tokens(message["content"], special_tokens)} for message in self.messages
        ]

    def options(self) -> dict[str, Any]:
        """Get the options of `LanguageModel.generate`."""
        return {
            "n": self.n,
            "max_new_tokens": self.max_tokens or _MAX_TOKENS,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": self.stop,
            "top_logprobs": self.top_logprobs,
        }


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Read a request from its JSON object. The default temperature is 0; unknown fields are ignored.

    Raises:
        InvalidInput: a field has an unusable value.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidInput("messages is missing; send a list of {'role': ..., 'content': ...}")
    for i, message in enumerate(messages):
        check_message(f"messages[{i}]", message)
        if message["role"] == "user" and not message["content"].strip():
            raise InvalidInput(f"messages[{i}] is empty; send a question")
    stop = body.get("stop") or []
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, list):
        raise InvalidInput(f"stop is {stop!r}; send a text or a list of texts")
    request = ChatRequest(
        messages=tuple({"role": message["role"], "content": message["content"]} for message in messages),
        max_tokens=_value(body, "max_tokens", body.get("max_completion_tokens")),
        temperature=_value(body, "temperature", 0.0),
        top_p=_value(body, "top_p", 1.0),
        n=_value(body, "n", 1),
        seed=_value(body, "seed", 0),
        stop=tuple(stop),
        stream=body.get("stream") is True,
        logprobs=body.get("logprobs") is True,
        top_logprobs=_value(body, "top_logprobs", 0),
    )
    if request.max_tokens is not None:
        check_integer("max_tokens", request.max_tokens, 1)
    check_options(**request.options())
    # Tighter limits than those of a language model, as hosted servers have.
    check_integer("n", request.n, 1, 16)
    check_integer("top_logprobs", request.top_logprobs, 0, 20)
    check_number("temperature", request.temperature, 0, 2)
    if request.stream and request.n > 1:
        raise InvalidInput(f"n is {request.n}; a stream has one completion")
    return request


def _value(body: Mapping[str, Any], name: str, default: Any) -> Any:
    return default if body.get(name) is None else body[name]


def answer_text(answer: Answer) -> str:
    """Get the text that a chat shows: the answer, or why there is none."""
    return f"No answer: {answer.reason}." if answer.abstained else answer.text


def answer_fields(answer: Answer) -> dict[str, Any]:
    """Get the field `halluc` of a reply."""
    fields = answer.to_dict()
    return {name: fields[name] for name in ("verdicts", "unchecked", "citations", "confidence", "abstained", "reason")}


def logprobs_of(generation: Generation, lm: Any) -> dict[str, Any] | None:
    """Get the protocol's log-probabilities, with token ids; None if the model does not report its tokens."""
    tokenizer = getattr(lm, "tokenizer", None)
    if tokenizer is None or not generation.token_ids:
        return None
    tops = generation.top_logprobs or ((),) * len(generation.token_ids)
    return {
        "content": [
            {
                "token": tokenizer.decode([token]),
                "id": token,
                "logprob": logprob,
                "top_logprobs": [{"token": text, "logprob": value} for text, value in top],
            }
            for token, logprob, top in zip(generation.token_ids, generation.token_logprobs, tops, strict=True)
        ]
    }


def completion(model: str, choices: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """Build a complete reply; `fields` are added to it."""
    numbered = [{"index": i, **choice} for i, choice in enumerate(choices)]
    return {**_head(model, "chat.completion"), "choices": numbered, **fields}


def chunk(head: Mapping[str, Any] | None, model: str, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    """Build a part of a stream; `head` is the part before it, whose id and time it shares."""
    shared = _head(model, "chat.completion.chunk") if head is None else {k: head[k] for k in _HEAD}
    return {**shared, "choices": [{"index": 0, "delta": dict(delta), "finish_reason": reason}]}


_HEAD = ("id", "object", "created", "model")


def _head(model: str, kind: str) -> dict[str, Any]:
    return dict(zip(_HEAD, (f"chatcmpl-{uuid.uuid4().hex}", kind, int(time.time()), model), strict=True))
