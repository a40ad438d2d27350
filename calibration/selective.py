"""Selective prediction: the errors and the coverage of answering only the most confident items.

All functions take `confidence` (N,) in [0, 1], `correct` (N,) booleans and optionally `weights` (N,) of any scale, and
raise InvalidInput if an argument is unusable. Risk is the error rate among answered items, coverage the share answered.
Items of equal confidence come in random order: areas are their expectation over that order, and thresholds never separate
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, Float64Array, FloatArray, check_number, check_pair, effective_weights, unit_weights
from calibration.bounds import binomial_interval
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate, as_bootstrap
from calibration.influence import ErrorCurve, auroc_interval, wilson_interval

__all__ = [
    "OperatingPoint",
    "RiskCoverageCurve",
    "accuracy_at_coverage",
    "augrc",
    "aurc",
    "coverage_at_risk",
    "excess_aurc",
    "operating_point",
    "prediction_rejection_ratio",
    "risk_coverage_curve",
]


@dataclass(frozen=True)
class RiskCoverageCurve:
    """One point for each of M distinct confidences, most confident first.

    Attributes:
        threshold: (M,) answer at and above it.
        coverage: (M,) share answered, increasing to 1.
        risk: (M,) error rate among the answered items.
    """

    threshold: Float64Array
    coverage: Float64Array
    risk: Float64Array

    def to_dict(self) -> dict[str, list[float]]:
        """Every column as a list of plain numbers."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


def risk_coverage_curve(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> RiskCoverageCurve:
    """Risk against coverage over all thresholds (El-Yaniv & Wiener 2010; arXiv 1705.08500).

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)
    answered, wrong = ranked.cumulative(unit_weights(weights, values.size))
    kept = np.diff(np.concatenate([[0.0], answered])) > 0
    answered, wrong = answered[kept], wrong[kept]
    return RiskCoverageCurve(ranked.distinct[kept].astype(np.float64), answered / answered[-1], wrong / answered)


def aurc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """AURC: mean over k = 1..N of the risk among the k most confident (Geifman et al. 2018, arXiv 1805.08206), in [0, 1].

    Lower is better. Libraries that integrate the curve by trapezoids differ by a term of order 1/N.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)
    mass = effective_weights(weights, values.size)
    value = _aurc(*ranked.cumulative(mass))
    if interval is None:
        return Estimate(value)
    curve = ranked.curve(mass)
    _, influence = curve.aurc()
    return curve.interval(value, influence, as_bootstrap(interval).level)


def excess_aurc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """E-AURC: AURC minus that of the best ranking of the same items (arXiv 1805.08206), at least 0.

    The best ranking has all right items first; its AURC is exact, where the paper approximates it by r + (1 - r) ln(1 - r).

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)

    mass = effective_weights(weights, values.size)
    answered, wrong = ranked.cumulative(mass)
    total, errors = answered[-1], wrong[-1]
    best = _aurc(np.array([total - errors, total]), np.array([0.0, errors]))
    value = max(_aurc(answered, wrong) - best, 0.0)
    if interval is None:
        return Estimate(value)
    curve = ranked.curve(mass)
    (_, area), (risk, rate) = curve.aurc(), curve.risk()
    # The best area is r + (1 - r) log(1 - r), with the derivative -log(1 - r).
    influence = area + np.log(max(1 - risk, 1e-12)) * rate
    return curve.interval(value, influence, as_bootstrap(interval).level)


def augrc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """AUGRC: area under P(answered and wrong) against coverage (Traub et al. 2024, arXiv 2407.01032), in [0, 0.5].

    By trapezoids, which makes the closed form exact: (1 - AUROC) * accuracy * (1 - accuracy) + (1 - accuracy)^2 / 2. Lower
    is better.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)
    mass = unit_weights(weights, values.size)
    value = _augrc(*ranked.cumulative(mass))
    if interval is None:
        return Estimate(value)
    curve = ranked.curve(mass)
    _, influence = curve.augrc()
    return curve.interval(value, influence, as_bootstrap(interval).level, generalized=True)


