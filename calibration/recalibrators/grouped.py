"""One recalibrator per group of items (domain, language, data set), shrunk towards the pooled fit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import (
    Float64Array,
    as_array,
    check_confidence,
    check_number,
    check_pair,
    effective_weights,
    unit_weights,
)
from calibration.errors import InvalidInput, UnreadableFile
from calibration.persistence import JsonEstimator
from calibration.platt_map import logit
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.recalibrators.scaling import PlattScaling

__all__ = ["Group", "GroupedRecalibrator", "check_groups", "distinct_groups"]

Group = str | int | float


class GroupedRecalibrator(JsonEstimator):
    """In a group of n items the logit is n / (n + shrinkage) of the group's own fit, and the rest of the pooled fit.

    With weights, n is the effective number of items. Groups are compared as Python compares them: 1 and 1.0 are one group,
    1 and "1" are two.

    Args:
        recalibrator: the kind that is fitted to each group; None for PlattScaling.
        shrinkage: number of items, at least 0, at which a group's own fit counts one half; 0 trusts every group alone.

    Attributes:
        pooled_: the fit on all items, used for groups that `fit` did not see.
        groups_: the fit of each group.
        share_: n / (n + shrinkage) of each group, in [0, 1].
    """

    pooled_: Recalibrator
    groups_: dict[Group, Recalibrator]
    share_: dict[Group, float]

    def __init__(self, recalibrator: Recalibrator | None = None, shrinkage: float = 100.0) -> None:
        self.recalibrator = recalibrator
        self.shrinkage = shrinkage

    def fit(
        self, confidence: ArrayLike, correct: ArrayLike, groups: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the groups and the pool.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans.
            groups: (N,) each item's group, texts or numbers.
            sample_weight: (N,) of any scale, at least 0; None counts every item once.

        Returns:
            This recalibrator.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        from sklearn.base import clone

        check_number(self.shrinkage, "shrinkage", least=0)
        if not (self.recalibrator is None or isinstance(self.recalibrator, Recalibrator)):
            raise InvalidInput(f"recalibrator is {self.recalibrator!r}; pass a recalibrator, e.g. PlattScaling()")
        values, truth = check_pair(confidence, correct)
        weights = unit_weights(sample_weight, values.size)
        names = check_groups(groups, values.size)
        kind = PlattScaling() if self.recalibrator is None else self.recalibrator
        self.groups_, self.share_ = {}, {}
        for group in distinct_groups(names):
            rows = (names == group) & (weights > 0)
            if not rows.any():
                continue
            size = float(effective_weights(weights[rows], int(rows.sum())).sum())
            self.groups_[group] = clone(kind).fit(values[rows], truth[rows], weights[rows])
            self.share_[group] = size / (size + self.shrinkage)
        self.pooled_ = clone(kind).fit(values, truth, weights)
        return self

    def transform(self, confidence: ArrayLike, groups: ArrayLike) -> Float64Array:
        """Recalibrate.

        Args:
            confidence: (N,) in [0, 1].
            groups: (N,) each item's group, of the type that `fit` had.

        Returns:
            (N,) in [0, 1].

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: an array is unusable, or a group is one of the fitted ones but for its type ("1" for 1).
        """
        from scipy.special import expit

        self.check_fitted()
        values = check_confidence(confidence)
        names = check_groups(groups, values.size)
        recalibrated = self.pooled_.predict(values)
        spelled = {str(group): group for group in self.groups_}
        for group in distinct_groups(names):
            if group not in self.groups_:
                if str(group) in spelled:
                    raise InvalidInput(
                        f"groups holds {group!r}, but fit had {spelled[str(group)]!r}; pass groups of the same type"
                    )
                continue
            rows = names == group
            share = self.share_[group]
            alone = self.groups_[group].predict(values[rows])
            recalibrated[rows] = expit(share * logit(alone) + (1 - share) * logit(recalibrated[rows]))
        return recalibrated

    def _check_restored(self) -> None:
        if self.groups_.keys() != self.share_.keys():
            raise UnreadableFile("groups_ and share_ are not of the same groups; pass what save wrote")


def check_groups(groups: ArrayLike, size: int) -> NDArray[np.object_]:
    """Check the groups of items, and keep their types.

    Args:
        groups: (size,) texts or numbers.
        size: the number of items.

    Returns:
        (size,) Python objects.

    Raises:
        InvalidInput: another shape, or a group that is neither a text nor a number.
    """
    names: NDArray[Any] = as_array(groups, "groups", dtype=object).copy()
    if names.shape != (size,):
        raise InvalidInput(f"groups has shape {names.shape}; pass one group for each of the {size} items")
    for row, group in enumerate(names):
        if isinstance(group, np.generic):
            names[row] = group = group.item()
        # A NaN is not even equal to itself.
        if not isinstance(group, (str, int, float)) or group != group:
            raise InvalidInput(f"groups[{row}] is {group!r}; pass a text or a number")
    return names


def distinct_groups(groups: NDArray[np.object_]) -> list[Any]:
    """The distinct groups of items (N,): numbers in ascending order, then texts in alphabetical order."""
    return sorted(dict.fromkeys(groups.tolist()), key=lambda group: (isinstance(group, str), group))
