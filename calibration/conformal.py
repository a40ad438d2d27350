"""Thresholds with a finite-sample guarantee: when to answer, and which claims of an answer to keep.

`ConformalAbstention` is Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052): every threshold t of a grid that was
fixed beforehand is a hypothesis "the error rate among items of confidence >= t is above `risk`". On the calibration items
that pass t, the number of errors is binomial, so the hypothesis has an exact p-value. Thresholds are tested from the
highest down, each at the same level, and testing stops at the first one that is not rejected (fixed-sequence testing; no
correction for the number of thresholds is needed). The lowest rejected threshold is used.

Where few items pass, nothing can be rejected, and one early error would stop the sequence for good. So testing starts where
enough items pass, and `n_starts` sequences start at different numbers of items and share `delta` among them (the paper's
fixed sequence with several starts): a sequence stopped by bad luck at the top does not stop the others. Where a sequence
starts depends on how many items pass, never on which are wrong; if accuracy does not fall as confidence rises this keeps
the level exactly, and otherwise up to that choice of start.

`ConformalFactuality` drops claims until a false one is rarely left (Mohri & Hashimoto 2024, arXiv 2402.10978): split
conformal prediction over answers. The score of a calibration answer is the smallest threshold at which every claim kept is
true; the threshold is the ceil((n + 1)(1 - risk))-th smallest score.

Not covered: the p-values (bounds.py); a threshold together with a recalibrator (calibrator.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, Float64Array, as_array, check_confidence, check_count, check_fraction, check_pair
from calibration.bounds import binomial_p_value, hoeffding_bentkus_p_value
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.persistence import JsonEstimator

__all__ = ["ConformalAbstention", "ConformalFactuality", "default_thresholds"]


class ConformalAbstention(JsonEstimator):
    """The lowest threshold whose answered items have an error rate of at most `risk`, with probability 1 - `delta`.

    The probability is over the calibration sample, which must be drawn like the items to come. It needs no model of the
    confidence, no calibration and no absence of ties; confidence that ranks items badly costs coverage.

    Args:
        risk: error rate among the answered items, in (0, 1).
        delta: probability that the guarantee fails, in (0, 1).
        bound: "binomial", exact for right or wrong; "hoeffding-bentkus" (arXiv 2101.02703), looser.
        n_starts: number of sequences, at least 1; with few items fewer are used.
        thresholds: the grid (M,) in [0, 1], which must not be chosen on the calibration items; None for
            `default_thresholds()`.

    Attributes:
        threshold_: answer at and above it; infinity if no threshold guarantees the risk.
        answered_: calibration items answered at the threshold.
        errors_: errors among them.
        count_: calibration items in all.
        reason_: one sentence on how the threshold was chosen.
    """

    threshold_: float
    answered_: int
    errors_: int
    count_: int
    reason_: str

    def __init__(
        self,
        risk: float = 0.1,
        delta: float = 0.05,
        *,
        bound: Literal["binomial", "hoeffding-bentkus"] = "binomial",
        n_starts: int = 2,
        thresholds: Sequence[float] | NDArray[np.floating] | None = None,
    ) -> None:
        self.risk = risk
        self.delta = delta
        self.bound = bound
        self.n_starts = n_starts
        self.thresholds = thresholds

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> Self:
        """Choose the threshold on calibration items.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans.

        Returns:
            This rule. A NoThresholdWarning is issued if no threshold guarantees the risk.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        grid = self._checked_grid()
        values, truth = check_pair(confidence, correct)
        answered, errors = _counts_above(grid, values.astype(np.float64), truth)
        lowest = self._lowest_rejected(answered, errors, values.size)
        self.count_ = int(values.size)
        if lowest is None:
            self.threshold_, self.answered_, self.errors_ = math.inf, 0, 0
            self.reason_ = self._why_none(values.size, truth)
            warnings.warn(self.reason_, NoThresholdWarning, stacklevel=2)
            return self
        self.threshold_ = float(grid[lowest])
        self.answered_, self.errors_ = int(answered[lowest]), int(errors[lowest])
        self.reason_ = (
            f"{self.errors_} of {self.answered_} answers at or above {self.threshold_:.6g} were wrong, which has "
            f"probability below {self.delta:g} if more than {self.risk:g} of such answers are wrong"
        )
        return self

    @property
    def threshold(self) -> float:
        """Answer at and above it; infinity if no threshold guarantees the risk."""
        self.check_fitted()
        return self.threshold_

    @property
    def feasible(self) -> bool:
        """Whether some threshold guarantees the risk."""
        return math.isfinite(self.threshold)

    @property
    def coverage(self) -> float:
        """Share of the calibration items that are answered, in [0, 1]."""
        self.check_fitted()
        return self.answered_ / self.count_

    def answer(self, confidence: ArrayLike) -> BoolArray:
        """Decide which items to answer: True at and above the threshold, in the shape of `confidence`, (N,) or ().

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: a confidence is not a number in [0, 1].
        """
        values = as_array(confidence, "confidence")
        checked = check_confidence(np.atleast_1d(values)).astype(np.float64)
        answered: BoolArray = np.asarray(checked >= self.threshold).reshape(values.shape)
        return answered

    def _checked_grid(self) -> Float64Array:
        """The thresholds in descending order; InvalidInput if a parameter is unusable."""
        check_fraction(self.risk, "risk")
        check_fraction(self.delta, "delta")
        check_count(self.n_starts, "n_starts")
        if self.bound not in ("binomial", "hoeffding-bentkus"):
            raise InvalidInput(f"bound is {self.bound!r}; pass 'binomial' or 'hoeffding-bentkus'")
        if self.thresholds is None:
            return default_thresholds()[::-1]
        return np.unique(check_confidence(self.thresholds, name="thresholds").astype(np.float64))[::-1]

    def _lowest_rejected(self, answered: NDArray[np.intp], errors: NDArray[np.intp], size: int) -> int | None:
        starts, level = _starts(size, self.risk, self.delta, self.n_starts)
        if self.bound == "binomial":
            p_value = binomial_p_value(errors, answered, self.risk)
        else:
            p_value = hoeffding_bentkus_p_value(errors / np.maximum(answered, 1), answered, self.risk)
        rejected = p_value <= level
        lowest = None
        for start in starts:
            first = int(np.searchsorted(answered, start))
            if first == answered.size or not rejected[first]:
                continue
            stop = np.flatnonzero(~rejected[first:])
            last = first + int(stop[0]) - 1 if stop.size else answered.size - 1
            lowest = last if lowest is None else max(lowest, last)
        return lowest

    def _why_none(self, size: int, truth: BoolArray) -> str:
        least = _least_items(self.risk, self.delta)
        failure = f"no threshold guarantees a risk of {self.risk:g} with probability {1 - self.delta:g}"
        if size < least:
            return f"{failure}: {size} items are too few even without an error; calibrate on at least {least}"
        wrong = float(np.mean(~truth))
        return (
            f"{failure}: {wrong:.1%} of {size} items are wrong and the most confident are not right often enough; "
            "allow more risk, calibrate on more items, or use a confidence that ranks right answers higher"
        )


