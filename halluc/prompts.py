"""Prompts that contain retrieved text as data.

A passage can contain anything, also instructions. `escape` breaks control tokens (control_tokens.py) and folds white space,
and `passage_block` keeps each passage on one numbered line inside a delimited block. Not covered: which text goes into the
block (grounding/context.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halluc.control_tokens import break_control_tokens
from halluc.errors import check_texts
from halluc.models.language_model import ChatMessage

__all__ = ["escape", "grounded_prompt", "passage_block"]

_SYSTEM = "Answer the question from the passages. Reply with the shortest answer that the passages give."


def escape(text: str, special_tokens: Iterable[str] = ()) -> str:
    """Break control tokens as `break_control_tokens` does, and fold white space to single spaces.

    Args:
        text: untrusted text.
        special_tokens: strings that the model's own tokenizer turns into control tokens.
    """
    return break_control_tokens(" ".join(text.split()), special_tokens)


def passage_block(passages: Sequence[str], special_tokens: Iterable[str] = ()) -> str:
    """Write the passages as numbered lines between `<passages>` and `</passages>`, escaped.

    Raises:
        InvalidInput: passages is a string in place of a list.
    """
    check_texts("passages", passages, allow_blank=True)
    special = tuple(special_tokens)
    lines = [f"[{number}] {escape(text, special)}" for number, text in enumerate(passages, 1)]
    return "\n".join(["<passages>", *lines, "</passages>"])


def grounded_prompt(
    question: str,
    passages: Sequence[str],
    special_tokens: Iterable[str] = (),
    *,
    system: str = "",
    history: Sequence[ChatMessage] = (),
) -> list[ChatMessage]:
    """Write the conversation that asks for an answer from the passages alone.

    Args:
        question: the question.
        passages: texts to answer from.
        special_tokens: strings that the model's own tokenizer turns into control tokens.
        system: further instructions for the system message.
        history: turns before the question.
    """
    special = tuple(special_tokens)
    instructions = f"{_SYSTEM}\n\n{break_control_tokens(system, special)}" if system else _SYSTEM
    return [
        {"role": "system", "content": instructions},
        *({"role": turn["role"], "content": break_control_tokens(turn["content"], special)} for turn in history),
        {
            "role": "user",
            "content": f"Passages:\n{passage_block(passages, special)}\n\nQuestion: {escape(question, special)}",
        },
    ]
