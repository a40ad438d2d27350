"""One run of a reward model on preference pairs, from a configuration to a trained model on disk.

The output folder is what `preference` of GRPO and RLOO runs names. Not here: the trainer (reward_trainer.py) and the trained
model as a reward (reward_model.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import RewardConfig  # type: ignore[attr-defined]

from training.rewards.model import load_scorer
from training.runs.preference import PairSettings, run_on_pairs
from training.trainers.reward import FactualityRewardTrainer

__all__ = ["RewardRun", "run_reward"]


@dataclass
class RewardRun(PairSettings, RewardConfig):
    """Settings of one run: those of TRL's `RewardConfig`, of `PairSettings`, and this.

    Attributes:
        factuality_weight: λ of the factuality head, at least 0 (`FactualityRewardTrainer`); 0 has no such head.
    """

    factuality_weight: float = 0.0


def run_reward(config: RewardRun) -> dict[str, Any]:
    """Check the pairs, train, and save the adapter (or the model); see `run_on_pairs` for the facts and errors."""
    from transformers import set_seed

    def scorer(model: Any) -> Any:
        set_seed(config.seed)
        return load_scorer(model.config.name_or_path, 2 if config.factuality_weight else 1)

    return run_on_pairs(
        FactualityRewardTrainer, config, scorer=scorer, task="SEQ_CLS", factuality_weight=config.factuality_weight
    )
