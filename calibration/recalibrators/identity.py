"""No recalibration: what every other one has to beat."""

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray
from calibration.persistence import register
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["Identity"]

Float64 = NDArray[np.float64]


@register
class Identity(Recalibrator):
    """Leaves confidence as it is; a candidate of `select_recalibrator`, since data may be too few to improve on it.

    count_: number of items it has seen.
    """

    _learned = "count_"
    count_: int

    def _fit(self, confidence: Float64, correct: BoolArray, weights: Float64) -> None:
        self.count_ = int(confidence.size)

    def _transform(self, confidence: Float64) -> Float64:
        return confidence
