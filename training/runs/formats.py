"""The data set formats of TRL, made into the few that runs check and train on.

Standard (texts) and conversational rows stay what they are. Made into these are: content that is a list of parts of text;
conversations under the name `conversations`, or with `from` and `value` in place of `role` and `content`; and preference
pairs whose prompt is only implicit, as the common beginning of `chosen` and `rejected`. Not covered: streamed data sets,
images, and whether rows can be trained on (row_checks.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.rewards.completions import message_text
from training.rows import read_rows

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["normalized_rows", "read_training_rows"]

_CONVERSATIONS = ("prompt", "chosen", "rejected", "completion", "messages")
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant"}


def read_training_rows(path: str | Path) -> Dataset:
    """Read a data set (`training.rows.read_rows`) in any of TRL's formats.

    Raises:
        InvalidInput: it cannot be read, or a row (it is named) cannot be normalized.
    """
    return normalized_rows(read_rows(path, prepare=_plain_row))


def _plain_row(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """A row with plain messages; turns whose content is parts beside turns whose content is text fit no table."""
    return {
        name: _conversation(value, f"the {name} of row {number}") if name in (*_CONVERSATIONS, "conversations") else value
        for name, value in row.items()
    }


def normalized_rows(rows: Dataset) -> Dataset:
    """Write rows as texts or as conversations of `role` and `content`, with an explicit prompt.

    Args:
        rows: in one of TRL's formats. What is in none of them is left as it is, for the checks to name it.

    Raises:
        InvalidInput: a message (its row is named) has content other than text, or a pair has no common beginning.
    """
    if "conversations" in rows.column_names and "messages" not in rows.column_names:
        rows = rows.rename_column("conversations", "messages")
    for name in _CONVERSATIONS:
        if name in rows.column_names:
            rows = _with_plain_messages(rows, name)
    if {"chosen", "rejected"} <= set(rows.column_names):
        rows = _with_prompts(rows)
    return rows


def _with_plain_messages(rows: Dataset, name: str) -> Dataset:
    values = rows[name][:]
    plain = [_conversation(value, f"the {name} of row {number}") for number, value in enumerate(values)]
    return rows if plain == values else _replaced(rows, {name: plain})


def _conversation(value: Any, place: str) -> Any:
    if not isinstance(value, list) or not all(isinstance(message, Mapping) for message in value):
        return value
    return [_message(message, place) for message in value]


def _message(message: Mapping[str, Any], place: str) -> dict[str, Any]:
    plain = {key: value for key, value in message.items() if key not in ("from", "value")}
    if message.get("role") is None and message.get("from") is not None:
        plain["role"] = _ROLES.get(message["from"], message["from"])
    if message.get("content") is None and message.get("value") is not None:
        plain["content"] = message["value"]
    if isinstance(plain.get("content"), list):
        try:
            plain["content"] = message_text(plain)
        except InvalidInput as error:
            raise InvalidInput(f"{place} cannot be trained on: {error}") from error
    return plain


def _with_prompts(rows: Dataset) -> Dataset:
    """The pairs with explicit prompts.

    A prompt that is a text does not count beside conversations that begin with it.
    """
    prompts = rows["prompt"][:] if "prompt" in rows.column_names else [None] * len(rows)
    pairs = list(zip(prompts, rows["chosen"], rows["rejected"], strict=True))
    if not pairs or not all(_is_implicit(*pair) for pair in pairs):
        return rows
    split = [_split(chosen, rejected, number) for number, (_, chosen, rejected) in enumerate(pairs)]
    return _replaced(rows, dict(zip(("prompt", "chosen", "rejected"), map(list, zip(*split, strict=True)), strict=True)))


def _is_implicit(prompt: Any, chosen: Any, rejected: Any) -> bool:
    if isinstance(chosen, str) and isinstance(rejected, str):
        return prompt is None
    if not (isinstance(chosen, list) and isinstance(rejected, list) and chosen and rejected):
        return False
    return not isinstance(prompt, list) and chosen[0].get("role") in ("system", "user")


def _split(chosen: Any, rejected: Any, number: int) -> tuple[Any, Any, Any]:
    """Prompt, chosen and rejected: cut after the last message, or at the last white space, of the common beginning."""
    shorter = min(len(chosen), len(rejected))
    length = next((i for i in range(shorter) if chosen[i] != rejected[i]), shorter)
    if isinstance(chosen, str):
        length = max((i for i in range(length + 1) if i < len(chosen) and chosen[i].isspace()), default=0)
        # White space belongs to the completion: tokens begin with it.
        while length and chosen[length - 1].isspace():
            length -= 1
    if not length:
        raise InvalidInput(f"chosen and rejected of row {number} have no common beginning and there is no prompt; add one")
    return chosen[:length], chosen[length:], rejected[length:]


def _replaced(rows: Dataset, columns: Mapping[str, Sequence[Any]]) -> Dataset:
    from datasets import Dataset

    kept = {name: rows[name][:] for name in rows.column_names}
    return Dataset.from_dict({**kept, **columns})
