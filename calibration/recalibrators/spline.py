"""Recalibration by a smooth curve: logistic regression on a natural cubic spline (Lucena 2018, arXiv 1809.07751)."""

from __future__ import annotations

import numpy as np

from calibration.arrays import BoolArray, Float64Array, check_count, check_number
from calibration.errors import InvalidInput
from calibration.recalibrators.recalibrator import Recalibrator, logit
from calibration.recalibrators.scaling import fit_logistic, smoothed_targets

__all__ = ["SplineCalibration"]


class SplineCalibration(Recalibrator):
    """sigmoid(slope * logit(p) + intercept + spline(p)), with a spline that is linear beyond its outer knots.

    Unlike isotonic regression this is smooth, and it may fall where accuracy falls.

    Args:
        n_knots: number of knots, at least 3, at quantiles of the confidences; fewer if these have fewer distinct values.
            With less than three distinct values this is Platt's map.
        penalty: above 0, per item, on the squares of the spline's coefficients in units of its columns' size; it shrinks the
            fit towards Platt's map.

    Attributes:
        knots_: (M,) ascending, in [0, 1].
        coefficients_: (2 + max(M - 2, 0),) of the columns of the basis.
    """

    knots_: Float64Array
    coefficients_: Float64Array

    def __init__(self, n_knots: int = 6, penalty: float = 1e-5) -> None:
        self.n_knots = n_knots
        self.penalty = penalty

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        check_count(self.n_knots, "n_knots", least=3)
        if check_number(self.penalty, "penalty", least=0) == 0:
            raise InvalidInput(f"penalty is {self.penalty}; pass a number above 0")
        order = np.argsort(confidence)
        mass = np.cumsum(weights[order])
        quantiles = (np.arange(self.n_knots) + 0.5) / self.n_knots * mass[-1]
        self.knots_ = np.unique(confidence[order][np.searchsorted(mass, quantiles)])
        features = _features(confidence, self.knots_)
        # Smoothed targets always have a finite fit. Platt's map needs them only if a threshold separates right from wrong
        # items, but a curve can separate them in more ways.
        targets = smoothed_targets(correct, weights)
        penalty = np.full(features.shape[1], self.penalty)
        # With one distinct confidence, slope and intercept are not identifiable; the penalty then determines the slope.
        penalty[:2] = [self.penalty if np.ptp(confidence) == 0 else 0.0, 0.0]
        least: list[float | None] = [None] * features.shape[1]
        self.coefficients_ = fit_logistic(features, targets, weights, least, penalty=penalty)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        from scipy.special import expit

        return np.asarray(expit(_features(confidence, self.knots_) @ self.coefficients_))


def _features(confidence: Float64Array, knots: Float64Array) -> Float64Array:
    """Harrell's natural cubic basis (N, D): truncated cubes whose combination is linear beyond the outer knots."""
    columns = [logit(confidence), np.ones_like(confidence)]
    if knots.size >= 3:
        last, before = knots[-1], knots[-2]
        span = last - before
        for knot in knots[:-2]:
            cube = _cube(confidence - knot)
            cube -= _cube(confidence - before) * (last - knot) / span
            cube += _cube(confidence - last) * (before - knot) / span
            columns.append(cube / (last - knots[0]) ** 2)
    return np.stack(columns, axis=1)


def _cube(distance: Float64Array) -> Float64Array:
    return np.asarray(np.maximum(distance, 0) ** 3)
