"""Requests as pydantic models, and what they mean for a language model.

All that OpenAI's clients send is known here. What changes nothing is accepted, what this server cannot do is refused with
its name, and so is what nobody knows. Not covered: replies (replies.py) and routes (app.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from halluc.errors import InvalidInput
from halluc.grounding.sentence_gate import OnUnsupported
from halluc.models.language_model import check_options

__all__ = [
    "ChatBody",
    "CheckBody",
    "HallucBody",
    "check_supported",
    "conversation_of",
    "message_text",
    "sampling_options",
    "validation_message",
]


class ContentPart(BaseModel):
    """A part of a message; this server reads text."""

    model_config = ConfigDict(extra="allow")
    type: str
    text: str | None = None


class MessageBody(BaseModel):
    """A message; fields that clients send back from replies (refusal, annotations, ...) are ignored."""

    model_config = ConfigDict(extra="allow")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool | None = False


class HallucBody(BaseModel):
    """Options that only this server has."""

    model_config = ConfigDict(extra="forbid", strict=True)
    on_unsupported: OnUnsupported | None = None
    filter: dict[str, Any] | None = None
    inline_citations: bool | None = None


class ChatBody(BaseModel):
    """A chat-completions request."""

    model_config = ConfigDict(extra="forbid", strict=True)
    messages: Annotated[list[MessageBody], Field(min_length=1)]
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    halluc: HallucBody | None = None
    # Known, and either without effect or refused unless neutral; see `check_supported`.
    audio: Any = None
    frequency_penalty: Any = None
    function_call: Any = None
    functions: Any = None
    logit_bias: Any = None
    metadata: Any = None
    modalities: Any = None
    parallel_tool_calls: Any = None
    prediction: Any = None
    presence_penalty: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None
    reasoning_effort: Any = None
    response_format: Any = None
    safety_identifier: Any = None
    service_tier: Any = None
    store: Any = None
    tool_choice: Any = None
    tools: Any = None
    user: Any = None
    verbosity: Any = None
    web_search_options: Any = None


class CheckBody(BaseModel):
    """A request to check an answer."""

    model_config = ConfigDict(extra="forbid", strict=True)
    answer: str
    context: str | list[str] | None = None
    question: str | None = None


_TOOLS = "this server does not call tools; leave it out, or put 'halluc serve --upstream' in front of a server that does"
# Parameters that would change the reply, with the values that ask for nothing, and what else to do.
_NEUTRAL: Mapping[str, tuple[Sequence[Any], str]] = {
    "tools": ([[]], _TOOLS),
    "tool_choice": (["none", "auto"], _TOOLS),
    "functions": ([[]], _TOOLS),
    "function_call": (["none", "auto"], _TOOLS),
    "frequency_penalty": ([0], "this server has no penalties; leave it out"),
    "presence_penalty": ([0], "this server has no penalties; leave it out"),
    "logit_bias": ([{}], "this server does not bias tokens; leave it out"),
    "response_format": ([{"type": "text"}], "this server replies with plain text; ask for JSON in a message"),
    "modalities": ([["text"]], "this server replies with text"),
    "audio": ([], "this server replies with text"),
    "prediction": ([], "this server does not use predictions; leave it out"),
    "reasoning_effort": (["none", "minimal"], "this server does not control reasoning; leave it out"),
    "verbosity": (["medium"], "this server does not control verbosity; ask for it in a message"),
    "web_search_options": ([], "this server does not search the web; leave it out"),
}


def check_supported(body: ChatBody) -> None:
    """Refuse parameters that ask for what this server cannot do.

    Raises:
        InvalidInput: it names the parameter.
    """
    for name, (neutral, advice) in _NEUTRAL.items():
        value = getattr(body, name)
        if value is not None and value not in neutral:
            raise InvalidInput(f"{name} is {_shortened(value)}; {advice}")


def conversation_of(body: ChatBody) -> list[dict[str, str]]:
    """Get the messages as texts with the roles of a language model; a developer message is a system message.

    Raises:
        InvalidInput: a message has no text, or is one of a tool.
    """
    messages = []
    for i, message in enumerate(body.messages):
        name = f"messages[{i}]"
        extra = message.model_extra or {}
        if message.role in ("tool", "function") or extra.get("tool_calls") or extra.get("function_call"):
            raise InvalidInput(f"{name} belongs to a tool call; {_TOOLS}")
        text = message_text(name, message)
        if message.role == "user" and not text.strip():
            raise InvalidInput(f"{name} is empty; send a question")
        messages.append({"role": "system" if message.role == "developer" else message.role, "content": text})
    return messages


def message_text(name: str, message: MessageBody) -> str:
    """Join the text of a message.

    Raises:
        InvalidInput: it has no text, an empty part, or a part that is not text.
    """
    if isinstance(message.content, str):
        return message.content
    if not message.content:
        raise InvalidInput(f"{name} has the content {message.content}; send a text")
    texts = []
    for j, part in enumerate(message.content):
        if part.type not in ("text", "input_text", "refusal"):
            raise InvalidInput(f"{name}.content[{j}] is of the type {part.type!r}; this server reads text only")
        text = (part.model_extra or {}).get("refusal") if part.type == "refusal" else part.text
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"{name}.content[{j}] is empty; send a text, or leave the part out")
        texts.append(text)
    return "\n".join(texts)


def sampling_options(body: ChatBody, *, default_tokens: int, max_tokens: int) -> dict[str, Any]:
    """Get the options of `LanguageModel.stream`; the default temperature is 0, and the default seed another one each time.

    Raises:
        InvalidInput: a value is unusable.
    """
    if body.max_completion_tokens is not None:
        name, tokens = "max_completion_tokens", body.max_completion_tokens
    else:
        name, tokens = "max_tokens", default_tokens if body.max_tokens is None else body.max_tokens
    if tokens > max_tokens:
        raise InvalidInput(f"{name} is {tokens}; this server generates up to {max_tokens} tokens")
    if body.top_logprobs and not body.logprobs:
        raise InvalidInput(f"top_logprobs is {body.top_logprobs}; send logprobs as true with it")
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    options: dict[str, Any] = {
        "max_new_tokens": tokens,
        "temperature": body.temperature or 0.0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "seed": secrets.randbits(62) if body.seed is None else body.seed,
        "stop": tuple(stop),
        "top_logprobs": body.top_logprobs or 0,
    }
    check_options(**options)
    return options


def validation_message(errors: Sequence[Mapping[str, Any]], body: Any) -> str:
    """Put the errors of pydantic into a sentence that names the parameter and its value, or all that are unknown."""
    unknown = [_place(error["loc"], body)[0] for error in errors if error["type"] == "extra_forbidden"]
    if unknown:
        names = " or ".join(map(repr, unknown))
        return f"there is no parameter {names} here; leave {'it' if len(unknown) == 1 else 'them'} out"
    # Each member of a union has an error; the one that got furthest into the value is the one that was meant.
    first = _place(errors[0]["loc"], body)[0]
    error = max((e for e in errors if _place(e["loc"], body)[0].startswith(first)), key=lambda e: len(e["loc"]))
    path, value = _place(error["loc"], body)
    kind = error["type"]
    if kind == "missing":
        return f"{path} is missing; send it" if path else "the request is empty; send a JSON object"
    if kind == "string_unicode":
        return f"{path} has a lone surrogate; send valid Unicode"
    message = str(error["msg"])
    return f"{path or 'the request'} is {_shortened(value)}: {message[:1].lower()}{message[1:]}"


def _place(loc: Sequence[Any], body: Any) -> tuple[str, Any]:
    """The place of an error as it is written in code, and its value; pydantic's names of union members are left out."""
    path, value = "", body
    steps = [step for step in loc if step != "body"]
    for i, step in enumerate(steps):
        last = i == len(steps) - 1
        if isinstance(value, Mapping) and (step in value or (last and isinstance(step, str))):
            path, value = f"{path}.{step}".lstrip("."), value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            path, value = f"{path}[{step}]", value[step]
    return path, value


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
