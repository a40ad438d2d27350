"""GRPO with credit for parts of completions: the sign of the advantage follows what each sentence states.

TRL's `GRPOTrainer` does the training. Not covered: which tokens are true (training/rewards/credit.py).
"""

from __future__ import annotations

from typing import Any

from trl import GRPOTrainer  # type: ignore[attr-defined]

__all__ = ["CreditGRPOTrainer"]


class CreditGRPOTrainer(GRPOTrainer):
    """TRL's `GRPOTrainer` with the advantages of FSPO (arXiv 2505.24630): negative at contradicted sentences.

    Logs `credit/changed`, the share of tokens whose advantage changed its sign.

    Args:
        args, kwargs: of `GRPOTrainer`.
        credit: changes (B,) advantages of completions to (B, T) of their tokens, given tokenizer, tokens, mask and
            advantages; called after the rewards. None changes nothing.
    """

    def __init__(self, *args: Any, credit: Any = None, **kwargs: Any) -> None:
        self.credit = credit
        super().__init__(*args, **kwargs)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        if self.credit is None:
            return output
        ids, mask, before = output["completion_ids"], output["completion_mask"], output["advantages"]
        after = self.credit(self.processing_class, ids, mask, before)
        changed = ((after * before[:, None] < 0) * mask).sum() / mask.sum().clamp(min=1)
        mode = "eval" if self.model is not None and not self.model.training else "train"
        self._metrics[mode]["credit/changed"].append(changed.item())
        output["advantages"] = after
        return output
