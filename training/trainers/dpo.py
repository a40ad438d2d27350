"""DPO with a factuality margin: a pair whose answers differ more in truth must be told apart more clearly.

TRL's `DPOTrainer` does everything; the margin goes in as an offset of the reference log-probabilities. Not here: the pairs
and their factuality (preferences.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trl import DPOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.trainers.columns import COLUMNS, FactualityColumns

__all__ = ["FactualityDPOTrainer"]

# These losses divide log-ratios by the length of the completion, so that the offset is multiplied by it.
_PER_TOKEN = {"ipo", "sigmoid_norm"}


class FactualityDPOTrainer(FactualityColumns, DPOTrainer):
    """TRL's `DPOTrainer` for E[r_pref + λ·f] − β·KL, f being a known factuality score (MODPO, arXiv 2310.03708).

    The policy's log-ratio then stands for r_pref + λ·f, and the loss on preferences is −log σ(β·Δ − λ·(f_w − f_l)), with Δ
    the log-ratio of the chosen completion less that of the rejected one. λ·f/β is added to the reference log-probability of
    each completion, which is the same for every loss on log-ratios: hinge, ipo, robust, nca_pair, apo_zero, ... For losses
    that average over tokens (ipo, sigmoid_norm) it is the mean log-ratio that the margin shifts. `rewards/*` in the logs are
    β times the shifted log-ratios: what the policy implies of r_pref.

    Args:
        args, kwargs: of `DPOTrainer`. The data sets have two more columns, `chosen_factuality` and `rejected_factuality`,
            numbers on one scale; [0, 1] from `FactualityReward`.
        factuality_weight: λ, at least 0; at 0 the trainer is TRL's to the last digit, and needs no such columns.

    Raises:
        InvalidInput: λ is negative or not finite, a column is missing, a factuality is not finite (the row is named), or a
            setting of the loss cannot take a margin: an f-divergence other than the reverse KL, SFT alone, or losses that
            average over tokens beside losses that do not.
    """

    def __init__(self, *args: Any, factuality_weight: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, factuality_weight=factuality_weight, **kwargs)
        if factuality_weight:
            self._check_loss()

    def _check_loss(self) -> None:
        losses = set(self.loss_types)
        if self.f_divergence_type != "reverse_kl":
            raise InvalidInput(
                f"f_divergence_type is {self.f_divergence_type!r}; the factuality margin holds for 'reverse_kl' only"
            )
        if losses == {"sft"}:
            raise InvalidInput("loss_type is 'sft' alone, which has no log-ratio; set factuality_weight to 0 or add a loss")
        if losses & _PER_TOKEN and losses - _PER_TOKEN - {"sft"}:
            raise InvalidInput(
                f"the losses {', '.join(sorted(losses))} average over tokens in part, so that one margin does not fit all; "
                "set factuality_weight to 0 or take losses of one sort"
            )

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """As TRL's; the factuality columns are no input of the model."""
        return super().compute_ref_log_probs(model, {key: value for key, value in inputs.items() if key not in COLUMNS})

    def _compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool) -> Any:
        if not self.factuality_weight:
            return super()._compute_loss(model, inputs, return_outputs)
        batch = {key: value for key, value in inputs.items() if key not in COLUMNS}
        if self.precompute_ref_logps:
            reference = batch["ref_chosen_logps"], batch["ref_rejected_logps"]
        else:
            reference = self.compute_ref_log_probs(self.ref_model or self.model, batch)
        lengths: tuple[Any, ...] = (1, 1)
        if set(self.loss_types) & _PER_TOKEN:
            lengths = batch["completion_mask"].sum(dim=1).clamp(min=1).chunk(2)
        for name, logps, column, length in zip(("chosen", "rejected"), reference, COLUMNS, lengths, strict=True):
            offset = self.factuality_weight / self.beta * inputs[column].to(logps.dtype) * length
            batch[f"ref_{name}_logps"] = logps + offset
        precomputed = self.precompute_ref_logps
        # TRL then takes the reference from the batch rather than computing it once more.
        self.precompute_ref_logps = True
        try:
            return super()._compute_loss(model, batch, return_outputs)
        finally:
            self.precompute_ref_logps = precomputed
