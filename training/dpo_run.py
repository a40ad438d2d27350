"""One run of DPO with a factuality margin, from a configuration to a trained model on disk.

IPO, hinge and the other losses on log-ratios are `loss_type`. Not here: the trainer (dpo.py), the pairs (preferences.py) and
how a configuration is read (config.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import DPOConfig  # type: ignore[attr-defined]

from training.evaluation.of_a_run import EvaluationSettings
from training.runs.preference import PairSettings, run_on_pairs
from training.trainers.dpo import FactualityDPOTrainer

__all__ = ["DPORun", "run_dpo"]


@dataclass
class DPORun(EvaluationSettings, PairSettings, DPOConfig):
    """Settings of one run: those of TRL's `DPOConfig`, of `EvaluationSettings`, of `PairSettings`, and these.

    Attributes:
        factuality_weight: λ of the margin, at least 0 (`FactualityDPOTrainer`).
        learning_rate: TRL's 1e-6 is for every weight; adapters need more.
    """

    factuality_weight: float = 1.0
    learning_rate: float = 5e-5


def run_dpo(config: DPORun) -> dict[str, Any]:
    """Check the pairs, train, and save the adapter (or the model); see `run_on_pairs` for the facts and errors."""
    return run_on_pairs(FactualityDPOTrainer, config, factuality_weight=config.factuality_weight)
