"""Calibration errors of class probabilities.

All functions take `probabilities` (N, K) in [0, 1], rows summing to 1, and `labels` (N,) in 0..K-1, and raise InvalidInput
if an argument is unusable. Class-wise errors treat each class as a yes-or-no question of its own; top-label errors look at
the predicted class alone. For two classes, pass confidence and correctness to the functions of calibration_error.py instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, Float64Array, FloatArray, as_array, check_count, check_number, check_probabilities
from calibration.binning import Strategy, make_bins
from calibration.error_intervals import absolute_sum_interval
from calibration.estimate import Bootstrap, Estimate, as_bootstrap, estimate

__all__ = [
    "adaptive_calibration_error_by_class",
    "class_wise_calibration_error",
    "confidence_of_top_label",
    "multiclass_brier_score",
    "multiclass_negative_log_likelihood",
    "top_label_calibration_error",
]


def confidence_of_top_label(probabilities: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Reduce class probabilities to what the metrics of one confidence per item take.

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1.
        labels: (N,) integers in 0..K-1.

    Returns:
        (N,) confidence of the most probable class, and (N,) whether it is the label.
    """
    matrix, classes = check_probabilities(probabilities, labels)
    return matrix.max(axis=1), matrix.argmax(axis=1) == classes


def class_wise_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Mean over classes of the ECE of that class's probability, in [0, 1] (Kull et al. 2019, arXiv 1910.12656).

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1.
        labels: (N,) integers in 0..K-1.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    matrix, classes = check_probabilities(probabilities, labels)
    columns = [(matrix[:, k], classes == k) for k in range(matrix.shape[1])]
    cells = _Cells.of(columns, check_count(n_bins, "n_bins"), strategy)

    share = np.full(cells.shape, 1 / (classes.size * len(columns)))
    return _sum_of_gaps(lambda mass: cells.surplus(mass) * share, cells.null_variance() * share**2, classes.size, interval)


def adaptive_calibration_error_by_class(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 15, interval: float | Bootstrap | None = None
) -> Estimate:
    """ACE: mean over classes and equal-mass bins of |accuracy - confidence|, in [0, 1] (Nixon et al., arXiv 1904.01685).

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1.
        labels: (N,) integers in 0..K-1.
        n_bins: number of bins of each class, at least 1.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    matrix, classes = check_probabilities(probabilities, labels)
    columns = [(matrix[:, k], classes == k) for k in range(matrix.shape[1])]
    cells = _Cells.of(columns, check_count(n_bins, "n_bins"), "equal-mass")

    weight = cells.weight(np.ones(classes.size))
    share = 1 / (np.where(weight > 0, weight, 1) * (weight > 0).sum(axis=1, keepdims=True) * len(columns))
    return _sum_of_gaps(lambda mass: cells.surplus(mass) * share, cells.null_variance() * share**2, classes.size, interval)


def top_label_calibration_error(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """ECE of the top confidence within each predicted class, weighted by the class's share (arXiv 2107.08353), in [0, 1].

    The usual multi-class ECE, which pools predicted classes, is `expected_calibration_error(*confidence_of_top_label(...))`.

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1.
        labels: (N,) integers in 0..K-1.
        n_bins: number of bins of each predicted class, at least 1.
        strategy: "equal-width" or "equal-mass".
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    confidence, correct = confidence_of_top_label(probabilities, labels)
    predicted = as_array(probabilities, "probabilities").argmax(axis=1)
    check_count(n_bins, "n_bins")
    # Each item lies in one cell, a bin of its predicted class; shares cancel against the bins' denominators.
    cell = np.empty(confidence.size, dtype=np.intp)
    for k in np.unique(predicted):
        rows = predicted == k
        cell[rows] = k * n_bins + make_bins(confidence[rows], n_bins, strategy).index(confidence[rows])
    p = confidence.astype(np.float64)
    residual, size = correct - p, confidence.size
    null_variance = np.bincount(cell, p * (1 - p)) / size**2
    return _sum_of_gaps(lambda mass: np.bincount(cell, mass * residual) / size, null_variance, size, interval)


