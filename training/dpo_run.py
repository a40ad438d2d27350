"""One run of DPO with a factuality margin, from a configuration to a trained model on disk.

IPO, hinge and the other losses on log-ratios are `loss_type`. Not here: the trainer (dpo.py), the pairs (preferences.py) and
how a configuration is read (config.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import DPOConfig  # type: ignore[attr-defined]

from training.dpo import FactualityDPOTrainer
from training.pair_runs import PairSettings, read_pairs
from training.run_evaluation import EvaluationSettings
from training.runs import build_trainer, load_trainable, record, train_and_save

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
    """Check the pairs, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of pairs and the facts of `train_and_save`; kept as run.json beside the model.

    Raises:
        InvalidInput: the pairs cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be had.
    """
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    pairs, eval_pairs = read_pairs(config, tokenizer, model, factuality=config.factuality_weight > 0)
    trainer = build_trainer(
        FactualityDPOTrainer,
        config,
        model=model,
        train_dataset=pairs,
        eval_dataset=eval_pairs,
        processing_class=tokenizer,
        factuality_weight=config.factuality_weight,
    )
    return record(trainer, {"pairs": len(pairs), **train_and_save(trainer, resume=config.resume)})
