"""One run of a reward model on preference pairs, from a configuration to a trained model on disk.

The output folder is what `preference` of GRPO and RLOO runs names. Not here: the trainer (reward_trainer.py) and the trained
model as a reward (reward_model.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import RewardConfig  # type: ignore[attr-defined]

from training.pair_runs import PairSettings, read_pairs
from training.reward_model import load_scorer
from training.reward_trainer import FactualityRewardTrainer
from training.runs import build_trainer, load_trainable, record, train_and_save

__all__ = ["RewardRun", "run_reward"]


@dataclass
class RewardRun(PairSettings, RewardConfig):
    """Settings of one run: those of TRL's `RewardConfig`, of `PairSettings`, and this.

    Attributes:
        factuality_weight: λ of the factuality head, at least 0 (`FactualityRewardTrainer`); 0 has no such head.
    """

    factuality_weight: float = 0.0


def run_reward(config: RewardRun) -> dict[str, Any]:
    """Check the pairs, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of pairs and the facts of `train_and_save`; kept as run.json beside the model.

    Raises:
        InvalidInput: the pairs cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be had.
    """
    from transformers import set_seed

    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    pairs, eval_pairs = read_pairs(config, tokenizer, model, factuality=config.factuality_weight > 0)
    set_seed(config.seed)
    scorer = load_scorer(model.config.name_or_path, 2 if config.factuality_weight else 1)
    trainer = build_trainer(
        FactualityRewardTrainer,
        config,
        task="SEQ_CLS",
        model=scorer,
        train_dataset=pairs,
        eval_dataset=eval_pairs,
        processing_class=tokenizer,
        factuality_weight=config.factuality_weight,
    )
    return record(trainer, {"pairs": len(pairs), **train_and_save(trainer, resume=config.resume)})
