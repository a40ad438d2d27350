"""Progress logging, checks for non-finite losses, and checkpoints of a training run.

TRL logs to TensorBoard itself (`report_to: tensorboard`). Not covered: the run (run.py), and what a checkpoint holds, which
transformers decides (weights, optimizer, learning-rate schedule, random state).
"""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from halluc.errors import InvalidInput
from halluc.files import write_text
from training.runs.batch_rows import listed, rows_without_finite_loss

__all__ = ["RunLog", "last_checkpoint", "stop_unless_finite"]

# The values shown on a terminal, of up to forty in a log; the file has all of them.
_SHOWN = (
    "loss",
    "eval_loss",
    "reward",
    "rewards/margins",
    "rewards/accuracies",
    "accuracy",
    "factuality_error",
    "factuality/support",
    "factuality/correct",
    "kl",
    "mean_token_accuracy",
    "grad_norm",
    "learning_rate",
    "train_loss",
)
_HINT = "lower learning_rate, or check the rows of that step"


class RunLog(TrainerCallback):
    """Appends every log entry of a trainer to OUT/log.jsonl, one JSON object per line, and shows a bar on a terminal.

    A resumed run rewrites the file from the history in its checkpoint, so that repeated steps appear once. Values that are
    not finite are null. Only the first of several processes writes.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the entries up to the first step of this run, and show the bar."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log.jsonl"
        write_text(self._path, _lines(state.log_history))
        if sys.stderr.isatty() and not args.disable_tqdm:
            # Not retrieval.progress.progress_bar: log lines are printed above this bar, and a resumed run starts in its
            # middle.
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.add_task("training", total=state.max_steps, completed=state.global_step)
            self._bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Append the latest entry. Entries outside of training, such as those of a separate evaluation, are ignored."""
        if self._path is None:
            return
        entry = state.log_history[-1]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_lines([entry]))
        if self._bar is not None:
            values = "  ".join(f"{name} {entry[name]:.4g}" for name in _SHOWN if entry.get(name) is not None)
            self._bar.console.print(f"step {entry['step']}/{state.max_steps}  {values}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Remove the bar from the terminal, also when the run failed."""
        self._path = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _lines(entries: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps({name: _plain(value) for name, value in entry.items()}) + "\n" for entry in entries)


def _plain(value: Any) -> Any:
    # JSON has no NaN.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def stop_unless_finite(trainer: Any) -> None:
    """Make `trainer.train()` raise `InvalidInput` when a loss or the gradient is NaN or infinite.

    The message names the step and, for a loss, the rows of the data set. The weights are not updated by that step.
    transformers by default hides such losses from the logs and continues with weights that are NaN.
    """
    import torch

    training_step = trainer.training_step

    def checked_step(*args: Any, **kwargs: Any) -> Any:
        loss = training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            rows = rows_without_finite_loss(trainer, *args[:2])
            of_rows = f" ({listed(rows)} of the data set)" if rows else ""
            raise InvalidInput(f"the loss of step {trainer.state.global_step + 1}{of_rows} is {loss.item()}; {_HINT}")
        return loss

    class StopUnlessFinite(TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            # In float16 the first gradients overflow by design, and the gradient scaler skips such steps.
            if args.fp16:
                return
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
            if not torch.isfinite(norm):
                raise InvalidInput(f"the gradient of step {state.global_step + 1} is {norm.item()}; {_HINT}")

    trainer.training_step = checked_step
    trainer.add_callback(StopUnlessFinite())


def last_checkpoint(folder: str | Path) -> Path | None:
    """Find the last complete checkpoint in the output folder of a run, from which to resume; None if there is none.

    A process killed while writing leaves a checkpoint that cannot be resumed from. transformers writes trainer_state.json
    last, so a checkpoint is complete if that file can be read. Others are skipped with a warning; the resumed run
    overwrites them.
    """
    checkpoints = [path for path in Path(folder).glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    for path in sorted(checkpoints, key=lambda path: int(path.name.partition("-")[2]), reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            warnings.warn(f"{path} is incomplete and is skipped", stacklevel=2)
        else:
            return path
    return None
