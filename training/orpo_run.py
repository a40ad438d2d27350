"""One run of ORPO on preference pairs (arXiv 2403.07691), from a configuration to a trained model on disk.

ORPO learns the chosen completion and the odds ratio at once and needs no reference model. Not here: the trainer, which TRL
keeps among its experimental ones, and the pairs (preferences.py).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from training.pair_runs import PairSettings, read_pairs
from training.run_evaluation import EvaluationSettings
from training.runs import build_trainer, load_trainable, record, train_and_save

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
    """Check the pairs, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of pairs and the facts of `train_and_save`; kept as run.json beside the model.

    Raises:
        InvalidInput: the pairs cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be had.
    """
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    pairs, eval_pairs = read_pairs(config, tokenizer, model, factuality=False)
    # TRL turns this off with a warning, since its collator takes the columns itself.
    config.remove_unused_columns = False
    trainer = build_trainer(
        ORPOTrainer, config, model=model, train_dataset=pairs, eval_dataset=eval_pairs, processing_class=tokenizer
    )
    return record(trainer, {"pairs": len(pairs), **train_and_save(trainer, resume=config.resume)})
