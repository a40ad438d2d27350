"""Recalibration and abstention in one object, fitted in one call and saved as one file: `Calibrator`."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import BoolArray, Float64Array, as_array, check_count, check_fraction, check_pair, check_seed
from calibration.conformal import ConformalAbstention
from calibration.errors import InvalidInput
from calibration.persistence import JsonEstimator
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.selection import check_recalibrator, make_recalibrator, select_recalibrator

__all__ = ["Calibrator", "check_split", "split_rows"]


class Calibrator(JsonEstimator):
    """Turns raw confidence into calibrated confidence, and abstains below a threshold with a guarantee.

    The recalibrator is chosen and fitted on some of the items, and the threshold on the others: a threshold on confidences
    that were fitted to the same items would not keep its guarantee. Report on neither part.

    Args:
        risk, delta: at most `risk` of the answers given are wrong, with probability 1 - `delta` over the items of the
            threshold (see ConformalAbstention). Both in (0, 1).
        recalibrator: a short name of `RECALIBRATORS`, or "auto" to choose by cross-validation.
        threshold_share: share of the items for the threshold, in (0, 1).
        source: what the raw confidence is, e.g. a name of `halluc.confidence.SOURCES`; apply the calibrator to the same
            source.
        seed: of the split and the folds.

    Attributes:
        recalibrator_: the fitted recalibrator.
        rule_: the fitted abstention rule, over recalibrated confidence.
        chosen_: the recalibrator's short name.
        scores_: Brier score of each candidate in cross-validation; empty without a choice.
        held_out_: `brier_before`, `brier_after`, `ece_before` and `ece_after` (15 equal-width bins) in nested
            cross-validation over the fitted items; empty without a choice.
        fit_count_: number of items that the recalibrator was fitted on.
    """

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

    def check_parameters(self) -> None:
        """Check the parameters, as `fit` does first.

        Raises:
            InvalidInput: one of them is unusable.
        """
        check_fraction(self.risk, "risk")
        check_fraction(self.delta, "delta")
        check_fraction(self.threshold_share, "threshold_share")
        check_seed(self.seed)
        if self.recalibrator != "auto":
            check_recalibrator(self.recalibrator)

    def fit(self, confidence: ArrayLike, correct: ArrayLike, *, threshold_rows: ArrayLike | None = None) -> Self:
        """Learn the recalibrator and the threshold.

        Args:
            confidence: (N,) raw confidences in [0, 1], N >= 4.
            correct: (N,) booleans.
            threshold_rows: (N,) booleans, the items for the threshold; None draws them by `threshold_share` and `seed`.

        Returns:
            This calibrator. If no threshold guarantees the risk, a NoThresholdWarning is issued, the threshold is
            infinite, and the calibrator always abstains.

        Raises:
            InvalidInput: a parameter or an array is unusable, or too few items are left to fit or for the threshold.
        """
        self.check_parameters()
        values, truth = check_pair(confidence, correct)
        if threshold_rows is None:
            share = self.threshold_share
            above, fitted = split_rows(values.size, (share, 1 - share), seed=self.seed)
        else:
            above = as_array(threshold_rows, "threshold_rows")
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

    def transform(self, confidence: ArrayLike) -> Float64Array:
        """Recalibrate raw confidences (N,) to calibrated ones (N,), both in [0, 1].

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable.
        """
        self.check_fitted()
        return self.recalibrator_.transform(confidence)

    def answer(self, confidence: ArrayLike) -> BoolArray:
        """Decide which items (N,) to answer, from raw confidences (N,) in [0, 1].

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable.
        """
        return self.rule_.answer(self.transform(confidence))

    @property
    def threshold(self) -> float:
        """Answer at and above this calibrated confidence; infinity if no threshold guarantees the risk."""
        self.check_fitted()
        return self.rule_.threshold

    def _choose(self, confidence: Float64Array, correct: BoolArray) -> None:
        from calibration.calibration_error import expected_calibration_error
        from calibration.scores import brier_score

        self.scores_, self.held_out_ = {}, {}
        if self.recalibrator != "auto":
            self.recalibrator_ = make_recalibrator(self.recalibrator).fit(confidence, correct)
            self.chosen_ = self.recalibrator
            return
        selection = select_recalibrator(confidence, correct, seed=self.seed)
        self.recalibrator_, self.chosen_, self.scores_ = selection.recalibrator, selection.name, selection.scores
        for when, values in (("before", confidence), ("after", selection.held_out)):
            self.held_out_[f"brier_{when}"] = float(brier_score(values, correct))
            self.held_out_[f"ece_{when}"] = float(expected_calibration_error(values, correct))


def split_rows(size: int, split: tuple[float, ...], *, seed: int = 0) -> list[BoolArray]:
    """Partition rows at random.

    Args:
        size: the number of rows.
        split: the share of each part, above 0; they sum to 1.
        seed: of the order.

    Returns:
        One mask (size,) per part.

    Raises:
        InvalidInput: the shares are unusable.
    """
    check_count(size, "size")
    check_split(split)
    check_seed(seed)
    ends = np.round(np.cumsum(split) * size).astype(np.intp)
    # The position of each row in a random order decides its part.
    position = np.random.default_rng(seed).permutation(size)
    part = np.searchsorted(ends, position, side="right")
    return [part == number for number in range(len(split))]


def check_split(split: tuple[float, ...], *, parts: int | None = None) -> None:
    """Check the shares of a partition.

    Args:
        split: shares above 0 that sum to 1.
        parts: the number of shares; None for any.

    Raises:
        InvalidInput: they are not that.
    """
    try:
        usable = bool(min(split) > 0 and np.isclose(sum(split), 1) and len(split) == (parts or len(split)))
    except (TypeError, ValueError):
        usable = False
    if not usable:
        number = f"{parts} " if parts else ""
        raise InvalidInput(f"split is {split!r}; pass {number}positive shares that sum to 1")
