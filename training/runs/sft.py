"""One run of supervised fine-tuning, from a configuration to a trained model on disk.

Not here: targets that abstain where the model does not know (abstention_targets.py), and the trainer, which is TRL's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trl import SFTConfig, SFTTrainer  # type: ignore[attr-defined]

from halluc.errors import InvalidInput
from training.evaluation.of_a_run import EvaluationSettings
from training.runs.row_checks import check_examples, fit_conversations, read_rows
from training.runs.run import RunSettings, build_trainer, load_trainable, record, token_limit, train_and_save

__all__ = ["SFTRun", "run_sft"]


@dataclass
class SFTRun(EvaluationSettings, RunSettings, SFTConfig):
    """Settings of one run: those of TRL's `SFTConfig`, of `EvaluationSettings`, of `RunSettings`, and these.

    Attributes:
        examples: folder or JSON-lines file with the columns prompt and completion, of which the completion is learnt, or
            with messages, which are learnt whole unless `assistant_only_loss` is set. Strings are learnt as plain text,
            conversations by the chat template.
        eval_examples: the same to evaluate on; None for none.
        learning_rate: TRL's 2e-5 is for every weight; adapters need more.
    """

    examples: str = ""
    eval_examples: str | None = None
    learning_rate: float = 1e-4

    def check(self) -> None:
        """Refuse a run without examples.

        Raises:
            InvalidInput: examples is not set.
        """
        if not self.examples:
            raise InvalidInput("examples is not set; name a folder or file with prompt and completion, or messages")


def run_sft(config: SFTRun) -> dict[str, Any]:
    """Check the examples, train, and save the adapter (or the model) to `config.output_dir`.

    Returns:
        The number of examples and the facts of `train_and_save`; kept as run.json beside the model.

    Raises:
        InvalidInput: the examples cannot be trained on (the row is named), a setting is unusable, or a loss is not finite.
        ModelUnavailable: the model cannot be had.
    """
    tokenizer, model = load_trainable(config.model, out=config.output_dir)
    examples = fit_conversations(read_rows(config.examples), tokenizer)
    eval_examples = fit_conversations(read_rows(config.eval_examples), tokenizer) if config.eval_examples else None
    for own in (examples, eval_examples):
        if own is not None:
            check_examples(own, tokenizer, max_length=token_limit(model, config.max_length))
    trainer = build_trainer(
        SFTTrainer, config, model=model, train_dataset=examples, eval_dataset=eval_examples, processing_class=tokenizer
    )
    return record(trainer, {"examples": len(examples), **train_and_save(trainer, resume=config.resume)})
