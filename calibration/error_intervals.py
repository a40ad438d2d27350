"""Intervals of calibration errors that cover the true error, also near 0, where the plug-in estimate is too high.

A calibration error is a norm of gaps, and noise enlarges a norm: the error of a calibrated model is estimated above its true
0, and a bootstrap, which adds noise once more, puts its whole interval above it. The intervals here invert tests. With gaps
mu and their sampling noise G, which is close to normal:

- lower ends use the triangle inequality |mu + G| <= |mu| + |G|: the estimate minus a quantile of |G|, at least 0;
- upper ends of sums and mean squares are the largest error under which so small an estimate is not rare, for the allocation
  of the error to bins that makes a small estimate most likely; other upper ends use |mu| <= |mu + G| + |G|.

Both hold whatever the true gaps are, so coverage is at least the level, up to the normal approximation of sums within bins.

Not covered: the errors themselves (calibration_error.py), and p-values (significance.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from calibration.arrays import BoolArray, Float64Array, FloatArray
from calibration.binning import Bins
from calibration.bounds import binomial_interval
from calibration.estimate import Bootstrap, Estimate

__all__ = [
    "BinNoise",
    "absolute_sum_interval",
    "cover_rare_outcomes",
    "largest_excursion",
    "maximum_interval",
    "mean_square_interval",
    "residual_variance",
    "sum_interval",
]

# Pseudo-items of a calibrated model in the variance of each bin: one right item does not say that no item is ever wrong.
_PRIOR_ITEMS = 2.0
# A bin's gap counts as real if chance exceeds it in any bin with less than this probability.
_CLEAR = 0.01
# With fewer right, or fewer wrong, items than this a sum of them is not close to normal.
_RARE = 10


@dataclass(frozen=True)
class BinNoise:
    """The gaps of M bins that are not empty, and their sampling noise.

    Attributes:
        share: (M,) share of the items' weight in each bin; sums to 1.
        gap: (M,) share * (accuracy - mean confidence), the bin's part of the error.
        covariance: (M, M) of `gap`.
        null_variance: (M,) variance of `gap` if confidence were the probability of being right.
        effective: (M,) effective number of items in each bin, (sum of weights)^2 / (sum of squared weights).
    """

    share: Float64Array
    gap: Float64Array
    covariance: Float64Array
    null_variance: Float64Array
    effective: Float64Array

    @classmethod
    def of(cls, bins: Bins, confidence: FloatArray, correct: BoolArray, weights: Float64Array | None) -> BinNoise:
        """Measure confidences (N,) and correctness (N,), with weights (N,) if given, over bins."""
        p = confidence.astype(np.float64)
        index = bins.index(confidence)
        mass = np.full(p.size, 1 / p.size) if weights is None else weights / weights.sum()
        residual = correct - p

        def sums(values: Float64Array) -> Float64Array:
            return np.bincount(index, values, bins.size).astype(np.float64)

        share = sums(mass)
        full = share > 0
        share, gap = share[full], sums(mass * residual)[full]
        squared = mass * mass
        square_sum = sums(squared)[full]
        effective = share**2 / square_sum
        null_variance = sums(squared * p * (1 - p))[full]
        moment = sums(squared * residual**2)[full]
        moment = (effective * moment + _PRIOR_ITEMS * null_variance) / (effective + _PRIOR_ITEMS)
        cross = np.outer(gap, sums(squared * residual)[full])
        covariance = np.diag(moment) - cross - cross.T + square_sum.sum() * np.outer(gap, gap)
        # Of a single item nothing would be left after centering.
        floor = np.maximum(np.diag(covariance), null_variance / 4)
        np.fill_diagonal(covariance, floor)
        return cls(share, gap, covariance, null_variance, effective)

    def per_bin(self) -> BinNoise:
        """Every gap divided by its share and by the number of bins, for a plain mean over bins."""
        factor = 1 / (self.share * self.share.size)
        return replace(
            self,
            gap=self.gap * factor,
            covariance=self.covariance * np.outer(factor, factor),
            null_variance=self.null_variance * factor**2,
        )

    def draws(self, plan: Bootstrap) -> Float64Array:
        """Sampling noise (n_resamples, M) of `gap`."""
        generator = np.random.default_rng(plan.seed)
        return np.asarray(generator.standard_normal((plan.n_resamples, self.share.size)) @ _root_of(self.covariance).T)

    def inflation(self) -> Float64Array:
        """Factor (M,) of the noise under which it is at least that of a calibrated model."""
        variance = np.diag(self.covariance)
        return np.sqrt(np.maximum(1, self.null_variance / np.where(variance > 0, variance, np.inf)))


def sum_interval(noise: BinNoise, plan: Bootstrap) -> Estimate:
    """The sum of absolute gaps, with its interval.

    A gap that is clearly not 0 keeps its sign under noise; only the others are enlarged by it.
    """
    draws = noise.draws(plan)
    return absolute_sum_interval(noise.gap, draws, draws * noise.inflation(), plan)


def absolute_sum_interval(gap: Float64Array, draws: Float64Array, wide_draws: Float64Array, plan: Bootstrap) -> Estimate:
    """The sum of absolute gaps, with its interval.

    Args:
        gap: (M,).
        draws: (n_resamples, M) of their sampling noise.
        wide_draws: (n_resamples, M), the noise for the lower end.
        plan: the level.
    """
    from scipy.special import ndtri

    tail = (1 - plan.level) / 2
    spread = draws.std(axis=0)
    clear = np.abs(gap) > float(ndtri(1 - _CLEAR / (2 * gap.size))) * wide_draws.std(axis=0)
    sign = np.sign(gap[clear])
    total = float(np.abs(gap).sum())
    margin = wide_draws[:, clear] @ sign + np.abs(wide_draws[:, ~clear]).sum(axis=1)
    low = total - float(np.quantile(margin, 1 - tail))
    linear, unclear = draws[:, clear] @ sign, draws[:, ~clear]
    certain, size = float(np.abs(gap[clear]).sum()), spread[~clear]
    if not size.any():
        high = total - float(np.quantile(linear, tail))
    else:
        # Of all gaps with the same sum, those in proportion to their noise are hidden best by it.
        def lower_quantile(multiple: float) -> float:
            return float(np.quantile(linear + np.abs(multiple * size + unclear).sum(axis=1), tail))

        high = certain + float(size.sum()) * _root(lower_quantile, total - certain)
    return Estimate(total, max(0.0, low), max(total, high), plan.level)


def mean_square_interval(noise: BinNoise, plan: Bootstrap) -> Estimate:
    """The root of the mean squared gap of an item's bin, not debiased, with an interval for the true one."""
    tail = (1 - plan.level) / 2
    root = np.sqrt(noise.share)
    square = (noise.gap / root) ** 2
    total = float(square.sum())
    draws = noise.draws(plan) / root
    # How the error is spread over bins matters only through the variance of the bins that carry it; the largest is safe.
    carrier = int(np.argmax(draws.std(axis=0)))
    # Which bins the items fall in is random as well.
    between = max(float((square**2 / noise.share).sum()) - total**2, 0.0) / noise.effective.sum()
    drift = np.sqrt(between) * np.random.default_rng(plan.seed + 1).standard_normal(plan.n_resamples)

    def quantile(error: float, probability: float, wide: Float64Array) -> float:
        others = np.square(np.delete(wide, carrier, axis=1)).sum(axis=1)
        return float(np.quantile(others + np.square(error + wide[:, carrier]) + drift, probability))

    inflated = draws * noise.inflation()
    low = _root(lambda error: quantile(error, 1 - tail, inflated), total)
    high = _root(lambda error: quantile(error, tail, draws), total)
    return Estimate(float(np.sqrt(total)), low, high, plan.level)


