"""Train a reward model on preferences that are known with a probability, such as those that a model labels.

Not covered: the labels (training/preferences/ai_labels.py), and pairs with a sure label (reward.py).
"""

from __future__ import annotations

from typing import Any

import torch
from trl import RewardTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput

__all__ = ["PROBABILITY", "SoftLabelRewardTrainer"]

PROBABILITY = "probability"
"""Column of preference pairs: the probability, in [0, 1], that the chosen completion is the better one."""


class SoftLabelRewardTrainer(RewardTrainer):
    """TRL's `RewardTrainer` with the cross-entropy to a probability p of each preference (RLAIF, arXiv 2309.00267).

    With the difference Δ of the scores of the chosen and the rejected completion, the loss is
    −p·log σ(Δ) − (1 − p)·log σ(−Δ), which is TRL's −log σ(Δ) plus (1 − p)·Δ. With p = 1 it is TRL's.

    Args:
        args, kwargs: of `RewardTrainer`. The data sets have the additional column `probability`.

    Raises:
        InvalidInput: the column is missing, or a probability is not in [0, 1] (the row is named).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, rows in (("train", self.train_dataset), ("eval", self.eval_dataset)):
            if rows is not None:
                _check_probabilities(rows, name)
        self.data_collator = _WithProbability(self.data_collator)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        columns: Any = self._signature_columns
        self._signature_columns: Any = list(dict.fromkeys([*columns, PROBABILITY]))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Add (1 − p)·Δ to TRL's loss."""
        probability = inputs[PROBABILITY]
        batch = {name: value for name, value in inputs.items() if name != PROBABILITY}
        loss, outputs = super().compute_loss(model, batch, True, num_items_in_batch)
        # TRL's batch has all chosen completions first.
        chosen, rejected = torch.chunk(outputs.logits.squeeze(-1), chunks=2)
        loss = loss + ((1 - probability.to(chosen.dtype)) * (chosen - rejected)).mean()
        return (loss, outputs) if return_outputs else loss


class _WithProbability:
    """A collator that adds the probabilities, (B,), to the batches of another collator."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.collator(examples)
        return batch | {PROBABILITY: torch.tensor([float(example[PROBABILITY]) for example in examples])}


def _check_probabilities(rows: Any, name: str) -> None:
    if PROBABILITY not in rows.column_names:
        raise InvalidInput(f"the {name} data set has no column {PROBABILITY!r}; add it, or set soft_labels to false")
    for number, value in enumerate(rows[PROBABILITY]):
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise InvalidInput(
                f"{PROBABILITY} of row {number} of the {name} data set is {value}; write a number from 0 to 1, or drop the "
                "row"
            )
