"""Recalibration and abstention in one object, fitted in one call and saved as one file: `Calibrator`."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.abstention import ConformalAbstention
from calibration.arrays import BoolArray, check_fraction, check_pair
from calibration.errors import InvalidInput
from calibration.persistence import Saved, register
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.selection import make_recalibrator, select_recalibrator

__all__ = ["Calibrator", "split_rows"]

Float64 = NDArray[np.float64]


@register
class Calibrator(Saved):
    """Turns raw confidence into calibrated confidence, and abstains where too little can be promised.

    The recalibrator is chosen and fitted on some of the items, and the threshold on the others: a threshold put on
    confidences that were fitted to the same items would promise more than it keeps. Neither part may be used for reporting.

    risk, delta: at most `risk` of the answers given are wrong, with probability 1 - `delta` over the items of the threshold
    (see ConformalAbstention).  recalibrator: a short name of `RECALIBRATORS`, or "auto" to choose by cross-validation.
    threshold_share: share of items for the threshold.  source: what the raw confidence is, e.g. a name of
    `halluc.confidence.SOURCES`; whoever applies the calibrator must give it the same.  seed: of the split and the folds.

    recalibrator_: the fitted recalibrator.  rule_: the fitted abstention rule, over recalibrated confidence.
    chosen_: the recalibrator's short name.  scores_: Brier score of each candidate in cross-validation.
    held_out_: of nested cross-validation over the fitted items, `brier_before`, `brier_after`, `ece_before`, `ece_after` (15
    equal-width bins); empty when no choice was to be made.  fit_count_: items the recalibrator was fitted on.
    """

    _learned = "recalibrator_"
    recalibrator_: Recalibrator
    rule_: ConformalAbstention
    chosen_: str
    scores_: dict[str, float]
    held_out_: dict[str, float]
    fit_count_: int

    def __init__(
        self,
        risk: float = 0.1,
        delta: float = 0.05,
        *,
        recalibrator: str = "auto",
        threshold_share: float = 0.5,
        source: str = "",
        seed: int = 0,
    ) -> None:
        self.risk = risk
        self.delta = delta
        self.recalibrator = recalibrator
        self.threshold_share = threshold_share
        self.source = source
        self.seed = seed

    def fit(self, confidence: ArrayLike, correct: ArrayLike, *, threshold_rows: ArrayLike | None = None) -> Self:
        """Learn from raw confidences (N,) and correctness (N,), at least four items.

        threshold_rows: (N,) booleans, the items for the threshold; by default drawn by `threshold_share` and `seed`.

        A threshold that cannot be promised is infinite, with a NoThresholdWarning: the calibrator then always abstains.
        """
        values, truth = check_pair(confidence, correct)
        if threshold_rows is None:
            share = check_fraction(self.threshold_share, "threshold_share")
            above, fitted = split_rows(values.size, (share, 1 - share), seed=self.seed)
        else:
            above = np.asarray(threshold_rows)
            if above.shape != values.shape or above.dtype != np.bool_:
                raise InvalidInput(
                    f"threshold_rows has shape {above.shape} and type {above.dtype}; pass {values.size} booleans"
                )
            fitted = ~above
        if fitted.sum() < 2 or above.sum() < 1:
            raise InvalidInput(
                f"{int(fitted.sum())} items are left to fit and {int(above.sum())} for the threshold; pass at least 2 and 1"
            )
        self._choose(values[fitted].astype(np.float64), truth[fitted])
        self.fit_count_ = int(fitted.sum())
        self.rule_ = ConformalAbstention(self.risk, self.delta).fit(self.transform(values[above]), truth[above])
        return self

    def transform(self, confidence: ArrayLike) -> Float64:
        """Calibrated confidences (N,) in [0, 1] of raw ones (N,)."""
        self.check_fitted()
        return self.recalibrator_.transform(confidence)

    def answer(self, confidence: ArrayLike) -> NDArray[np.bool_]:
        """Which items (N,) to answer, from raw confidences (N,)."""
        return self.rule_.answer(self.transform(confidence))

    @property
    def threshold(self) -> float:
        """Answer at and above this calibrated confidence; infinity when no threshold can promise the risk."""
        self.check_fitted()
        return self.rule_.threshold

    def _choose(self, confidence: Float64, correct: BoolArray) -> None:
        from calibration.calibration_error import expected_calibration_error
        from calibration.scores import brier_score

        self.scores_, self.held_out_ = {}, {}
        if self.recalibrator != "auto":
            self.recalibrator_ = make_recalibrator(self.recalibrator).fit(confidence, correct)
            self.chosen_ = self.recalibrator
            return
        selection = select_recalibrator(confidence, correct, seed=self.seed)
        self.recalibrator_, self.chosen_, self.scores_ = selection.recalibrator, selection.name, selection.scores
        for when, given in (("before", confidence), ("after", selection.held_out)):
            self.held_out_[f"brier_{when}"] = float(brier_score(given, correct))
            self.held_out_[f"ece_{when}"] = float(expected_calibration_error(given, correct))


def split_rows(size: int, shares: tuple[float, ...], *, seed: int = 0) -> list[BoolArray]:
    """Boolean masks (size,), one a share: a random partition of the rows into parts of these shares, which sum to 1."""
    if not np.isclose(sum(shares), 1) or min(shares) <= 0:
        raise InvalidInput(f"shares are {shares}; pass positive shares that sum to 1")
    ends = np.round(np.cumsum(shares) * size).astype(np.intp)
    # The place of each row in a random order says which part it belongs to.
    place = np.random.default_rng(seed).permutation(size)
    part = np.searchsorted(ends, place, side="right")
    return [part == number for number in range(len(shares))]
