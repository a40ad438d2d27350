"""Scores that need no bins: Brier, negative log-likelihood, Spiegelhalter's Z, AUROC and AUPRC.

All functions take `confidence` (N,) in [0, 1], `correct` (N,) booleans and optionally `weights` (N,) of any scale, and
raise InvalidInput if an argument is unusable. scikit-learn's functions of the same names agree to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import (
    BoolArray,
    Float64Array,
    FloatArray,
    check_count,
    check_number,
    check_pair,
    effective_weights,
    unit_weights,
)
from calibration.binning import Strategy, make_bins
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate, as_bootstrap, estimates
from calibration.influence import auroc_interval, logit_interval, mean_interval

__all__ = [
    "BrierDecomposition",
    "SpiegelhalterTest",
    "auprc",
    "auroc",
    "brier_decomposition",
    "brier_score",
    "negative_log_likelihood",
    "spiegelhalter_test",
]


def brier_score(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Mean of (confidence - correct)^2, in [0, 1] (Brier 1950).

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.
    """
    values, truth = check_pair(confidence, correct)
    p = values.astype(np.float64)
    return _mean_loss((p - truth) ** 2, (p - ~truth) ** 2, 1.0, truth, weights, interval)


def negative_log_likelihood(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
    clip: float = 1e-15,
) -> Estimate:
    """Mean of -log(probability of the outcome), in nats.

    Confidences are kept `clip` away from 0 and 1: otherwise one wrong answer of confidence 1 would make the mean infinite.
    scikit-learn's log_loss clips at the machine epsilon, 2.2e-16.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.
        clip: at least 0 and below 0.5.

    Raises:
        InvalidInput: an argument is unusable.
    """
    if check_number(clip, "clip", least=0) >= 0.5:
        raise InvalidInput(f"clip is {clip}; pass a number of at least 0 and below 0.5")
    values, truth = check_pair(confidence, correct)
    probability = np.where(truth, values, 1 - values.astype(np.float64))
    with np.errstate(divide="ignore"):
        loss, other = (-np.log(np.clip(p, clip, 1 - clip)) for p in (probability, 1 - probability))
    return _mean_loss(loss, other, -math.log(clip) if clip > 0 else math.inf, truth, weights, interval)


@dataclass(frozen=True)
class BrierDecomposition:
    """Brier score = reliability - resolution + uncertainty + within_bins (Murphy 1973).

    Attributes:
        brier: the Brier score, in [0, 1].
        reliability: mean squared gap of bins; lower is better.
        resolution: variance of the bins' accuracies; higher is better.
        uncertainty: accuracy * (1 - accuracy).
        within_bins: the contribution of different confidences inside a bin; 0 without bins.
    """

    brier: Estimate
    reliability: Estimate
    resolution: Estimate
    uncertainty: Estimate
    within_bins: Estimate


