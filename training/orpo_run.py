"""One run of ORPO on preference pairs (arXiv 2403.07691), from a configuration to a trained model on disk.

ORPO learns the chosen completion and the odds ratio at once and needs no reference model. Not here: the trainer, which TRL
keeps among its experimental ones, and the pairs (preferences.py).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from training.evaluation.of_a_run import EvaluationSettings
from training.runs.preference import PairSettings, run_on_pairs

with warnings.catch_warnings():
    # That the place in TRL may change; it is pinned below the next major version.
    warnings.simplefilter("ignore")
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

__all__ = ["ORPORun", "run_orpo"]


@dataclass
class ORPORun(EvaluationSettings, PairSettings, ORPOConfig):
    """Settings of one run: those of TRL's `ORPOConfig`, of `EvaluationSettings`, of `PairSettings`, and this.

    Attributes:
        learning_rate: TRL's 1e-6 is for every weight; adapters need more.
    """

    learning_rate: float = 5e-5


def run_orpo(config: ORPORun) -> dict[str, Any]:
    """Check the pairs, train, and save the adapter (or the model); see `run_on_pairs` for the facts and errors."""
    # TRL turns this off with a warning, since its collator takes the columns itself.
    config.remove_unused_columns = False
    return run_on_pairs(ORPOTrainer, config)