def maximum_interval(noise: BinNoise, accuracy: Float64Array, plan: Bootstrap) -> Estimate:
    """The largest absolute gap, with an interval from exact binomial intervals of all bins at once (Sidak's correction).

    Args:
        noise: the gaps.
        accuracy: (M,) of each bin.
        plan: the level.
    """
    gap = noise.gap / noise.share
    confidence = accuracy - gap
    level = plan.level ** (1 / gap.size)
    low, high = binomial_interval(accuracy * noise.effective, noise.effective, level=level)
    least = np.maximum(np.maximum(low - confidence, confidence - high), 0.0)
    most = np.maximum(np.abs(low - confidence), np.abs(high - confidence))
    return Estimate(float(np.abs(gap).max()), float(least.max()), float(most.max()), plan.level)


def cover_rare_outcomes(
    estimate: Estimate, confidence: FloatArray, correct: BoolArray, weights: Float64Array | None
) -> Estimate:
    """Make an interval contain its estimate, and reach what cannot be ruled out if hardly any item is wrong, or right.

    No calibration error exceeds the error rate plus the mean of 1 - confidence (or accuracy plus mean confidence), and the
    error rate has an exact interval.
    """
    mass = np.full(confidence.size, 1 / confidence.size) if weights is None else weights / weights.sum()
    effective = float(1 / (mass @ mass))
    high = max(float(estimate), estimate.high or 0.0)
    for outcome, expected in ((correct, confidence), (~correct, 1 - confidence)):
        count = float(mass @ outcome) * effective
        if count < _RARE:
            _, most = binomial_interval(count, effective, level=estimate.level or 0.95)
            high = max(high, float(most) + float(mass @ expected))
    return Estimate(float(estimate), min(float(estimate), estimate.low or 0.0), min(1.0, high), estimate.level)


