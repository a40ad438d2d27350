"""Training with a factuality reward on TRL's trainers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.rewards import FactualityReward

__all__ = ["FactualityReward"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    from training import rewards

    return getattr(rewards, name)
