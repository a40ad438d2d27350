"""What a run tells while it goes on: OUT/log.jsonl always, and a bar with a line per log on a terminal.

TensorBoard is TRL's own (`report_to: tensorboard`). Not here: the facts of a finished run (runs.py).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from calibration.persistence import write_aside

__all__ = ["RunLog"]

# What a line on the terminal tells of the up to forty values in a log; all of them are in the file.
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


class RunLog(TrainerCallback):
    """Appends every log of a trainer to OUT/log.jsonl, one JSON object with its step a line.

    A run that is resumed begins the file anew from what its checkpoint knows, so that steps done twice are in it once.
    Values that are not finite are null. Only the first of several processes writes.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the lines up to the step that the run starts from, and show the bar."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "log.jsonl"
        write_aside(self._path, _lines(state.log_history))
        if sys.stderr.isatty() and not args.disable_tqdm:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.add_task("training", total=state.max_steps, completed=state.global_step)
            self._bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Append the newest log; logs outside of training, of a lone evaluation, are not of the run."""
        if self._path is None:
            return
        newest = state.log_history[-1]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_lines([newest]))
        if self._bar is not None:
            told = "  ".join(f"{name} {newest[name]:.4g}" for name in _SHOWN if newest.get(name) is not None)
            self._bar.console.print(f"step {newest['step']}/{state.max_steps}  {told}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bar off the terminal, also where the run broke off."""
        self._path = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _lines(logs: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps({name: _plain(value) for name, value in log.items()}) + "\n" for log in logs)


def _plain(value: Any) -> Any:
    # JSON has no nan.
    return None if isinstance(value, float) and not math.isfinite(value) else value