def residual_variance(confidence: FloatArray, correct: BoolArray, mass: Float64Array) -> Float64Array:
    """(N,) variance of each item's part of a mean of correct - confidence, with weights `mass` (N,) that sum to 1.

    Squared residuals, rescaled if needed so that their sum is at least that of a calibrated model.
    """
    p = confidence.astype(np.float64)
    square = mass**2 * (correct - p) ** 2
    null = mass**2 * p * (1 - p)
    return square if square.sum() >= null.sum() else null


def largest_excursion(probability: float) -> float:
    """Quantile of the largest |W(t)|, 0 <= t <= 1, of a Brownian motion W."""
    from scipy.optimize import brentq

    def distribution(level: float) -> float:
        k = np.arange(60)
        return float(4 / np.pi * ((-1.0) ** k / (2 * k + 1) * np.exp(-((2 * k + 1) ** 2) * np.pi**2 / (8 * level**2))).sum())

    return float(brentq(lambda level: distribution(level) - probability, 0.1, 10))


def _root_of(covariance: Float64Array) -> Float64Array:
    """The Cholesky factor, with weaker correlations if the pseudo-items of a few tiny bins make them impossible."""
    variance = np.diag(covariance)
    # A little of the diagonal keeps the factorization from failing where a bin has no noise.
    ridge = np.diag(1e-12 * variance + 1e-12 * float(variance.sum()) + 1e-300)
    for strength in (1.0, 0.5):
        try:
            return np.asarray(np.linalg.cholesky(strength * covariance + np.diag((1 - strength) * variance) + ridge))
        except np.linalg.LinAlgError:
            continue
    return np.asarray(np.diag(np.sqrt(np.maximum(variance, 0))))


def _root(rising: Callable[[float], float], target: float) -> float:
    """The argument of at least 0 at which a rising function reaches the target; 0 if it starts at or above it."""
    from scipy.optimize import brentq

    if rising(0.0) >= target:
        return 0.0
    high = 1.0
    while rising(high) < target:
        high *= 2
    return float(brentq(lambda argument: rising(argument) - target, 0.0, high, xtol=1e-6))
