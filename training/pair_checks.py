"""Whether a data set of preference pairs can be trained on, before anything is loaded or trained.

Not here: what holds for the rows of every data set (row_checks.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.rewards.completions import completion_text
from training.runs.row_checks import check_chat_template, check_columns, check_fits, check_score
from training.trainers.columns import COLUMNS

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["check_pairs"]


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
    scores = COLUMNS if factuality else ()
    check_columns(pairs, ("prompt", "chosen", "rejected", *scores), "preference pairs")
    if not isinstance(pairs[0]["prompt"], str):
        check_chat_template(tokenizer)
    for number, row in enumerate(pairs):
        chosen, rejected = (completion_text(row[side]).strip() for side in ("chosen", "rejected"))
        if not chosen or not rejected:
            raise InvalidInput(f"the {'rejected' if chosen else 'chosen'} completion of row {number} is empty; drop the row")
        if chosen == rejected:
            raise InvalidInput(f"chosen and rejected of row {number} are equal, {chosen[:40]!r}; drop the row")
        for column in scores:
            check_score(number, column, row[column])
        both = {f"{side} completion": row[side] for side in ("chosen", "rejected")}
        check_fits(number, tokenizer, row["prompt"], both, max_length)
