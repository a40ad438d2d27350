"""Training with a factuality reward on TRL's trainers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.abstention_targets import abstention_targets
    from training.comparison import compare
    from training.composite_reward import CompositeReward
    from training.dpo import FactualityDPOTrainer
    from training.evaluate import evaluate_factuality
    from training.preferences import build_preference_pairs, pairs_from_answers
    from training.revision_pairs import pairs_from_constitution, pairs_from_verification
    from training.reward_model import RewardModel
    from training.reward_trainer import FactualityRewardTrainer
    from training.rewards import FactualityReward

_MODULES = {
    "CompositeReward": "training.composite_reward",
    "FactualityDPOTrainer": "training.dpo",
    "FactualityReward": "training.rewards",
    "FactualityRewardTrainer": "training.reward_trainer",
    "RewardModel": "training.reward_model",
    "abstention_targets": "training.abstention_targets",
    "build_preference_pairs": "training.preferences",
    "compare": "training.comparison",
    "evaluate_factuality": "training.evaluate",
    "pairs_from_answers": "training.preferences",
    "pairs_from_constitution": "training.revision_pairs",
    "pairs_from_verification": "training.revision_pairs",
}

__all__ = [
    "CompositeReward",
    "FactualityDPOTrainer",
    "FactualityReward",
    "FactualityRewardTrainer",
    "RewardModel",
    "abstention_targets",
    "build_preference_pairs",
    "compare",
    "evaluate_factuality",
    "pairs_from_answers",
    "pairs_from_constitution",
    "pairs_from_verification",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
