"""Metrics over shards: `update` with each batch, `merge` the accumulators of other processes, `compute` the results.

BinnedAccumulator   constant memory; everything that equal-width bins and sums give.
TableAccumulator    memory of the distinct confidences; any metric that takes weights, equal-mass bins and ranks included.

Both give the results of one pass over all items, up to rounding in sums of another order. Both hold plain numbers and can be
pickled, to be sent between processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import (
    BoolArray,
    Float64Array,
    FloatArray,
    as_array,
    check_count,
    check_pair,
    check_weights,
    unit_weights,
)
from calibration.binning import BinTotals, equal_width_bins
from calibration.calibration_error import debiased_calibration_error, expected_error, maximum_error
from calibration.errors import InvalidInput
from calibration.reliability import ReliabilityCurve, curve_of_totals
from calibration.scores import brier_score, negative_log_likelihood
from calibration.selective import aurc, excess_aurc

__all__ = ["BinnedAccumulator", "BinnedSummary", "TableAccumulator"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class BinnedSummary:
    """The results of a BinnedAccumulator.

    Attributes:
        weight: number (or weight) of items.
        accuracy, mean_confidence, ece, mce, brier: in [0, 1].
        negative_log_likelihood: in nats.
        curve: the reliability curve.
    """

    weight: float
    accuracy: float
    mean_confidence: float
    ece: float
    mce: float
    brier: float
    negative_log_likelihood: float
    curve: ReliabilityCurve


class BinnedAccumulator:
    """Sums over equal-width bins, and of the Brier score and the negative log-likelihood.

    Args:
        n_bins: number of bins, at least 1.

    >>> first, second = BinnedAccumulator(), BinnedAccumulator()
    >>> first.update([0.9, 0.8], [True, False]).merge(second.update([0.4], [False])).compute().weight
    3.0
    """

    def __init__(self, n_bins: int = 15) -> None:
        self.n_bins = check_count(n_bins, "n_bins")
        zeros = np.zeros(n_bins)
        self._totals = BinTotals(zeros, zeros, zeros, zeros)
        self._brier = 0.0
        self._log_loss = 0.0

    def update(self, confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> Self:
        """Add a batch; an empty one adds nothing.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans.
            weights: (N,), at least 0, on the same scale in every batch.

        Returns:
            This accumulator.

        Raises:
            InvalidInput: an array is unusable.
        """
        if as_array(confidence, "confidence").size == 0 and as_array(correct, "correct").size == 0:
            return self
        values, truth = check_pair(confidence, correct)
        mass = None if weights is None else check_weights(weights, values.size)
        weight = float(values.size if mass is None else mass.sum())
        self._totals += BinTotals.of(equal_width_bins(self.n_bins, values.dtype), values, truth, mass)
        self._brier += weight * brier_score(values, truth, weights=mass)
        self._log_loss += weight * negative_log_likelihood(values, truth, weights=mass)
        return self

    def merge(self, other: BinnedAccumulator) -> Self:
        """Add the items of another accumulator.

        Returns:
            This accumulator.

        Raises:
            InvalidInput: its number of bins differs.
        """
        if other.n_bins != self.n_bins:
            raise InvalidInput(f"cannot merge {other.n_bins} bins into {self.n_bins}; use the same n_bins for every shard")
        self._totals += other._totals
        self._brier += other._brier
        self._log_loss += other._log_loss
        return self

    def compute(self, *, interval: float | None = None) -> BinnedSummary:
        """Compute the results so far.

        Args:
            interval: level in (0, 1) of the reliability curve's intervals; None for none.

        Raises:
            InvalidInput: there are no items.
        """
        weight = float(self._totals.weight.sum())
        if weight == 0:
            raise InvalidInput("no items have been added; call update first")
        edges = equal_width_bins(self.n_bins).edges.astype(np.float64)
        return BinnedSummary(
            weight=weight,
            accuracy=float(self._totals.correct.sum()) / weight,
            mean_confidence=float(self._totals.confidence.sum()) / weight,
            ece=float(expected_error(self._totals)),
            mce=float(maximum_error(self._totals)),
            brier=self._brier / weight,
            negative_log_likelihood=self._log_loss / weight,
            curve=curve_of_totals(self._totals, edges, interval),
        )


class TableAccumulator:
    """Counts of each distinct (confidence, correct), which is enough for every metric that takes weights.

    >>> table = TableAccumulator().update([0.9, 0.9, 0.2], [True, True, False])
    >>> from calibration import auroc
    >>> table.compute(auroc)
    1.0
    """

    def __init__(self) -> None:
        self._batches: list[tuple[FloatArray, BoolArray, Float64Array]] = []
        self._pending = 0
        self._weighted = False

    def update(self, confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> Self:
        """Add a batch; an empty one adds nothing.

        Args:
            confidence: (N,) in [0, 1].
            correct: (N,) booleans.
            weights: (N,), at least 0, on the same scale in every batch.

        Returns:
            This accumulator.

        Raises:
            InvalidInput: an array is unusable.
        """
        if as_array(confidence, "confidence").size == 0 and as_array(correct, "correct").size == 0:
            return self
        values, truth = check_pair(confidence, correct)
        self._weighted |= weights is not None
        self._add(values, truth, unit_weights(weights, values.size))
        return self

    def merge(self, other: TableAccumulator) -> Self:
        """Add the items of another accumulator, and return this one."""
        self._weighted |= other._weighted
        for batch in list(other._batches):
            self._add(*batch)
        return self

    def compute(self, metric: Callable[..., Result], **options: Any) -> Result:
        """Compute `metric(confidence, correct, weights=..., **options)` over all items.

        Raises:
            InvalidInput: there are no items; `interval` is requested, which would resample distinct confidences and not
                items; or the metric depends on the number of items (the debiased error and AURC) and the items had weights.
        """
        if options.get("interval") is not None:
            raise InvalidInput("a table has no items to resample; compute the interval on the items themselves")
        if not self._batches:
            raise InvalidInput("no items have been added; call update first")
        self._compress()
        ((confidence, correct, weight),) = self._batches
        if metric in (debiased_calibration_error, aurc, excess_aurc):
            # They depend on the number of items, which the counts of items without weights still tell.
            if self._weighted:
                raise InvalidInput("a table of weights does not hold the number of items; compute this metric on the items")
            counts = weight.astype(np.intp)
            return metric(np.repeat(confidence, counts), np.repeat(correct, counts), **options)
        return metric(confidence, correct, weights=weight, **options)

    def _add(self, confidence: FloatArray, correct: BoolArray, weight: Float64Array) -> None:
        self._batches.append((confidence, correct, weight))
        self._pending += confidence.size
        # Compressing when the new items outnumber the table keeps the time linear in the items, however small the batches.
        if self._pending > 2 * max(self._batches[0][0].size, _FEWEST_PENDING):
            self._compress()

    def _compress(self) -> None:
        if len(self._batches) == 1 and not self._pending:
            return
        # Batches keep their type, since edges depend on it (binning.py); float32 and float64 together become float64.
        values = np.concatenate([part for part, _, _ in self._batches])
        truth = np.concatenate([part for _, part, _ in self._batches])
        mass = np.concatenate([part for _, _, part in self._batches])
        order = np.lexsort((truth, values))
        values, truth, mass = values[order], truth[order], mass[order]
        new = np.concatenate([[True], (values[1:] != values[:-1]) | (truth[1:] != truth[:-1])])
        starts = np.flatnonzero(new)
        self._batches = [(values[starts], truth[starts], np.add.reduceat(mass, starts))]
        self._pending = 0


# Fewer new items than this are not worth sorting.
_FEWEST_PENDING = 1 << 14
