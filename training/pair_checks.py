"""Whether a data set of preference pairs can be trained on, before anything is loaded or trained.

TRL truncates what is too long and trains on what is empty; here each such row is an error that names it.
"""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.completions import completion_text

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["check_pairs", "read_rows"]

_TEXTS = ("prompt", "chosen", "rejected")
_SCORES = ("chosen_factuality", "rejected_factuality")


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
        found = load_from_disk(str(path)) if path.is_dir() else Dataset.from_json(str(path), keep_in_memory=True)
    except Exception as error:  # datasets lets the errors of every library below it through
        raise InvalidInput(f"{path} cannot be read as a data set: {' '.join(str(error).split())[:200]}") from error
    if isinstance(found, DatasetDict):
        raise InvalidInput(f"{path} holds the parts {', '.join(found)}; name one of its folders")
    return found


def check_pairs(pairs: Dataset, tokenizer: Any, *, max_length: int | None = None, factuality: bool = True) -> None:
    """Refuse pairs that would be trained on wrongly.

    Args:
        pairs: rows with prompt, chosen and rejected, strings or conversations.
        tokenizer: of the model that is trained.
        max_length: tokens the model is trained on at once; None for no limit.
        factuality: whether the columns chosen_factuality and rejected_factuality are needed.

    Raises:
        InvalidInput: there is no row, a column is missing, the tokenizer has no chat template for conversations, or a row
            (which is named) has an empty completion, equal completions, a factuality that is not finite, or more tokens
            than `max_length`.
    """
    if not len(pairs):
        raise InvalidInput("there are no preference pairs; a data set with at least one row is needed")
    for column in _TEXTS + (_SCORES if factuality else ()):
        if column not in pairs.column_names:
            near = difflib.get_close_matches(column, pairs.column_names, n=1)
            hint = f"did you call it {near[0]!r}?" if near else f"it has {', '.join(pairs.column_names)}"
            raise InvalidInput(f"the preference pairs have no column {column!r}; {hint}")
    conversational = not isinstance(pairs[0]["prompt"], str)
    if conversational and not tokenizer.chat_template:
        raise InvalidInput(
            f"the tokenizer of {tokenizer.name_or_path} has no chat template for prompts that are conversations; set "
            "tokenizer.chat_template, or give prompt, chosen and rejected as plain text"
        )
    for number, row in enumerate(pairs):
        chosen, rejected = (completion_text(row[side]).strip() for side in ("chosen", "rejected"))
        if not chosen or not rejected:
            raise InvalidInput(f"the {'rejected' if chosen else 'chosen'} completion of row {number} is empty; drop the row")
        if chosen == rejected:
            raise InvalidInput(f"chosen and rejected of row {number} are equal, {chosen[:40]!r}; drop the row")
        for column in _SCORES if factuality else ():
            if row[column] is None or not math.isfinite(row[column]):
                raise InvalidInput(f"{column} of row {number} is {row[column]}; score it again or drop the row")
        if max_length is not None:
            _check_length(row, number, tokenizer, max_length)


def _check_length(row: Any, number: int, tokenizer: Any, max_length: int) -> None:
    for side in (None, "chosen", "rejected"):
        parts = [row["prompt"]] + ([row[side]] if side else [])
        if isinstance(row["prompt"], str):
            count = len(tokenizer("".join(parts))["input_ids"]) + bool(side)
        else:
            messages = [message for part in parts for message in part]
            encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=not side, return_dict=True)
            count = len(encoded["input_ids"])
        if count > max_length or (not side and count == max_length):
            what = f"the prompt with the {side} completion" if side else "the prompt"
            raise InvalidInput(
                f"{what} of row {number} has {count} tokens, over the max_length of {max_length}; raise that or drop the row"
            )
