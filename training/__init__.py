"""Training with a factuality reward on TRL's trainers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.composite_reward import CompositeReward
    from training.rewards import FactualityReward

__all__ = ["CompositeReward", "FactualityReward"]

_MODULES = {
    "CompositeReward": "training.composite_reward",
    "FactualityReward": "training.rewards",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'training' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