def multiclass_brier_score(
    probabilities: ArrayLike, labels: ArrayLike, *, interval: float | Bootstrap | None = None
) -> Estimate:
    """Mean over items of sum_k (p_k - [label = k])^2, in [0, 2] (Brier 1950); for two classes twice `brier_score`.

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1.
        labels: (N,) integers in 0..K-1.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    matrix, classes = check_probabilities(probabilities, labels)
    of_label = matrix[np.arange(classes.size), classes].astype(np.float64)
    # sum_k p_k^2 - 2 p_label + 1, without an (N, K) array of ones and zeros.
    loss = np.einsum("nk,nk->n", matrix, matrix, dtype=np.float64) - 2 * of_label + 1
    return estimate(lambda mass: float(mass @ loss / mass.sum()), np.ones(loss.size), interval)


def multiclass_negative_log_likelihood(
    probabilities: ArrayLike, labels: ArrayLike, *, interval: float | Bootstrap | None = None, clip: float = 1e-15
) -> Estimate:
    """Mean of -log p_label, in nats.

    Args:
        probabilities: (N, K) in [0, 1], rows summing to 1.
        labels: (N,) integers in 0..K-1.
        interval: level in (0, 1) of an interval, or Bootstrap.
        clip: probabilities are kept at or above it; in [0, 1].
    """
    check_number(clip, "clip", least=0, most=1)
    matrix, classes = check_probabilities(probabilities, labels)
    loss = -np.log(np.maximum(matrix[np.arange(classes.size), classes].astype(np.float64), clip))
    return estimate(lambda mass: float(mass @ loss / mass.sum()), np.ones(loss.size), interval)


def _sum_of_gaps(
    gaps: Callable[[Float64Array], Float64Array],
    null_variance: Float64Array,
    size: int,
    interval: float | Bootstrap | None,
) -> Estimate:
    """Sum of the absolute gaps of cells; their noise is that of resampled items, since an item may lie in several cells.

    Args:
        gaps: from numbers of items (size,) to gaps of any shape.
        null_variance: of each gap if the probabilities were calibrated, in that shape.
        size: number of items.
        interval: see `top_label_calibration_error`.
    """
    measured = gaps(np.ones(size)).ravel()
    if interval is None:
        return Estimate(float(np.abs(measured).sum()))
    plan = as_bootstrap(interval)
    generator = np.random.default_rng(plan.seed)
    draws = np.empty((plan.n_resamples, measured.size))
    for draw in draws:
        counts = np.bincount(generator.integers(0, size, size), minlength=size)
        draw[:] = gaps(counts.astype(np.float64)).ravel() - measured
    variance = draws.var(axis=0)
    wider = np.sqrt(np.maximum(1, null_variance.ravel() / np.where(variance > 0, variance, np.inf)))
    return absolute_sum_interval(measured, draws, draws * wider, plan)


@dataclass(frozen=True)
class _Cells:
    """K columns of N items, each in bins of its own: K x B cells in all, fixed before items are resampled."""

    index: NDArray[np.intp]
    probability: Float64Array
    residual: Float64Array
    shape: tuple[int, int]

    @classmethod
    def of(cls, columns: Sequence[tuple[FloatArray, BoolArray]], n_bins: int, strategy: Strategy) -> _Cells:
        index = [k * n_bins + make_bins(values, n_bins, strategy).index(values) for k, (values, _) in enumerate(columns)]
        probability = np.stack([values.astype(np.float64) for values, _ in columns])
        residual = np.stack([truth for _, truth in columns]) - probability
        return cls(np.stack(index), probability, residual, (len(columns), n_bins))

    def surplus(self, mass: Float64Array) -> Float64Array:
        """(K, B) sums of correct - confidence."""
        return self._sums(mass * self.residual)

    def null_variance(self) -> Float64Array:
        """(K, B) variance of the sums if every item's label were drawn from its probabilities."""
        return self._sums(self.probability * (1 - self.probability))

    def weight(self, mass: Float64Array) -> Float64Array:
        return self._sums(np.broadcast_to(mass, self.residual.shape))

    def _sums(self, values: Float64Array) -> Float64Array:
        sums = np.bincount(self.index.ravel(), values.ravel(), self.shape[0] * self.shape[1])
        return sums.astype(np.float64).reshape(self.shape)
