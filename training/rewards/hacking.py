"""Detect reward hacking: support by the verifier that is optimized against rises, support by a held-out one does not.

A policy trained against a verifier finds its blind spots (overoptimization, arXiv 2210.10760). A second verifier that is not
part of the reward reveals this: the gap between the two grows. Not covered: the judging (factuality.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from halluc.errors import InvalidInput
from retrieval.records import Record

__all__ = ["GapReport", "Measurement", "gap_report", "stop_on_reward_hacking"]


class Measurement(NamedTuple):
    """Sums of the support of the claims in one call of the reward, by each of the two verifiers.

    Attributes:
        optimized: by the verifier that is optimized against.
        held_out: by the held-out verifier.
        claims: number of claims.
    """

    optimized: float
    held_out: float
    claims: int


@dataclass(frozen=True)
class GapReport(Record):
    """Mean support by both verifiers in the first and the last quarter of the steps.

    Attributes:
        steps: calls of the reward that had claims.
        optimized: (first, last) mean support in [0, 1] by the verifier that is optimized against.
        held_out: (first, last) mean support in [0, 1] by the held-out verifier.
        growth: growth of the gap between them, in [−2, 2]; clearly above 0 is reward hacking.
    """

    steps: int
    optimized: tuple[float, float]
    held_out: tuple[float, float]
    growth: float


def gap_report(optimized: Sequence[float], held_out: Sequence[float]) -> GapReport:
    """Compare two series of mean support.

    Args:
        optimized: (S,) values in [0, 1], one per call of the reward.
        held_out: (S,) values in [0, 1].

    Raises:
        InvalidInput: the series are empty or differ in length.
    """
    if not optimized or len(optimized) != len(held_out):
        raise InvalidInput(
            f"there are {len(optimized)} and {len(held_out)} measurements; pass equally many of both, at least 1"
        )
    quarter = max(1, len(optimized) // 4)
    first, last = slice(0, quarter), slice(len(optimized) - quarter, None)
    ends = [(sum(series[first]) / quarter, sum(series[last]) / quarter) for series in (optimized, held_out)]
    growth = (ends[0][1] - ends[1][1]) - (ends[0][0] - ends[1][0])
    return GapReport(len(optimized), ends[0], ends[1], growth)


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
            if growth is not None and reward.measurements >= after and reward.gap_report().growth > growth:
                control.should_save = control.should_training_stop = True
            return control

    return StopOnRewardHacking()


def _sum(calls: Sequence[Measurement]) -> Measurement:
    return Measurement(sum(c.optimized for c in calls), sum(c.held_out for c in calls), sum(c.claims for c in calls))
