"""Which claims of an answer to keep, so that a false one is rarely left."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import BoolArray, as_array, check_confidence, check_fraction, check_pair
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.persistence import JsonEstimator

__all__ = ["ConformalFactuality", "check_answers"]


class ConformalFactuality(JsonEstimator):
    """Keeps the claims whose support exceeds a threshold, so that any false claim is left with probability at most `risk`.

    Split conformal prediction (Mohri & Hashimoto 2024, arXiv 2402.10978): the score of a calibration answer is the smallest
    threshold at which every claim kept is true. Without `delta` the threshold is the ceil((n + 1)(1 - risk))-th smallest
    score, and the probability is over the calibration answers and the new one together. With `delta` the guarantee is PAC:
    with probability 1 - delta over the calibration answers, at most a share `risk` of all new answers has a false claim
    left. The score is then the k-th smallest with P(Binomial(n, 1 - risk) >= k) <= delta (Vovk 2012, arXiv 1209.2673).

    Args:
        risk: in (0, 1).
        delta: probability that the guarantee fails, in (0, 1); None for the guarantee on average.

    Attributes:
        threshold_: keep claims with support strictly above it; 1 (keep nothing, with a NoThresholdWarning) if there are too
            few calibration answers.
        count_: number of calibration answers.
    """

    threshold_: float
    count_: int

    def __init__(self, risk: float = 0.1, delta: float | None = None) -> None:
        self.risk = risk
        self.delta = delta

    def fit(self, support: Sequence[ArrayLike], correct: Sequence[ArrayLike]) -> Self:
        """Choose the threshold on calibration answers whose claims are known to be true or false.

        Args:
            support: for each of N answers (C_i,), the support of its claims in [0, 1]; an answer may have no claims.
            correct: for each answer (C_i,), which of them are true.

        Returns:
            This rule.

        Raises:
            InvalidInput: the lengths differ, there are no answers, or an array is unusable.
        """
        check_fraction(self.risk, "risk")
        if self.delta is not None:
            check_fraction(self.delta, "delta")
        check_answers(support, correct)
        scores = np.sort([_score(*answer) for answer in zip(support, correct, strict=True)])
        self.count_ = len(scores)
        rank, least = _rank(self.count_, self.risk, self.delta)
        if rank > self.count_:
            self.threshold_ = 1.0
            warnings.warn(
                f"no threshold guarantees a risk of {self.risk:g} from {self.count_} answers; calibrate on at least {least}",
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

    def keep(self, support: ArrayLike) -> BoolArray:
        """Decide which claims of one answer to keep.

        Args:
            support: (C,) in [0, 1]; C may be 0.

        Returns:
            (C,) booleans.

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the support is unusable.
        """
        threshold = self.threshold
        values = as_array(support, "support")
        if values.size == 0:
            return np.zeros(0, dtype=np.bool_)
        kept: BoolArray = check_confidence(values, name="support").astype(np.float64) > threshold
        return kept


def check_answers(support: Sequence[ArrayLike], correct: Sequence[ArrayLike], *, least: int = 1) -> None:
    """Check that there is one array of support and one of correctness for each of at least `least` answers.

    Raises:
        InvalidInput: there is not.
    """
    for name, answers in (("support", support), ("correct", correct)):
        if isinstance(answers, (str, bytes, dict, set)) or not hasattr(answers, "__len__"):
            raise InvalidInput(f"{name} is {answers!r}; pass a list with one array per answer")
    if len(support) != len(correct) or len(support) < least:
        number = ("one", "two")[least - 1]
        raise InvalidInput(
            f"support holds {len(support)} answers and correct {len(correct)}; pass as many of each, at least {number}"
        )


def _rank(count: int, risk: float, delta: float | None) -> tuple[int, int]:
    """Which of `count` scores in ascending order is the threshold, above `count` if none is, and the fewest that suffice."""
    if delta is None:
        # Rounding must not lift (n + 1)(1 - risk) past the whole number that it is.
        return math.ceil((count + 1) * (1 - risk) - 1e-9), math.ceil(1 / risk - 1e-9) - 1
    from scipy.stats import binom

    # The smallest k with P(Binomial(n, 1 - risk) >= k) <= delta.
    rank = int(binom.isf(delta, count, 1 - risk)) + 1
    return rank, math.ceil(math.log(delta) / math.log1p(-risk) - 1e-9)


def _score(support: ArrayLike, correct: ArrayLike) -> float:
    """The largest support of a false claim, since a threshold there or above keeps none; 0 without false claims."""
    if np.size(as_array(support, "support")) == 0 and np.size(as_array(correct, "correct")) == 0:
        return 0.0
    values, truth = check_pair(support, correct)
    return 0.0 if truth.all() else float(values[~truth].max())
