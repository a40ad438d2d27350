"""Train a reward model that may also predict how factual a completion is.

TRL's `RewardTrainer` learns the preferences (Bradley-Terry, arXiv 2203.02155, eq. 1). Not covered: the trained model as a
reward (training/rewards/model.py).
"""

from __future__ import annotations

from typing import Any

import torch
from trl import RewardTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.trainers.columns import COLUMNS, FactualityColumns

__all__ = ["FactualityRewardTrainer"]


class FactualityRewardTrainer(FactualityColumns, RewardTrainer):
    """TRL's `RewardTrainer` for a model with a second output that predicts the factuality of the completion.

    The loss is −log σ(r_w − r_l) + λ·mean((f̂ − f)²), the mean being over both sides. Both outputs are columns of the
    model's score, computed from the same hidden state; with λ = 0 results are identical to TRL's. Logs `factuality_error`,
    the mean squared error.

    Args:
        model: has two labels if λ is above 0, else one (`training.rewards.model.load_scorer`).
        args, kwargs: of `RewardTrainer`. The data sets have two additional columns, `chosen_factuality` and
            `rejected_factuality`, numbers on one scale.
        factuality_weight: λ, at least 0.

    Raises:
        InvalidInput: λ is negative or not finite, the model has a different number of labels, a column is missing, or a
            factuality is not finite (the row is named).
    """

    def __init__(self, model: Any, *args: Any, factuality_weight: float = 0.0, **kwargs: Any) -> None:
        outputs = 2 if factuality_weight else 1
        if model.config.num_labels != outputs:
            raise InvalidInput(
                f"the reward model has {model.config.num_labels} labels; load it with num_labels={outputs} for a "
                f"factuality_weight of {factuality_weight}"
            )
        # TRL refuses more than one label; its loss sees only the first one, see compute_loss.
        model.config.num_labels = 1
        super().__init__(model, *args, factuality_weight=factuality_weight, **kwargs)
        model.config.num_labels = outputs

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Add the weighted squared error of the second output to TRL's loss on the first one."""
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
        factuality = torch.cat([inputs[name] for name in COLUMNS]).to(predicted.dtype)
        error = torch.nn.functional.mse_loss(predicted, factuality)
        mode = "train" if model.training else "eval"
        self._metrics[mode]["factuality_error"].append(self.accelerator.gather_for_metrics(error.detach()).mean().item())
        loss = loss + self.factuality_weight * error
        return (loss, outputs) if return_outputs else loss
