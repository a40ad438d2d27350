"""Single completions labelled desirable or not by their factuality, TRL's unpaired preference format, for KTO.

Not here: how truth is scored (rewards.py), and whether such rows can be trained on (row_checks.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.runs.row_checks import check_columns, check_score

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["label_by_factuality"]


def label_by_factuality(rows: Dataset, *, threshold: float | None = None, seed: int = 0) -> Dataset:
    """Rows with prompt, completion and label, true for a desirable completion, in random order.

    The order matters: TRL's KTO takes the rows as they stand and estimates the KL of a batch from its completions on each
    other's prompts, which must be strangers.

    Args:
        rows: preference pairs (prompt, chosen, rejected), two rows of the result each; or completions (prompt, completion)
            with a label, or with a factuality.
        threshold: the least factuality of a desirable completion, where there is a factuality (of pairs, in
            chosen_factuality and rejected_factuality). None takes the label, or chosen as desirable and rejected as not.
        seed: of the order.

    Raises:
        InvalidInput: there is no row, a column is missing, a label or factuality is unusable (the row is named), or all
            completions get the same label.
    """
    from datasets import Dataset

    paired = bool({"chosen", "rejected"} & set(rows.column_names))
    sides = ("chosen", "rejected") if paired else ("completion",)
    scores = [f"{side}_factuality" if paired else "factuality" for side in sides]
    told = scores if threshold is not None else [] if paired else ["label"]
    what = "preference pairs" if paired else "completions"
    if told == ["label"] and "label" not in rows.column_names and "factuality" in rows.column_names:
        raise InvalidInput(f"the data set of {what} has a factuality and no label; set factuality_threshold")
    check_columns(rows, ("prompt", *sides, *told), what)
    labelled = [
        {"prompt": row["prompt"], "completion": row[side], "label": _label(row, number, side, score, threshold)}
        for number, row in enumerate(rows)
        for side, score in zip(sides, scores, strict=True)
    ]
    if len({row["label"] for row in labelled}) == 1:
        which = "desirable" if labelled[0]["label"] else "undesirable"
        raise InvalidInput(f"all {len(labelled)} completions are {which}; change factuality_threshold, or add others")
    return Dataset.from_list(labelled).shuffle(seed=seed).flatten_indices()


def _label(row: dict[str, Any], number: int, side: str, score: str, threshold: float | None) -> bool:
    if threshold is not None:
        check_score(number, score, row[score])
        return bool(row[score] >= threshold)
    label = row["label"] if side == "completion" else side == "chosen"
    if label not in (True, False):
        raise InvalidInput(f"the label of row {number} is {label!r}; write true or false")
    return bool(label)
