"""Platt scaling as a map on NumPy alone, for programs that apply one but fit none.

Recalibrators are estimators of scikit-learn, whose import takes a second of processor time. Not covered: fitting and files
(`calibration.PlattScaling`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["PlattMap", "inverse_logit", "logit"]

# Confidences of exactly 0 and 1 have no logit; this far from them the logit is about 27.6 in size.
_CLIP = 1e-12


@dataclass(frozen=True)
class PlattMap:
    """sigmoid(slope * logit(confidence) + intercept).

    Attributes:
        slope, intercept: what `PlattScaling.fit` learned.
    """

    slope: float
    intercept: float

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `PlattScaling.to_dict` describes.

        Raises:
            KeyError, TypeError, ValueError: the data describe something else.
        """
        if data["class"] != "PlattScaling":
            raise ValueError(f"the class is {data['class']!r}, not PlattScaling")
        slope, intercept = float(data["learned"]["slope_"]), float(data["learned"]["intercept_"])
        if not (math.isfinite(slope) and math.isfinite(intercept)):
            raise ValueError("slope and intercept are not finite")
        return cls(slope, intercept)

    def to_dict(self) -> dict[str, Any]:
        """The same values as `PlattScaling.to_dict`."""
        learned = {"slope_": self.slope, "intercept_": self.intercept}
        return {"format": 1, "class": "PlattScaling", "parameters": {}, "learned": learned}

    def predict(self, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Recalibrate (N,) confidences in [0, 1]."""
        return inverse_logit(self.slope * logit(confidence) + self.intercept)


def logit(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)) of confidences (N,), with p kept 1e-12 away from 0 and 1."""
    p = np.clip(confidence, _CLIP, 1 - _CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


def inverse_logit(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-score)) of scores (N,), kept 1e-12 away from 0 and 1: no outcome is called impossible."""
    # logaddexp does not overflow.
    return np.clip(np.exp(-np.logaddexp(0.0, -score)), _CLIP, 1 - _CLIP)
