"""Recalibration by an increasing step function (Zadrozny & Elkan 2002), by scikit-learn's pool-adjacent-violators."""

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray
from calibration.persistence import register
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["IsotonicCalibration"]

Float64 = NDArray[np.float64]


@register
class IsotonicCalibration(Recalibrator):
    """The increasing function of least squared error, linear between the confidences it was fitted on.

    confidence_, value_: its corners. Below the lowest and above the highest it stays constant. On few items it
    overfits: its ends are often exactly 0 and 1.
    """

    _learned = "confidence_"
    confidence_: Float64
    value_: Float64

    def _fit(self, confidence: Float64, correct: BoolArray, weights: Float64) -> None:
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        fitted.fit(confidence, correct.astype(np.float64), sample_weight=weights)
        self.confidence_ = np.asarray(fitted.X_thresholds_, dtype=np.float64)
        self.value_ = np.asarray(fitted.y_thresholds_, dtype=np.float64)

    def _transform(self, confidence: Float64) -> Float64:
        return np.interp(confidence, self.confidence_, self.value_)
