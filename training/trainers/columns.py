"""Columns of the rows that TRL's trainers do not know: what passes them to a trainer's loss, and the factuality of pairs.

Not covered: the losses (dpo.py, reward.py, kto.py).
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from halluc.errors import InvalidInput

__all__ = ["COLUMNS", "FactualityColumns", "KeptColumns", "check_weight", "data_sets_of"]

COLUMNS = ("chosen_factuality", "rejected_factuality")


def check_weight(name: str, weight: float) -> None:
    """Check the weight of a term of a loss.

    Raises:
        InvalidInput: it is negative or not finite.
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise InvalidInput(f"{name} is {weight}; pass 0 or more")


def data_sets_of(trainer: Any) -> dict[str, Any]:
    """The data sets of a trainer by name: "train", and "eval" or the names that its user gave."""
    evaluated = trainer.eval_dataset if isinstance(trainer.eval_dataset, dict) else {"eval": trainer.eval_dataset}
    return {name: rows for name, rows in {"train": trainer.train_dataset, **evaluated}.items() if rows is not None}


class KeptColumns:
    """A mixin, placed before a trainer of TRL, that hands `kept_columns` of the rows to its collator."""

    kept_columns: tuple[str, ...] = ()

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        columns: Any = self._signature_columns
        self._signature_columns: Any = list(dict.fromkeys([*columns, *self.kept_columns]))


class FactualityColumns(KeptColumns):
    """A mixin, placed before a preference trainer of TRL, that adds the factuality of both sides to its batches, (B,) each.

    Args:
        args, kwargs: of the trainer.
        factuality_weight: at least 0; 0 changes nothing and needs no column.

    Raises:
        InvalidInput: the weight is negative or not finite, a column is missing, or a factuality is not finite (the row is
            named).
    """

    def __init__(self, *args: Any, factuality_weight: float = 0.0, **kwargs: Any) -> None:
        check_weight("factuality_weight", factuality_weight)
        self.factuality_weight = factuality_weight
        self.kept_columns = COLUMNS if factuality_weight else ()
        super().__init__(*args, **kwargs)
        if not factuality_weight:
            return
        trainer: Any = self
        for name, rows in data_sets_of(trainer).items():
            _check_factuality(rows, name)
        trainer.data_collator = _WithFactuality(trainer.data_collator)


class _WithFactuality:
    """A collator that adds the factuality columns to the batches of another collator."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch: dict[str, Any] = self.collator(examples)
        return batch | {name: torch.tensor([float(example[name]) for example in examples]) for name in COLUMNS}


def _check_factuality(dataset: Any, name: str) -> None:
    for column in COLUMNS:
        if column not in (dataset.column_names or COLUMNS):
            raise InvalidInput(
                f"the {name} data set has no column {column!r}; build it with training.build_preference_pairs, add "
                "it, or set factuality_weight to 0"
            )
    if not hasattr(dataset, "__len__"):
        return
    scores = {column: dataset[column][:] for column in COLUMNS}
    for column, values in scores.items():
        for row, value in enumerate(values):
            if value is None or not math.isfinite(value):
                raise InvalidInput(f"{column} of row {row} of the {name} data set is {value}; fix or drop that row")
    reversed_rows = [row for row, (chosen, rejected) in enumerate(zip(*scores.values(), strict=True)) if chosen < rejected]
    if reversed_rows:
        warnings.warn(
            f"in {len(reversed_rows)} of {len(dataset)} pairs of the {name} data set, row {reversed_rows[0]} first, the "
            "rejected side is the more factual one; exchange the sides or drop the pair, unless that is what people chose",
            stacklevel=2,
        )
