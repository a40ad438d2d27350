"""One run of DPO with a factuality margin, from a configuration to a trained model on disk.

Not here: the trainer (dpo.py), the pairs (preferences.py) and how a configuration is read (config.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import DPOConfig  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.dpo import FactualityDPOTrainer
from training.pair_checks import check_pairs, read_rows
from training.runs import (
    load_trainable,
    lora_config,
    read_plain_values,
    show_bars_on_a_terminal_only,
    token_limit,
    train_and_save,
)

__all__ = ["DPORun", "run_dpo"]


@dataclass
class DPORun(DPOConfig):
    """Settings of one run: those of TRL's `DPOConfig`, and these.

    Attributes:
        model: "default", a folder or a hub id.
        pairs: folder or JSON-lines file of preference pairs (`training.pair_checks.read_rows`).
        eval_pairs: the same to evaluate on; None for none.
        factuality_weight: λ of the margin, at least 0 (`FactualityDPOTrainer`).
        lora_rank: rank of LoRA on all linear layers; 0 trains every weight.
        learning_rate: TRL's 1e-6 is for every weight; adapters need more.
        resume: go on from the last checkpoint in `output_dir`, where there is one.
    """

    model: str = "default"
    pairs: str = ""
    eval_pairs: str | None = None
    factuality_weight: float = 1.0
    lora_rank: int = 16
    learning_rate: float = 5e-5
    resume: bool = True

    def __post_init__(self) -> None:
        read_plain_values(self)
        show_bars_on_a_terminal_only(self)
        if not self.pairs:
            raise InvalidInput("pairs is not set; name a folder or file of preference pairs")
        super().__post_init__()


def run_dpo(config: DPORun) -> dict[str, Any]:
    """Check the pairs, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        Facts of the run as `train_and_save` gives them, and the number of pairs.

    Raises:
        InvalidInput: the pairs cannot be trained on (the row is named), or a setting cannot be used.
        ModelUnavailable: the model cannot be had.
    """
    pairs = read_rows(config.pairs)
    eval_pairs = read_rows(config.eval_pairs) if config.eval_pairs else None
    tokenizer, model = load_trainable(config.model)
    limit = token_limit(model, config.max_length)
    for own in (pairs, eval_pairs):
        if own is not None:
            check_pairs(own, tokenizer, max_length=limit, factuality=config.factuality_weight > 0)
    trainer = FactualityDPOTrainer(
        model=model,
        args=config,
        train_dataset=pairs,
        eval_dataset=eval_pairs,
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank),
        factuality_weight=config.factuality_weight,
    )
    return {"pairs": len(pairs), **train_and_save(trainer, resume=config.resume)}
