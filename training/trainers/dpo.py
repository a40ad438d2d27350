"""DPO with a factuality margin: pairs whose answers differ more in factuality must be separated more clearly.

TRL's `DPOTrainer` does the training; the margin is an offset of the reference log-probabilities. Not covered: the pairs and
their factuality (training/preferences).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trl import DPOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.trainers.columns import COLUMNS, FactualityColumns

__all__ = ["FactualityDPOTrainer"]

# These losses divide log-ratios by the length of the completion, so the offset is multiplied by it.
_PER_TOKEN = {"ipo", "sigmoid_norm"}


class FactualityDPOTrainer(FactualityColumns, DPOTrainer):
    """TRL's `DPOTrainer` for E[r_pref + λ·f] − β·KL with a known factuality score f (MODPO, arXiv 2310.03708).

    The policy's log-ratio then represents r_pref + λ·f, and the loss on preferences is −log σ(β·Δ − λ·(f_w − f_l)), where Δ
    is the log-ratio of the chosen completion minus that of the rejected one. To this end λ·f/β is added to the reference
    log-probability of each completion, which works for every loss on log-ratios: hinge, ipo, robust, nca_pair, apo_zero, ...
    For losses that average over tokens (ipo, sigmoid_norm) the margin shifts the mean log-ratio. `rewards/*` in the logs are
    β times the shifted log-ratios: the r_pref that the policy implies.

    Args:
        args, kwargs: of `DPOTrainer`. The data sets have two additional columns, `chosen_factuality` and
            `rejected_factuality`, numbers on one scale; in [0, 1] from `FactualityReward` by default.
        factuality_weight: λ, at least 0; with 0 results are identical to TRL's, and the columns are not needed.

    Raises:
        InvalidInput: λ is negative or not finite, a column is missing, a factuality is not finite (the row is named), or the
            loss cannot have a margin: an f-divergence other than the reverse KL, SFT alone, or losses that average over
            tokens together with losses that do not.
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
                f"only some of the losses {', '.join(sorted(losses))} average over tokens, so one margin does not fit all; "
                "set factuality_weight to 0, or use losses of one kind"
            )

    def compute_ref_log_probs(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Compute them as TRL does, without the factuality columns, which are not inputs of the model."""
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
        # TRL then takes the reference from the batch instead of computing it again.
        self.precompute_ref_logps = True
        try:
            return super()._compute_loss(model, batch, return_outputs)
        finally:
            self.precompute_ref_logps = precomputed
