"""Scores that need no bins: Brier, negative log-likelihood, Spiegelhalter's Z, AUROC and AUPRC.

All take `confidence` (N,) in [0, 1] and `correct` (N,) boolean, and optionally `weights` (N,) as frequencies.
scikit-learn's functions of the same names agree to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_count, check_pair, unit_weights
from calibration.binning import Strategy, make_bins
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate, estimate, estimates

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
    """Mean of (confidence - correct)^2, in [0, 1] (Brier 1950)."""
    values, truth = check_pair(confidence, correct)
    loss = (values.astype(np.float64) - truth) ** 2
    return _mean_loss(loss, weights, interval)


def negative_log_likelihood(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
    clip: float = 1e-15,
) -> Estimate:
    """Mean of -log(probability given to what happened), in nats.

    Confidences are kept `clip` away from 0 and 1: one answer that was given confidence 1 and is wrong would otherwise
    make the mean infinite. scikit-learn's log_loss clips at the machine epsilon, 2.2e-16.
    """
    if not 0 <= clip < 0.5:
        raise InvalidInput(f"clip is {clip}; pass a number of at least 0 and below 0.5")
    values, truth = check_pair(confidence, correct)
    given = np.where(truth, values, 1 - values.astype(np.float64))
    with np.errstate(divide="ignore"):
        loss = -np.log(np.clip(given, clip, 1 - clip))
    return _mean_loss(loss, weights, interval)


@dataclass(frozen=True)
class BrierDecomposition:
    """Brier score = reliability - resolution + uncertainty + within_bins (Murphy 1973).

    reliability: mean squared gap of bins, lower is better.  resolution: variance of the bins' accuracies, higher is
    better. uncertainty: accuracy * (1 - accuracy).  within_bins: what confidences that differ inside a bin add; 0
    without bins.
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
    """Murphy's decomposition; by default each distinct confidence is a bin, and the three terms are exact.

    interval: of every term, from the same resamples. Few items a bin raise reliability and resolution alike.
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

    def terms(drawn: NDArray[np.float64]) -> tuple[float, ...]:
        whole = drawn.sum()
        weight = np.bincount(cell, drawn, size)
        divisor = np.where(weight > 0, weight, 1)
        accuracy = np.bincount(cell, drawn * truth, size) / divisor
        mean = np.bincount(cell, drawn * p, size) / divisor
        base = float(drawn @ truth / whole)
        brier = float(drawn @ loss / whole)
        reliability = float(weight @ (mean - accuracy) ** 2 / whole)
        resolution = float(weight @ (accuracy - base) ** 2 / whole)
        uncertainty = base * (1 - base)
        return brier, reliability, resolution, uncertainty, brier - (reliability - resolution + uncertainty)

    return BrierDecomposition(*estimates(terms, mass, interval))


@dataclass(frozen=True)
class SpiegelhalterTest:
    """z is standard normal when the confidences are calibrated; p_value is two-sided."""

    z: float
    p_value: float


def spiegelhalter_test(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> SpiegelhalterTest:
    """Test of calibration from the Brier score's expectation (Spiegelhalter 1986).

    Z = sum (y - p)(1 - 2p) / sqrt( sum (1 - 2p)^2 p (1 - p) ). When every confidence is 0, 0.5 or 1 the variance is
    zero: z is then 0 if nothing contradicts the confidences, and infinite if something does.
    """
    values, truth = check_pair(confidence, correct)
    p = values.astype(np.float64)
    mass = unit_weights(weights, p.size)
    top = float((mass * (truth - p) * (1 - 2 * p)).sum())
    variance = float((mass * (1 - 2 * p) ** 2 * p * (1 - p)).sum())
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
    """Chance that a right item has higher confidence than a wrong one, ties counting one half.

    InvalidInput when all items are right or all are wrong.
    """
    values, truth = check_pair(confidence, correct)
    group, n_groups = _groups(values)

    def kernel(mass: NDArray[np.float64]) -> float:
        right = np.bincount(group, mass * truth, n_groups)
        wrong = np.bincount(group, mass * ~truth, n_groups)
        pairs = right.sum() * wrong.sum()
        if pairs == 0:
            return math.nan
        return float((right * (np.cumsum(wrong) - wrong / 2)).sum() / pairs)

    return estimate(kernel, _weights_of_both(truth, weights, "AUROC"), interval)


def auprc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Area under precision against recall of the right items, as average precision: sum of precision * recall steps.

    To rank wrong items instead, pass 1 - confidence and the negation of correct. InvalidInput when no item is right.
    """
    values, truth = check_pair(confidence, correct)
    group, n_groups = _groups(-values)
    mass = unit_weights(weights, values.size)
    if not (mass * truth).any():
        raise InvalidInput("AUPRC is undefined when no item is right; pass items of both kinds")

    def kernel(mass: NDArray[np.float64]) -> float:
        right = np.bincount(group, mass * truth, n_groups)
        answered = np.cumsum(np.bincount(group, mass, n_groups))
        if right.sum() == 0:
            return math.nan
        precision = np.cumsum(right) / np.where(answered > 0, answered, 1)
        return float((precision * right).sum() / right.sum())

    return estimate(kernel, mass, interval)


def _groups(values: NDArray[np.floating]) -> tuple[NDArray[np.intp], int]:
    # Equal confidences form one group; groups are numbered in ascending order.
    distinct, group = np.unique(values, return_inverse=True)
    return group, distinct.size


def _weights_of_both(truth: NDArray[np.bool_], weights: ArrayLike | None, metric: str) -> NDArray[np.float64]:
    mass = unit_weights(weights, truth.size)
    for kind, rows in (("right", truth), ("wrong", ~truth)):
        if not (mass * rows).any():
            raise InvalidInput(f"{metric} is undefined when no item is {kind}; pass items of both kinds")
    return mass


def _mean_loss(loss: NDArray[np.float64], weights: ArrayLike | None, interval: float | Bootstrap | None) -> Estimate:
    mass = unit_weights(weights, loss.size)
    return estimate(lambda drawn: float(drawn @ loss / drawn.sum()), mass, interval)
