"""A run of supervised fine-tuning: examples in, a trained model on disk.

Not covered: targets that abstain where the model does not know (training/abstention_targets.py), and the trainer, which is
TRL's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.evaluation.of_a_run import EvaluationSettings
from training.runs.formats import read_training_rows
from training.runs.model import load_trainable, model_options, token_limit
from training.runs.row_checks import check_example_lengths, check_examples, fit_conversations
from training.runs.run import RunSettings, build_trainer, check_run, train_and_save, write_facts

__all__ = ["SFTRun", "run_sft"]


@dataclass
class SFTRun(EvaluationSettings, RunSettings, SFTConfig):
    """Settings of a fine-tuning run: TRL's `SFTConfig`, `EvaluationSettings`, `RunSettings`, and these.

    Attributes:
        examples: folder or JSON-lines file with the columns prompt and completion, of which the completion is learned;
            with messages, which are all learned unless `assistant_only_loss` is set; or with text (or the column that
            `dataset_text_field` names), which is all learned. Strings are learned as plain text,
            conversations by the chat template.
        eval_examples: the same to evaluate on; None for none.
        learning_rate: TRL's default, 2e-5, is for training all weights; adapters need more.
    """

    examples: str = ""
    eval_examples: str | None = None
    learning_rate: float = 1e-4

    def check(self) -> None:
        """Check that examples are named.

        Raises:
            InvalidInput: examples is not set.
        """
        if not self.examples:
            raise InvalidInput("examples is not set; name a folder or file with prompt and completion, or messages")


def run_sft(config: SFTRun) -> dict[str, Any]:
    """Check the examples, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of examples and the facts of `train_and_save`; written to run.json beside the model.

    Raises:
        InvalidInput: the examples cannot be trained on (the row is named), a setting cannot be used, or a loss is not
            finite.
        ModelUnavailable: the model cannot be loaded.
    """
    check_run(config)
    data_sets = [read_training_rows(path) for path in (config.examples, config.eval_examples) if path]
    for rows in data_sets:
        check_examples(rows, text=config.dataset_text_field)
    tokenizer, model = load_trainable(config.model, out=config.output_dir, **model_options(config))
    data_sets = [fit_conversations(rows, tokenizer) for rows in data_sets]
    for rows in data_sets:
        check_example_lengths(rows, tokenizer, token_limit(model, config.max_length), text=config.dataset_text_field)
    examples, eval_examples = (*data_sets, None)[:2]
    trainer = build_trainer(
        SFTTrainer, config, model=model, train_dataset=examples, eval_dataset=eval_examples, processing_class=tokenizer
    )
    return write_facts(trainer, {"examples": len(examples), **train_and_save(trainer, resume=config.resume)})
