"""The monitor of a run: measures the model on held-out prompts while it trains, stops the run by rules, and writes a page.

It works with every trainer of language models: SFT, DPO, KTO, ORPO, GRPO, RLOO and PPO. Files in the folder of the run:

    monitor.jsonl      one line per measurement; a resumed run continues it
    monitor.html       plots, rules and replies

Not covered: the measures (training/monitoring/measures.py), the rules (training/monitoring/rules.py), and the gap of the
verifiers on the completions that are trained on (training/rewards/hacking.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from halluc.errors import InvalidInput, check_integer, leaf_errors_as_ours
from halluc.files import write_text
from retrieval.files import parse_json_object
from training.monitoring.measures import sample_replies, text_measures
from training.monitoring.page import write_monitor_page
from training.monitoring.rules import Measured, StopRule, broken_rule, stop_rules
from training.rewards.completions import as_messages
from training.rewards.factuality import FactualityReward
from training.rows import read_rows
from training.runs.row_checks import check_prompts, prompts_as_messages

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["RunMonitor", "check_monitor_settings"]

_LOG, _PAGE = "monitor.jsonl", "monitor.html"
_EVIDENCE = ("context", "references")
# Replies that are kept of each measurement.
_KEPT = 4


def check_monitor_settings(config: Any) -> None:
    """Check, before any model is loaded, that a run can be monitored.

    Args:
        config: settings of a run (`RunSettings`).

    Raises:
        InvalidInput: a setting cannot be used, or the prompts cannot (the row is named).
    """
    rules = stop_rules(config.monitor_limits)
    if config.monitor_prompts is None:
        for name in ("monitor_limits", "monitor_verifier"):
            if getattr(config, name):
                raise InvalidInput(f"{name} is set but monitor_prompts is not; name a file of held-out prompts")
        return
    for name in ("monitor_steps", "monitor_patience", "monitor_max_new_tokens"):
        check_integer(name, getattr(config, name), 1)
    rows = read_rows(config.monitor_prompts)
    check_prompts(rows)
    needs_evidence = [rule.measure for rule in rules if rule.measure in ("support", "held_out_support", "held_out_gap")]
    if needs_evidence and config.monitor_verifier is None and needs_evidence[0] != "support":
        raise InvalidInput(f"a limit of {needs_evidence[0]} needs a held-out verifier; set monitor_verifier")
    if (config.monitor_verifier or needs_evidence) and not _has_evidence(config, rows):
        raise InvalidInput(
            f"{config.monitor_prompts} has no column 'context' or 'references' for the verifier; add one, or leave out "
            "monitor_verifier"
        )
    if needs_evidence and getattr(config, "verifier", None) is None and needs_evidence[0] != "held_out_support":
        raise InvalidInput(f"a limit of {needs_evidence[0]} needs a run with a verifier; limit held_out_support instead")


class RunMonitor(TrainerCallback):
    """Measures a run before training, every `monitor_steps` steps and at the end, and stops it by the limits.

    Every process makes the measurements, with the same random numbers, and so all stop at the same step. The reference of
    the KL is the model before training.

    Args:
        trainer: before training.
        load_start: loads the model before training; called if the model has no adapter that can be turned off.

    Raises:
        InvalidInput: a prompt leaves no room for a reply, or the model does not generate.
    """

    def __init__(self, trainer: Any, load_start: Callable[[], Any]) -> None:
        self.config = trainer.args
        self.history: list[Measured] = []
        self.stopped_by: StopRule | None = None
        self._rules = stop_rules(self.config.monitor_limits)
        self._trainer = trainer
        self._tokenizer = trainer.processing_class
        model = self._model()
        if not hasattr(model, "generate"):
            raise InvalidInput(f"{type(trainer).__name__} trains no model that replies; leave out monitor_prompts")
        self._adapted = hasattr(model, "disable_adapter")
        # Not a copy of the model: trainers replace its `forward` by a function that a copy would share.
        self._reference = None if self._adapted else load_start().eval().requires_grad_(False)
        rows = read_rows(self.config.monitor_prompts)
        self._rows: Dataset = prompts_as_messages(
            rows,
            self._tokenizer,
            window=getattr(model.config, "max_position_embeddings", None),
            max_completion_length=self.config.monitor_max_new_tokens,
        )
        self._reward = _reward(self.config, rows)

    @classmethod
    def of(cls, trainer: Any, load_start: Callable[[], Any]) -> RunMonitor | None:
        """The monitor that the settings of a run ask for; None if they name no prompts."""
        return cls(trainer, load_start) if getattr(trainer.args, "monitor_prompts", None) is not None else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Read the measurements up to the checkpoint, or measure the model before training.

        Raises:
            InvalidInput: the checkpoint is that at which a rule stopped the run.
        """
        self.history = [measured for measured in _read(self._path) if measured.step <= state.global_step]
        if not self.history:
            self._measure(state.global_step)
            return
        self._write()
        broken = broken_rule(self._rules, self.history, self.config.monitor_patience)
        if broken is not None and self.history[-1].step == state.global_step:
            raise InvalidInput(f"a stop rule is broken ({broken}); change monitor_limits to go on")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Measure, and stop the run if a rule is broken."""
        if state.global_step % self.config.monitor_steps == 0:
            self._measure(state.global_step)
            self.stopped_by = broken_rule(self._rules, self.history, self.config.monitor_patience)
            if self.stopped_by is not None:
                control.should_save = control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure the trained model if it was not yet, and write the page."""
        if self.history[-1].step != state.global_step:
            self._measure(state.global_step)
        if state.is_world_process_zero:
            prompts = [as_messages(prompt)[-1]["content"] for prompt in self._rows["prompt"][:_KEPT]]
            write_monitor_page(self.history, self._rules, self.stopped_by, prompts, self._path.with_name(_PAGE))

    def facts(self) -> dict[str, Any]:
        """For the facts of the run: the steps, the first and the last measures, and the rule that stopped it."""
        first, last = self.history[0], self.history[-1]
        return {
            "monitor": {
                "measurements": len(self.history),
                "before": dict(first.values),
                "after": dict(last.values),
                "stopped_by": str(self.stopped_by) if self.stopped_by is not None else None,
            }
        }

    @property
    def _path(self) -> Path:
        return Path(self.config.output_dir) / _LOG

    def _model(self) -> Any:
        """The language model: PPO's has a value head around it."""
        model = self._trainer.accelerator.unwrap_model(self._trainer.model)
        return getattr(model, "policy", model)

    def _measure(self, step: int) -> None:
        model = self._model()
        prompts = self._rows["prompt"]
        replies = sample_replies(
            model,
            model if self._reference is None else self._reference.to(model.device),
            model.disable_adapter if self._adapted else nullcontext,
            self._tokenizer,
            [as_messages(prompt) for prompt in prompts],
            max_new_tokens=self.config.monitor_max_new_tokens,
            seed=self.config.seed,
        )
        values = text_measures(replies.texts) | {"cut": replies.cut, "entropy": replies.entropy, "kl": replies.kl}
        self.history.append(Measured(step, values | self._support(replies.texts), tuple(replies.texts[:_KEPT])))
        self._write()

    def _support(self, texts: list[str]) -> dict[str, float]:
        """Support by the verifiers; empty without one."""
        if self._reward is None:
            return {}
        logged: dict[str, float] = {}
        columns = {name: self._rows[name][:] for name in _EVIDENCE if name in self._rows.column_names}
        self._reward(prompts=self._rows["prompt"][:], completions=texts, log_metric=logged.__setitem__, **columns)
        support = logged["factuality/support"]
        if getattr(self.config, "verifier", None) is None:
            return {"held_out_support": support}
        if self.config.monitor_verifier is None:
            return {"support": support}
        held_out = logged["factuality/held_out_support"]
        return {"support": support, "held_out_support": held_out, "held_out_gap": support - held_out}

    def _write(self) -> None:
        if self._trainer.is_world_process_zero():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(measured.to_dict(), ensure_ascii=False) + "\n" for measured in self.history]
            write_text(self._path, "".join(lines))


def _read(path: Path) -> list[Measured]:
    if not path.is_file():
        return []
    rows = [parse_json_object(line) for line in path.read_bytes().splitlines()]
    return [Measured(row["step"], row["values"], tuple(row["replies"])) for row in rows]


def _has_evidence(config: Any, rows: Dataset) -> bool:
    return getattr(config, "index", None) is not None or bool(set(_EVIDENCE) & set(rows.column_names))


def _reward(config: Any, rows: Dataset) -> FactualityReward | None:
    """A reward that measures support: by the run's own verifier, if it has one, and by the held-out one."""
    from halluc.verification import load_verifier
    from retrieval import open_store

    name = getattr(config, "verifier", None)
    if not _has_evidence(config, rows) or (name is None and config.monitor_verifier is None):
        return None
    held_out = load_verifier(config.monitor_verifier) if config.monitor_verifier is not None else None
    with leaf_errors_as_ours():
        folder = getattr(config, "index", None)
        index = open_store(folder, embedder=config.index_embedder) if folder else None
    if name is None:
        return FactualityReward(held_out, index) if held_out is not None else None
    return FactualityReward(load_verifier(name), index, held_out_verifier=held_out)
