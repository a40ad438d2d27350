"""Metrics over shards: `update` with each batch, `merge` what other processes gathered, `compute` the numbers of the whole.

BinnedAccumulator   constant memory; everything that equal-width bins and sums give.
TableAccumulator    memory of the distinct confidences; any metric that takes weights, equal-mass bins and ranks included.

Both give what one pass over all items gives, up to the rounding of sums taken in another order. Both are plain numbers and
pickle, so that they travel between processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_count, check_pair, check_weights, unit_weights
from calibration.binning import BinTotals, equal_width_bins
from calibration.calibration_error import ReliabilityCurve, curve_of_totals, expected_error, maximum_error
from calibration.errors import InvalidInput
from calibration.scores import brier_score, negative_log_likelihood

__all__ = ["BinnedAccumulator", "BinnedSummary", "TableAccumulator"]

Result = TypeVar("Result")


@dataclass(frozen=True)
class BinnedSummary:
    """What a BinnedAccumulator knows: `weight` is the number (or weight) of items, `curve` the reliability curve."""

    weight: float
    accuracy: float
    mean_confidence: float
    ece: float
    mce: float
    brier: float
    negative_log_likelihood: float
    curve: ReliabilityCurve


class BinnedAccumulator:
    """Sums over `n_bins` equal-width bins, and of the Brier score and the negative log-likelihood.

    >>> first, second = BinnedAccumulator(), BinnedAccumulator()
    >>> first.update([0.9, 0.8], [True, False]).merge(second.update([0.4], [False])).compute().weight
    3.0
    """

    def __init__(self, n_bins: int = 15) -> None:
        self.n_bins = check_count(n_bins, "n_bins")
        zeros = np.zeros(n_bins)
        self._totals = BinTotals(zeros, zeros, zeros)
        self._brier = 0.0
        self._log_loss = 0.0

    def update(self, confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> Self:
        """Add a batch: confidences (N,), correctness (N,), optional weights (N,). An empty batch adds nothing."""
        if np.size(confidence) == 0 and np.size(correct) == 0:
            return self
        values, truth = check_pair(confidence, correct)
        mass = None if weights is None else check_weights(weights, values.size)
        weight = float(values.size if mass is None else mass.sum())
        self._totals += BinTotals.of(equal_width_bins(self.n_bins, values.dtype), values, truth, mass)
        self._brier += weight * brier_score(values, truth, weights=mass)
        self._log_loss += weight * negative_log_likelihood(values, truth, weights=mass)
        return self

    def merge(self, other: BinnedAccumulator) -> Self:
        """Add what another accumulator gathered; InvalidInput when its bins differ."""
        if other.n_bins != self.n_bins:
            raise InvalidInput(f"cannot merge {other.n_bins} bins into {self.n_bins}; use the same n_bins for every shard")
        self._totals += other._totals
        self._brier += other._brier
        self._log_loss += other._log_loss
        return self

    def compute(self, *, interval: float | None = None) -> BinnedSummary:
        """All numbers so far; interval: the level of the reliability curve's intervals."""
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
    """How often each distinct (confidence, correct) was seen; enough for every metric that takes weights.

    >>> table = TableAccumulator().update([0.9, 0.9, 0.2], [True, True, False])
    >>> from calibration import auroc
    >>> table.compute(auroc)
    1.0
    """

    def __init__(self) -> None:
        self._confidence: NDArray[np.floating] = np.empty(0)
        self._correct: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)
        self._weight: NDArray[np.float64] = np.empty(0)

    def update(self, confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> Self:
        """Add a batch: confidences (N,), correctness (N,), optional weights (N,). An empty batch adds nothing."""
        if np.size(confidence) == 0 and np.size(correct) == 0:
            return self
        values, truth = check_pair(confidence, correct)
        self._add(values, truth, unit_weights(weights, values.size))
        return self

    def merge(self, other: TableAccumulator) -> Self:
        """Add what another accumulator gathered."""
        if other._confidence.size:
            self._add(other._confidence, other._correct, other._weight)
        return self

    def compute(self, metric: Callable[..., Result], **options: Any) -> Result:
        """`metric(confidence, correct, weights=..., **options)` over everything added.

        An interval would resample distinct confidences rather than items, so it is refused.
        """
        if options.get("interval") is not None:
            raise InvalidInput("a table has no items to resample; compute the interval on the items themselves")
        if self._confidence.size == 0:
            raise InvalidInput("no items have been added; call update first")
        return metric(self._confidence, self._correct, weights=self._weight, **options)

    def _add(self, confidence: NDArray[np.floating], correct: NDArray[np.bool_], weight: NDArray[np.float64]) -> None:
        # An empty table takes the type of its first batch: edges depend on it (binning.py).
        held = self._confidence if self._confidence.size else self._confidence.astype(confidence.dtype)
        values = np.concatenate([held, confidence])
        truth = np.concatenate([self._correct, correct])
        mass = np.concatenate([self._weight, weight])
        order = np.lexsort((truth, values))
        values, truth, mass = values[order], truth[order], mass[order]
        new = np.concatenate([[True], (values[1:] != values[:-1]) | (truth[1:] != truth[:-1])])
        starts = np.flatnonzero(new)
        self._confidence, self._correct = values[starts], truth[starts]
        self._weight = np.add.reduceat(mass, starts)
