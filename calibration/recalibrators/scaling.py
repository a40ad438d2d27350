"""Parametric recalibration: temperature (one number), Platt (two) and beta (three), all by maximum likelihood.

The likelihood has no finite maximum if a threshold separates right from wrong items (also if all are right, all are wrong,
or there is one item). Platt's smoothed targets are then used, (n_right + 1) / (n_right + 2) for right and 1 / (n_wrong + 2)
for wrong (Platt 1999, section 2.2): the fit stays finite, and approaches certainty only as fast as the number of items
allows.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from calibration.arrays import BoolArray, Float64Array
from calibration.platt_map import PlattMap, inverse_logit, logit
from calibration.recalibrators.recalibrator import Recalibrator

__all__ = ["BetaCalibration", "PlattScaling", "TemperatureScaling"]

# A temperature outside this range says only that the sample is small or the ranking reversed.
_TEMPERATURES = (0.01, 100.0)


class TemperatureScaling(Recalibrator):
    """sigmoid(logit(confidence) / T), keeping the order of confidences (Guo et al. 2017, arXiv 1706.04599, section 4.2).

    A confidence of 0.5 stays 0.5, so this cannot fix confidences that are all too high around 0.5; PlattScaling can.

    Attributes:
        temperature_: the T that maximizes the likelihood, in [0.01, 100]; 1 if every confidence is 0.5.
    """

    temperature_: float

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        from scipy.optimize import brentq

        z = logit(confidence)
        if not z.any():
            self.temperature_ = 1.0
            return
        signed = np.where(correct, z, -z)
        separated = not ((signed < 0).any() and (signed > 0).any())
        targets = smoothed_targets(correct, weights) if separated else correct.astype(np.float64)

        def slope(inverse: float) -> float:
            # Derivative of the negative log-likelihood in 1/T, which is convex: one root.
            return float((weights * z * (expit(inverse * z) - targets)).sum())

        coldest, hottest = 1 / _TEMPERATURES[0], 1 / _TEMPERATURES[1]
        if slope(hottest) >= 0:
            self.temperature_ = _TEMPERATURES[1]
        elif slope(coldest) <= 0:
            self.temperature_ = _TEMPERATURES[0]
        else:
            self.temperature_ = float(1 / brentq(slope, hottest, coldest, xtol=1e-13, rtol=1e-13))

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return inverse_logit(logit(confidence) / self.temperature_)


class PlattScaling(Recalibrator):
    """sigmoid(slope * logit(confidence) + intercept) (Platt 1999, on the logit rather than on a margin).

    With one distinct confidence only the accuracy can be learned.

    Attributes:
        slope_, intercept_: the maximum of the likelihood. A slope below 0 says that confidence ranks items in reverse.
    """

    slope_: float
    intercept_: float

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        z = logit(confidence)
        separated = _separated(z, correct) or _separated(-z, correct)
        targets = smoothed_targets(correct, weights) if separated else correct.astype(np.float64)
        if np.ptp(z) == 0:
            # Slope and intercept are not identifiable: keep the slope of the identity.
            rate = float(weights @ targets / weights.sum())
            self.slope_, self.intercept_ = 1.0, float(logit(np.array([rate]))[0] - z[0])
            return
        slope, intercept = fit_logistic(np.stack([z, np.ones_like(z)], axis=1), targets, weights, [None, None])
        self.slope_, self.intercept_ = float(slope), float(intercept)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return PlattMap(self.slope_, self.intercept_).predict(confidence)


class BetaCalibration(Recalibrator):
    """sigmoid(a log p - b log(1 - p) + c) with a, b >= 0 (Kull et al. 2017): Platt is a = b, the identity a = b = 1, c = 0.

    Attributes:
        a_, b_, c_: the maximum of the likelihood under a, b >= 0, which keeps the map increasing.
    """

    a_: float
    b_: float
    c_: float

    def _fit(self, confidence: Float64Array, correct: BoolArray, weights: Float64Array) -> None:
        separated = _separated(confidence, correct)
        targets = smoothed_targets(correct, weights) if separated else correct.astype(np.float64)
        if np.ptp(confidence) == 0:
            rate = float(weights @ targets / weights.sum())
            self.a_, self.b_ = 1.0, 1.0
            self.c_ = float(logit(np.array([rate]))[0] - logit(confidence[:1])[0])
            return
        a, b, c = fit_logistic(_beta_features(confidence), targets, weights, [0.0, 0.0, None])
        self.a_, self.b_, self.c_ = float(a), float(b), float(c)

    def _transform(self, confidence: Float64Array) -> Float64Array:
        return inverse_logit(_beta_features(confidence) @ np.array([self.a_, self.b_, self.c_]))


def smoothed_targets(correct: BoolArray, weights: Float64Array) -> Float64Array:
    """Platt's targets (N,): the posterior mean under a uniform prior in place of 0 and 1."""
    right, wrong = float(weights @ correct), float(weights @ ~correct)
    return np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))


