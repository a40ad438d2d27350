"""The interface of every recalibrator of one confidence per item.

`fit(confidence, correct)` learns from (N,) confidences in [0, 1] and (N,) booleans; `transform(confidence)` gives (N,)
recalibrated confidences in [0, 1] as float64. Subclasses implement `_fit` and `_transform` on arrays already checked.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, check_confidence, check_pair, check_weights
from calibration.persistence import Saved

__all__ = ["Recalibrator", "logit"]

Float64 = NDArray[np.float64]

# Confidences of exactly 0 and 1 have no logit; this far from them they have one of about 27.6.
_CLIP = 1e-12


class Recalibrator(Saved):
    """Base of all recalibrators: checks what comes in, keeps what goes out within [0, 1]."""

    def fit(self, confidence: ArrayLike, correct: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from confidences (N,) and correctness (N,), optionally weighted by frequencies (N,)."""
        values, truth = check_pair(confidence, correct)
        if sample_weight is None:
            weights = np.ones(values.size)
        else:
            weights = check_weights(sample_weight, values.size)
            kept = weights > 0
            values, truth, weights = values[kept], truth[kept], weights[kept]
        self._fit(values.astype(np.float64), truth, weights)
        return self

    def transform(self, confidence: ArrayLike) -> Float64:
        """Recalibrated confidences (N,); NotFitted before `fit`."""
        self.check_fitted()
        values = check_confidence(confidence).astype(np.float64)
        return np.clip(self._transform(values), 0.0, 1.0)

    def fit_transform(self, confidence: ArrayLike, correct: ArrayLike, sample_weight: ArrayLike | None = None) -> Float64:
        """Fit, then recalibrate the same items: a description of the fit, not of its quality on new items."""
        return self.fit(confidence, correct, sample_weight).transform(confidence)

    def _fit(self, confidence: Float64, correct: BoolArray, weights: Float64) -> None:
        raise NotImplementedError

    def _transform(self, confidence: Float64) -> Float64:
        raise NotImplementedError


def logit(confidence: Float64) -> Float64:
    """log(p / (1 - p)), with p kept 1e-12 away from 0 and 1."""
    p = np.clip(confidence, _CLIP, 1 - _CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))
