"""Recalibration by a smooth increasing curve: logistic regression on a monotone spline (Ramsay 1988)."""

from __future__ import annotations

import itertools

import numpy as np

from calibration.arrays import BoolArray, Float64Array, check_count, check_number
from calibration.errors import InvalidInput
from calibration.platt_map import logit
from calibration.recalibrators.recalibrator import Recalibrator
from calibration.recalibrators.scaling import fit_logistic, smoothed_targets

__all__ = ["SplineCalibration"]


class SplineCalibration(Recalibrator):
    """sigmoid(slope * logit(p) + intercept + smooth steps between knots), with slope and steps of at least 0.

    Unlike isotonic regression this is smooth, and it bends where two numbers cannot follow.

    Args:
        n_knots: number of knots, at least 3, at quantiles of the confidences; fewer if these have fewer distinct values.
            With less than two distinct values this is Platt's map.
        penalty: above 0, per item, on the squares of the steps in units of their columns' size; it shrinks the fit towards
            Platt's map.

    Attributes:
        knots_: (M,) ascending logits.
        coefficients_: (2 + max(M - 1, 0),) slope, intercept and steps.
    """

    knots_: Float64Array
    coefficients_: Float64Array

    def __init__(self, n_knots: int = 6, penalty: float = 1e-4) -> None:
        self.n_knots = n_knots
        self.penalty = penalty

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        check_count(self.n_knots, "n_knots", least=3)
        if check_number(self.penalty, "penalty", least=0) == 0:
            raise InvalidInput(f"penalty is {self.penalty}; pass a number above 0")
        order = np.argsort(confidence)
        mass = np.cumsum(weights[order])
        quantiles = (np.arange(self.n_knots) + 0.5) / self.n_knots * mass[-1]
        self.knots_ = np.unique(logit(confidence[order][np.minimum(np.searchsorted(mass, quantiles), confidence.size - 1)]))
        features = _features(confidence, self.knots_)
        # Smoothed targets always have a finite fit. Platt's map needs them only if a threshold separates right from wrong
        # items, but a curve can separate them in more ways.
        targets = smoothed_targets(correct, weights)
        penalty = np.full(features.shape[1], self.penalty)
        # With one distinct confidence, slope and intercept are not identifiable; the penalty then determines the slope.
        penalty[:2] = [self.penalty if np.ptp(confidence) == 0 else 0.0, 0.0]
        least: list[float | None] = [0.0, None, *[0.0] * (features.shape[1] - 2)]
        self.coefficients_ = fit_logistic(features, targets, weights, least, penalty=penalty)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        from scipy.special import expit

        return np.asarray(expit(_features(confidence, self.knots_) @ self.coefficients_))


def _features(confidence: Float64Array, knots: Float64Array) -> Float64Array:
    """(N, D): logit, ones, and a cubic step from 0 to 1 between each pair of knots."""
    z = logit(confidence)
    columns = [z, np.ones_like(z)]
    for low, high in itertools.pairwise(knots.tolist()):
        place = np.clip((z - low) / (high - low), 0, 1)
        columns.append(place * place * (3 - 2 * place))
    return np.stack(columns, axis=1)
