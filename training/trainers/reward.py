"""A reward model that may also learn how factual a completion is.

TRL's `RewardTrainer` does the preferences (Bradley-Terry, arXiv 2203.02155, eq. 1). Not here: the trained model as a reward
(reward_model.py).
"""

from __future__ import annotations

from typing import Any

import torch
from trl import RewardTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.trainers.columns import COLUMNS, FactualityColumns

__all__ = ["FactualityRewardTrainer"]


class FactualityRewardTrainer(FactualityColumns, RewardTrainer):
    """TRL's `RewardTrainer`, whose model has a second output that is regressed on the factuality of the completion.

    The loss is −log σ(r_w − r_l) + λ·mean((f̂ − f)²) over both sides. Both outputs are columns of the model's score, on the
    same hidden state; at λ = 0 the trainer is TRL's to the last digit. Logs `factuality_error`, the mean square.

    Args:
        model: has two labels where λ is above 0, else one (`training.rewards.model.load_scorer`).
        args, kwargs: of `RewardTrainer`. The data sets have two more columns, `chosen_factuality` and
            `rejected_factuality`, numbers on one scale.
        factuality_weight: λ, at least 0.

    Raises:
        InvalidInput: λ is negative or not finite, the model has another number of labels, a column is missing, or a
            factuality is not finite (the row is named).
    """

    def __init__(self, model: Any, *args: Any, factuality_weight: float = 0.0, **kwargs: Any) -> None:
        outputs = 2 if factuality_weight else 1
        if model.config.num_labels != outputs:
            raise InvalidInput(
                f"the reward model has {model.config.num_labels} labels; load it with num_labels={outputs} for a "
                f"factuality_weight of {factuality_weight}"
            )
        # TRL refuses more than one label; its loss below sees the first one alone.
        model.config.num_labels = 1
        super().__init__(model, *args, factuality_weight=factuality_weight, **kwargs)
        model.config.num_labels = outputs

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss on the first output, and the weighted square of what the second one misses."""
        if not self.factuality_weight:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        predicted: Any = None

        def preference(**batch: Any) -> Any:
            nonlocal predicted
            outputs = model(**batch)
            predicted = outputs.logits[:, 1].float()
            outputs.logits = outputs.logits[:, :1]
            return outputs

        batch = {name: value for name, value in inputs.items() if name not in COLUMNS}
        loss, outputs = super().compute_loss(preference, batch, True, num_items_in_batch)
        # TRL's batch has all chosen completions first.
        told = torch.cat([inputs[name] for name in COLUMNS]).to(predicted.dtype)
        error = torch.nn.functional.mse_loss(predicted, told)
        mode = "train" if model.training else "eval"
        self._metrics[mode]["factuality_error"].append(self.accelerator.gather_for_metrics(error.detach()).mean().item())
        loss = loss + self.factuality_weight * error
        return (loss, outputs) if return_outputs else loss
