"""One run of RLOO with a factuality reward, from a configuration to a trained model on disk.

Not here: the trainer, which is TRL's, and all that the run shares with GRPO's (online_runs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import RLOOConfig, RLOOTrainer  # type: ignore[attr-defined]

from training.evaluation.of_a_run import EvaluationSettings
from training.runs.online import OnlineSettings, run_online

__all__ = ["RLOORun", "run_rloo"]


@dataclass
class RLOORun(EvaluationSettings, OnlineSettings, RLOOConfig):
    """Settings of one run: those of TRL's `RLOOConfig` (arXiv 2402.14740), of `EvaluationSettings` and `OnlineSettings`."""


def run_rloo(config: RLOORun) -> dict[str, Any]:
    """Check the prompts, train, and save the adapter (or the model); see `run_online` for the facts and errors."""
    return run_online(RLOOTrainer, config)
