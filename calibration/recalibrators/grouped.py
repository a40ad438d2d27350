"""One recalibrator for each group of items (domain, language, dataset), drawn towards the one fitted on all of them."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_confidence, check_pair, unit_weights
from calibration.errors import InvalidInput
from calibration.persistence import Saved, register
from calibration.recalibrators.recalibrator import Recalibrator, logit
from calibration.recalibrators.scaling import PlattScaling

__all__ = ["GroupedRecalibrator"]

Float64 = NDArray[np.float64]


@register
class GroupedRecalibrator(Saved):
    """In a group of n items the logit is n / (n + shrinkage) of the group's own fit, and the rest of the pooled fit.

    recalibrator: the kind fitted to each (default PlattScaling).  shrinkage: the number of items at which a group's own
    fit counts one half; 0 trusts every group alone.  Groups never seen in `fit` get the pooled fit.
    pooled_: fitted on all.  groups_: from group name to its fit.  share_: from group name to n / (n + shrinkage).
    """

    _learned = "pooled_"
    pooled_: Recalibrator
    groups_: dict[str, Recalibrator]
    share_: dict[str, float]

    def __init__(self, recalibrator: Recalibrator | None = None, shrinkage: float = 100.0) -> None:
        self.recalibrator = recalibrator
        self.shrinkage = shrinkage

    def fit(
        self, confidence: ArrayLike, correct: ArrayLike, groups: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn from confidences (N,), correctness (N,) and the name of each item's group (N,)."""
        from sklearn.base import clone

        if not self.shrinkage >= 0:
            raise InvalidInput(f"shrinkage is {self.shrinkage}; pass a number of items, 0 or more")
        values, truth = check_pair(confidence, correct)
        weights = unit_weights(sample_weight, values.size)
        names = _check_groups(groups, values.size)
        kind = PlattScaling() if self.recalibrator is None else self.recalibrator
        self.groups_, self.share_ = {}, {}
        for name in np.unique(names).tolist():
            rows = (names == name) & (weights > 0)
            if not rows.any():
                continue
            size = float(weights[rows].sum())
            self.groups_[name] = clone(kind).fit(values[rows], truth[rows], weights[rows])
            self.share_[name] = size / (size + self.shrinkage)
        self.pooled_ = clone(kind).fit(values, truth, weights)
        return self

    def transform(self, confidence: ArrayLike, groups: ArrayLike) -> Float64:
        """Recalibrated confidences (N,) of items in groups (N,)."""
        from scipy.special import expit

        self.check_fitted()
        values = check_confidence(confidence)
        names = _check_groups(groups, values.size)
        result = self.pooled_.transform(values)
        for name in np.unique(names).tolist():
            if name not in self.groups_:
                continue
            rows = names == name
            share = self.share_[name]
            own = self.groups_[name].transform(values[rows])
            result[rows] = expit(share * logit(own) + (1 - share) * logit(result[rows]))
        return result


def _check_groups(groups: ArrayLike, size: int) -> NDArray[np.str_]:
    names = np.asarray(groups)
    if names.shape != (size,):
        raise InvalidInput(f"groups has shape {names.shape}; pass one name for each of the {size} items")
    return names.astype(np.str_)
