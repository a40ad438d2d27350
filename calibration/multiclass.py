"""Calibration errors of class probabilities: `probabilities` (N, K), rows summing to 1, and `labels` (N,) in 0..K-1.

Class-wise errors treat each class as its own yes-or-no question; top-label errors look at the predicted class alone. For
two classes pass confidence and correctness to calibration_error.py instead.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_probabilities
from calibration.binning import Strategy
from calibration.calibration_error import adaptive_calibration_error, expected_calibration_error
from calibration.estimate import Bootstrap, Estimate, estimate

__all__ = [
    "adaptive_calibration_error_by_class",
    "class_wise_calibration_error",
    "confidence_of_top_label",
    "multiclass_brier_score",
    "multiclass_negative_log_likelihood",
    "top_label_calibration_error",
]


def confidence_of_top_label(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Confidence (N,) of the most probable class and whether it is the label (N,): what every other metric here takes."""
    matrix, classes = check_probabilities(probabilities, labels)
    return matrix.max(axis=1), matrix.argmax(axis=1) == classes


def class_wise_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 15, strategy: Strategy = "equal-width"
) -> Estimate:
    """Mean over classes of the ECE of that class's probability (Kull 2019, arXiv 1910.12656)."""
    matrix, classes = check_probabilities(probabilities, labels)
    errors = [
        expected_calibration_error(matrix[:, k], classes == k, n_bins=n_bins, strategy=strategy)
        for k in range(matrix.shape[1])
    ]
    return Estimate(float(np.mean(errors)))


def adaptive_calibration_error_by_class(probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 15) -> Estimate:
    """ACE: mean over classes and equal-mass bins of |accuracy - confidence| (Nixon 2019, arXiv 1904.01685)."""
    matrix, classes = check_probabilities(probabilities, labels)
    errors = [adaptive_calibration_error(matrix[:, k], classes == k, n_bins=n_bins) for k in range(matrix.shape[1])]
    return Estimate(float(np.mean(errors)))


def top_label_calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 15, strategy: Strategy = "equal-width"
) -> Estimate:
    """ECE of the top confidence within each predicted class, weighted by the class's share (arXiv 2107.08353).

    The usual multi-class ECE, which pools predicted classes, is `expected_calibration_error(*confidence_of_top_label(...))`.
    """
    confidence, correct = confidence_of_top_label(probabilities, labels)
    predicted = np.asarray(probabilities).argmax(axis=1)
    total = 0.0
    for k in np.unique(predicted):
        rows = predicted == k
        error = expected_calibration_error(confidence[rows], correct[rows], n_bins=n_bins, strategy=strategy)
        total += float(rows.mean()) * error
    return Estimate(total)


def multiclass_brier_score(
    probabilities: ArrayLike, labels: ArrayLike, *, interval: float | Bootstrap | None = None
) -> Estimate:
    """Mean over items of sum_k (p_k - [label = k])^2, in [0, 2] (Brier 1950); for two classes twice `brier_score`."""
    matrix, classes = check_probabilities(probabilities, labels)
    given = matrix[np.arange(classes.size), classes].astype(np.float64)
    # sum_k p_k^2 - 2 p_label + 1, without an (N, K) array of ones and zeros.
    loss = np.einsum("nk,nk->n", matrix, matrix, dtype=np.float64) - 2 * given + 1
    return estimate(lambda mass: float(mass @ loss / mass.sum()), np.ones(loss.size), interval)


def multiclass_negative_log_likelihood(
    probabilities: ArrayLike, labels: ArrayLike, *, interval: float | Bootstrap | None = None, clip: float = 1e-15
) -> Estimate:
    """Mean of -log p_label in nats, probabilities kept at least `clip`."""
    matrix, classes = check_probabilities(probabilities, labels)
    loss = -np.log(np.maximum(matrix[np.arange(classes.size), classes].astype(np.float64), clip))
    return estimate(lambda mass: float(mass @ loss / mass.sum()), np.ones(loss.size), interval)