def prediction_rejection_ratio(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """PRR: gain of rejection by confidence over random rejection, relative to the best (Malinin & Gales, arXiv 2002.07650).

    1 for the best ranking, 0 for a random one, below 0 for a worse one. The remaining error is counted over all items, as if
    somebody else answered the rejected ones correctly.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval (influence.py), or Bootstrap.

    Raises:
        InvalidInput: all items are right or all are wrong, so that nothing can be gained, or an argument is unusable.
    """
    values, truth = check_pair(confidence, correct)
    mass = unit_weights(weights, values.size)
    for kind, rows in (("right", truth), ("wrong", ~truth)):
        if not (mass * rows).any():
            raise InvalidInput(f"the rejection ratio is undefined if no item is {kind}; pass items of both kinds")
    ranked = _Ranked.of(values, truth)

    answered, wrong = ranked.cumulative(mass)
    risk = float(wrong[-1] / answered[-1])
    gain, most = risk / 2 - _augrc(answered, wrong), risk / 2 - risk**2 / 2
    if interval is None:
        return Estimate(gain / most)
    # The ratio is 2 AUROC - 1, whatever the error rate.
    area = auroc_interval((1 + gain / most) / 2, *ranked.outcomes(mass), as_bootstrap(interval).level)
    return Estimate(gain / most, 2 * (area.low or 0.0) - 1, 2 * (area.high or 0.0) - 1, area.level)


def coverage_at_risk(
    confidence: ArrayLike,
    correct: ArrayLike,
    risk: float,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """The largest coverage whose risk on these items is at most `risk`, in [0, 1]; 0 if there is none.

    It describes these items. For a threshold to use on others, see ConformalAbstention.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        risk: in [0, 1].
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap: the largest coverages at which the upper and the lower end
            of the risk's own interval (Wilson's) are at most `risk`, with the noise of the share answered added to both
            (the distances to the ends add up as variances do; Zou & Donner 2008).
    """
    values, truth = check_pair(confidence, correct)
    check_number(risk, "risk", least=0, most=1)
    ranked = _Ranked.of(values, truth)

    mass = effective_weights(weights, values.size)
    answered, wrong = ranked.cumulative(mass)
    kept = answered > 0
    answered, wrong = answered[kept], wrong[kept]

    def coverage(bound: Float64Array) -> float:
        # Some slack: 0.1 * 30 is above 3 in floating point.
        allowed = answered[bound <= risk * (1 + 1e-12)]
        return float(allowed[-1] / answered[-1]) if allowed.size else 0.0

    value = coverage(wrong / answered)
    if interval is None:
        return Estimate(value)
    level = as_bootstrap(interval).level
    low, high = wilson_interval(wrong / answered, answered, level)
    below, above = min(value, coverage(high)), max(value, coverage(low))
    # Where the threshold lies is one noise; how many of these items lie above it, given the threshold, is another.
    least, most = (float(end[0]) for end in wilson_interval(np.array([value]), answered[-1:], level))
    return Estimate(
        value,
        max(0.0, value - math.hypot(value - below, value - least)),
        min(1.0, value + math.hypot(above - value, most - value)),
        level,
    )


def accuracy_at_coverage(
    confidence: ArrayLike,
    correct: ArrayLike,
    coverage: float,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Accuracy among the most confident items that make up `coverage`, in [0, 1]; ties at the end count in proportion.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        coverage: in (0, 1].
        weights: (N,) of any scale, at least 0.
        interval: level in (0, 1) of an interval, or Bootstrap: exact binomial, with the noise of where the coverage ends.

    Raises:
        InvalidInput: an argument is unusable.
    """
    values, truth = check_pair(confidence, correct)
    if check_number(coverage, "coverage", least=0, most=1) == 0:
        raise InvalidInput("coverage is 0; pass a share above 0")
    ranked = _Ranked.of(values, truth)

    answered, wrong = ranked.cumulative(effective_weights(weights, values.size))
    answered, wrong = np.concatenate([[0.0], answered]), np.concatenate([[0.0], wrong])
    size = float(answered[-1])

    def errors(end: float) -> float:
        return float(np.interp(end, answered, wrong))

    target = coverage * size
    rate = errors(target) / target
    if interval is None:
        return Estimate(1 - rate)
    plan = as_bootstrap(interval)
    # Which items are the most confident is random too: that adds (1 - coverage) (error rate at the end - rate)^2 to the
    # variance of an item. The rate at the end is that of the square root of all items around it.
    low_end, high_end = max(target - math.sqrt(size) / 2, 0.0), min(target + math.sqrt(size) / 2, size)
    at_end = (errors(high_end) - errors(low_end)) / (high_end - low_end)
    binomial = rate * (1 - rate)
    share = binomial / (binomial + (1 - coverage) * (at_end - rate) ** 2) if 0 < rate < 1 else 1.0
    low, high = binomial_interval(rate * target * share, target * share, level=plan.level)
    return Estimate(1 - rate, 1 - float(high), 1 - float(low), plan.level)


@dataclass(frozen=True)
class OperatingPoint:
    """The result of answering at and above a threshold, on the items that it was chosen on.

    Attributes:
        threshold: a confidence; infinity if no threshold has the requested risk.
        coverage: in [0, 1]; 0 if no threshold has the requested risk.
        accuracy: in [0, 1]; None if no threshold has the requested risk.
    """

    threshold: float
    coverage: float
    accuracy: float | None


def operating_point(
    confidence: ArrayLike, correct: ArrayLike, risk: float, *, weights: ArrayLike | None = None
) -> OperatingPoint:
    """The lowest threshold whose risk on these items is at most `risk`, without any guarantee for others.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        risk: in [0, 1].
        weights: (N,) of any scale, at least 0.
    """
    check_number(risk, "risk", least=0, most=1)
    curve = risk_coverage_curve(confidence, correct, weights=weights)
    allowed = np.flatnonzero(curve.risk <= risk * (1 + 1e-12))
    if allowed.size == 0:
        return OperatingPoint(float("inf"), 0.0, None)
    last = allowed[-1]
    return OperatingPoint(float(curve.threshold[last]), float(curve.coverage[last]), float(1 - curve.risk[last]))


@dataclass(frozen=True)
class _Ranked:
    """Items grouped by equal confidence, group 0 the most confident; sorted once for all resamples."""

    distinct: FloatArray
    group: NDArray[np.intp]
    wrong: BoolArray

    @classmethod
    def of(cls, confidence: FloatArray, correct: BoolArray) -> _Ranked:
        negative, group = np.unique(-confidence, return_inverse=True)
        return cls(-negative, group, ~correct)

    def cumulative(self, mass: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Weight answered, and weight answered wrongly, after each group."""
        size = self.distinct.size
        answered = np.cumsum(np.bincount(self.group, mass, size))
        wrong = np.cumsum(np.bincount(self.group, mass * self.wrong, size))
        return answered.astype(np.float64), wrong.astype(np.float64)

    def curve(self, mass: Float64Array) -> ErrorCurve:
        """The items of weight above 0, for the influence of each."""
        kept = mass > 0
        _, group = np.unique(self.group[kept], return_inverse=True)
        return ErrorCurve(group, self.wrong[kept], mass[kept] / mass.sum())

    def outcomes(self, mass: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Effective numbers of right and of wrong items in each group, the least confident first."""
        effective = effective_weights(mass, mass.size)
        size = self.distinct.size
        right = np.bincount(self.group, effective * ~self.wrong, size)[::-1].astype(np.float64)
        return right, np.bincount(self.group, effective * self.wrong, size)[::-1].astype(np.float64)


def _aurc(answered: Float64Array, wrong: Float64Array) -> float:
    from scipy.special import digamma

    # In a group of w items with e errors, after A items with E errors, the expected risk at the j-th is
    # (E + e j / w) / (A + j). Summed over j = 1..w that is
    # E (psi(A + w + 1) - psi(A + 1)) + (e / w) (w - A (psi(A + w + 1) - psi(A + 1))).
    before, errors_before = np.concatenate([[0.0], answered[:-1]]), np.concatenate([[0.0], wrong[:-1]])
    width, errors = answered - before, wrong - errors_before
    kept = width > 0
    before, errors_before, width, errors = before[kept], errors_before[kept], width[kept], errors[kept]
    harmonic = digamma(before + width + 1) - digamma(before + 1)
    total = errors_before * harmonic + errors / width * (width - before * harmonic)
    return float(total.sum() / answered[-1])


def _augrc(answered: Float64Array, wrong: Float64Array) -> float:
    coverage = np.concatenate([[0.0], answered]) / answered[-1]
    generalized = np.concatenate([[0.0], wrong]) / answered[-1]
    return float(np.trapezoid(generalized, coverage))
