"""What runs of every trainer share: reading settings, loading the model, adapters, checkpoints and facts.

Not here: the runs themselves (dpo_run.py, grpo_run.py) and how a file becomes settings (config.py).
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput

__all__ = [
    "load_trainable",
    "lora_config",
    "read_plain_values",
    "show_bars_on_a_terminal_only",
    "token_limit",
    "train_and_save",
]


def read_plain_values(config: Any) -> None:
    """Make lists and numbers of what `load_config` reads from YAML, for the dataclasses of TRL.

    Raises:
        ValueError: text stands where a number must.
    """
    for one in fields(config):
        value = getattr(config, one.name)
        if isinstance(value, tuple):
            setattr(config, one.name, list(value))
        elif isinstance(value, str) and "float" in str(one.type) and "str" not in str(one.type):
            # YAML 1.1 reads 1e-4 as text: its floats need a point.
            setattr(config, one.name, float(value))


def show_bars_on_a_terminal_only(config: Any) -> None:
    """Progress of TRL and of datasets, unless the settings say otherwise."""
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    if config.disable_tqdm is None:
        config.disable_tqdm = not sys.stderr.isatty()


def load_trainable(name: str) -> tuple[Any, Any]:
    """The (tokenizer, model) of "default", a folder or a hub id, on the CPU: the trainer places the model.

    Raises:
        InvalidInput: the name is that of an endpoint.
        ModelUnavailable: the model cannot be had.
    """
    from halluc.models import load_model

    if name.startswith(("http://", "https://")):
        raise InvalidInput(f"{name} is an endpoint and cannot be trained; pass 'default', a folder or a hub id")
    lm: Any = load_model(name, device="cpu", dtype="float32")
    return lm.tokenizer, lm.model


def token_limit(model: Any, max_length: int | None) -> int | None:
    """The lesser of the model's window and `max_length`, where there is one."""
    limits = (max_length, getattr(model.config, "max_position_embeddings", None))
    return min((limit for limit in limits if limit is not None), default=None)


def lora_config(rank: int) -> Any:
    """LoRA (arXiv 2106.09685) of this rank on all linear layers; None for rank 0, which trains every weight.

    Raises:
        InvalidInput: the rank is negative.
    """
    from peft import LoraConfig

    if rank < 0:
        raise InvalidInput(f"lora_rank is {rank}; pass 0 or more")
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM") if rank else None


def train_and_save(trainer: Any, *, resume: bool) -> dict[str, Any]:
    """Train, from the last checkpoint if asked and there is one, and save the adapter or model to the output folder.

    Returns:
        Facts of the run: model (its folder), steps, resumed_from, training_loss, seconds.

    Raises:
        InvalidInput: a reward could not be used; the message says where the last checkpoint is.
    """
    from transformers.trainer_utils import get_last_checkpoint

    folder = trainer.args.output_dir
    last = get_last_checkpoint(folder) if resume and Path(folder).is_dir() else None
    try:
        result = trainer.train(resume_from_checkpoint=last)
    except InvalidInput as error:
        kept = get_last_checkpoint(folder) if Path(folder).is_dir() else None
        told = f"the last checkpoint is {kept}" if kept else "no checkpoint was saved yet"
        raise InvalidInput(f"the run stopped at step {trainer.state.global_step}: {error}; {told}") from error
    trainer.save_model()
    trainer.save_state()
    return {
        "model": str(folder),
        "steps": result.global_step,
        "resumed_from": last,
        "training_loss": result.training_loss,
        "seconds": round(result.metrics["train_runtime"], 1),
    }