class ConformalFactuality(JsonEstimator):
    """Keeps the claims whose support exceeds a threshold, so that any false claim is left with probability at most `risk`.

    The probability is over the calibration answers and the new one together.

    Args:
        risk: in (0, 1).

    Attributes:
        threshold_: keep claims with support strictly above it; 1 (keep nothing, with a NoThresholdWarning) if there are too
            few calibration answers.
        count_: number of calibration answers.
    """

    threshold_: float
    count_: int

    def __init__(self, risk: float = 0.1) -> None:
        self.risk = risk

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
        for name, answers in (("support", support), ("correct", correct)):
            if isinstance(answers, str) or not hasattr(answers, "__len__"):
                raise InvalidInput(f"{name} is {answers!r}; pass a list with one array per answer")
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


def default_thresholds() -> Float64Array:
    """The default grid: 0 to 1 in thousandths, and evenly spaced logits from -30 to 30 for both ends, ascending.

    Confidences such as the probability of a whole sequence crowd near 0, those of a single choice near 1.
    """
    from scipy.special import expit

    return np.unique(np.concatenate([np.arange(1001) / 1000, expit(np.linspace(-30, 30, 1201))]))


def _counts_above(
    grid: Float64Array, confidence: Float64Array, correct: BoolArray
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Items, and errors among them, with confidence at or above each threshold of a descending grid."""
    order = np.argsort(confidence)
    below = np.searchsorted(confidence[order], grid, side="left")
    wrong_below = np.concatenate([[0], np.cumsum(~correct[order])])
    return confidence.size - below, wrong_below[-1] - wrong_below[below]


def _least_items(risk: float, level: float) -> int:
    """The fewest items that can reject a risk: without a single error the p-value is (1 - risk)^n."""
    return math.ceil(math.log(level) / math.log1p(-risk))


def _starts(size: int, risk: float, delta: float, n_starts: int) -> tuple[list[int], float]:
    """Numbers of items at which sequences start, and the level of each.

    They depend on N, risk and delta only: if the errors decided them, the guarantee would be lost. Fewer than `n_starts`
    sequences are used if their starts would be too close together to be worth their share of delta.
    """
    for number in range(n_starts, 0, -1):
        least = _least_items(risk, delta / number)
        if number == 1 or least * 8 ** (number - 1) <= size:
            break
    ratio = max(size / least, 1.0) ** (1 / number)
    return sorted({math.ceil(least * ratio**step) for step in range(number)}), delta / number


def _score(support: ArrayLike, correct: ArrayLike) -> float:
    """The largest support of a false claim, since a threshold there or above keeps none; 0 without false claims."""
    if np.size(as_array(support, "support")) == 0 and np.size(as_array(correct, "correct")) == 0:
        return 0.0
    values, truth = check_pair(support, correct)
    return 0.0 if truth.all() else float(values[~truth].max())
