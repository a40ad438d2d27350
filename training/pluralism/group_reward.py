"""A reward that aggregates the rewards of several groups, for GRPO, RLOO and PPO.

The weights of the groups follow from the utilities that the policy has reached (aggregation.py), so max-min and Nash welfare
are of the policy's expected utilities, not of each completion. Not covered: choices among samples (choices.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from halluc.errors import InvalidInput
from training.pluralism.aggregation import check_rule, group_weights
from training.rewards.composite import RewardFunction

__all__ = ["GroupReward", "keep_group_state"]


class GroupReward:
    """Σ_g w_g·(r_g − m_g)/s_g, with weights of a rule of the groups' utilities.

    Rewards of different models have different scales: m_g and s_g are the mean and the standard deviation of r_g in the
    first `reference_calls` calls, whose completions are those of the policy before training or shortly after its start. The
    utility of a group is its standardized reward, averaged over the calls with an exponential decay; for Nash welfare it is
    measured from `disagreement` standard deviations below the start.

    Args:
        groups: rewards by name, with TRL's reward-function signature.
        rule: name in `training.pluralism.aggregation.RULES`.
        weights: by name, of a mixture.
        decay: of the averages of utilities, in [0, 1): the share of the past in each call.
        disagreement: what each group would get without an agreement, in standard deviations below the start; above 0.
        reference_calls: calls that m and s are measured in.

    Attributes:
        utilities: (G,) averages so far.
        calls: number of calls so far.

    Raises:
        InvalidInput: there are fewer than two groups, the rule or the weights cannot be used, or an option is out of range.
    """

    __name__ = "groups"

    def __init__(
        self,
        groups: Mapping[str, RewardFunction],
        rule: str = "maxmin",
        *,
        weights: Mapping[str, float] | None = None,
        decay: float = 0.8,
        disagreement: float = 3.0,
        reference_calls: int = 4,
    ) -> None:
        if len(groups) < 2:
            raise InvalidInput(f"there are {len(groups)} groups; pass at least two")
        if weights is not None and set(weights) != set(groups):
            raise InvalidInput(f"weights are of {', '.join(weights)}; pass one for each of {', '.join(groups)}")
        if not 0 <= decay < 1:
            raise InvalidInput(f"decay is {decay}; pass a number from 0 to below 1")
        if not disagreement > 0:
            raise InvalidInput(f"disagreement is {disagreement}; pass a number above 0")
        if reference_calls < 1:
            raise InvalidInput(f"reference_calls is {reference_calls}; pass at least 1")
        self.groups = dict(groups)
        self.rule = rule
        self.weights = [float(weights[name]) for name in groups] if weights is not None else None
        check_rule(rule, len(groups), self.weights)
        self.decay, self.disagreement, self.reference_calls = decay, disagreement, reference_calls
        self.utilities = np.zeros(len(groups))
        self.calls = 0
        # Number, sum and sum of squares of the rewards in the reference calls.
        self._sums = np.zeros((3, len(groups)))

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Score completions; logs the standardized reward and the weight of each group.

        Returns:
            (N,) aggregated rewards.

        Raises:
            InvalidInput: a group gives another number of rewards, or one that is not finite (the row is named).
        """
        scores = np.array(
            [_scores(name, reward, prompts, completions, columns, log_metric) for name, reward in self.groups.items()]
        )
        if self.calls < self.reference_calls:
            self._sums += np.stack([np.full(len(scores), scores.shape[1]), scores.sum(axis=1), (scores**2).sum(axis=1)])
        standardized = (scores - self.means[:, None]) / self.deviations[:, None]
        reached = standardized.mean(axis=1)
        self.utilities = reached if self.calls == 0 else self.decay * self.utilities + (1 - self.decay) * reached
        self.calls += 1
        shift = self.disagreement if self.rule == "nash" else 0.0
        weights = group_weights(self.rule, self.utilities + shift, self.weights)
        if log_metric is not None:
            for name, value, weight in zip(self.groups, reached, weights, strict=True):
                log_metric(f"{self.__name__}/{name}", float(value))
                log_metric(f"{self.__name__}/weight_{name}", float(weight))
        aggregated: list[float] = (weights @ standardized).tolist()
        return aggregated

    @property
    def means(self) -> np.ndarray:
        """(G,) means of the rewards in the reference calls."""
        mean: np.ndarray = self._sums[1] / np.maximum(self._sums[0], 1)
        return mean

    @property
    def deviations(self) -> np.ndarray:
        """(G,) standard deviations of the rewards in the reference calls; 1 where they are all equal."""
        variance = self._sums[2] / np.maximum(self._sums[0], 1) - self.means**2
        return np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 1e-12)), 1.0)

    def report(self) -> dict[str, dict[str, float]]:
        """What each group got: the mean reward in the reference calls and lately, and the difference in deviations."""
        lately = self.means + self.utilities * self.deviations
        return {
            name: {"before": float(start), "after": float(end), "gain": float(gain)}
            for name, start, end, gain in zip(self.groups, self.means, lately, self.utilities, strict=True)
        }

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as JSON."""
        return {"utilities": self.utilities.tolist(), "calls": self.calls, "sums": self._sums.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state."""
        self.utilities, self.calls = np.array(state["utilities"]), int(state["calls"])
        self._sums = np.array(state["sums"])


def keep_group_state(reward: GroupReward) -> Any:
    """Make a `TrainerCallback` that saves the state of a reward in the checkpoints of its run, and restores it."""
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState

    class KeepGroupState(TrainerCallback, ExportableState):
        def state(self) -> dict[str, Any]:
            return {"args": {}, "attributes": reward.state()}

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # transformers restores this only with some settings, and fails to save it if a checkpoint had none.
            saved = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
            reward.restore(saved["attributes"])

    return KeepGroupState()


def _scores(
    name: str,
    reward: RewardFunction,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    columns: Mapping[str, Any],
    log_metric: Callable[[str, float], None] | None,
) -> list[float]:
    values = list(reward(prompts=prompts, completions=completions, log_metric=None, **columns))
    if len(values) != len(completions):
        raise InvalidInput(f"the reward of {name} gave {len(values)} values for {len(completions)} completions")
    for row, value in enumerate(values):
        if value is None or not np.isfinite(value):
            raise InvalidInput(f"the reward of {name} for row {row} is {value}; fix or drop that row")
    return [float(value) for value in values if value is not None]
