"""A threshold with a finite-sample guarantee: when to answer.

`ConformalAbstention` is Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052): every threshold t of a grid that was
fixed beforehand is a hypothesis "the error rate among items of confidence >= t is above `risk`". On the calibration items
that pass t, the number of errors is binomial, so the hypothesis has an exact p-value. Thresholds are tested from the
highest down, each at the same level, and testing stops at the first one that is not rejected (fixed-sequence testing; no
correction for the number of thresholds is needed). The lowest rejected threshold is used.

Where few items pass, nothing can be rejected, and one early error would stop the sequence for good. So testing starts where
enough items pass, and `n_starts` sequences start at different numbers of items and share `delta` among them (the paper's
fixed sequence with several starts): a sequence stopped by bad luck at the top does not stop the others. Where a sequence
starts depends on how many items pass, never on which are wrong; if accuracy does not fall as confidence rises this keeps
the level exactly, and otherwise up to that choice of start. A sequence that reaches the next start unbroken carries its
level over to it (fallback procedure, Wiens & Dmitrienko 2005), which only ever adds rejections.

Items may have weights, e.g. ratios of densities where the items to come are distributed otherwise (covariate shift;
Tibshirani et al. 2019, arXiv 1904.06019). The p-values are then those of a bet (betting.py) on weighted losses, valid if no
weight to come is above the largest here.

Not covered: the p-values (bounds.py); a threshold together with a recalibrator (calibrator.py), for each group of items
(grouped_abstention.py), or for claims (factuality.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import (
    BoolArray,
    Float64Array,
    as_array,
    check_confidence,
    check_count,
    check_fraction,
    check_pair,
    check_weights,
)
from calibration.betting import betting_p_value
from calibration.bounds import binomial_p_value, hoeffding_bentkus_p_value
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.persistence import JsonEstimator

__all__ = ["ConformalAbstention", "default_thresholds"]

_ORDER = 2010


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
        n_starts: int = 3,
        thresholds: Sequence[float] | NDArray[np.floating] | None = None,
    ) -> None:
        self.risk = risk
        self.delta = delta
        self.bound = bound
        self.n_starts = n_starts
        self.thresholds = thresholds

    def fit(self, confidence: ArrayLike, correct: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose the threshold on calibration items.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans.
            sample_weight: (N,) of any scale, at least 0: how much more frequent items like each one will be than here. No
                item to come may have a larger weight than the largest here. Weights that are all equal are no weights.

        Returns:
            This rule. A NoThresholdWarning is issued if no threshold guarantees the risk.

        Raises:
            InvalidInput: an array or a parameter is unusable.
        """
        grid = self._checked_grid()
        values, truth = check_pair(confidence, correct)
        weights = None if sample_weight is None else check_weights(sample_weight, values.size)
        answered, errors = _counts_above(grid, values.astype(np.float64), truth)
        lowest = self._lowest_rejected(grid, values.astype(np.float64), truth, weights)
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

    def _lowest_rejected(
        self, grid: Float64Array, confidence: Float64Array, correct: BoolArray, weights: Float64Array | None
    ) -> int | None:
        """Index of the lowest rejected threshold of a descending grid, or None."""
        answered, errors = _counts_above(grid, confidence, correct)
        size = confidence.size
        if weights is not None and np.ptp(weights) > 0:
            answered, rejects = _weighted_tests(grid, confidence, correct, weights, self.risk)
            size = int(answered[-1])
        else:
            if self.bound == "binomial":
                p_value = binomial_p_value(errors, answered, self.risk)
            else:
                p_value = hoeffding_bentkus_p_value(errors / np.maximum(answered, 1), answered, self.risk)

            def rejects(index: int, level: float) -> bool:
                return bool(p_value[index] <= level)

        starts, share = _starts(size, self.risk, self.delta, self.n_starts)
        return _fallback([int(np.searchsorted(answered, start)) for start in starts], answered.size, share, rejects)

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


def default_thresholds() -> Float64Array:
    """The default grid: 0 to 1 in thousandths, and evenly spaced logits from -30 to 30 for both ends, ascending.

    Confidences such as the probability of a whole sequence crowd near 0, those of a single choice near 1.
    """
    from scipy.special import expit

    return np.unique(np.concatenate([np.arange(1001) / 1000, expit(np.linspace(-30, 30, 1201))]))


def _fallback(starts: list[int], size: int, share: float, rejects: Callable[[int, float], bool]) -> int | None:
    """The last rejected of `size` ordered hypotheses, from sequences that begin at `starts` with level `share` each.

    An unbroken sequence passes its level on to the next start.
    """
    lowest, carried = None, 0.0
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        level = share + carried
        for index in range(start, end):
            if not rejects(index, level):
                carried = 0.0
                break
            lowest = index
        else:
            carried = level
    return lowest


def _weighted_tests(
    grid: Float64Array, confidence: Float64Array, correct: BoolArray, weights: Float64Array, risk: float
) -> tuple[NDArray[np.intp], Callable[[int, float], bool]]:
    """Effective numbers of items above each threshold of a descending grid, and its test at a level.

    The items are bet on in a random order, since a file may be sorted.
    """
    order = np.random.default_rng(_ORDER).permutation(confidence.size)
    confidence, weights = confidence[order], weights[order] / weights.max()
    excess = weights * (~correct[order] - risk)
    by_confidence = np.argsort(confidence)
    below = np.searchsorted(confidence[by_confidence], grid, side="left")

    def above(values: Float64Array) -> Float64Array:
        total = np.concatenate([[0.0], np.cumsum(values[by_confidence])])
        return np.asarray(total[-1] - total[below])

    squares = above(weights**2)
    effective = np.where(squares > 1e-12, above(weights) ** 2 / np.maximum(squares, 1e-12), 0).astype(np.intp)
    # Effective numbers need not grow as the threshold falls; starts are where they first do.
    effective = np.maximum.accumulate(effective)
    tested: dict[tuple[int, float], bool] = {}

    def rejects(index: int, level: float) -> bool:
        key = (int(below[index]), level)
        if key not in tested:
            tested[key] = betting_p_value(excess[confidence >= grid[index]], risk, level) <= level
        return tested[key]

    return effective, rejects


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
        if number == 1 or least * 2 * (number**2 - 1) <= size:
            break
    if number == 1:
        return [least], delta
    # From the fewest items, where confidence ranks well, to over half of them, where it hardly ranks and only many items
    # show that few are wrong.
    ratio = (size / least) ** (1 / (number - 1))
    early = [math.ceil(least * ratio**step) for step in range(number - 1)]
    return sorted({*early, math.ceil(min(0.6, 0.3 * (number - 1)) * size)}), delta / number
