"""Calibration error by bins: expected, maximum, adaptive, debiased, swept; and the reliability curve.

All take `confidence` (N,) in [0, 1] and `correct` (N,) boolean, optionally `weights` (N,) as frequencies, and give an
Estimate in [0, 1]. Bins are (a, b], the first closed on both sides (binning.py). Not here: errors without bins
(unbinned.py), many classes (multiclass.py), recalibration.

netcal and torchmetrics use the same equal-width bins for ECE and MCE and agree to rounding, except on confidences that
equal an edge: both put those in the bin above, [a, b).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_count, check_pair, check_weights
from calibration.binning import BinTotals, Strategy, equal_mass_edges_of_sorted, make_bins, resample_totals
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate, as_bootstrap, with_interval

__all__ = [
    "ReliabilityCurve",
    "adaptive_calibration_error",
    "debiased_calibration_error",
    "expected_calibration_error",
    "maximum_calibration_error",
    "reliability_curve",
    "sweep_calibration_error",
]

Score = Callable[[BinTotals], NDArray[np.float64]]


def expected_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """ECE: mean over items of |accuracy - confidence| of the item's bin (Guo 2017, arXiv 1706.04599, eq. 3).

    >>> round(expected_calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False], n_bins=10), 6)
    0.1
    """
    if weights is None and interval is None:
        values, truth = check_pair(confidence, correct)
        bins = make_bins(values, check_count(n_bins, "n_bins"), strategy)
        # |accuracy - confidence| times the bin's share is |sum of (correct - confidence)| / N.
        return Estimate(float(np.abs(BinTotals.surplus(bins, values, truth)).sum() / values.size))
    return _binned(confidence, correct, n_bins, strategy, weights, interval, expected_error)


def maximum_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """MCE: the largest |accuracy - confidence| over bins that are not empty (arXiv 1706.04599, eq. 5)."""
    return _binned(confidence, correct, n_bins, strategy, weights, interval, maximum_error)


def adaptive_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """ACE: plain mean of |accuracy - confidence| over equal-mass bins (Nixon 2019, arXiv 1904.01685).

    The paper also averages over classes: `multiclass.adaptive_calibration_error_by_class` does.
    """
    return _binned(confidence, correct, n_bins, "equal-mass", weights, interval, _mean_gap)


def debiased_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-mass",
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Root-mean-square calibration error with its sampling part taken off (Kumar 2019, arXiv 1909.10155).

    The square is sum_b w_b [(accuracy_b - confidence_b)^2 - accuracy_b (1 - accuracy_b) / (n_b - 1)], at least 0. A bin
    of fewer than two items tells nothing about its variance and adds nothing.
    """
    return _binned(confidence, correct, n_bins, strategy, weights, interval, _debiased)


def sweep_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """ECE with the most equal-mass bins over which accuracy still rises (Roelofs 2020, arXiv 2012.08668).

    Bins are added one at a time from one, until accuracy falls from some bin to the next. The l1 form of the paper's
    Algorithm 1; an interval keeps the chosen number of bins.
    """
    values, truth = check_pair(confidence, correct)
    order = np.argsort(values, kind="stable")
    values, truth = values[order], truth[order]
    # Sorted prefix sums make each number of bins cost its bins, not its rows.
    hits = np.concatenate([[0], np.cumsum(truth)])
    chosen = 1
    for n_bins in range(2, values.size + 1):
        edges = equal_mass_edges_of_sorted(values, n_bins)
        ends = np.searchsorted(values, edges, side="right")
        cuts = np.unique(np.concatenate([[0], ends, [values.size]]))
        accuracy = np.diff(hits[cuts]) / np.diff(cuts)
        if (np.diff(accuracy) < 0).any():
            break
        chosen = n_bins
    return _binned(values, truth, chosen, "equal-mass", None, interval, expected_error)


@dataclass(frozen=True)
class ReliabilityCurve:
    """Accuracy against confidence, one entry per bin that is not empty.

    lower, upper: the bin's edges.  confidence, accuracy: means in the bin.  weight: number (or weight) of items.
    low, high: ends of the accuracy's interval (equal to accuracy when none was asked for).
    """

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    weight: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def to_dict(self) -> dict[str, list[float]]:
        """Every column as a list of plain numbers."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


def reliability_curve(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    interval: float | None = None,
) -> ReliabilityCurve:
    """Mean confidence and accuracy of every bin that is not empty.

    interval: level of an exact binomial (Clopper–Pearson) interval for each bin's accuracy, rather than a bootstrap,
    which has width zero in a bin whose items are all right or all wrong.
    """
    values, truth = check_pair(confidence, correct)
    mass = None if weights is None else check_weights(weights, values.size)
    bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
    return curve_of_totals(BinTotals.of(bins, values, truth, mass), bins.edges.astype(np.float64), interval)


def curve_of_totals(totals: BinTotals, edges: NDArray[np.float64], interval: float | None) -> ReliabilityCurve:
    """The reliability curve of totals over bins with these edges (n_bins + 1,)."""
    full = totals.weight > 0
    weight, correct = totals.weight[full], totals.correct[full]
    accuracy = correct / weight
    low, high = accuracy, accuracy
    if interval is not None:
        from calibration.bounds import binomial_interval

        low, high = binomial_interval(correct, weight, level=interval)
    return ReliabilityCurve(
        lower=edges[:-1][full],
        upper=edges[1:][full],
        confidence=totals.confidence[full] / weight,
        accuracy=accuracy,
        weight=weight,
        low=low,
        high=high,
    )


def expected_error(totals: BinTotals) -> NDArray[np.float64]:
    """ECE of totals over the last axis: the bins' weights cancel against the means' denominators."""
    gap = np.abs(totals.correct - totals.confidence).sum(axis=-1)
    return np.asarray(gap / totals.weight.sum(axis=-1))


def maximum_error(totals: BinTotals) -> NDArray[np.float64]:
    """MCE of totals over the last axis."""
    return np.asarray(totals.gaps().max(axis=-1))


def _mean_gap(totals: BinTotals) -> NDArray[np.float64]:
    return np.asarray(totals.gaps().sum(axis=-1) / (totals.weight > 0).sum(axis=-1))


def _debiased(totals: BinTotals) -> NDArray[np.float64]:
    weight = totals.weight
    accuracy = totals.correct / np.where(weight > 0, weight, 1)
    noise = accuracy * (1 - accuracy) / np.where(weight > 1, weight - 1, 1)
    square = np.where(weight > 1, weight * (totals.gaps() ** 2 - noise), 0).sum(axis=-1) / weight.sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def _binned(
    confidence: ArrayLike,
    correct: ArrayLike,
    n_bins: int,
    strategy: Strategy,
    weights: ArrayLike | None,
    interval: float | Bootstrap | None,
    score: Score,
) -> Estimate:
    values, truth = check_pair(confidence, correct)
    mass = None if weights is None else check_weights(weights, values.size)
    bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
    value = float(score(BinTotals.of(bins, values, truth, mass)))
    if interval is None:
        return Estimate(value)
    plan = as_bootstrap(interval)
    draws = resample_totals(bins, values, truth, mass, plan)
    defined = draws.weight.sum(axis=-1) > 0
    if not defined.all():
        raise InvalidInput("some resamples have no weight at all; drop the items of weight 0 before asking an interval")
    return with_interval(value, score(draws), plan)
