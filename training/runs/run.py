"""What runs of every trainer share: settings, checks, training, and the facts of a run.

Not covered: the model and its adapter (model.py), the runs themselves (preference.py, sft.py, kto.py, online.py) and how a
file becomes settings (config.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import write_text
from training.evaluation.of_a_run import RunEvaluation, check_evaluation_settings
from training.rows import check_output_folder
from training.runs.callbacks import RunLog, last_checkpoint, stop_unless_finite
from training.runs.model import ModelSettings, check_model_settings, load_trainable, lora_of
from training.runs.monitor import RunMonitor, check_monitor_settings
from training.runs.same_run import check_same_run, record_run
from training.runs.setting_checks import check_settings

__all__ = [
    "RunSettings",
    "build_trainer",
    "check_run",
    "train_and_save",
    "write_facts",
]

_FACTS = "run.json"


@dataclass
class RunSettings(ModelSettings):
    """Settings that every run adds to `ModelSettings` and the configuration of its trainer, which is a dataclass of TRL.

    All settings of the trainer pass through; `model_init_kwargs` reach `from_pretrained`.

    Attributes:
        resume: resume from the last checkpoint in `output_dir` if there is one; false refuses a folder that has one.
        monitor_prompts: folder or JSON-lines file of held-out prompts that the model replies to while it trains
            (training/runs/monitor.py); None for no monitor. For support by verifiers they need `context` or `references`.
        monitor_steps: steps between two measurements.
        monitor_verifier: a verifier that measures the replies and that is not optimized against; None for none.
        monitor_limits: stop rules by name, such as {max_kl: 20, max_words_ratio: 2, min_distinct_2: 0.3}
            (training/monitoring/rules.py); None for none.
        monitor_patience: measurements in a row that must break a rule for the run to stop.
        monitor_max_new_tokens: longest reply, in tokens.
    """

    resume: bool = True
    monitor_prompts: str | None = None
    monitor_steps: int = 20
    monitor_verifier: str | None = None
    monitor_limits: dict[str, float] | None = None
    monitor_patience: int = 1
    monitor_max_new_tokens: int = 64

    def __post_init__(self) -> None:
        self.check()
        _show_bars_on_a_terminal_only(self)
        _choose_precision(self)
        # transformers warns about TRL's own default under its older name.
        if self.activation_checkpointing is None:
            self.activation_checkpointing: bool | None = self.gradient_checkpointing  # type: ignore[attr-defined]
        super().__post_init__()  # type: ignore[misc]

    def check(self) -> None:
        """Check the settings that a kind of run adds.

        Raises:
            InvalidInput: one of them cannot be used.
        """


def _show_bars_on_a_terminal_only(config: Any) -> None:
    """Hide the progress bars of TRL, transformers and datasets in files, unless the settings ask for them."""
    import datasets
    from transformers.utils import logging

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        logging.disable_progress_bar()
    if config.disable_tqdm is None:
        config.disable_tqdm = not sys.stderr.isatty()


def _choose_precision(config: Any) -> None:
    """Use bfloat16 if a GPU supports it, unless the settings choose: TRL's default is bfloat16, which fails on a CPU."""
    import torch
    from transformers.utils.import_utils import is_torch_bf16_gpu_available

    if config.bf16 is None:
        config.bf16 = not config.fp16 and not config.use_cpu and is_torch_bf16_gpu_available()
    # Without an accelerator torch cannot pin memory, and warns.
    config.dataloader_pin_memory = config.dataloader_pin_memory and torch.accelerator.is_available()


