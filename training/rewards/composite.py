"""The sum of rewards that RLHF maximizes: preference, factuality, format and length, each logged separately.

All terms are callables with TRL's reward-function signature. The KL to the reference policy is not a term: TRL's trainers
add it (`beta`). Not covered: the factuality term (factuality.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from halluc.errors import InvalidInput
from training.rewards.completions import check_one_each, completion_text

__all__ = ["CompositeReward", "RewardFunction", "format_reward", "length_reward"]

RewardFunction = Callable[..., list[float] | list[float | None]]


class CompositeReward:
    """r_pref + λ·r_fact + w_format·r_format + w_length·r_length (a weighted sum of rewards as in arXiv 2310.03708).

    Args:
        preference: r_pref, e.g. `RewardModel`; None for none.
        factuality: r_fact, e.g. `FactualityReward`.
        factuality_weight: λ.
        format: e.g. `format_reward(...)`.
        format_weight: its weight.
        length: e.g. `length_reward(...)`.
        length_weight: its weight.

    Raises:
        InvalidInput: there is no term, or a weight is not finite.
    """

    __name__ = "composite"

    def __init__(
        self,
        preference: RewardFunction | None = None,
        factuality: RewardFunction | None = None,
        *,
        factuality_weight: float = 1.0,
        format: RewardFunction | None = None,
        format_weight: float = 1.0,
        length: RewardFunction | None = None,
        length_weight: float = 1.0,
    ) -> None:
        named = {
            "preference": (preference, 1.0),
            "factuality": (factuality, factuality_weight),
            "format": (format, format_weight),
            "length": (length, length_weight),
        }
        self.terms = {name: (term, weight) for name, (term, weight) in named.items() if term is not None}
        if not self.terms:
            raise InvalidInput(f"a CompositeReward needs a term; pass one of {', '.join(named)}")
        for name, (_, weight) in self.terms.items():
            if not math.isfinite(weight):
                raise InvalidInput(f"{name}_weight is {weight}; pass a finite number")

    @property
    def parts(self) -> dict[str, Any]:
        """All that decides a reward, for `training.rewards.identity.content_identity`."""
        return {name: [term, weight] for name, (term, weight) in self.terms.items()}

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Score completions.

        A term that gives None for a row, TRL's sign that it does not apply there, adds 0. The mean of each term, before
        weighting, is logged to TRL's `log_metric` as "composite/<term>".

        Returns:
            (N,) weighted sums.

        Raises:
            InvalidInput: prompts or completions are a single text or differ in number, or a term gives too few or too many
                rewards, or one that is not finite (the row is named).
        """
        check_one_each("completions", completions, prompts=prompts)
        totals = [0.0] * len(completions)
        numbers = columns.get("row") or range(len(completions))
        for name, (term, weight) in self.terms.items():
            values = list(term(prompts=prompts, completions=completions, log_metric=log_metric, **columns))
            if len(values) != len(completions):
                raise InvalidInput(f"the {name} reward gave {len(values)} values for {len(completions)} completions")
            for row, value in enumerate(values):
                if value is not None and not math.isfinite(value):
                    raise InvalidInput(f"the {name} reward of row {numbers[row]} is {value}; fix or drop that row")
                totals[row] += weight * (value or 0.0)
            applied = [value for value in values if value is not None]
            if log_metric is not None:
                log_metric(f"{self.__name__}/{name}", sum(applied) / len(applied) if applied else 0.0)
        return totals


def format_reward(pattern: str) -> RewardFunction:
    r"""A reward of 1 for completions that the regular expression matches completely, else 0; "." matches line breaks too.

    >>> format_reward(r".+\nConfidence: [01]\.\d+")(prompts=["?"], completions=["Paris.\nConfidence: 0.9"])
    [1.0]
    """
    compiled = re.compile(pattern, re.DOTALL)

    def format_(*, completions: Sequence[Any], **_: Any) -> list[float]:
        check_one_each("completions", completions)
        return [float(compiled.fullmatch(completion_text(completion).strip()) is not None) for completion in completions]

    return format_


def length_reward(shortest: int, longest: int) -> RewardFunction:
    """A reward of 0 for completions of `shortest` to `longest` words; others get minus the relative distance, at least −1.

    >>> length_reward(2, 4)(prompts=["?"] * 3, completions=["one", "one two three", "one two three four five"])
    [-0.5, 0.0, -0.25]

    Raises:
        InvalidInput: unless 0 < shortest <= longest.
    """
    if not 0 < shortest <= longest:
        raise InvalidInput(f"the length ranges from {shortest} to {longest} words; pass 0 < shortest <= longest")

    def length(*, completions: Sequence[Any], **_: Any) -> list[float]:
        check_one_each("completions", completions)
        counts = [len(completion_text(completion).split()) for completion in completions]
        return [0.0 - max((shortest - count) / shortest, min(1.0, (count - longest) / longest), 0.0) for count in counts]

    return length