def fit_logistic(
    features: Float64Array,
    targets: Float64Array,
    weights: Float64Array,
    least: list[float | None],
    *,
    penalty: Float64Array | None = None,
) -> Float64Array:
    """Fit a logistic regression.

    Args:
        features: (N, D).
        targets: (N,) in [0, 1].
        weights: (N,), at least 0.
        least: lower bound of each of the D coefficients, or None.
        penalty: (D,) added to the mean loss, on the squares of the coefficients of columns scaled to unit root mean square.

    Returns:
        (D,) coefficients.
    """
    share = weights / weights.sum()
    # Columns of unit size make the steps of the order of the coefficients.
    size = np.maximum(np.sqrt(share @ features**2), 1e-12)
    columns = np.ascontiguousarray(features.T) / size[:, None]
    ridge = np.zeros(size.size) if penalty is None else penalty
    coefficients, converged = _newton(columns, targets, share, ridge)
    floor = np.array([-np.inf if bound is None else bound for bound in least])
    if not converged or (coefficients < floor).any():
        coefficients = _bounded(columns, targets, share, ridge, np.maximum(coefficients, floor), least)
    return np.asarray(coefficients / size)


def _newton(
    columns: Float64Array, targets: Float64Array, share: Float64Array, ridge: Float64Array
) -> tuple[Float64Array, bool]:
    """Coefficients (D,) of columns (D, N) by Newton's method, and whether the gradient vanishes there."""
    coefficients = np.zeros(len(columns))
    right = expit(coefficients @ columns)
    gradient = columns @ (share * (right - targets)) + 2 * ridge * coefficients
    for _ in range(50):
        if np.abs(gradient).max() < 1e-11:
            return coefficients, True
        curvature = (columns * (share * right * (1 - right))) @ columns.T + 2 * np.diag(ridge)
        curvature += 1e-12 * np.trace(curvature) * np.eye(len(columns))
        try:
            step = -np.linalg.solve(curvature, gradient)
        except np.linalg.LinAlgError:
            return coefficients, False
        slope = float(gradient @ step)
        for _ in range(30):
            moved = coefficients + step
            right = expit(moved @ columns)
            gradient = columns @ (share * (right - targets)) + 2 * ridge * moved
            # The loss is convex: a step is too long if it rises at its end as steeply as half the fall at its start.
            if float(gradient @ step) <= 0.5 * abs(slope) + 1e-14:
                break
            step, slope = step / 2, slope / 2
        coefficients = moved
    return coefficients, bool(np.abs(gradient).max() < 1e-8)


def _bounded(
    columns: Float64Array,
    targets: Float64Array,
    share: Float64Array,
    ridge: Float64Array,
    start: Float64Array,
    least: list[float | None],
) -> Float64Array:
    """Coefficients (D,) of columns (D, N) under lower bounds."""
    from scipy.optimize import minimize

    def loss(coefficients: Float64Array) -> tuple[float, Float64Array]:
        score = coefficients @ columns
        value = share @ (np.logaddexp(0, score) - targets * score) + ridge @ coefficients**2
        return float(value), columns @ (share * (expit(score) - targets)) + 2 * ridge * coefficients

    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
    bounds = [(bound, None) for bound in least]
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(solution.x)


def _beta_features(confidence: Float64Array) -> Float64Array:
    p = np.clip(confidence, 1e-12, 1 - 1e-12)
    return np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)], axis=1)


def _separated(score: Float64Array, correct: BoolArray) -> bool:
    """Whether some threshold has every wrong item at or below it and every right item at or above it."""
    if correct.all() or not correct.any():
        return True
    if np.ptp(score) == 0:
        return False
    return bool(score[~correct].max() <= score[correct].min())
