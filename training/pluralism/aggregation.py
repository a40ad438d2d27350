"""Rules that aggregate the utilities of groups: mean, mixture, max-min and Nash welfare.

A rule maximizes a function of the mean utilities U_g of the groups. Its gradient is a weighted sum of theirs, so every rule
is a set of weights that depend on the utilities reached so far. Not covered: the reward of a training run (group_reward.py)
and choices among samples (choices.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RULES", "check_rule", "group_weights", "welfare"]

RULES = ("mean", "mixture", "maxmin", "nash")
"""Names of the rules."""

# Nash welfare is undefined where a group has no utility; there it gets the weight of this utility.
_LEAST_UTILITY = 1e-3


def check_rule(rule: str, groups: int, weights: Sequence[float] | None) -> None:
    """Check a rule and the weights of a mixture.

    Raises:
        InvalidInput: the rule is unknown, a mixture has no weights or not one for each group, weights are negative or all 0,
            or another rule has weights.
    """
    if rule not in RULES:
        raise InvalidInput(f"the rule is {rule!r}; choose from {', '.join(RULES)}")
    if (weights is not None) != (rule == "mixture"):
        raise InvalidInput(
            "weights are of the rule 'mixture' alone; leave them out" if weights is not None
            else "the rule 'mixture' needs weights; pass one for each group"
        )  # fmt: skip
    if weights is None:
        return
    if len(weights) != groups:
        raise InvalidInput(f"there are {len(weights)} weights for {groups} groups; pass one for each")
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights) > 0:
        raise InvalidInput(f"the weights are {list(weights)}; pass numbers of at least 0, one of them above 0")


def group_weights(rule: str, utilities: NDArray[np.float64], weights: Sequence[float] | None = None) -> NDArray[np.float64]:
    """The weights of the groups in the gradient of a rule, which add up to 1.

    - mean: 1/G each.
    - mixture: the given weights, such as shares of the population.
    - maxmin: all of it on the group with the least utility (MaxMin-RLHF, arXiv 2402.08925, algorithm 1); shared by ties.
    - nash: proportional to 1/U_g, the gradient of Σ log U_g (Nash 1950); utilities are measured from what a group would get
      without an agreement, and those of at most 0 count as 0.001.

    Args:
        rule: name in `RULES`.
        utilities: (G,) mean utilities.
        weights: (G,) of a mixture.

    Returns:
        (G,) weights.
    """
    if rule == "mixture":
        given: NDArray[np.float64] = np.asarray(weights, dtype=np.float64)
        mixed: NDArray[np.float64] = given / given.sum()
        return mixed
    if rule == "maxmin":
        least = (utilities <= utilities.min() + 1e-12).astype(np.float64)
        even: NDArray[np.float64] = least / least.sum()
        return even
    if rule == "nash":
        inverse = 1 / np.maximum(utilities, _LEAST_UTILITY)
        share: NDArray[np.float64] = inverse / inverse.sum()
        return share
    return np.full(len(utilities), 1 / len(utilities))


def welfare(rule: str, utilities: NDArray[np.float64], weights: Sequence[float] | None = None) -> float:
    """What a rule maximizes: the (weighted) mean, the least utility, or the geometric mean; see `group_weights`."""
    if rule == "maxmin":
        return float(utilities.min())
    if rule == "nash":
        return float(np.exp(np.log(np.maximum(utilities, _LEAST_UTILITY)).mean()))
    return float(group_weights(rule, utilities, weights) @ utilities)
