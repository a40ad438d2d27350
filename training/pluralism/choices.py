"""What each rule chooses among sampled answers (best of n), what every group gets from it, and the price that it pays.

A choice for all prompts together maximizes the rule's welfare of the mean utilities, not of each prompt: a group may lose on
one prompt and gain on another. Not covered: the utilities (training/preferences/principle_reward.py,
training/rewards/model.py) and training (group_reward.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import InvalidInput
from retrieval.records import Record
from training.pluralism.aggregation import RULES, check_rule, group_weights, welfare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calibration import Estimate

__all__ = ["GroupOutcome", "RuleOutcome", "choose", "compare_rules"]

_ROUNDS = 300
_RESAMPLES = 1000


@dataclass(frozen=True)
class GroupOutcome(Record):
    """What a group gets from the choice of a rule, as mean utilities per prompt with 95 % intervals.

    Attributes:
        group: its name.
        before: mean over all samples: the model without a choice.
        after: of the chosen answers.
        best: if the group chose alone.
        price: best − after.
    """

    group: str
    before: Estimate
    after: Estimate
    best: Estimate
    price: Estimate


@dataclass(frozen=True)
class RuleOutcome(Record):
    """The choice of a rule.

    Attributes:
        rule: its name.
        welfare: what the rule maximizes, reached by its choice.
        groups: what each gets.
    """

    rule: str
    welfare: float
    groups: tuple[GroupOutcome, ...]


def choose(utilities: NDArray[np.float64], rule: str, weights: Sequence[float] | None = None) -> NDArray[np.int64]:
    """Choose one of n answers to each prompt so that the welfare of the mean utilities is greatest.

    Mean and mixture maximize a weighted sum for each prompt. For max-min and Nash the weights follow the utilities of the
    choices so far (multiplicative weights, and the gradient of Σ log U_g). The best choice of all rounds is then improved
    prompt by prompt, since a weighted sum reaches no compromise that is worse for every weight; the result is a choice that
    no change of one answer improves.

    Args:
        utilities: (N, n, G) of the answers to N prompts for G groups; for Nash at least 0.
        rule: name in `RULES`.
        weights: (G,) of a mixture.

    Returns:
        (N,) numbers of the chosen answers.

    Raises:
        InvalidInput: the shape is another one, a utility is not finite, or the rule cannot be used.
    """
    if utilities.ndim != 3 or not utilities.size:
        raise InvalidInput(f"utilities have the shape {utilities.shape}; pass (prompts, answers, groups)")
    if not np.isfinite(utilities).all():
        raise InvalidInput("a utility is not finite; drop its answer")
    groups = utilities.shape[2]
    check_rule(rule, groups, weights)
    if rule in ("mean", "mixture"):
        summed = utilities @ group_weights(rule, np.zeros(groups), weights)
        return np.asarray(np.argmax(summed, axis=1), np.int64)
    scale = max(float(np.ptp(utilities)), 1e-12)
    used, total = np.full(groups, 1 / groups), np.zeros(groups)
    rounds = []
    for number in range(1, _ROUNDS + 1):
        rounds.append((utilities @ used).argmax(axis=1))
        reached = _reached(utilities, rounds[-1])
        total += reached
        if rule == "maxmin":
            used = used * np.exp(-(2.0 / np.sqrt(number)) * (reached - reached.min()) / scale)
            used = np.maximum(used / used.sum(), 1e-9)
        else:
            used = group_weights(rule, total / number)
    best = max(rounds, key=lambda chosen: welfare(rule, _reached(utilities, chosen)))
    return _improved(utilities, best, rule)


def _improved(utilities: NDArray[np.float64], chosen: NDArray[np.int64], rule: str) -> NDArray[np.int64]:
    """Change the answer of one prompt after the other as long as that raises the welfare."""
    chosen = chosen.copy()
    count = len(chosen)
    sums = utilities[np.arange(count), chosen].sum(axis=0)
    value, changed = welfare(rule, sums / count), True
    while changed:
        changed = False
        for row in range(count):
            others = sums - utilities[row, chosen[row]]
            values = [welfare(rule, (others + answer) / count) for answer in utilities[row]]
            best = int(np.argmax(values))
            if values[best] > value + 1e-12:
                chosen[row], sums = best, others + utilities[row, best]
                value, changed = values[best], True
    return chosen


def compare_rules(
    utilities: NDArray[np.float64], groups: Sequence[str], *, weights: Sequence[float] | None = None
) -> list[RuleOutcome]:
    """Compare what all rules choose; the mixture only with weights.

    Args:
        utilities: (N, n, G).
        groups: (G,) names.
        weights: (G,) of the mixture; None for no mixture.

    Raises:
        InvalidInput: as `choose`, or the names are not one for each group.
    """
    if utilities.ndim == 3 and len(groups) != utilities.shape[2]:
        raise InvalidInput(f"there are {len(groups)} names for {utilities.shape[2]} groups; pass one for each")
    outcomes = []
    for rule in RULES:
        if rule == "mixture" and weights is None:
            continue
        given = weights if rule == "mixture" else None
        chosen = choose(utilities, rule, given)
        outcomes.append(
            RuleOutcome(
                rule,
                welfare(rule, _reached(utilities, chosen), given),
                tuple(_outcome(utilities[:, :, g], chosen, name) for g, name in enumerate(groups)),
            )
        )
    return outcomes


def _reached(utilities: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """(G,) mean utilities of chosen answers."""
    mean: NDArray[np.float64] = utilities[np.arange(len(chosen)), chosen].mean(axis=0)
    return mean


def _outcome(utilities: NDArray[np.float64], chosen: NDArray[np.int64], group: str) -> GroupOutcome:
    """From the (N, n) utilities of a group."""
    from calibration.estimate import Bootstrap, estimates

    rows = np.arange(len(chosen))
    before, after, best = utilities.mean(axis=1), utilities[rows, chosen], utilities.max(axis=1)

    def means(weights: NDArray[np.float64]) -> tuple[float, ...]:
        shares = weights / weights.sum()
        return tuple(float(shares @ values) for values in (before, after, best, best - after))

    return GroupOutcome(group, *estimates(means, np.ones(len(chosen)), Bootstrap(n_resamples=_RESAMPLES)))
