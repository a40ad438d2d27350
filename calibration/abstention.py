"""When to answer and when to abstain, with a promise about the error rate among what is answered.

Learn then test (Angelopoulos 2021, arXiv 2110.01052): every threshold t of a grid that was fixed beforehand is a
hypothesis "the error rate among items of confidence >= t is above `risk`". On the calibration items that pass t, the
number of errors is binomial, so the hypothesis has an exact p-value. Thresholds are tested from the highest down,
each at the same level, and testing stops at the first one that is not rejected (fixed-sequence testing; no correction
for the number of thresholds is needed). The lowest rejected threshold is used.

Where few items pass, nothing can be rejected, and one early error would stop the sequence for good. So testing starts where
enough items pass, and `n_starts` sequences start at different numbers of items and share `delta` among them (the paper's
fixed sequence with several starts): a sequence stopped by bad luck at the top does not stop the others. Where a sequence
starts depends on how many items pass, never on which are wrong; if accuracy does not fall as confidence rises this keeps
the level exactly, and otherwise up to that choice of start.
"""

import math
import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_confidence, check_count, check_fraction, check_pair
from calibration.bounds import binomial_p_value, hoeffding_bentkus_p_value
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.persistence import Saved, register

__all__ = ["ConformalAbstention", "default_thresholds"]

Float64 = NDArray[np.float64]
Bound = Literal["binomial", "hoeffding-bentkus"]


@register
class ConformalAbstention(Saved):
    """The lowest threshold whose answered items have an error rate of at most `risk`, with probability 1 - `delta`.

    The probability is over the calibration sample, which must be drawn like the items to come. It needs no model of the
    confidence, no calibration and no absence of ties; confidence that ranks items badly costs coverage.

    risk, delta: in (0, 1).  bound: "binomial", exact for right or wrong; "hoeffding-bentkus" (arXiv 2101.02703),
    looser. n_starts: number of sequences; with few items fewer are used.  thresholds: the grid (M,), which must not
    be chosen on the calibration items; by default `default_thresholds()`.

    threshold_: answer at and above it; infinity when no threshold can promise the risk (with a NoThresholdWarning).
    answered_, errors_, count_: calibration items answered at the threshold, errors among them, and items in all.
    reason_: one sentence on how the threshold came about.
    """

    _learned = "threshold_"
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
        bound: Bound = "binomial",
        n_starts: int = 2,
        thresholds: ArrayLike | None = None,
    ) -> None:
        self.risk = risk
        self.delta = delta
        self.bound = bound
        self.n_starts = n_starts
        self.thresholds = thresholds

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> "ConformalAbstention":
        """Choose the threshold on calibration items: confidences (N,) and correctness (N,)."""
        check_fraction(self.risk, "risk")
        check_fraction(self.delta, "delta")
        check_count(self.n_starts, "n_starts")
        values, truth = check_pair(confidence, correct)
        grid = default_thresholds() if self.thresholds is None else np.unique(check_confidence(self.thresholds))
        grid = np.sort(grid.astype(np.float64))[::-1]
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
        """Answer at and above it; infinity when no threshold can promise the risk."""
        self.check_fitted()
        return self.threshold_

    @property
    def feasible(self) -> bool:
        """Whether some threshold keeps the promise."""
        return math.isfinite(self.threshold)

    @property
    def coverage(self) -> float:
        """Share of the calibration items that are answered."""
        self.check_fitted()
        return self.answered_ / self.count_

    def answer(self, confidence: ArrayLike) -> NDArray[np.bool_]:
        """Which items to answer: True at and above the threshold, of the shape of `confidence` (N,) or ()."""
        values = np.asarray(confidence)
        checked = check_confidence(np.atleast_1d(values)).astype(np.float64)
        decided: NDArray[np.bool_] = np.asarray(checked >= self.threshold).reshape(values.shape)
        return decided

    def _lowest_rejected(self, answered: NDArray[np.intp], errors: NDArray[np.intp], size: int) -> int | None:
        starts, level = _starts(size, self.risk, self.delta, self.n_starts)
        if self.bound == "binomial":
            p_value = binomial_p_value(errors, answered, self.risk)
        elif self.bound == "hoeffding-bentkus":
            p_value = hoeffding_bentkus_p_value(errors / np.maximum(answered, 1), answered, self.risk)
        else:
            raise InvalidInput(f"bound is {self.bound!r}; pass 'binomial' or 'hoeffding-bentkus'")
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

    def _why_none(self, size: int, truth: NDArray[np.bool_]) -> str:
        least = _least_items(self.risk, self.delta)
        promise = f"no threshold can promise a risk of {self.risk:g} with probability {1 - self.delta:g}"
        if size < least:
            return f"{promise}: {size} items are too few even without an error; calibrate on at least {least}"
        wrong = float(np.mean(~truth))
        return (
            f"{promise}: {wrong:.1%} of {size} items are wrong and the most confident are not right often enough; "
            "allow more risk, calibrate on more items, or use a confidence that ranks right answers higher"
        )


def default_thresholds() -> Float64:
    """A grid fixed once and for all: 0 to 1 in thousandths, and evenly spaced logits from -30 to 30 for both ends.

    Confidences such as the probability of a whole sequence crowd near 0, those of a single choice near 1.
    """
    from scipy.special import expit

    return np.unique(np.concatenate([np.arange(1001) / 1000, expit(np.linspace(-30, 30, 1201))]))


def _counts_above(
    grid: Float64, confidence: Float64, correct: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    # Items, and errors among them, with confidence at or above each threshold of a descending grid.
    order = np.argsort(confidence)
    below = np.searchsorted(confidence[order], grid, side="left")
    wrong_below = np.concatenate([[0], np.cumsum(~correct[order])])
    return confidence.size - below, wrong_below[-1] - wrong_below[below]


def _least_items(risk: float, level: float) -> int:
    # Without a single error the p-value is (1 - risk)^n.
    return math.ceil(math.log(level) / math.log1p(-risk))


def _starts(size: int, risk: float, delta: float, n_starts: int) -> tuple[list[int], float]:
    # Numbers of items at which sequences start, and the level of each. They depend on N, risk and delta only: chosen by
    # looking at the errors they would break the promise. Sequences less than a doubling apart are not worth their
    # share.
    for number in range(n_starts, 0, -1):
        least = _least_items(risk, delta / number)
        if number == 1 or least * 8 ** (number - 1) <= size:
            break
    ratio = max(size / least, 1.0) ** (1 / number)
    return sorted({math.ceil(least * ratio**step) for step in range(number)}), delta / number
