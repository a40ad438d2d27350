"""Calibration errors without bins: Kolmogorov–Smirnov and smooth ECE.

Both take `confidence` (N,) in [0, 1] and `correct` (N,) boolean, optionally `weights` (N,) as frequencies, and give an
Estimate in [0, 1]. They have no number of bins to choose, and change continuously with the confidences.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_pair, unit_weights
from calibration.estimate import Bootstrap, Estimate, estimate

__all__ = ["kolmogorov_smirnov_error", "smooth_calibration_error"]

Float64 = NDArray[np.float64]

# Cells of the grid on which residuals are smoothed: their width is far below any bandwidth the data can support.
_CELLS = 4096


def kolmogorov_smirnov_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Largest gap between accuracy and confidence accumulated in order of confidence (Gupta 2021, arXiv 2006.12800).

    The sums are compared after each distinct confidence, so that the order of ties does not matter.
    """
    values, truth = check_pair(confidence, correct)
    distinct, group = np.unique(values, return_inverse=True)
    residual: Float64 = truth - values.astype(np.float64)

    def kernel(mass: Float64) -> float:
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
    """smECE: the mean |residual| after Gaussian smoothing at the bandwidth that equals it (arXiv 2309.12236).

    Residuals correct - confidence are smoothed over confidence with a Gaussian reflected at 0 and 1. The error falls as the
    bandwidth s grows; the one s with error(s) = s is the answer. A reflected Gaussian multiplies the k-th cosine
    coefficient by exp(-(pi k s)^2 / 2), so each bandwidth costs one cosine transform of a grid of 4,096 cells.
    """
    from scipy.fft import dct, idct

    values, truth = check_pair(confidence, correct)
    cell = np.minimum((values.astype(np.float64) * _CELLS).astype(np.intp), _CELLS - 1)
    residual: Float64 = truth - values.astype(np.float64)
    frequency = np.pi * np.arange(_CELLS)

    def kernel(mass: Float64) -> float:
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
