"""The context of a conversation: the texts in it that a reply should be faithful to.

What the user claims is no evidence: a reply that repeats a wrong assumption would be supported by it. Not covered: passages
from an index (proxy.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrieval import Passage

__all__ = ["context_of", "last_question"]

# A shorter system message has only instructions ("You are a helpful assistant.").
_LEAST_SYSTEM = 200
_BLOCK = re.compile(
    r"<(passages?|contexts?|documents?|sources?|search_results|results?)\b[^<>]{0,200}>(.*?)</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)


def context_of(messages: Sequence[Any]) -> tuple[Passage, ...]:
    """Get the texts that the reply to a conversation should be faithful to.

    These are the results of tools; blocks such as `<passages>…</passages>`, `<context>` or `<document>` in messages of the
    system and the user; and system messages without such blocks, if they have at least 200 characters.

    Args:
        messages: as a client sent them; what is not understood is left out.
    """
    from retrieval import Passage

    passages = []
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping):
            continue
        role, text = message.get("role"), _text(message.get("content"))
        blocks = [match[2].strip() for match in _BLOCK.finditer(text)]
        if role in ("tool", "function"):
            texts = [text.strip()]
        elif role in ("system", "developer"):
            texts = blocks or ([text.strip()] if len(text) >= _LEAST_SYSTEM else [])
        else:
            texts = blocks if role == "user" else []
        for part, passage in enumerate(filter(None, texts), 1):
            passages.append(Passage(f"message {number}, {role} {part}", passage))
    return tuple(passages)


def last_question(messages: Sequence[Any]) -> str:
    """Get the text of the last message of the user, without blocks of context; empty if there is none."""
    users = [message for message in messages if isinstance(message, Mapping) and message.get("role") == "user"]
    return _BLOCK.sub(" ", _text(users[-1].get("content"))).strip() if users else ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
    return "\n".join(text for text in texts if isinstance(text, str))
