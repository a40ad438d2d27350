"""One run of GRPO with a factuality reward, from a configuration to a trained model on disk.

Not here: the trainer, which is TRL's, and all that the run shares with RLOO's (online_runs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]

from training.evaluation.of_a_run import EvaluationSettings
from training.runs.online import OnlineSettings, run_online

__all__ = ["GRPORun", "run_grpo"]


@dataclass
class GRPORun(EvaluationSettings, OnlineSettings, GRPOConfig):
    """Settings of one run: those of TRL's `GRPOConfig` (arXiv 2402.03300), `EvaluationSettings`, `OnlineSettings`, and this.

    Attributes:
        beta: of the KL to the reference; TRL's default, 0, lets the policy drift wherever the verifier errs.
    """

    beta: float = 0.04


def run_grpo(config: GRPORun) -> dict[str, Any]:
    """Check the prompts, train, and save the adapter (or the model); see `run_online` for the facts and errors."""
    return run_online(GRPOTrainer, config)
