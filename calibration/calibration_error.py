"""Calibration errors by bins.

All functions take `confidence` (N,) in [0, 1], `correct` (N,) booleans, optionally `weights` (N,), whose scale does not
matter, and raise InvalidInput if an argument is unusable. Errors are Estimates in [0, 1]; their intervals cover the error of
the model that the items were drawn from, also near 0 (error_intervals.py). Bins are (a, b], the first closed on both sides
(binning.py). Not covered: errors without bins (binless_error.py), many classes (multiclass.py), tests
(significance.py).

netcal and torchmetrics use the same equal-width bins for ECE and MCE and agree to rounding, except on confidences that
equal an edge: both put those in the bin above, [a, b).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import BoolArray, Float64Array, FloatArray, check_count, check_pair, check_weights
from calibration.binning import Bins, BinTotals, Strategy, make_bins, most_rising_bins
from calibration.error_intervals import (
    BinNoise,
    cover_rare_outcomes,
    maximum_interval,
    mean_square_interval,
    sum_interval,
)
from calibration.estimate import Bootstrap, Estimate, as_bootstrap

__all__ = [
    "adaptive_calibration_error",
    "debiased_calibration_error",
    "expected_calibration_error",
    "expected_error",
    "maximum_calibration_error",
    "maximum_error",
    "sweep_calibration_error",
]

_Norm = Literal["sum", "mean", "mean square", "maximum"]


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
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap.

    >>> round(expected_calibration_error([0.9, 0.9, 0.6, 0.6], [True, True, True, False], n_bins=10), 6)
    0.1
    """
    if weights is None and interval is None:
        values, truth = check_pair(confidence, correct)
        bins = make_bins(values, check_count(n_bins, "n_bins"), strategy)
        # |accuracy - confidence| times the bin's share is |sum of (correct - confidence)| / N.
        return Estimate(float(np.abs(BinTotals.surplus(bins, values, truth)).sum() / values.size))
    return _binned(confidence, correct, n_bins, strategy, weights, interval, "sum")


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
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    return _binned(confidence, correct, n_bins, strategy, weights, interval, "maximum")


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
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    return _binned(confidence, correct, n_bins, "equal-mass", weights, interval, "mean")


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
    fewer than two items says nothing about its variance and adds nothing. With weights n_b is the effective number of items.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    return _binned(confidence, correct, n_bins, strategy, weights, interval, "mean square")


def sweep_calibration_error(
    confidence: ArrayLike, correct: ArrayLike, *, interval: float | Bootstrap | None = None
) -> Estimate:
    """ECE with the most equal-mass bins over which accuracy still rises (Roelofs et al. 2020, arXiv 2012.08668).

    Bins are added one at a time from one, until accuracy falls from some bin to the next. This is the l1 form of the paper's
    Algorithm 1.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        interval: level in (0, 1) of an interval, or Bootstrap; it takes the chosen number of bins as fixed.
    """
    values, truth = check_pair(confidence, correct)
    order = np.argsort(values, kind="stable")
    values, truth = values[order], truth[order]
    return _binned(values, truth, most_rising_bins(values, truth), "equal-mass", None, interval, "sum")


def expected_error(totals: BinTotals) -> Float64Array:
    """ECE of totals over the last axis: the bins' weights cancel against the means' denominators."""
    gap = np.abs(totals.correct - totals.confidence).sum(axis=-1)
    return np.asarray(gap / totals.weight.sum(axis=-1))


def maximum_error(totals: BinTotals) -> Float64Array:
    """MCE of totals over the last axis."""
    return np.asarray(totals.gaps().max(axis=-1))


def debiased_error(totals: BinTotals) -> Float64Array:
    """Debiased error of totals over the last axis."""
    share = totals.weight / totals.weight.sum(axis=-1, keepdims=True)
    variance = _gap_variance(totals)
    square = np.where(np.isfinite(variance), share * (totals.gaps() ** 2 - variance), 0).sum(axis=-1)
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def _mean_gap(totals: BinTotals) -> Float64Array:
    return np.asarray(totals.gaps().sum(axis=-1) / (totals.weight > 0).sum(axis=-1))


def _gap_variance(totals: BinTotals) -> Float64Array:
    """Estimated sampling variance of each bin's accuracy; infinite where fewer than two items say nothing about it."""
    accuracy = totals.correct / np.where(totals.weight > 0, totals.weight, 1)
    freedom = totals.effective() - 1
    # Rounding in the effective number of items must not make a variance of a single item.
    few = freedom < 1e-9
    return np.where(few, np.inf, accuracy * (1 - accuracy) / np.where(few, 1, freedom))


_VALUE = {"sum": expected_error, "mean": _mean_gap, "mean square": debiased_error, "maximum": maximum_error}


def _binned(
    confidence: ArrayLike,
    correct: ArrayLike,
    n_bins: int,
    strategy: Strategy,
    weights: ArrayLike | None,
    interval: float | Bootstrap | None,
    norm: _Norm,
) -> Estimate:
    plan = None if interval is None else as_bootstrap(interval)
    values, truth = check_pair(confidence, correct)
    mass = None if weights is None else check_weights(weights, values.size)
    bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
    totals = BinTotals.of(bins, values, truth, mass)
    value = float(_VALUE[norm](totals))
    if plan is None:
        return Estimate(value)
    measured = _interval(bins, values, truth, mass, totals, norm, plan)
    return cover_rare_outcomes(Estimate(value, measured.low, measured.high, plan.level), values, truth, mass)


def _interval(
    bins: Bins,
    confidence: FloatArray,
    correct: BoolArray,
    weights: Float64Array | None,
    totals: BinTotals,
    norm: _Norm,
    plan: Bootstrap,
) -> Estimate:
    noise = BinNoise.of(bins, confidence, correct, weights)
    if norm == "sum":
        return sum_interval(noise, plan)
    if norm == "mean":
        return sum_interval(noise.per_bin(), plan)
    full = totals.weight > 0
    if norm == "maximum":
        return maximum_interval(noise, totals.correct[full] / totals.weight[full], plan)
    return mean_square_interval(noise, plan)
