"""Conversations with a grounded model: the question in them, made to stand alone, and the turns that fit the window.

A follow-up question ("When was he born?") finds no passage on its own. The model rewrites it from the turns before it. Not
covered: answering it (grounded_model.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from halluc.answers import Answer
from halluc.control_tokens import break_control_tokens
from halluc.errors import InvalidInput
from halluc.models.language_model import ChatMessage, Generation, Prompt, check_message
from retrieval.records import Record

__all__ = [
    "REWRITE_OPTIONS",
    "ChatReply",
    "Conversation",
    "drop_oldest_turns",
    "read_conversation",
    "rewrite_prompt",
    "rewritten_question",
]

REWRITE_OPTIONS: dict[str, Any] = {"max_new_tokens": 64, "stop": ("\n",)}
"""Options of `LanguageModel.generate` for a `rewrite_prompt`."""

_REWRITE = "Rewrite the last question so that it can be understood without the conversation. Reply with the question alone."
_EXAMPLE = "Conversation:\nUser: Who wrote Dracula?\nAssistant: Bram Stoker.\n\nLast question: When was he born?"
_SPEAKERS = {"user": "User", "assistant": "Assistant"}


@dataclass(frozen=True)
class Conversation:
    """What a grounded model is asked.

    Attributes:
        question: the question, to be understood alone.
        system: instructions of the caller; empty if there are none.
        history: the turns before the question, oldest first.
        dropped_turns: how many of the oldest turns were left out because the conversation is longer than the window.
    """

    question: str
    system: str = ""
    history: tuple[ChatMessage, ...] = ()
    dropped_turns: int = 0


@dataclass(frozen=True)
class ChatReply(Record):
    """What a grounded model replies to a conversation.

    Attributes:
        answers: n answers, at least one.
        question: the last question, rewritten to stand alone if there were turns before it.
        dropped_turns: how many of the oldest turns did not fit the model's window and were left out.
    """

    answers: tuple[Answer, ...]
    question: str
    dropped_turns: int = 0

    @property
    def answer(self) -> Answer:
        """The first answer."""
        return self.answers[0]


def read_conversation(messages: Prompt) -> Conversation:
    """Read a conversation whose last message is the user's question.

    Args:
        messages: system messages anywhere, and turns of user and assistant.

    Raises:
        InvalidInput: there is no message, a message is unusable, or the last turn is not a question of the user.
    """
    if isinstance(messages, str):
        raise InvalidInput(f"messages is one string, {messages[:40]!r}; pass a list of messages, or use ask")
    for i, message in enumerate(messages):
        check_message(f"messages[{i}]", message)
    turns = [message for message in messages if message["role"] != "system"]
    if not turns or turns[-1]["role"] != "user":
        last = f"a message of the {turns[-1]['role']}" if turns else "no question"
        raise InvalidInput(f"the conversation ends with {last}; end it with a question of the user")
    if not turns[-1]["content"].strip():
        raise InvalidInput("the last message is empty; write a question")
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    # A turn without text says nothing; an empty reply of the model is one.
    history = tuple(message for message in turns[:-1] if message["content"].strip())
    return Conversation(turns[-1]["content"], system.strip(), history)


def rewrite_prompt(conversation: Conversation, special_tokens: Sequence[str] = ()) -> list[ChatMessage]:
    """Write the prompt that asks for the question of a conversation as it would be asked without the turns before it."""
    turns = [f"{_SPEAKERS[turn['role']]}: {' '.join(turn['content'].split())}" for turn in conversation.history]
    text = "\n".join(["Conversation:", *turns, "", f"Last question: {' '.join(conversation.question.split())}"])
    return [
        {"role": "system", "content": _REWRITE},
        {"role": "user", "content": _EXAMPLE},
        {"role": "assistant", "content": "When was Bram Stoker born?"},
        {"role": "user", "content": break_control_tokens(text, special_tokens)},
    ]


def rewritten_question(conversation: Conversation, generation: Generation) -> str:
    """Read the model's reply to `rewrite_prompt`; one that is no usable question leaves the question as it was."""
    from halluc.claims.abstention import abstains

    text = generation.text.strip().removeprefix("Last question:").strip().strip('"').strip()
    if not text or generation.finish_reason == "length" or abstains(text):
        return conversation.question
    return text


def drop_oldest_turns(
    conversation: Conversation, prompt: Callable[[Conversation], Prompt], *, count: Callable[[Prompt], int], room: int | None
) -> Conversation:
    """Drop the oldest turns until a prompt fits; the user's turn and the reply to it go together.

    Args:
        conversation: a conversation.
        prompt: writes the prompt of a conversation.
        count: counts the tokens of a prompt.
        room: tokens that the prompt may have; None for no limit.

    Returns:
        The conversation, without history at the least; whether it fits then is up to the caller.
    """
    history = list(conversation.history)
    dropped = conversation.dropped_turns
    while room is not None and history:
        shorter = Conversation(conversation.question, conversation.system, tuple(history), dropped)
        if count(prompt(shorter)) <= room:
            break
        dropped += 1
        history.pop(0)
        while history and history[0]["role"] == "assistant":
            dropped += 1
            history.pop(0)
    return Conversation(conversation.question, conversation.system, tuple(history), dropped)
