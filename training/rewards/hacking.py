"""Reward hacking: support by the verifier that is optimised rises, support by one that is only measured does not.

A policy trained against a verifier finds its blind spots (overoptimisation, arXiv 2210.10760). A second verifier that never
enters the reward shows it: the gap between the two grows. Not here: the judging (rewards.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from training.rewards.factuality import FactualityReward

__all__ = ["GapReport", "Measurement", "gap_report", "stop_on_reward_hacking"]


class Measurement(NamedTuple):
    """Support of the claims of one call of the reward, summed, by the optimised and by the held-out verifier."""

    optimised: float
    held_out: float
    claims: int


@dataclass(frozen=True)
class GapReport:
    """Mean support by the optimised and by the held-out verifier, in the first and the last quarter of the steps.

    Attributes:
        steps: calls of the reward that were measured.
        optimised: (first, last) mean support in [0, 1] by the verifier in the reward.
        held_out: (first, last) mean support in [0, 1] by the held-out verifier.
        growth: how much the gap between them grew, in [−2, 2]; clearly above 0 is reward hacking.
    """

    steps: int
    optimised: tuple[float, float]
    held_out: tuple[float, float]
    growth: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def gap_report(optimised: Sequence[float], held_out: Sequence[float]) -> GapReport:
    """Compare two series of mean support, (S,) values in [0, 1] each.

    Raises:
        InvalidInput: the series are empty or differ in length.
    """
    if not optimised or len(optimised) != len(held_out):
        raise InvalidInput(
            f"there are {len(optimised)} and {len(held_out)} measurements; a gap needs equally many, at least 1"
        )
    quarter = max(1, len(optimised) // 4)
    first, last = slice(0, quarter), slice(len(optimised) - quarter, None)
    ends = [(sum(series[first]) / quarter, sum(series[last]) / quarter) for series in (optimised, held_out)]
    growth = (ends[0][1] - ends[1][1]) - (ends[0][0] - ends[1][0])
    return GapReport(len(optimised), ends[0], ends[1], growth)


def stop_on_reward_hacking(reward: FactualityReward, *, growth: float | None = 0.1, after: int = 20) -> Any:
    """A `TrainerCallback` that saves and stops the run once the gap of `reward.gap_report()` has grown too far.

    It keeps the measurements of the held-out verifier in the run's checkpoints, so that a run that is resumed compares with
    its own beginning, and joins those of several processes, so that all of them see the same gap and stop at the same step.

    Args:
        reward: has a held-out verifier.
        growth: largest growth of the gap that is tolerated, in (0, 2]; None stops nothing.
        after: calls of the reward before which nothing is stopped; the first are noisy.

    Raises:
        InvalidInput: growth is not above 0.
    """
    from accelerate.utils import gather_object
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    if growth is not None and not growth > 0:
        raise InvalidInput(f"growth is {growth}; a gap always grows by a little, tolerate some")

    class StopOnRewardHacking(TrainerCallback, ExportableState):
        joined = 0

        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": {"measured": reward.measured}}

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            # transformers restores this for some settings only, and fails on saving where a checkpoint had none.
            kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
            reward.measured = [Measurement(*values) for values in kept["attributes"]["measured"]]
            self.joined = len(reward.measured)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            # Each process measures its own completions, in as many calls as the others.
            parts = gather_object([reward.measured[self.joined :]])
            reward.measured[self.joined :] = [_together(calls) for calls in zip(*parts, strict=True)]
            self.joined = len(reward.measured)
            if growth is not None and reward.measurements >= after and reward.gap_report().growth > growth:
                control.should_save = control.should_training_stop = True
            return control

    return StopOnRewardHacking()


def _together(calls: Sequence[Measurement]) -> Measurement:
    return Measurement(sum(c.optimised for c in calls), sum(c.held_out for c in calls), sum(c.claims for c in calls))
