"""One run of KTO on completions that are factual or not (arXiv 2402.01306), from a configuration to a model on disk.

Not here: the labels (desirability.py), and the trainer, which is TRL's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trl import KTOConfig, KTOTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.desirability import label_by_factuality
from training.evaluation.of_a_run import EvaluationSettings
from training.pair_checks import check_pairs
from training.runs.row_checks import check_examples, fit_conversations, read_rows
from training.runs.run import RunSettings, build_trainer, load_trainable, record, token_limit, train_and_save

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["KTORun", "run_kto"]


@dataclass
class KTORun(EvaluationSettings, RunSettings, KTOConfig):
    """Settings of one run: those of TRL's `KTOConfig`, of `EvaluationSettings`, of `RunSettings`, and these.

    Attributes:
        examples: folder or JSON-lines file of preference pairs, or of completions with a label or a factuality
            (`training.desirability.label_by_factuality`).
        eval_examples: the same to evaluate on; None for none.
        factuality_threshold: least factuality of a desirable completion; None takes the label, or chosen and rejected.
        learning_rate: TRL's 1e-6 is for every weight; adapters need more.
    """

    examples: str = ""
    eval_examples: str | None = None
    factuality_threshold: float | None = None
    learning_rate: float = 5e-5

    def check(self) -> None:
        """Refuse a run without examples.

        Raises:
            InvalidInput: examples is not set.
        """
        if not self.examples:
            raise InvalidInput("examples is not set; name a folder or file of preference pairs or labelled completions")


def run_kto(config: KTORun) -> dict[str, Any]:
    """Check and label the completions, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of completions and of desirable ones, and the facts of `train_and_save`; kept as run.json in its folder.

    Raises:
        InvalidInput: the rows cannot be trained on (the row is named), a setting cannot be used, or a loss is not finite.
        ModelUnavailable: the model cannot be had.
    """
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    limit = token_limit(model, config.max_length)
    examples = _labelled(config.examples, config, tokenizer, limit)
    eval_examples = _labelled(config.eval_examples, config, tokenizer, limit) if config.eval_examples else None
    trainer = build_trainer(
        KTOTrainer, config, model=model, train_dataset=examples, eval_dataset=eval_examples, processing_class=tokenizer
    )
    counts = {"completions": len(examples), "desirable": sum(examples["label"])}
    return record(trainer, {**counts, **train_and_save(trainer, resume=config.resume)})


def _labelled(path: str, config: KTORun, tokenizer: Any, limit: int | None) -> Dataset:
    rows = fit_conversations(read_rows(path), tokenizer)
    if {"chosen", "rejected"} & set(rows.column_names):
        check_pairs(rows, tokenizer, max_length=limit, factuality=config.factuality_threshold is not None)
    labelled = label_by_factuality(rows, threshold=config.factuality_threshold, seed=config.seed)
    if "completion" in rows.column_names:
        # In the order of the file, so that the row that is named is its row.
        check_examples(rows, tokenizer, max_length=limit)
    return labelled
