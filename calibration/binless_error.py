"""Calibration errors without bins: Kolmogorov-Smirnov and smooth.

Both take `confidence` (N,) in [0, 1], `correct` (N,) booleans, optionally `weights` (N,), whose scale does not matter, and
raise InvalidInput if an argument is unusable. Errors are Estimates in [0, 1]; their intervals cover the error of the model
that the items were drawn from, also near 0 (error_intervals.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import Float64Array, check_pair, unit_weights
from calibration.error_intervals import cover_rare_outcomes, largest_excursion, residual_variance
from calibration.estimate import Bootstrap, Estimate, as_bootstrap

__all__ = ["kolmogorov_smirnov_error", "smooth_calibration_error", "smooth_errors"]

# Cells of the grid on which the smooth error smooths residuals: far narrower than any bandwidth the data can support.
_CELLS = 4096


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

    The noise of the cumulative gap is a Brownian motion in the time of its variance, so both ends of the interval have
    closed forms: the lower one is the estimate minus a quantile of the largest excursion (Arrieta-Ibarra et al. 2022, arXiv
    2205.09680), the upper one adds a normal quantile of the total noise.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    from scipy.special import ndtri

    plan = None if interval is None else as_bootstrap(interval)
    values, truth = check_pair(confidence, correct)
    distinct, group = np.unique(values, return_inverse=True)
    residual: Float64Array = truth - values.astype(np.float64)
    mass = unit_weights(weights, values.size)
    mass = mass / mass.sum()
    value = float(np.abs(np.cumsum(np.bincount(group, mass * residual, distinct.size))).max())
    if plan is None:
        return Estimate(value)
    spread = float(np.sqrt(residual_variance(values, truth, mass).sum()))
    tail = (1 - plan.level) / 2
    low, high = value - spread * largest_excursion(1 - tail), value - spread * float(ndtri(tail))
    return cover_rare_outcomes(Estimate(value, max(0.0, low), min(1.0, high), plan.level), values, truth, mass)


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

    For a fixed bandwidth the error is a norm of the residuals, so the interval is the estimate plus and minus a quantile of
    the norm of the noise alone, at the estimated bandwidth.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap.
    """
    plan = None if interval is None else as_bootstrap(interval)
    values, truth = check_pair(confidence, correct)
    residual: Float64Array = truth - values.astype(np.float64)
    mass = unit_weights(weights, values.size)
    mass = mass / mass.sum()
    cell = _cell(values.astype(np.float64), _CELLS)
    value = float(smooth_errors(np.bincount(cell, mass * residual, _CELLS).astype(np.float64)[None])[0])
    if plan is None:
        return Estimate(value)
    variance = np.bincount(cell, residual_variance(values, truth, mass), _CELLS).astype(np.float64)
    margin = float(np.quantile(_noise_norms(variance, value, plan), (1 + plan.level) / 2))
    measured = Estimate(value, max(0.0, value - margin), min(1.0, value + margin), plan.level)
    return cover_rare_outcomes(measured, values, truth, mass)


def _cell(values: Float64Array, cells: int) -> NDArray[np.intp]:
    return np.minimum((values * cells).astype(np.intp), cells - 1)


def smooth_errors(surplus: Float64Array) -> Float64Array:
    """The smooth error of each row of residuals, summed over cells (R, cells): the bandwidth that equals the norm."""
    from scipy.fft import dct

    spectrum = dct(surplus, norm="ortho", axis=-1)
    low, high = np.zeros(len(surplus)), np.ones(len(surplus))
    # Thirty halvings: a bandwidth to 1e-9. error(s) - s falls, so the sign says on which side the root lies.
    for _ in range(30):
        middle = (low + high) / 2
        above = _norms(spectrum, middle) > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _norms(spectrum: Float64Array, bandwidth: Float64Array) -> Float64Array:
    """The norms (R,) of residuals with cosine spectra (R, cells) after smoothing at bandwidths (R,)."""
    from scipy.fft import idct

    frequency = np.pi * np.arange(spectrum.shape[-1])
    factor = np.exp(-((frequency * bandwidth[:, None]) ** 2) / 2)
    return np.asarray(np.abs(idct(spectrum * factor, norm="ortho", axis=-1)).sum(axis=-1))


def _noise_norms(variance: Float64Array, bandwidth: float, plan: Bootstrap) -> Float64Array:
    """Norms (n_resamples,) of smoothed residuals that are noise of this variance (cells,)."""
    from scipy.fft import dct

    # A coarser grid is still much finer than the bandwidth.
    cells = variance.size
    while cells > 128 and 1 / cells < bandwidth / 16:
        cells //= 2
    spread = np.sqrt(variance.reshape(cells, -1).sum(axis=1))
    generator = np.random.default_rng(plan.seed)
    norms = np.empty(plan.n_resamples)
    for start in range(0, plan.n_resamples, 256):
        rows = min(256, plan.n_resamples - start)
        spectrum = dct(generator.standard_normal((rows, cells)) * spread, norm="ortho", axis=-1)
        norms[start : start + rows] = _norms(spectrum, np.full(rows, bandwidth))
    return norms