def check_run(config: Any) -> None:
    """Check, before a model is loaded, everything about a run that needs neither its model nor its rows.

    Raises:
        InvalidInput: a setting cannot be used, the output folder cannot be written or has checkpoints that must not be
            resumed from (those of a run with other settings or rows among them), evaluation files cannot be used, the run
            cannot be monitored, or processes were started that do not communicate.
    """
    check_settings(config)
    check_model_settings(config)
    folder = Path(config.output_dir)
    check_output_folder(folder)
    last = last_checkpoint(folder)
    if last is not None and not config.resume:
        # The next run that resumes would take the checkpoint with the most steps, whichever run wrote it.
        raise InvalidInput(
            f"{folder} has checkpoints of an earlier run; set resume to true to resume from {last.name}, or name another "
            "output_dir"
        )
    if last is not None:
        check_same_run(config)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if config.world_size != processes:
        # Each would train by itself, and all would write to one folder.
        raise InvalidInput(f"{processes} processes were started but no GPU connects them; set use_cpu to true")
    check_evaluation_settings(config)
    check_monitor_settings(config)


def build_trainer(kind: Any, config: Any, *, task: str = "CAUSAL_LM", **options: Any) -> Any:
    """Build a trainer of TRL with the adapter that the settings ask for.

    Args:
        kind: class of the trainer.
        config: its settings, with `RunSettings`.
        task: task type of the adapter, as peft names it.
        options: other arguments of the trainer.

    Raises:
        InvalidInput: the trainer refuses the settings.
    """
    from transformers import set_seed

    # The first weights of an adapter are random, and transformers sets the seed only after they are drawn.
    set_seed(config.seed)
    try:
        return kind(args=config, peft_config=lora_of(config, task), **options)
    except InvalidInput:
        raise
    except (ValueError, NotImplementedError, ImportError) as error:
        raise InvalidInput(f"{kind.__name__} cannot use these settings: {error}") from error


def train_and_save(trainer: Any, *, resume: bool) -> dict[str, Any]:
    """Train, and save the adapter or model to the output folder.

    Logs go to log.jsonl there, and to a terminal (`RunLog`). If the settings name evaluation questions, the model is
    evaluated before and after training (`RunEvaluation`). If they name prompts of a monitor, it is measured while it trains
    (`RunMonitor`).

    Args:
        trainer: of TRL.
        resume: start from the last checkpoint in the output folder if there is one.

    Returns:
        Facts of the run: model (its folder), steps, resumed_from, training_loss, seconds, and monitor and evaluation if
        there are.

    Raises:
        InvalidInput: a loss, gradient or reward cannot be used (the message names the last checkpoint), or the folder holds
            a finished run with no fewer steps.
    """
    from transformers import PrinterCallback, ProgressCallback

    evaluation = RunEvaluation(trainer)
    monitor = RunMonitor.of(trainer, lambda: load_trainable(trainer.args.model, out=trainer.args.output_dir)[1])
    folder = trainer.args.output_dir
    last = last_checkpoint(folder) if resume else None
    log = RunLog()
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(log)
    if monitor is not None:
        trainer.add_callback(monitor)
    stop_unless_finite(trainer)
    if trainer.is_world_process_zero():
        record_run(trainer.args)
    try:
        result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    except InvalidInput as error:
        checkpoint = last_checkpoint(folder)
        hint = f"the last checkpoint is {checkpoint}" if checkpoint else "no checkpoint was saved yet"
        raise InvalidInput(f"the run stopped at step {trainer.state.global_step}: {error}; {hint}") from error
    finally:
        log.close()
    finished = Path(folder) / _FACTS
    if last is not None and last.name == f"checkpoint-{result.global_step}" and finished.is_file():
        raise InvalidInput(
            f"{folder} holds a finished run of {result.global_step} steps, and nothing was trained; name another "
            "output_dir, or raise max_steps or num_train_epochs"
        )
    trainer.save_model()
    trainer.save_state()
    return {
        "model": str(folder),
        "steps": result.global_step,
        "resumed_from": str(last) if last else None,
        "training_loss": result.training_loss,
        "seconds": round(result.metrics["train_runtime"], 1),
        **(monitor.facts() if monitor is not None else {}),
        **evaluation.finish(folder),
    }


def write_facts(trainer: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the facts of a run to run.json beside its model, from the first process, and return them."""
    if trainer.is_world_process_zero():
        write_text(Path(trainer.args.output_dir) / _FACTS, json.dumps(facts, indent=1) + "\n")
    return dict(facts)
