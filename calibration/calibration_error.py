"""Calibration errors by bins and without, and the reliability curve.

All functions take `confidence` (N,) in [0, 1], `correct` (N,) booleans, optionally `weights` (N,) as frequencies, and raise
InvalidInput if an argument is unusable. Errors are Estimates in [0, 1]. Bins are (a, b], the first closed on both sides
(binning.py). Not covered: many classes (multiclass.py), recalibration.

netcal and torchmetrics use the same equal-width bins for ECE and MCE and agree to rounding, except on confidences that
equal an edge: both put those in the bin above, [a, b).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import Float64Array, check_count, check_pair, check_weights, unit_weights
from calibration.binning import BinTotals, Strategy, make_bins, most_rising_bins, resample_totals
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate, as_bootstrap, estimate, with_interval

__all__ = [
    "ReliabilityCurve",
    "adaptive_calibration_error",
    "debiased_calibration_error",
    "expected_calibration_error",
    "kolmogorov_smirnov_error",
    "maximum_calibration_error",
    "reliability_curve",
    "smooth_calibration_error",
    "sweep_calibration_error",
]

Score = Callable[[BinTotals], Float64Array]

# Cells of the grid on which the smooth error smooths residuals: far narrower than any bandwidth the data can support.
_CELLS = 4096


def expected_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """ECE: mean over items of |accuracy - confidence| of the item's bin (Guo et al. 2017, arXiv 1706.04599, eq. 3).

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap.

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
    """MCE: the largest |accuracy - confidence| over bins that are not empty (arXiv 1706.04599, eq. 5).

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap.
    """
    return _binned(confidence, correct, n_bins, strategy, weights, interval, maximum_error)


def adaptive_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """ACE: plain mean of |accuracy - confidence| over equal-mass bins (Nixon et al. 2019, arXiv 1904.01685).

    The paper also averages over classes: see `adaptive_calibration_error_by_class`.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap.
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
    """Root-mean-square calibration error with the sampling bias subtracted (Kumar et al. 2019, arXiv 1909.10155).

    The square is sum_b w_b [(accuracy_b - confidence_b)^2 - accuracy_b (1 - accuracy_b) / (n_b - 1)], at least 0. A bin of
    fewer than two items says nothing about its variance and adds nothing.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap.
    """
    return _binned(confidence, correct, n_bins, strategy, weights, interval, _debiased)


def sweep_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, *, interval: float | Bootstrap | None = None
) -> Estimate:
    """ECE with the most equal-mass bins over which accuracy still rises (Roelofs et al. 2020, arXiv 2012.08668).

    Bins are added one at a time from one, until accuracy falls from some bin to the next. This is the l1 form of the paper's
    Algorithm 1.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap; every resample has the chosen number of bins.
    """
    values, truth = check_pair(confidence, correct)
    order = np.argsort(values, kind="stable")
    values, truth = values[order], truth[order]
    return _binned(values, truth, most_rising_bins(values, truth), "equal-mass", None, interval, expected_error)


def kolmogorov_smirnov_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Largest gap between cumulative accuracy and cumulative confidence (Gupta et al. 2021, arXiv 2006.12800).

    Items are in order of confidence, and sums are compared after each distinct confidence, so the order of ties does not
    matter. It has no number of bins to choose and changes continuously with the confidences.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap.
    """
    values, truth = check_pair(confidence, correct)
    distinct, group = np.unique(values, return_inverse=True)
    residual: Float64Array = truth - values.astype(np.float64)

    def kernel(mass: Float64Array) -> float:
        gaps = np.cumsum(np.bincount(group, mass * residual, distinct.size))
        return float(np.abs(gaps).max() / mass.sum())

    return estimate(kernel, unit_weights(weights, values.size), interval)


