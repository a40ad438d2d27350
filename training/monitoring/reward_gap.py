"""Stop a run whose reward is hacked: the gap between two verifiers grows on the completions that are trained on.

It is for every trainer of TRL, with a `FactualityReward` that has a held-out verifier. Not covered: the gap
(training/rewards/hacking.py), and measurements on held-out prompts (training/runs/monitor.py), which have the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from halluc.errors import InvalidInput
from training.monitoring.rules import StopRule
from training.rewards.hacking import GapReport, Measurement

__all__ = ["stop_on_reward_hacking"]


class MeasuredReward(Protocol):
    """A reward with a held-out verifier; `FactualityReward` is one."""

    measured: list[Measurement]

    @property
    def measurements(self) -> int:
        """Number of calls that had claims."""

    def gap_report(self) -> GapReport:
        """The gap over the calls so far."""


def stop_on_reward_hacking(reward: MeasuredReward, *, growth: float | None = 0.1, after: int = 20) -> Any:
    """Make a `TrainerCallback` that saves and stops the run when the gap of `reward.gap_report()` has grown too much.

    It saves the measurements in the checkpoints of the run, so that a resumed run compares with its own beginning, and
    merges those of several processes, so that all of them see the same gap and stop at the same step.

    Args:
        reward: a reward with a held-out verifier.
        growth: largest tolerated growth of the gap, in (0, 2]; None never stops the run.
        after: number of calls of the reward before the run may be stopped; the first are noisy.

    Raises:
        InvalidInput: growth is not above 0.
    """
    from accelerate.utils import gather_object
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    if growth is not None and not growth > 0:
        raise InvalidInput(f"growth is {growth}; pass a number above 0, since gaps always grow a little")

    class StopOnRewardHacking(TrainerCallback, ExportableState):
        merged = 0

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"measured": reward.measured}}

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            # transformers restores this only with some settings, and fails to save it if a checkpoint had none.
            saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
            reward.measured = [Measurement(*values) for values in saved["attributes"]["measured"]]
            self.merged = len(reward.measured)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            # Each process measures its own completions, in equally many calls.
            parts = gather_object([reward.measured[self.merged :]])
            reward.measured[self.merged :] = [_sum(calls) for calls in zip(*parts, strict=True)]
            self.merged = len(reward.measured)
            if growth is not None and reward.measurements >= after and _has_grown(reward.gap_report(), growth):
                control.should_save = control.should_training_stop = True
            return control

    return StopOnRewardHacking()


def _has_grown(report: GapReport, growth: float) -> bool:
    """Whether the gap breaks the monitor's rule `max_held_out_gap_growth`."""
    first, last = (
        {"held_out_gap": optimized - held_out} for optimized, held_out in zip(report.optimized, report.held_out, strict=True)
    )
    return StopRule("held_out_gap", True, "growth", growth).breaks(last, first)


def _sum(calls: Sequence[Measurement]) -> Measurement:
    return Measurement(sum(c.optimized for c in calls), sum(c.held_out for c in calls), sum(c.claims for c in calls))
