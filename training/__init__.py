"""Training with a factuality reward on TRL's trainers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.abstention_targets import abstention_targets
    from training.evaluation.compare import compare
    from training.evaluation.evaluate import evaluate_factuality
    from training.preferences.revised import pairs_from_constitution, pairs_from_verification
    from training.preferences.sampled import build_preference_pairs, pairs_from_answers
    from training.rewards.composite import CompositeReward
    from training.rewards.factuality import FactualityReward
    from training.rewards.model import RewardModel
    from training.trainers.dpo import FactualityDPOTrainer
    from training.trainers.reward import FactualityRewardTrainer

_MODULES = {
    "CompositeReward": "training.rewards.composite",
    "FactualityDPOTrainer": "training.trainers.dpo",
    "FactualityReward": "training.rewards.factuality",
    "FactualityRewardTrainer": "training.trainers.reward",
    "RewardModel": "training.rewards.model",
    "abstention_targets": "training.abstention_targets",
    "build_preference_pairs": "training.preferences.sampled",
    "compare": "training.evaluation.compare",
    "evaluate_factuality": "training.evaluation.evaluate",
    "pairs_from_answers": "training.preferences.sampled",
    "pairs_from_constitution": "training.preferences.revised",
    "pairs_from_verification": "training.preferences.revised",
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
