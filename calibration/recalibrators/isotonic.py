"""Recalibration that only assumes order, by isotonic regression; and the identity, which every other one has to beat."""

from __future__ import annotations

import numpy as np

from calibration.arrays import BoolArray, Float64Array
from calibration.recalibrators.recalibrator import Recalibrator, without_certainty

__all__ = ["Identity", "IsotonicCalibration"]


class IsotonicCalibration(Recalibrator):
    """The increasing function of least squared error, linear between the confidences it was fitted on.

    By pool-adjacent-violators (Zadrozny & Elkan 2002), as in scikit-learn. Below the lowest and above the highest
    confidence it stays constant. On few items it overfits: its ends would often be exactly 0 and 1, which no number of items
    shows; they are kept 1 / (n + 2) away, for n (effective) items.

    Attributes:
        confidence_: (M,) its corners, ascending, in [0, 1].
        value_: (M,) its values there, in [0, 1].
    """

    confidence_: Float64Array
    value_: Float64Array

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        from scipy.optimize import isotonic_regression

        order = np.argsort(confidence)
        values, truth, mass = confidence[order], correct[order].astype(np.float64), weights[order]
        starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        if starts.size < values.size:
            # Items of equal confidence are one, of their total weight and mean outcome.
            total = np.add.reduceat(mass, starts)
            values, truth, mass = values[starts], np.add.reduceat(mass * truth, starts) / total, total
        fitted = isotonic_regression(truth, weights=mass)
        # The first and the last confidence of each block are corners.
        ends = fitted.blocks[1:] - 1
        corners = np.union1d(fitted.blocks[:-1], ends)
        self.confidence_ = values[corners]
        self.value_ = without_certainty(np.clip(fitted.x[corners], 0, 1), weights)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return np.interp(confidence, self.confidence_, self.value_)


class Identity(Recalibrator):
    """Leaves confidence as it is: a candidate of `select_recalibrator`, since data may be too few to improve on it.

    Attributes:
        count_: number of items in `fit`.
    """

    count_: int

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        self.count_ = int(confidence.size)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return confidence
