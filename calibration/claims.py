"""Conformal factuality: drop claims of an answer until a false one is left only rarely (Mohri 2024, arXiv 2402.10978).

Split conformal prediction over answers. The score of a calibration answer is the smallest threshold at which every
claim kept is true; the threshold is the ceil((n + 1)(1 - risk))-th smallest score. A new answer then keeps a false
claim with probability at most `risk`, over the calibration answers and the new one together.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_confidence, check_fraction, check_pair
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.persistence import Saved, register

__all__ = ["ConformalFactuality"]


@register
class ConformalFactuality(Saved):
    """Keeps the claims whose support is above the threshold that bounds the chance of any false claim left by `risk`.

    risk: in (0, 1).  threshold_: keep claims with support strictly above it; 1 (keep nothing, with a
    NoThresholdWarning) when there are too few calibration answers.  count_: number of calibration answers.
    """

    _learned = "threshold_"
    threshold_: float
    count_: int

    def __init__(self, risk: float = 0.1) -> None:
        self.risk = risk

    def fit(self, support: Sequence[ArrayLike], correct: Sequence[ArrayLike]) -> "ConformalFactuality":
        """Choose the threshold on calibration answers, whose truth is known claim by claim.

        support: for each answer, the support of its claims, in [0, 1].  correct: for each answer, which of them are
        true. An answer may have no claims.
        """
        check_fraction(self.risk, "risk")
        if len(support) != len(correct) or len(support) == 0:
            raise InvalidInput(
                f"support holds {len(support)} answers and correct {len(correct)}; pass as many of each, at least one"
            )
        scores = np.sort([_score(*answer) for answer in zip(support, correct, strict=True)])
        self.count_ = len(scores)
        # Rounding must not lift (n + 1)(1 - risk) past the whole number that it is.
        rank = math.ceil((self.count_ + 1) * (1 - self.risk) - 1e-9)
        if rank > self.count_:
            self.threshold_ = 1.0
            least = math.ceil(1 / self.risk - 1e-9) - 1
            warnings.warn(
                f"no threshold can promise a risk of {self.risk:g} from {self.count_} answers; "
                f"calibrate on at least {least}",
                NoThresholdWarning,
                stacklevel=2,
            )
        else:
            self.threshold_ = float(scores[rank - 1])
        return self

    @property
    def threshold(self) -> float:
        """Claims with support strictly above it are kept."""
        self.check_fitted()
        return self.threshold_

    def keep(self, support: ArrayLike) -> NDArray[np.bool_]:
        """Which claims (C,) of one answer to keep."""
        if np.size(support) == 0:
            return np.zeros(0, dtype=np.bool_)
        kept: NDArray[np.bool_] = check_confidence(support, name="support").astype(np.float64) > self.threshold
        return kept


def _score(support: ArrayLike, correct: ArrayLike) -> float:
    # The largest support of a false claim: a threshold there or above keeps none. Without false claims any will do.
    if np.size(support) == 0 and np.size(correct) == 0:
        return 0.0
    values, truth = check_pair(support, correct)
    return 0.0 if truth.all() else float(values[~truth].max())
