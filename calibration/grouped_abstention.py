"""A threshold with its own guarantee for each group of items (domain, language, data set)."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import BoolArray, check_confidence, check_pair, check_weights
from calibration.conformal import ConformalAbstention
from calibration.errors import NoThresholdWarning
from calibration.persistence import JsonEstimator
from calibration.recalibrators.grouped import Group, check_groups, distinct_groups

__all__ = ["GroupedAbstention"]


class GroupedAbstention(JsonEstimator):
    """One `ConformalAbstention` per group: the guarantee holds in every group, not only over all of them (Mondrian).

    A common threshold guarantees the risk of all groups together, while a small and hard group may have several times as
    much. Items of a group without a threshold, or of one that `fit` did not see, are not answered.

    Args:
        risk: error rate among the answered items of each group, in (0, 1).
        delta: probability that the guarantee of a group fails, in (0, 1); for all groups at once, divide it by their number.

    Attributes:
        rules_: the fitted rule of each group.
    """

    rules_: dict[Group, ConformalAbstention]

    def __init__(self, risk: float = 0.1, delta: float = 0.05) -> None:
        self.risk = risk
        self.delta = delta

    def fit(
        self, confidence: ArrayLike, correct: ArrayLike, groups: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Choose a threshold for each group.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans.
            groups: (N,) each item's group, texts or numbers.
            sample_weight: (N,) of any scale, at least 0 (see ConformalAbstention.fit).

        Returns:
            This rule. One NoThresholdWarning names the groups in which no threshold guarantees the risk.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        values, truth = check_pair(confidence, correct)
        names = check_groups(groups, values.size)
        weights = None if sample_weight is None else check_weights(sample_weight, values.size)
        self.rules_ = {}
        without = []
        for group in distinct_groups(names):
            rows = names == group
            rule = ConformalAbstention(self.risk, self.delta)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NoThresholdWarning)
                rule.fit(values[rows], truth[rows], None if weights is None else weights[rows])
            self.rules_[group] = rule
            if not rule.feasible:
                without.append(f"{group!r} ({rule.count_} items)")
        if without:
            guarantee = f"a risk of {self.risk:g} with probability {1 - self.delta:g}"
            warnings.warn(
                f"no threshold guarantees {guarantee} in {', '.join(without)}; items of such a group are not answered",
                NoThresholdWarning,
                stacklevel=2,
            )
        return self

    def answer(self, confidence: ArrayLike, groups: ArrayLike) -> BoolArray:
        """Decide which items (N,) to answer.

        Args:
            confidence: (N,) in [0, 1].
            groups: (N,) each item's group.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: an array is unusable.
        """
        self.check_fitted()
        values = check_confidence(confidence)
        names = check_groups(groups, values.size)
        answered = np.zeros(values.size, dtype=np.bool_)
        for group in distinct_groups(names):
            if group in self.rules_:
                rows = names == group
                answered[rows] = self.rules_[group].answer(values[rows])
        return answered
