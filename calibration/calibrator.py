"""Recalibration and abstention in one object, fitted in one call and saved as one file: `Calibrator`."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import (
    BoolArray,
    Float64Array,
    as_array,
    check_confidence,
    check_count,
    check_fraction,
    check_pair,
    check_seed,
    check_weights,
)
from calibration.combination import SourceCombination, check_sources, cross_combined
from calibration.conformal import ConformalAbstention
from calibration.errors import InvalidInput
from calibration.persistence import JsonEstimator
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.selection import check_recalibrator, make_recalibrator, select_recalibrator

__all__ = ["Calibrator", "check_split", "split_rows"]

# Quantiles of the raw confidence that a calibrator keeps.
_REFERENCE = 256


class Calibrator(JsonEstimator):
    """Turns raw confidence into calibrated confidence, and abstains below a threshold with a guarantee.

    A recalibrator that never reverses the order of items does not change which of them lie above a threshold. The threshold
    is then chosen on the raw confidence, with the guarantee of any fixed confidence, and both it and the recalibrator use
    all items. A threshold on confidences that were fitted to the same items would not keep its guarantee; so for a
    recalibrator that may reverse the order, or if `threshold_share` or `threshold_rows` is passed, the threshold has items
    of its own, and is chosen on the recalibrated confidence. Report on neither part.

    Several sources of confidence are first combined to one (combination.py), by a map that is fitted to the items that do
    not choose the threshold, so that the guarantee holds; the recalibrator sees every item as a combination that was fitted
    without it. All of this class then says "raw confidence" of the combined one.

    Args:
        risk, delta: at most `risk` of the answers given are wrong, with probability 1 - `delta` over the items of the
            threshold (see ConformalAbstention). Both in (0, 1).
        recalibrator: a short name of `RECALIBRATORS`, or "auto" to choose by cross-validation; the threshold is then on the
            raw confidence, whatever is chosen.
        threshold_share: share of the items for the threshold alone, in (0, 1); None for all items where that is possible,
            and half of them elsewhere.
        source: what the raw confidence is, e.g. a name of `halluc.confidence.SOURCES`; apply the calibrator to the same
            source.
        seed: of the split and the folds.

    Attributes:
        combination_: of several sources; None of one.
        recalibrator_: the fitted recalibrator.
        rule_: the fitted abstention rule, over raw confidence if `on_raw_`, and over recalibrated confidence otherwise.
        on_raw_: whether the threshold is on the raw confidence.
        reference_: (M,) ascending quantiles of the raw confidence in `fit`, with which `GuaranteeMonitor` compares new ones.
        chosen_: the recalibrator's short name.
        scores_: log loss of each candidate in cross-validation; empty without a choice.
        held_out_: `brier_before`, `brier_after`, `log_loss_before`, `log_loss_after`, `ece_before` and `ece_after` (15
            equal-width bins) in nested cross-validation over the fitted items; empty without a choice.
        fit_count_: number of items that the recalibrator was fitted on.
    """

    combination_: SourceCombination | None
    recalibrator_: Recalibrator
    rule_: ConformalAbstention
    on_raw_: bool
    reference_: Float64Array
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
        threshold_share: float | None = None,
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
        if self.threshold_share is not None:
            check_fraction(self.threshold_share, "threshold_share")
        check_seed(self.seed)
        if self.recalibrator != "auto":
            check_recalibrator(self.recalibrator)

    def fit(
        self,
        confidence: ArrayLike,
        correct: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        threshold_rows: ArrayLike | None = None,
    ) -> Self:
        """Learn the recalibrator and the threshold.

        Args:
            confidence: (N,) raw confidences in [0, 1], N >= 4, or (N, S) of S sources.
            correct: (N,) booleans.
            sample_weight: (N,) of any scale, at least 0 (see ConformalAbstention.fit).
            threshold_rows: (N,) booleans, the items for the threshold alone; None uses all items, or draws them by
                `threshold_share` and `seed`.

        Returns:
            This calibrator. If no threshold guarantees the risk, a NoThresholdWarning is issued, the threshold is
            infinite, and the calibrator always abstains.

        Raises:
            InvalidInput: a parameter or an array is unusable, or too few items are left to fit or for the threshold.
        """
        self.check_parameters()
        array = as_array(confidence, "confidence")
        columns = check_sources(array) if array.ndim == 2 else None
        values, truth = check_pair(array if columns is None else columns[:, 0], correct)
        weights = None if sample_weight is None else check_weights(sample_weight, values.size)
        self.on_raw_ = threshold_rows is None and self.threshold_share is None and _keeps_order(self.recalibrator)
        above, fitted = self._parts(values.size, threshold_rows, apart=columns is not None or not self.on_raw_)
        if fitted.sum() < 2 or above.sum() < 1:
            raise InvalidInput(
                f"{int(fitted.sum())} items are left to fit and {int(above.sum())} for the threshold; pass at least 2 and 1"
            )
        self.combination_ = None
        if columns is not None:
            values = self._combine(columns, truth, weights, above)
            # The threshold is on the combined confidence of its own items, which the recalibrator does not change.
            fitted = np.ones_like(fitted) if self.on_raw_ else fitted
        self._choose(values[fitted].astype(np.float64), truth[fitted], None if weights is None else weights[fitted])
        self.fit_count_ = int(fitted.sum())
        self.reference_ = np.quantile(values, np.linspace(0, 1, min(values.size, _REFERENCE))).astype(np.float64)
        scored = values[above] if self.on_raw_ else self.recalibrator_.predict(values[above])
        rule = ConformalAbstention(self.risk, self.delta)
        self.rule_ = rule.fit(scored, truth[above], None if weights is None else weights[above])
        return self

    def _combine(
        self, confidence: Float64Array, correct: BoolArray, weights: Float64Array | None, above: BoolArray
    ) -> Float64Array:
        """Fit the combination of sources (N, S) to all items but those for the threshold, and combine all of them (N,)."""
        rest = ~above
        kept = None if weights is None else weights[rest]
        self.combination_ = SourceCombination().fit(confidence[rest], correct[rest], kept)
        combined = self.combination_.predict(confidence)
        combined[rest] = cross_combined(SourceCombination(), confidence[rest], correct[rest], kept, seed=self.seed)
        return combined

    def _parts(self, size: int, threshold_rows: ArrayLike | None, *, apart: bool) -> tuple[BoolArray, BoolArray]:
        """The items (size,) for the threshold, and those for the recalibrator: all for both unless they are kept apart."""
        if not apart:
            return np.ones(size, dtype=np.bool_), np.ones(size, dtype=np.bool_)
        if threshold_rows is None:
            share = 0.5 if self.threshold_share is None else self.threshold_share
            above, fitted = split_rows(size, (share, 1 - share), seed=self.seed)
            return above, fitted
        rows = as_array(threshold_rows, "threshold_rows")
        if rows.shape != (size,) or rows.dtype != np.bool_:
            raise InvalidInput(f"threshold_rows has shape {rows.shape} and type {rows.dtype}; pass {size} booleans")
        return rows, ~rows

    def combine(self, confidence: ArrayLike) -> Float64Array:
        """The raw confidence (N,) that the recalibrator and the threshold see: combined if there are several sources (N, S).

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable, or has another number of sources.
        """
        self.check_fitted()
        if self.combination_ is not None:
            return self.combination_.predict(confidence)
        return check_confidence(confidence).astype(np.float64)

    def transform(self, confidence: ArrayLike) -> Float64Array:
        """Recalibrate raw confidences (N,), or (N, S) of S sources, to calibrated ones (N,), all in [0, 1].

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable.
        """
        self.check_fitted()
        return self.recalibrator_.predict(self.combine(confidence))

    def answer(self, confidence: ArrayLike) -> BoolArray:
        """Decide which items (N,) to answer, from raw confidences (N,), or (N, S) of S sources, in [0, 1].

        Raises:
            NotFitted: `fit` has not been called.
            InvalidInput: the confidence is unusable.
        """
        self.check_fitted()
        return self.rule_.answer(self.combine(confidence) if self.on_raw_ else self.transform(confidence))

    @property
    def threshold(self) -> float:
        """The calibrated confidence at the threshold, to show; infinity if no threshold guarantees the risk.

        Use `answer` to decide: a recalibrator may give one calibrated confidence to raw ones on both sides of the threshold.
        """
        self.check_fitted()
        threshold = self.rule_.threshold
        return float(self.recalibrator_.predict([threshold])[0]) if self.on_raw_ and np.isfinite(threshold) else threshold

    def _choose(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array | None) -> None:
        from calibration.calibration_error import expected_calibration_error
        from calibration.scores import brier_score, negative_log_likelihood

        self.scores_, self.held_out_ = {}, {}
        if self.recalibrator != "auto":
            self.recalibrator_ = make_recalibrator(self.recalibrator).fit(confidence, correct, weights)
            self.chosen_ = self.recalibrator
            return
        selection = select_recalibrator(confidence, correct, weights, seed=self.seed)
        self.recalibrator_, self.chosen_, self.scores_ = selection.recalibrator, selection.name, selection.scores
        for when, values in (("before", confidence), ("after", selection.held_out)):
            self.held_out_[f"brier_{when}"] = float(brier_score(values, correct, weights=weights))
            self.held_out_[f"log_loss_{when}"] = float(negative_log_likelihood(values, correct, weights=weights))
            self.held_out_[f"ece_{when}"] = float(expected_calibration_error(values, correct, weights=weights))


def _keeps_order(recalibrator: str) -> bool:
    # "auto" decides before it sees the items: a threshold on raw confidence is valid with any recalibrator.
    return recalibrator == "auto" or make_recalibrator(recalibrator).increasing


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
