"""What an endpoint is asked: its address, the conversation, and about how many tokens that takes.

Not here: sending (endpoint.py).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from halluc.errors import InvalidInput
from halluc.models.endpoint_protocol import clip, get
from halluc.models.language_model import Prompt

__all__ = ["as_messages", "estimated_tokens", "split_spec"]


def split_spec(spec: str) -> tuple[str, str]:
    """URL and model of "http://host:port/v1#model-name"; InvalidInput where it is malformed."""
    form = "pass http://host:port/v1#model-name"
    url, _, model = spec.strip().partition("#")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", url):
        raise InvalidInput(f"{spec!r} is not the URL of an endpoint; {form}")
    if parts.username is not None:
        raise InvalidInput(f"the URL of {parts.hostname} carries a user name; pass the key as api_key=")
    if parts.query:
        raise InvalidInput(f"{spec!r} has a query (?{parts.query}) in its URL; {form}")
    if not model.strip():
        raise InvalidInput(f"{spec!r} names no model; {form}")
    return url.rstrip("/").removesuffix("/chat/completions"), model.strip()


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """The prompt as a conversation; InvalidInput where it is empty, or a message cannot be sent."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if not prompt:
        raise InvalidInput("a prompt is empty; pass some text or at least one message")
    for message in messages:
        if not (isinstance(get(message, "role"), str) and isinstance(get(message, "content"), str)):
            raise InvalidInput(f"{clip(repr(message))} is not a message; pass {{'role': ..., 'content': ...}} of strings")
        try:
            message["content"].encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"a prompt holds half a character, which UTF-8 cannot carry: {error}") from error
    return [dict(message) for message in messages]


# With the space before it, which tokenizers join to the word. A word next to digits is left to the count of bytes.
_WORD = re.compile(r" ?(?<![0-9A-Za-z])([A-Za-z]+)(?![0-9A-Za-z])")


def estimated_tokens(prompt: Prompt) -> int:
    """An upper estimate of the tokens of a prompt, as `EndpointModel.count_tokens` says."""
    return 40 + sum(8 + _count(message["content"]) for message in as_messages(prompt))


def _count(text: str) -> int:
    return sum(-(-len(word) // 3) for word in _WORD.findall(text)) + len(_WORD.sub("", text).encode())
