"""The factuality columns of preference pairs: their names, their check, and a mixin that passes them to a trainer's loss."""

from __future__ import annotations

import math
from typing import Any

from halluc.errors import InvalidInput

__all__ = ["COLUMNS", "FactualityColumns"]

COLUMNS = ("chosen_factuality", "rejected_factuality")


class FactualityColumns:
    """A mixin, placed before a preference trainer of TRL, that adds the factuality of both sides to its batches, (B,) each.

    Args:
        args, kwargs: of the trainer.
        factuality_weight: at least 0; 0 changes nothing and needs no column.

    Raises:
        InvalidInput: the weight is negative or not finite, a column is missing, or a factuality is not finite (the row is
            named).
    """

    def __init__(self, *args: Any, factuality_weight: float = 0.0, **kwargs: Any) -> None:
        if not (math.isfinite(factuality_weight) and factuality_weight >= 0):
            raise InvalidInput(f"factuality_weight is {factuality_weight}; pass 0 or more")
        self.factuality_weight = factuality_weight
        super().__init__(*args, **kwargs)
        if not factuality_weight:
            return
        trainer: Any = self
        data_sets = {"train": trainer.train_dataset}
        data_sets |= trainer.eval_dataset if isinstance(trainer.eval_dataset, dict) else {"eval": trainer.eval_dataset}
        for name, dataset in data_sets.items():
            if dataset is not None:
                _check_factuality(dataset, name)
        trainer.data_collator = _WithFactuality(trainer.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()  # type: ignore[misc]
        if self.factuality_weight:
            columns: Any = self._signature_columns
            self._signature_columns: Any = list(dict.fromkeys([*columns, *COLUMNS]))


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
    for column in COLUMNS:
        for row, value in enumerate(dataset[column]):
            if value is None or not math.isfinite(value):
                raise InvalidInput(f"{column} of row {row} of the {name} data set is {value}; fix or drop that row")