def smooth_calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """smECE: mean |residual| after Gaussian smoothing at the bandwidth that equals it (arXiv 2309.12236).

    Residuals correct - confidence are smoothed over confidence with a Gaussian reflected at 0 and 1. The error falls as the
    bandwidth s grows; the result is the one s with error(s) = s. A reflected Gaussian multiplies the k-th cosine
    coefficient by exp(-(pi k s)^2 / 2), so each bandwidth costs one cosine transform of a grid of 4,096 cells.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of a bootstrap interval, or Bootstrap.
    """
    from scipy.fft import dct, idct

    values, truth = check_pair(confidence, correct)
    cell = np.minimum((values.astype(np.float64) * _CELLS).astype(np.intp), _CELLS - 1)
    residual: Float64Array = truth - values.astype(np.float64)
    frequency = np.pi * np.arange(_CELLS)

    def kernel(mass: Float64Array) -> float:
        spectrum = dct(np.bincount(cell, mass * residual, _CELLS) / mass.sum(), norm="ortho")

        def error(bandwidth: float) -> float:
            return float(np.abs(idct(spectrum * np.exp(-((frequency * bandwidth) ** 2) / 2), norm="ortho")).sum())

        low, high = 0.0, 1.0
        # Thirty halvings: a bandwidth to 1e-9. error(s) - s falls, so the sign says on which side the root lies.
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if error(middle) > middle else (low, middle)
        return (low + high) / 2

    return estimate(kernel, unit_weights(weights, values.size), interval)


@dataclass(frozen=True)
class ReliabilityCurve:
    """Accuracy against confidence, one entry for each of M bins that are not empty.

    Attributes:
        lower, upper: (M,) the bin's edges.
        confidence, accuracy: (M,) means in the bin.
        weight: (M,) number (or weight) of items.
        low, high: (M,) ends of the accuracy's interval; equal to the accuracy if none was requested.
    """

    lower: Float64Array
    upper: Float64Array
    confidence: Float64Array
    accuracy: Float64Array
    weight: Float64Array
    low: Float64Array
    high: Float64Array

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

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) frequencies, at least 0.
        interval: level in (0, 1) of an exact binomial (Clopper–Pearson) interval for each bin's accuracy. Not a bootstrap,
            whose interval has width zero in a bin whose items are all right or all wrong.
    """
    values, truth = check_pair(confidence, correct)
    mass = None if weights is None else check_weights(weights, values.size)
    bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
    return curve_of_totals(BinTotals.of(bins, values, truth, mass), bins.edges.astype(np.float64), interval)


def curve_of_totals(totals: BinTotals, edges: Float64Array, interval: float | None) -> ReliabilityCurve:
    """The reliability curve of totals over bins with these edges (n_bins + 1,); interval: see `reliability_curve`."""
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


def expected_error(totals: BinTotals) -> Float64Array:
    """ECE of totals over the last axis: the bins' weights cancel against the means' denominators."""
    gap = np.abs(totals.correct - totals.confidence).sum(axis=-1)
    return np.asarray(gap / totals.weight.sum(axis=-1))


def maximum_error(totals: BinTotals) -> Float64Array:
    """MCE of totals over the last axis."""
    return np.asarray(totals.gaps().max(axis=-1))


def _mean_gap(totals: BinTotals) -> Float64Array:
    return np.asarray(totals.gaps().sum(axis=-1) / (totals.weight > 0).sum(axis=-1))


def _debiased(totals: BinTotals) -> Float64Array:
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
    plan = None if interval is None else as_bootstrap(interval)
    values, truth = check_pair(confidence, correct)
    mass = None if weights is None else check_weights(weights, values.size)
    bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
    value = float(score(BinTotals.of(bins, values, truth, mass)))
    if plan is None:
        return Estimate(value)
    draws = resample_totals(bins, values, truth, mass, plan)
    if not (draws.weight.sum(axis=-1) > 0).all():
        raise InvalidInput("some resamples have no weight at all; drop the items of weight 0 to get an interval")
    return with_interval(value, score(draws), plan)
