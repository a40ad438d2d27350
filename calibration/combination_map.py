"""A fitted combination of several sources of confidence as a map on NumPy alone, for programs that apply one but fit none.

Not covered: fitting and files (`calibration.SourceCombination`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from calibration.platt_map import inverse_logit, logit

__all__ = ["CombinationMap", "bounded_logits"]

# Beyond these a logit says how a source writes its extremes, and not how sure it is.
_CLIP = 1e-3


@dataclass(frozen=True)
class CombinationMap:
    """sigmoid of a weighted sum of the logits of S sources.

    Attributes:
        weight: (S,) of the logits.
        intercept: of the sum.
    """

    weight: NDArray[np.float64]
    intercept: float

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `SourceCombination.to_dict` describes.

        Raises:
            KeyError, TypeError, ValueError: the data describe something else.
        """
        if data["class"] != "SourceCombination":
            raise ValueError(f"the class is {data['class']!r}, not SourceCombination")
        return cls(np.array(data["learned"]["weight_"]["array"], np.float64), float(data["learned"]["intercept_"]))

    def predict(self, confidence: NDArray[np.float64]) -> NDArray[np.float64]:
        """Combine confidences (N, S) in [0, 1] to one per item (N,)."""
        return inverse_logit(bounded_logits(confidence) @ self.weight + self.intercept)


def bounded_logits(confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits of confidences in [0, 1], of any shape, which are first kept 0.001 away from 0 and 1."""
    return logit(np.clip(confidence, _CLIP, 1 - _CLIP))
