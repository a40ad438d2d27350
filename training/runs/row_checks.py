"""Whether the rows of a data set can be trained on, before a model is: columns, texts, chat template and lengths.

TRL truncates what is too long and trains on what is empty; here each such row is an error that names it. Not here:
preference pairs (pair_checks.py).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.models.chat_template import fit_conversation
from training.preferences.dataset import without_bars
from training.rewards.completions import as_messages, completion_text

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "check_chat_template",
    "check_columns",
    "check_examples",
    "check_fits",
    "check_score",
    "checked_prompts",
    "fit_conversations",
    "read_rows",
]


def read_rows(path: str | Path) -> Dataset:
    """The rows in a folder of `build_preference_pairs` or `Dataset.save_to_disk`, or in a file of JSON lines.

    Raises:
        InvalidInput: nothing is there, or it cannot be read.
    """
    from datasets import Dataset, DatasetDict, load_from_disk

    path = Path(path)
    if not path.exists():
        raise InvalidInput(f"there is no {path}; name a folder that a data set was saved to, or a file of JSON lines")
    try:
        with without_bars():
            found = load_from_disk(str(path)) if path.is_dir() else Dataset.from_json(str(path), keep_in_memory=True)
    except Exception as error:  # datasets lets the errors of every library below it through
        raise InvalidInput(f"{path} cannot be read as a data set: {' '.join(str(error).split())[:200]}") from error
    if isinstance(found, DatasetDict):
        raise InvalidInput(f"{path} holds the parts {', '.join(found)}; name one of its folders")
    return found


def fit_conversations(rows: Dataset, tokenizer: Any) -> Dataset:
    """Write the conversations of all columns as the tokenizer's chat template accepts them.

    The system text moves into the first user turn if the template has no system role; see
    `halluc.models.chat_template.fit_conversation`, which generation uses too.
    """
    if not tokenizer.chat_template:
        return rows

    def fit(row: dict[str, Any]) -> dict[str, Any]:
        return {name: fit_conversation(tokenizer, value) for name, value in row.items() if _is_conversation(value)}

    with without_bars():
        return rows.map(fit, keep_in_memory=True, load_from_cache_file=False)


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and turn.get("role") and isinstance(turn.get("content"), str) for turn in value)
    )


def check_columns(rows: Dataset, columns: Sequence[str], what: str) -> None:
    """Refuse a data set without rows or without one of the columns; `what` names its rows in the message.

    Raises:
        InvalidInput: see above; the message names the column and the nearest one there is.
    """
    if not len(rows):
        raise InvalidInput(f"there are no {what}; a data set with at least one row is needed")
    for column in columns:
        if column not in rows.column_names:
            near = difflib.get_close_matches(column, rows.column_names, n=1)
            hint = f"did you call it {near[0]!r}?" if near else f"it has {', '.join(rows.column_names)}"
            raise InvalidInput(f"the data set of {what} has no column {column!r}; {hint}")


def check_chat_template(tokenizer: Any) -> None:
    """Refuse a tokenizer that cannot write conversations down.

    Raises:
        InvalidInput: it has no chat template.
    """
    if not tokenizer.chat_template:
        raise InvalidInput(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template for prompts that are conversations; set "
            "tokenizer.chat_template, or give prompts and completions as plain text"
        )


def check_score(number: int, column: str, score: Any) -> None:
    """Refuse row `number` if its score in a column is missing or not finite.

    Raises:
        InvalidInput: see above.
    """
    if score is None or not math.isfinite(score):
        raise InvalidInput(f"{column} of row {number} is {score}; score it again or drop the row")


def check_fits(number: int, tokenizer: Any, prompt: Any, completions: Mapping[str, Any], max_length: int | None) -> None:
    """Refuse row `number` if its prompt, alone or with one of the named completions, is longer than `max_length` tokens.

    Raises:
        InvalidInput: see above.
    """
    if max_length is None:
        return
    whole = {f"prompt with the {name}": completion for name, completion in completions.items()}
    for what, completion in ({"prompt": None, **whole} if prompt else whole).items():
        count = _tokens(tokenizer, prompt, completion)
        # A prompt that fills the window leaves no room to learn anything.
        if count + (completion is None) > max_length:
            raise InvalidInput(
                f"the {what} of row {number} has {count} tokens, over the max_length of {max_length}; raise that or drop "
                "the row"
            )


def check_examples(rows: Dataset, tokenizer: Any, *, max_length: int | None = None) -> None:
    """Refuse examples that would be fine-tuned on wrongly.

    Args:
        rows: rows with prompt and completion, strings or conversations, or with messages.
        tokenizer: of the model that is trained.
        max_length: tokens the model is trained on at once; None for no limit.

    Raises:
        InvalidInput: there is no row, a column is missing, the tokenizer has no chat template for conversations, or a row
            (which is named) has no text to learn or more tokens than `max_length`.
    """
    messages = "messages" in rows.column_names
    check_columns(rows, ("messages",) if messages else ("prompt", "completion"), "examples")
    if messages or not isinstance(rows[0]["prompt"], str):
        check_chat_template(tokenizer)
    for number, row in enumerate(rows):
        # The last turn of a conversation is what is learnt.
        prompt, completion = (row["messages"][:-1], row["messages"][-1:]) if messages else (row["prompt"], row["completion"])
        if not completion_text(completion).strip():
            raise InvalidInput(f"the completion of row {number} is empty; drop the row")
        if messages and completion[0]["role"] != "assistant":
            raise InvalidInput(f"the last message of row {number} is of the {completion[0]['role']}, not of the assistant")
        check_fits(number, tokenizer, prompt, {"completion": completion}, max_length)


def checked_prompts(rows: Dataset, tokenizer: Any, *, window: int | None, room: int) -> Dataset:
    """The rows with every prompt a conversation, since a plain string would reach the model without its chat template.

    Args:
        rows: rows with a prompt, a string (one user turn) or a conversation, and any other columns.
        tokenizer: of the model that is trained.
        window: tokens of a prompt with its completion; None for no limit.
        room: tokens that the completion may take.

    Raises:
        InvalidInput: there is no row or no prompt column, the tokenizer has no chat template, or a prompt (whose row is
            named) is empty or leaves no room for the completion.
    """
    check_columns(rows, ("prompt",), "prompts")
    check_chat_template(tokenizer)
    prompts = []
    for number, prompt in enumerate(rows["prompt"]):
        messages = as_messages(prompt or "")
        if not messages or not (messages[-1]["content"] or "").strip():
            raise InvalidInput(f"the prompt of row {number} is empty; drop the row")
        messages = fit_conversation(tokenizer, messages)
        count = _tokens(tokenizer, messages)
        if window is not None and count + room > window:
            raise InvalidInput(
                f"the prompt of row {number} has {count} tokens, which with max_completion_length {room} is over the window "
                f"of {window}; drop the row or lower max_completion_length"
            )
        prompts.append(messages)
    # In this order, because a data set without columns has no rows either.
    return rows.add_column("fitted", prompts).remove_columns("prompt").rename_column("fitted", "prompt")


def _tokens(tokenizer: Any, prompt: Any, completion: Any = None) -> int:
    """Tokens of a prompt, or of a prompt and its completion as TRL trains on them: with the template or the end of text."""
    if isinstance(prompt, str):
        return len(tokenizer(prompt + (completion or ""))["input_ids"]) + (completion is not None)
    encoded = tokenizer.apply_chat_template(
        [*prompt, *(completion or [])], add_generation_prompt=completion is None, return_dict=True
    )
    return len(encoded["input_ids"])
