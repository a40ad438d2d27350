"""Check that the rows of a data set can be trained on.

TRL truncates what is too long and trains on what is empty; here, such a row is an error that names it. Rows are counted
from 0. The checks of content (`check_pairs`, `check_examples`, `check_prompts`) need no model and run before one is loaded;
those of length need its tokenizer. Not covered: reading the rows (training/rows.py).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from halluc.models.chat_template import fit_conversation
from training.rewards.completions import as_messages, check_text_or_messages, completion_text
from training.rows import without_progress_bars
from training.trainers.columns import COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "check_chat_template",
    "check_columns",
    "check_example_lengths",
    "check_examples",
    "check_pair_lengths",
    "check_pairs",
    "check_prompts",
    "check_score",
    "fit_conversations",
    "prompts_as_messages",
]


def check_columns(rows: Dataset, columns: Sequence[str], kind: str) -> None:
    """Check that a data set has rows and all of the columns.

    Args:
        rows: the data set.
        columns: names of the columns it needs.
        kind: what the rows are, in the plural, for the message.

    Raises:
        InvalidInput: there is no row or a column is missing; the message names the column and the most similar one.
    """
    if not len(rows):
        raise InvalidInput(f"there are no {kind}; a data set with at least one row is needed")
    for column in columns:
        if column not in rows.column_names:
            similar = difflib.get_close_matches(column, rows.column_names, n=1)
            hint = f"did you mean {similar[0]!r}?" if similar else f"its columns are {', '.join(rows.column_names)}"
            raise InvalidInput(f"the data set of {kind} has no column {column!r}; {hint}")


def check_score(row: int, column: str, score: Any) -> None:
    """Check a score of a row.

    Raises:
        InvalidInput: the score is missing or not finite.
    """
    if not isinstance(score, (int, float)) or not math.isfinite(score):
        raise InvalidInput(f"{column} of row {row} is {score}; score the row again or drop it")


def check_pairs(pairs: Dataset, *, factuality: bool = True) -> None:
    """Check the content of preference pairs.

    Args:
        pairs: rows with prompt, chosen and rejected: all texts or all conversations.
        factuality: whether the columns chosen_factuality and rejected_factuality are needed.

    Raises:
        InvalidInput: there is no row, a column is missing, or a row (it is named) has a missing value, an empty completion,
            equal completions, or a factuality that is not finite.
    """
    scores = COLUMNS if factuality else ()
    check_columns(pairs, ("prompt", "chosen", "rejected", *scores), "preference pairs")
    for number, row in enumerate(pairs):
        completions = {f"{side} completion": row[side] for side in ("chosen", "rejected")}
        _check_content(number, row["prompt"], completions)
        chosen, rejected = (completion_text(completion).strip() for completion in completions.values())
        if chosen == rejected:
            raise InvalidInput(f"chosen and rejected of row {number} are equal, {chosen[:40]!r}; drop the row")
        for column in scores:
            check_score(number, column, row[column])


def check_pair_lengths(pairs: Dataset, tokenizer: Any, max_length: int | None) -> None:
    """Check that every pair fits the model.

    Args:
        pairs: pairs that `check_pairs` accepts.
        tokenizer: of the model to train.
        max_length: longest sequence in tokens; None for no limit.

    Raises:
        InvalidInput: the tokenizer has no chat template for conversations, or a row (it is named) is too long.
    """
    if not isinstance(pairs[0]["prompt"], str):
        check_chat_template(tokenizer)
    for number, row in enumerate(pairs):
        completions = {f"{side} completion": row[side] for side in ("chosen", "rejected")}
        _check_length(number, tokenizer, row["prompt"], completions, max_length)


def check_examples(rows: Dataset, *, text: str = "text") -> None:
    """Check the content of examples for supervised fine-tuning, or of labeled completions.

    Args:
        rows: rows with prompt and completion, both texts or both conversations; with messages; or with text.
        text: name of the column of text.

    Raises:
        InvalidInput: there is no row, a column is missing, or a row (it is named) has a missing value or nothing to learn.
    """
    with_messages = "messages" in rows.column_names
    with_text = text in rows.column_names and not {"prompt", "completion", "messages"} & set(rows.column_names)
    check_columns(rows, ("messages",) if with_messages else (text,) if with_text else ("prompt", "completion"), "examples")
    for number, row in enumerate(rows):
        prompt, completion = _parts_of(row, text)
        if with_messages and not completion:
            raise InvalidInput(f"the conversation of row {number} is missing or empty; drop the row")
        if with_messages and completion[0].get("role") not in (None, "assistant"):
            raise InvalidInput(f"the last message of row {number} has the role {completion[0]['role']!r}, not 'assistant'")
        _check_content(number, prompt, {text if with_text else "completion": completion}, conversation=with_messages)


def check_example_lengths(rows: Dataset, tokenizer: Any, max_length: int | None, *, text: str = "text") -> None:
    """Check that every example fits the model; see `check_pair_lengths` and `check_examples` for arguments and errors."""
    if not isinstance(_parts_of(rows[0], text)[0], str):
        check_chat_template(tokenizer)
    for number, row in enumerate(rows):
        prompt, completion = _parts_of(row, text)
        _check_length(number, tokenizer, prompt, {"completion": completion}, max_length)


def check_prompts(rows: Dataset) -> None:
    """Check the content of prompts to sample completions of.

    Raises:
        InvalidInput: there is no row or no column `prompt`, or a prompt (its row is named) is missing or empty.
    """
    check_columns(rows, ("prompt",), "prompts")
    for number, prompt in enumerate(rows["prompt"]):
        check_text_or_messages(f"the prompt of row {number}", prompt)
        messages = as_messages(prompt)
        if not messages or not (messages[-1]["content"] or "").strip():
            raise InvalidInput(f"the prompt of row {number} is empty; drop the row")


def prompts_as_messages(rows: Dataset, tokenizer: Any, *, window: int | None, max_completion_length: int) -> Dataset:
    """Turn every prompt into a conversation: a plain string would reach the model without its chat template.

    A column `row` numbers the rows, for messages of the rewards.

    Args:
        rows: rows that `check_prompts` accepts; a string is one user turn. Other columns are kept.
        tokenizer: of the model to train.
        window: context window of the model in tokens; None for no limit.
        max_completion_length: tokens of the completion that must fit as well.

    Raises:
        InvalidInput: the tokenizer has no chat template, or a prompt (its row is named) leaves no room for the completion.
    """
    check_chat_template(tokenizer)
    prompts = [fit_conversation(tokenizer, as_messages(prompt)) for prompt in rows["prompt"]]
    for number, messages in enumerate(prompts):
        count = _count_tokens(tokenizer, messages)
        if window is not None and count + max_completion_length > window:
            raise InvalidInput(
                f"the prompt of row {number} has {count} tokens; with max_completion_length {max_completion_length} it "
                f"exceeds the context window of {window}; drop the row or lower max_completion_length"
            )
    # In this order, because a data set without columns has no rows either.
    rows = rows.add_column("fitted", prompts).remove_columns("prompt").rename_column("fitted", "prompt")
    return rows if "row" in rows.column_names else rows.add_column("row", list(range(len(rows))))


def fit_conversations(rows: Dataset, tokenizer: Any) -> Dataset:
    """Write the conversations of all columns as the tokenizer's chat template accepts them.

    The system text moves into the first user turn if the template has no system role; see
    `halluc.models.chat_template.fit_conversation`, which generation uses too.
    """
    if not tokenizer.chat_template:
        return rows

    def fit(row: dict[str, Any]) -> dict[str, Any]:
        return {name: fit_conversation(tokenizer, value) for name, value in row.items() if _is_conversation(value)}

    with without_progress_bars():
        return rows.map(fit, keep_in_memory=True, load_from_cache_file=False)


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and turn.get("role") and isinstance(turn.get("content"), str) for turn in value)
    )


def check_chat_template(tokenizer: Any) -> None:
    """Check that a tokenizer can format conversations.

    Raises:
        InvalidInput: it has no chat template.
    """
    if not tokenizer.chat_template:
        raise InvalidInput(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template for prompts that are conversations; set "
            "tokenizer.chat_template, or write prompts and completions as plain text"
        )


def _parts_of(row: Mapping[str, Any], text: str) -> tuple[Any, Any]:
    """The prompt and completion of an example; the completion of a conversation is its last message, that of a text all."""
    if "messages" in row:
        messages = row["messages"] or []
        return messages[:-1], messages[-1:]
    return (row["prompt"], row["completion"]) if "prompt" in row else ("", row[text])


def _check_content(row: int, prompt: Any, completions: Mapping[str, Any], *, conversation: bool = False) -> None:
    check_text_or_messages(f"the prompt of row {row}", prompt)
    if prompt == [] and not conversation:
        raise InvalidInput(f"the prompt of row {row} is empty; drop the row")
    for name, completion in completions.items():
        check_text_or_messages(f"the {name} of row {row}", completion)
        if isinstance(prompt, str) != isinstance(completion, str):
            forms = ("text", "a conversation") if isinstance(prompt, str) else ("a conversation", "text")
            raise InvalidInput(
                f"the prompt of row {row} is {forms[0]} and its {name} is {forms[1]}; write both in the same form"
            )
        if not completion_text(completion).strip():
            raise InvalidInput(f"the {name} of row {row} is empty; drop the row")


def _check_length(row: int, tokenizer: Any, prompt: Any, completions: Mapping[str, Any], max_length: int | None) -> None:
    """Check a prompt, alone and with each of the named completions."""
    if max_length is None:
        return
    parts = {f"prompt with the {name}": completion for name, completion in completions.items()}
    for name, completion in ({"prompt": None, **parts} if prompt else parts).items():
        count = _count_tokens(tokenizer, prompt, completion)
        # A prompt that fills the window leaves nothing to learn.
        if count + (completion is None) > max_length:
            raise InvalidInput(
                f"the {name} of row {row} has {count} tokens, more than the max_length of {max_length}; raise max_length "
                "or drop the row"
            )


def _count_tokens(tokenizer: Any, prompt: Any, completion: Any = None) -> int:
    """Tokens of a prompt, or of prompt and completion as TRL trains on them: by the chat template, or with the end token."""
    if isinstance(prompt, str):
        return len(tokenizer(prompt + (completion or ""))["input_ids"]) + (completion is not None)
    encoded = tokenizer.apply_chat_template(
        [*prompt, *(completion or [])], add_generation_prompt=completion is None, return_dict=True
    )
    return len(encoded["input_ids"])
