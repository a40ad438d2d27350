"""What runs of every trainer share: settings, loading the model, adapters, checkpoints, logs and facts.

Not here: the runs themselves (dpo_run.py, sft_run.py, ...) and how a file becomes settings (config.py).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from calibration.persistence import write_aside
from halluc.errors import InvalidInput

__all__ = ["RunSettings", "build_trainer", "load_trainable", "lora_config", "record", "token_limit", "train_and_save"]


@dataclass
class RunSettings:
    """Settings that every run adds to the configuration of its trainer, which is a dataclass of TRL.

    Attributes:
        model: "default", a folder or a hub id.
        lora_rank: rank of LoRA on all linear layers; 0 trains every weight.
        resume: go on from the last checkpoint in `output_dir`, where there is one; false refuses a folder that has one.
    """

    model: str = "default"
    lora_rank: int = 16
    resume: bool = True

    def __post_init__(self) -> None:
        _read_plain_values(self)
        self.check()
        _show_bars_on_a_terminal_only(self)
        _fit_to_the_device(self)
        # transformers warns of TRL's own default under the older name.
        if self.activation_checkpointing is None:
            self.activation_checkpointing: bool | None = self.gradient_checkpointing  # type: ignore[attr-defined]
        super().__post_init__()  # type: ignore[misc]

    def check(self) -> None:
        """Refuse settings of ours that cannot be used.

        Raises:
            InvalidInput: see above.
        """


def _read_plain_values(config: Any) -> None:
    """Make lists and numbers of what `load_config` reads from YAML, for the dataclasses of TRL."""
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(value, tuple):
            setattr(config, one.name, list(value))
        elif isinstance(value, str) and "float" in str(one.type) and "str" not in str(one.type):
            # YAML 1.1 reads 1e-4 as text: its floats need a point.
            setattr(config, one.name, float(value))


def _show_bars_on_a_terminal_only(config: Any) -> None:
    """Progress of TRL, transformers and datasets, unless the settings say otherwise."""
    import datasets
    from transformers.utils import logging

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        logging.disable_progress_bar()
    if config.disable_tqdm is None:
        config.disable_tqdm = not sys.stderr.isatty()


def _fit_to_the_device(config: Any) -> None:
    """bfloat16 where a GPU has it, unless the settings say otherwise: TRL takes it everywhere, and fails on a CPU."""
    import torch
    from transformers.utils.import_utils import is_torch_bf16_gpu_available

    if config.bf16 is None:
        config.bf16 = not config.fp16 and not config.use_cpu and is_torch_bf16_gpu_available()
    # Without an accelerator torch pins nothing, and warns.
    config.dataloader_pin_memory = config.dataloader_pin_memory and torch.accelerator.is_available()


def load_trainable(name: str, *, out: str | Path | None = None) -> tuple[Any, Any]:
    """The (tokenizer, model) of "default", a folder or a hub id, on the CPU: the trainer places the model.

    An adapter, such as another run saved, is merged into its model, and the whole is kept in a folder of `out`: what is
    trained on top of it is of use with it alone.

    Raises:
        InvalidInput: the name is that of an endpoint, or of an adapter that cannot be merged.
        ModelUnavailable: the model cannot be had.
    """
    from halluc.models import load_model

    if name.startswith(("http://", "https://")):
        raise InvalidInput(f"{name} is an endpoint and cannot be trained; pass 'default', a folder or a hub id")
    if (Path(name) / "adapter_config.json").is_file():
        if out is None:
            raise InvalidInput(f"{name} is an adapter; pass out=... to say where to keep it merged into its model")
        name = str(_merged(Path(name), Path(out)))
    lm: Any = load_model(name, device="cpu", dtype="float32")
    return lm.tokenizer, lm.model


def _merged(adapter: Path, out: Path) -> Path:
    """The folder in `out` of the whole model that an adapter makes; the first of several processes writes it."""
    import xxhash
    from accelerate import PartialState
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoTokenizer

    weights = b"".join(path.read_bytes() for path in sorted(adapter.glob("adapter_*")))
    whole = out / f"start-{xxhash.xxh3_64_hexdigest(weights)}"
    with PartialState().main_process_first():
        if not whole.exists():
            aside = out / f".{whole.name}"
            try:
                model = AutoPeftModelForCausalLM.from_pretrained(str(adapter), dtype="float32").merge_and_unload()
                AutoTokenizer.from_pretrained(adapter).save_pretrained(aside)
            except (OSError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise InvalidInput(f"the adapter {adapter} cannot be merged into its model: {reason}") from error
            model.save_pretrained(aside)
            aside.rename(whole)
    return whole


def token_limit(model: Any, max_length: int | None) -> int | None:
    """The lesser of the model's window and `max_length`, where there is one."""
    limits = (max_length, getattr(model.config, "max_position_embeddings", None))
    return min((limit for limit in limits if limit is not None), default=None)


