"""Recalibration by a smooth curve: logistic regression on a natural cubic spline (Lucena 2018, arXiv 1809.07751)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.arrays import BoolArray, check_count
from calibration.errors import InvalidInput
from calibration.recalibrators.recalibrator import Recalibrator, logit
from calibration.recalibrators.scaling import fit_logistic, smoothed_targets

__all__ = ["SplineCalibration"]

Float64 = NDArray[np.float64]


class SplineCalibration(Recalibrator):
    """sigmoid(slope * logit(p) + intercept + spline(p)), the spline linear beyond its outer knots.

    n_knots: knots at quantiles of the confidences, fewer when they have fewer distinct values; with less than three
    distinct ones this is Platt's map.  penalty: per item, on the spline's coefficients in units of its columns' size; it
    draws the fit to Platt's map. Unlike isotonic regression this is smooth; like it, it bends where it must, and it may
    fall where accuracy does.

    knots_ (M,), coefficients_ (2 + max(M - 2, 0),).
    """

    knots_: Float64
    coefficients_: Float64

    def __init__(self, n_knots: int = 6, penalty: float = 1e-5) -> None:
        self.n_knots = n_knots
        self.penalty = penalty

    def _fit(self, confidence: Float64, correct: BoolArray, weights: Float64) -> None:
        check_count(self.n_knots, "n_knots", least=3)
        if not self.penalty > 0:
            raise InvalidInput(f"penalty is {self.penalty}; pass a number above 0")
        order = np.argsort(confidence)
        mass = np.cumsum(weights[order])
        wanted = (np.arange(self.n_knots) + 0.5) / self.n_knots * mass[-1]
        self.knots_ = np.unique(confidence[order][np.searchsorted(mass, wanted)])
        features = _features(confidence, self.knots_)
        # Smoothed targets always have a finite fit; Platt's map alone needs them only on separated data, but a curve can
        # part right from wrong items in more ways than a threshold can.
        targets = smoothed_targets(correct, weights)
        penalty = np.full(features.shape[1], self.penalty)
        # With one distinct confidence slope and intercept cannot be told apart; the penalty then holds the slope.
        penalty[:2] = [self.penalty if np.ptp(confidence) == 0 else 0.0, 0.0]
        least: list[float | None] = [None] * features.shape[1]
        self.coefficients_ = fit_logistic(features, targets, weights, least, penalty=penalty)

    def _transform(self, confidence: Float64) -> Float64:
        from scipy.special import expit

        return np.asarray(expit(_features(confidence, self.knots_) @ self.coefficients_))


def _features(confidence: Float64, knots: Float64) -> Float64:
    # Harrell's natural cubic basis: truncated cubes whose combination is linear beyond the outer knots.
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


def _cube(distance: Float64) -> Float64:
    return np.asarray(np.maximum(distance, 0) ** 3)