def brier_decomposition(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int | None = None,
    strategy: Strategy = "equal-width",
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> BrierDecomposition:
    """Murphy's decomposition of the Brier score; few items per bin raise reliability and resolution alike.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1; with None each distinct confidence is a bin, and the three terms are exact.
        strategy: "equal-width" or "equal-mass".
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of the bootstrap interval of every term, from the same resamples, or Bootstrap. Sampling
            noise raises reliability and resolution; it does so twice in a resample, which the intervals take back.
    """
    values, truth = check_pair(confidence, correct)
    mass = unit_weights(weights, values.size)
    if n_bins is None:
        distinct, cell = np.unique(values, return_inverse=True)
        size = distinct.size
    else:
        bins = make_bins(values, check_count(n_bins, "n_bins"), strategy, mass)
        cell, size = bins.index(values), bins.size
    p = values.astype(np.float64)
    loss = (p - truth) ** 2

    def terms(drawn: Float64Array) -> tuple[float, ...]:
        total = drawn.sum()
        weight = np.bincount(cell, drawn, size)
        divisor = np.where(weight > 0, weight, 1)
        accuracy = np.bincount(cell, drawn * truth, size) / divisor
        mean = np.bincount(cell, drawn * p, size) / divisor
        base = float(drawn @ truth / total)
        brier = float(drawn @ loss / total)
        reliability = float(weight @ (mean - accuracy) ** 2 / total)
        resolution = float(weight @ (accuracy - base) ** 2 / total)
        uncertainty = base * (1 - base)
        return brier, reliability, resolution, uncertainty, brier - (reliability - resolution + uncertainty)

    return BrierDecomposition(*estimates(terms, mass, interval, unbiased=True))


@dataclass(frozen=True)
class SpiegelhalterTest:
    """The result of `spiegelhalter_test`.

    Attributes:
        z: standard normal if the confidences are calibrated.
        p_value: two-sided, in [0, 1].
    """

    z: float
    p_value: float


def spiegelhalter_test(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> SpiegelhalterTest:
    """Test calibration by the expectation of the Brier score (Spiegelhalter 1986).

    Z = sum (y - p)(1 - 2p) / sqrt( sum (1 - 2p)^2 p (1 - p) ); weights are squared in the second sum. If every confidence is
    0, 0.5 or 1 the variance is zero: z is then 0 if nothing contradicts the confidences, and infinite otherwise.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
    """
    values, truth = check_pair(confidence, correct)
    p = values.astype(np.float64)
    mass = effective_weights(weights, p.size)
    top = float((mass * (truth - p) * (1 - 2 * p)).sum())
    variance = float((mass**2 * (1 - 2 * p) ** 2 * p * (1 - p)).sum())
    surprise = 0.0 if top == 0 else math.copysign(math.inf, top)
    z = top / math.sqrt(variance) if variance > 0 else surprise
    return SpiegelhalterTest(z, math.erfc(abs(z) / math.sqrt(2)))


def auroc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Probability that a right item has higher confidence than a wrong one, in [0, 1]; ties count one half.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.

    Raises:
        InvalidInput: all items are right or all are wrong, or an argument is unusable.
    """
    values, truth = check_pair(confidence, correct)
    group, n_groups = _groups(values)

    mass = _weights_of_both(truth, weights, "AUROC")
    mass = effective_weights(mass, mass.size)
    right = np.bincount(group, mass * truth, n_groups).astype(np.float64)
    wrong = np.bincount(group, mass * ~truth, n_groups).astype(np.float64)
    value = float((right * (np.cumsum(wrong) - wrong / 2)).sum() / (right.sum() * wrong.sum()))
    return Estimate(value) if interval is None else auroc_interval(value, right, wrong, as_bootstrap(interval).level)


def auprc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Area under precision against recall of the right items, in [0, 1], as average precision.

    Average precision is the sum of precision times the steps of recall, without interpolation.
    To rank wrong items instead, pass 1 - confidence and the negation of correct.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.

    Raises:
        InvalidInput: no item is right, or an argument is unusable.
    """
    values, truth = check_pair(confidence, correct)
    group, n_groups = _groups(-values)
    mass = unit_weights(weights, values.size)
    if not (mass * truth).any():
        raise InvalidInput("AUPRC is undefined if no item is right; pass items of both kinds")

    mass = mass / mass.sum()
    right = np.bincount(group, mass * truth, n_groups)
    answered = np.cumsum(np.bincount(group, mass, n_groups))
    found, total = np.cumsum(right), float(right.sum())
    divisor = np.where(answered > 0, answered, 1)
    precision = found / divisor
    value = float((precision * right).sum() / total)
    if interval is None:
        return Estimate(value)
    # An item adds to what is answered from its group on and, if it is right, to the right ones there.
    by_answered = -np.cumsum((right * found / divisor**2)[::-1])[::-1] / total
    by_right = (precision - value + np.cumsum((right / divisor)[::-1])[::-1]) / total
    rarer = min(total, 1 - total) / float(mass @ mass)
    return logit_interval(value, by_answered[group] + truth * by_right[group], mass, as_bootstrap(interval).level, rarer)


def _groups(values: FloatArray) -> tuple[NDArray[np.intp], int]:
    """The group (N,) of equal confidences of each item, numbered in ascending order, and the number of groups."""
    distinct, group = np.unique(values, return_inverse=True)
    return group, distinct.size


def _weights_of_both(truth: BoolArray, weights: ArrayLike | None, metric: str) -> Float64Array:
    mass = unit_weights(weights, truth.size)
    for kind, rows in (("right", truth), ("wrong", ~truth)):
        if not (mass * rows).any():
            raise InvalidInput(f"{metric} is undefined if no item is {kind}; pass items of both kinds")
    return mass


def _mean_loss(
    loss: Float64Array,
    other: Float64Array,
    largest: float,
    truth: BoolArray,
    weights: ArrayLike | None,
    interval: float | Bootstrap | None,
) -> Estimate:
    """The mean loss (N,) in [0, largest]; `other` is the loss (N,) of each item if its outcome were the other one."""
    mass = unit_weights(weights, loss.size)
    mass = mass / mass.sum()
    if interval is None:
        return Estimate(float(mass @ loss))
    measured = mean_interval(loss, mass, as_bootstrap(interval))
    value, high = float(measured), measured.high or 0.0
    if not (mass * truth).any() or not (mass * ~truth).any():
        # Items of one outcome do not show what the other costs: of n, a share of up to 1 - (tail)^(1/n) may have it.
        tail = (1 - (measured.level or 0.95)) / 2
        missed = 1 - tail ** float(mass @ mass)
        high = max(high, value + missed * float(mass @ np.maximum(other - loss, 0)))
    return Estimate(value, measured.low, max(value, min(high, largest)), measured.level)