def lora_config(rank: int, task: str = "CAUSAL_LM") -> Any:
    """LoRA (arXiv 2106.09685) of this rank on all linear layers; None for rank 0, which trains every weight.

    Raises:
        InvalidInput: the rank is negative.
    """
    from peft import LoraConfig

    if rank < 0:
        raise InvalidInput(f"lora_rank is {rank}; pass 0 or more")
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type=task) if rank else None


def build_trainer(kind: Any, config: Any, *, task: str = "CAUSAL_LM", **options: Any) -> Any:
    """A trainer of TRL with the adapter that the settings ask for.

    Raises:
        InvalidInput: the trainer refuses the settings.
    """
    try:
        return kind(args=config, peft_config=lora_config(config.lora_rank, task), **options)
    except InvalidInput:
        raise
    except (ValueError, NotImplementedError, ImportError) as error:
        raise InvalidInput(f"{kind.__name__} cannot use these settings: {error}") from error


def train_and_save(trainer: Any, *, resume: bool) -> dict[str, Any]:
    """Train, from the last checkpoint if asked and there is one, and save the adapter or model to the output folder.

    The logs go to log.jsonl there, and to a terminal (`RunLog`). Where the settings name questions, the model is evaluated
    before and after (`RunEvaluation`).

    Returns:
        Facts of the run: model (its folder), steps, resumed_from, training_loss, seconds, and evaluation if there is one.

    Raises:
        InvalidInput: a loss, gradient or reward could not be used; the message says where the last checkpoint is. Or there
            are several processes that do not know of each other, or checkpoints that are not to be gone on from.
    """
    from transformers import PrinterCallback, ProgressCallback

    from training.checkpoints import last_checkpoint
    from training.evaluation.of_a_run import RunEvaluation
    from training.finite import stop_unless_finite
    from training.runs.callbacks import RunLog

    evaluation = RunEvaluation(trainer)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if trainer.args.world_size != processes:
        # Each would train by itself, and all would write to one folder.
        raise InvalidInput(f"{processes} processes were started and no GPU is there to join them; set use_cpu to true")
    folder = trainer.args.output_dir
    last = last_checkpoint(folder)
    if last and not resume:
        # The next run that resumes would take the one of more steps, whichever run it is of.
        raise InvalidInput(f"{folder} has checkpoints of an earlier run; go on from {last.name}, or name another output_dir")
    log = RunLog()
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(log)
    stop_unless_finite(trainer)
    try:
        result = trainer.train(resume_from_checkpoint=str(last) if last else None)
    except InvalidInput as error:
        kept = last_checkpoint(folder)
        told = f"the last checkpoint is {kept}" if kept else "no checkpoint was saved yet"
        raise InvalidInput(f"the run stopped at step {trainer.state.global_step}: {error}; {told}") from error
    finally:
        log.close()
    trainer.save_model()
    trainer.save_state()
    return {
        "model": str(folder),
        "steps": result.global_step,
        "resumed_from": str(last) if last else None,
        "training_loss": result.training_loss,
        "seconds": round(result.metrics["train_runtime"], 1),
        **evaluation.finish(folder),
    }


def record(trainer: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run, which are kept as run.json beside its model."""
    if trainer.is_world_process_zero():
        write_aside(Path(trainer.args.output_dir) / "run.json", json.dumps(facts, indent=1) + "\n")
    return dict(facts)
