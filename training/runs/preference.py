"""What runs on preference pairs share: where the pairs are, their check, and the run itself.

Not here: the settings of each trainer (dpo_run.py, orpo_run.py, reward_run.py), nor how pairs are made (preferences.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc.errors import InvalidInput
from training.pair_checks import check_pairs
from training.runs.row_checks import fit_conversations, read_rows
from training.runs.run import RunSettings, build_trainer, load_trainable, record, token_limit, train_and_save

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["PairSettings", "run_on_pairs"]


@dataclass
class PairSettings(RunSettings):
    """Settings of runs on preference pairs, beside those of `RunSettings`.

    Attributes:
        pairs: folder or JSON-lines file of preference pairs (`training.runs.row_checks.read_rows`).
        eval_pairs: the same to evaluate on; None for none.
    """

    pairs: str = ""
    eval_pairs: str | None = None

    def check(self) -> None:
        """Refuse a run without pairs.

        Raises:
            InvalidInput: pairs is not set.
        """
        if not self.pairs:
            raise InvalidInput("pairs is not set; name a folder or file of preference pairs")


def run_on_pairs(
    kind: Any, config: Any, *, scorer: Callable[[Any], Any] | None = None, task: str = "CAUSAL_LM", **options: Any
) -> dict[str, Any]:
    """Check the pairs, train by the trainer `kind`, and save the adapter (or the model) to `config.output_dir`.

    Args:
        kind: of TRL, or ours on one of TRL's.
        config: its settings, with `PairSettings`.
        scorer: makes the model that is trained of the one that the settings name; None trains that one.
        task: of the adapter, in peft's words.
        options: of the trainer; where `factuality_weight` is above 0 the pairs must have their factuality.

    Returns:
        The number of pairs and the facts of `train_and_save`; kept as run.json beside the model.

    Raises:
        InvalidInput: the pairs cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be had.
    """
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    pairs, eval_pairs = _read(config, tokenizer, model, factuality=options.get("factuality_weight", 0.0) > 0)
    trainer = build_trainer(
        kind,
        config,
        task=task,
        model=scorer(model) if scorer is not None else model,
        train_dataset=pairs,
        eval_dataset=eval_pairs,
        processing_class=tokenizer,
        **options,
    )
    return record(trainer, {"pairs": len(pairs), **train_and_save(trainer, resume=config.resume)})


def _read(config: Any, tokenizer: Any, model: Any, *, factuality: bool) -> tuple[Dataset, Dataset | None]:
    """The pairs to train and to evaluate on, checked."""
    pairs = fit_conversations(read_rows(config.pairs), tokenizer)
    eval_pairs = fit_conversations(read_rows(config.eval_pairs), tokenizer) if config.eval_pairs else None
    for own in (pairs, eval_pairs):
        if own is not None:
            check_pairs(own, tokenizer, max_length=token_limit(model, config.max_length), factuality=factuality)
    return pairs, eval_pairs
