"""Prompts that hold retrieved text as data.

A passage can contain anything, also instructions and the control tokens of a chat template. `escape` breaks whatever a
tokenizer or this module's own delimiters would take for structure, and `passage_block` keeps each passage on one numbered
line inside a delimited block. Not here: which text goes into the block (packing.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from halluc.models.language_model import ChatMessage

__all__ = ["escape", "grounded_prompt", "passage_block"]

_SYSTEM = "Answer the question from the passages. Reply with the shortest answer that the passages give."

# Control tokens of the chat templates in common use, for endpoints whose tokenizer is out of sight, and our delimiters.
_CONTROL = re.compile(
    r"<\|[^<>|\n]{1,40}\|>|<｜[^<>｜\n]{1,40}｜>|</?(?:s|bos|eos|pad|unk|passages|think|tool_call|tool_response)>"
    r"|<(?:start_of_turn|end_of_turn)>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>",
    re.IGNORECASE,
)


def escape(text: str, special_tokens: Iterable[str] = ()) -> str:
    """Break control tokens with a space after their first character, and fold white space to single spaces.

    Args:
        text: untrusted text.
        special_tokens: the strings that the model's own tokenizer treats as control tokens.
    """
    text = " ".join(text.split())
    own = [re.escape(token) for token in sorted(special_tokens, key=len, reverse=True) if len(token) > 1]
    pattern = re.compile("|".join([*own, _CONTROL.pattern]), re.IGNORECASE)
    return pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def passage_block(passages: Sequence[str], special_tokens: Iterable[str] = ()) -> str:
    """The passages as numbered lines between `<passages>` and `</passages>`, escaped."""
    special = tuple(special_tokens)
    lines = [f"[{number}] {escape(text, special)}" for number, text in enumerate(passages, 1)]
    return "\n".join(["<passages>", *lines, "</passages>"])


def grounded_prompt(question: str, passages: Sequence[str], special_tokens: Iterable[str] = ()) -> list[ChatMessage]:
    """The conversation that asks for an answer from the passages alone."""
    special = tuple(special_tokens)
    return [
        {"role": "system", "content": _SYSTEM},
        {
            "role": "user",
            "content": f"Passages:\n{passage_block(passages, special)}\n\nQuestion: {escape(question, special)}",
        },
    ]
