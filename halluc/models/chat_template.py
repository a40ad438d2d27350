"""Conversations as a tokenizer's chat template accepts them.

Some templates have no system role (Gemma), and some demand that user and assistant take turns (Mistral). For these the
system text becomes the beginning of the first user turn. A tokenizer without a template, such as that of a model that is not
tuned to instructions, gets a transcript. Not covered: tokenizing the result (causal_network.py).
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from halluc.errors import InvalidInput
from halluc.models.language_model import ChatMessage

__all__ = ["NEXT_TURN", "fit_conversation", "merge_system_message", "render_conversation"]

NEXT_TURN = "\nUser:"
"""Where a completion of a transcript ends: a model without a chat template has no token for the end of a turn."""

_SPEAKERS = {"system": "", "user": "User: ", "assistant": "Assistant: "}
# Whether a template writes system messages, per tokenizer and template text.
_accepts_system: weakref.WeakKeyDictionary[Any, tuple[str, bool]] = weakref.WeakKeyDictionary()


def render_conversation(tokenizer: Any, messages: Sequence[ChatMessage]) -> str:
    """Write a conversation as the text that the model continues.

    Args:
        tokenizer: a transformers tokenizer.
        messages: a conversation; see `fit_conversation`.

    Returns:
        The text by the tokenizer's chat template. Without one, a transcript that ends with "Assistant:".

    Raises:
        InvalidInput: the tokenizer's chat template refuses the conversation.
    """
    import jinja2

    if tokenizer.chat_template is None:
        turns = [f"{_SPEAKERS[message['role']]}{message['content']}" for message in messages]
        return "\n\n".join([*turns, "Assistant:"])
    try:
        text: str = tokenizer.apply_chat_template(
            fit_conversation(tokenizer, messages), add_generation_prompt=True, tokenize=False
        )
    except jinja2.TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise InvalidInput(
            f"the chat template of {tokenizer.name_or_path} refuses a conversation with the roles {roles}: {error}; "
            "change the order of its turns"
        ) from error
    return text


def fit_conversation(tokenizer: Any, messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """Move the system text into the first user turn if the tokenizer's chat template has no system role.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        messages: a conversation.

    Returns:
        The conversation, or an equal copy if the template accepts system messages or there are none.
    """
    if any(message["role"] == "system" for message in messages) and not _has_system_role(tokenizer):
        return merge_system_message(messages)
    return [dict(message) for message in messages]


def merge_system_message(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """Put the text of all system messages, and an empty line, before the text of the first user turn.

    A conversation without a user turn gets one, at its beginning.
    """
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    turns = [dict(message) for message in messages if message["role"] != "system"]
    if not system:
        return turns
    user = next((turn for turn in turns if turn["role"] == "user"), None)
    if user is None:
        return [{"role": "user", "content": system}, *turns]
    user["content"] = f"{system}\n\n{user['content']}"
    return turns


def _has_system_role(tokenizer: Any) -> bool:
    import jinja2

    template = str(tokenizer.chat_template)
    if (cached := _accepts_system.get(tokenizer)) is not None and cached[0] == template:
        return cached[1]
    probe = "Zq7x"
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "system", "content": probe}, {"role": "user", "content": "a"}], tokenize=False
        )
        # Some templates drop a system message silently.
        accepts = probe in text
    except jinja2.TemplateError:
        accepts = False
    _accepts_system[tokenizer] = (template, accepts)
    return accepts
