"""Several sources of confidence in one, by logistic regression: `SourceCombination`."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import (
    BoolArray,
    Float64Array,
    as_array,
    check_confidence,
    check_count,
    check_number,
    check_pair,
    check_seed,
    effective_weights,
)
from calibration.combination_map import bounded_logits
from calibration.errors import InvalidInput, UnreadableFile
from calibration.persistence import JsonEstimator
from calibration.recalibrators.scaling import fit_logistic, smoothed_targets

__all__ = ["SourceCombination", "check_sources", "cross_combined"]


class SourceCombination(JsonEstimator):
    """sigmoid of a weighted sum of the logits of S sources of confidence.

    A source that only repeats another, or says nothing about correctness, gets a small weight; one that ranks items in
    reverse gets a negative one. On a few hundred answers this ranks them better than boosted trees do.

    Args:
        penalty: at least 0, on the squares of the weights of logits scaled to variance 1; divided by the (effective) number
            of items, so that it matters on few.

    Attributes:
        weight_: (S,) of the logits.
        intercept_: of the sum.
    """

    weight_: Float64Array
    intercept_: float

    def __init__(self, penalty: float = 1.0) -> None:
        self.penalty = penalty

    def fit(self, confidence: ArrayLike, correct: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the weights.

        Args:
            confidence: (N, S) in [0, 1], one column per source.
            correct: (N,) booleans.
            sample_weight: (N,) of any scale, at least 0.

        Returns:
            This combination.

        Raises:
            InvalidInput: an array or the penalty is unusable.
        """
        check_number(self.penalty, "penalty", least=0)
        columns = check_sources(confidence)
        _, truth = check_pair(columns[:, 0], correct)
        weights = effective_weights(sample_weight, truth.size)
        z = bounded_logits(columns)
        share = weights / weights.sum()
        center = share @ z
        spread = np.sqrt(share @ (z - center) ** 2)
        spread = np.where(spread > 1e-9, spread, np.inf)
        features = np.concatenate([(z - center) / spread, np.ones((truth.size, 1))], axis=1)
        # A little of the penalty is always there: two equal sources have no weights of their own.
        ridge = np.full(features.shape[1], max(self.penalty / float(weights.sum()), 1e-9))
        ridge[-1] = 0.0
        targets = smoothed_targets(truth, weights)
        unbounded: list[float | None] = [None] * ridge.size
        fitted = fit_logistic(features, targets, weights, unbounded, penalty=ridge)
        self.weight_ = fitted[:-1] / spread
        self.intercept_ = float(fitted[-1] - self.weight_ @ center)
        return self

    def predict(self, confidence: ArrayLike) -> Float64Array:
        """Combine confidences (N, S) in [0, 1] to one per item (N,), in [0, 1].

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidences are unusable, or have another number of sources.
        """
        from scipy.special import expit

        self.check_fitted()
        columns = check_sources(confidence)
        if columns.shape[1] != self.weight_.size:
            raise InvalidInput(f"confidence has {columns.shape[1]} sources; this was fitted on {self.weight_.size}")
        return np.asarray(expit(bounded_logits(columns) @ self.weight_ + self.intercept_))

    def _check_restored(self) -> None:
        if self.weight_.ndim != 1 or not np.isfinite(self.predict(np.full((1, self.weight_.size), 0.5))).all():
            raise UnreadableFile("weight_ and intercept_ are not numbers, one weight per source; pass what save wrote")


def check_sources(confidence: ArrayLike) -> Float64Array:
    """Check confidences of several sources.

    Args:
        confidence: (N, S) in [0, 1], N and S at least 1.

    Returns:
        (N, S) float64.

    Raises:
        InvalidInput: another shape, or a value that is no number in [0, 1].
    """
    array = as_array(confidence, "confidence")
    if array.ndim != 2 or 0 in array.shape:
        raise InvalidInput(f"confidence has shape {array.shape}; pass one column per source, shape (N, S)")
    columns = [check_confidence(array[:, s], name=f"confidence[:, {s}]") for s in range(array.shape[1])]
    return np.stack(columns, axis=1).astype(np.float64)


def cross_combined(
    combination: SourceCombination,
    confidence: Float64Array,
    correct: BoolArray,
    weights: Float64Array | None = None,
    *,
    n_folds: int = 5,
    seed: int = 0,
) -> Float64Array:
    """Combined confidences (N,), each from a combination that was fitted without the item's fold.

    Args:
        combination: unfitted.
        confidence: (N, S) in [0, 1], N at least 2.
        correct: (N,).
        weights: (N,), or None.
        n_folds: at least 2.
        seed: of the folds.
    """
    from sklearn.base import clone

    fold = np.random.default_rng(check_seed(seed)).permutation(correct.size) % check_count(n_folds, "n_folds", least=2)
    combined = np.empty(correct.size)
    for number in np.unique(fold):
        held_out = fold == number
        kept = None if weights is None or not weights[~held_out].any() else weights[~held_out]
        fitted = clone(combination).fit(confidence[~held_out], correct[~held_out], kept)
        combined[held_out] = fitted.predict(confidence[held_out])
    return combined
