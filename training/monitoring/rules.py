"""Stop rules of a training run: limits of what the monitor measures.

Not covered: the measures (measures.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halluc.errors import InvalidInput
from retrieval.records import Record

__all__ = ["MEASURES", "Measured", "StopRule", "broken_rule", "stop_rules"]

MEASURES: Mapping[str, str] = {
    "words": "words per reply",
    "cut": "share of replies cut at the longest length",
    "repetition": "share of repeated 3-grams",
    "distinct_1": "distinct words per word",
    "distinct_2": "distinct pairs of words per pair",
    "abstained": "share of abstentions",
    "empty": "share of empty replies",
    "entropy": "entropy, nats per token",
    "kl": "KL to the start, nats per reply",
    "support": "support by the verifier",
    "held_out_support": "support by the held-out verifier",
    "held_out_gap": "gap of the two verifiers",
}
"""Names of the measures, with what they are."""


@dataclass(frozen=True)
class Measured(Record):
    """The measures at one step.

    Attributes:
        step: optimizer steps before it; 0 is the model before training.
        values: by names of `MEASURES`; those of verifiers only if the run has them.
        replies: the replies to the first prompts.
    """

    step: int
    values: Mapping[str, float]
    replies: tuple[str, ...]


@dataclass(frozen=True)
class StopRule(Record):
    """A limit of a measure.

    Attributes:
        measure: name in `MEASURES`.
        upper: whether it is the largest tolerated value, or else the smallest.
        relative: "ratio" if the limit is a multiple of the value before training, "growth" if it is the difference from it,
            or else "".
        limit: the limit.
    """

    measure: str
    upper: bool
    relative: str
    limit: float

    def breaks(self, values: Mapping[str, float], first: Mapping[str, float]) -> bool:
        """Whether values break the rule; `first` are those before training. A measure that is missing breaks none."""
        if self.measure not in values:
            return False
        limit, value = self.limit_after(first), values[self.measure]
        return value > limit if self.upper else value < limit

    def limit_after(self, first: Mapping[str, float]) -> float:
        """The limit in units of the measure, after these values before training; NaN if it needs one that is missing."""
        start = first.get(self.measure, math.nan)
        return {"ratio": self.limit * start, "growth": start + self.limit}.get(self.relative, self.limit)

    def __str__(self) -> str:
        side = "above" if self.upper else "below"
        if self.relative == "growth":
            return f"growth of {MEASURES[self.measure]} {side} {self.limit:g}"
        times = " times its start" if self.relative == "ratio" else ""
        return f"{MEASURES[self.measure]} {side} {self.limit:g}{times}"


def stop_rules(limits: Mapping[str, float] | None) -> list[StopRule]:
    """Make rules of limits by name.

    Args:
        limits: "max_" or "min_", the name of a measure, and "_ratio" if the limit is a multiple of the value before training
            or "_growth" if it is the difference from it:
            {"max_kl": 20, "min_distinct_2_ratio": 0.5, "max_held_out_gap_growth": 0.1}.

    Raises:
        InvalidInput: a name is no such limit, or a limit is not finite.
    """
    rules = []
    for name, limit in (limits or {}).items():
        side, _, measure = name.partition("_")
        relative = next((kind for kind in ("ratio", "growth") if measure.endswith(f"_{kind}")), "")
        measure = measure.removesuffix(f"_{relative}")
        if side not in ("max", "min") or measure not in MEASURES:
            raise InvalidInput(
                f"{name!r} is no limit of the monitor; write max_ or min_ before one of {', '.join(MEASURES)}, and after "
                "it _ratio for a multiple of its start or _growth for the difference from it"
            )
        if not math.isfinite(limit):
            raise InvalidInput(f"the limit {name} is {limit}; pass a finite number")
        rules.append(StopRule(measure, side == "max", relative, float(limit)))
    return rules


def broken_rule(rules: Sequence[StopRule], history: Sequence[Measured], patience: int) -> StopRule | None:
    """Find a rule that the last `patience` measurements all break; None if there is none.

    The measurement before training counts for no rule.
    """
    last = [measured.values for measured in history if measured.step > 0][-patience:]
    if len(last) < patience:
        return None
    first = history[0].values
    return next((rule for rule in rules if all(rule.breaks(values, first) for values in last)), None)
