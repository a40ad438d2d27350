"""Selective prediction: what is lost and won by answering only the most confident items.

All take `confidence` (N,) in [0, 1] and `correct` (N,) boolean, and optionally `weights` (N,) as frequencies. Risk is the
error rate among answered items, coverage the share answered. Items of equal confidence come in random order: areas are
their expectation over that order, and thresholds never part them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_pair, unit_weights
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate, estimate

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

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class RiskCoverageCurve:
    """One point for each distinct confidence, most confident first: answering at `threshold` (M,) and above it gives
    `coverage` (M,), increasing to 1, and `risk` (M,).
    """

    threshold: Float64
    coverage: Float64
    risk: Float64

    def to_dict(self) -> dict[str, list[float]]:
        """Every column as a list of plain numbers."""
        return {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}


def risk_coverage_curve(confidence: ArrayLike, correct: ArrayLike, *, weights: ArrayLike | None = None) -> RiskCoverageCurve:
    """Risk against coverage over all thresholds (El-Yaniv & Wiener 2010; arXiv 1705.08500)."""
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
    """Mean over k = 1..N of the risk among the k most confident (Geifman 2018, arXiv 1805.08206), in [0, 1].

    Lower is better. Libraries that integrate the curve by trapezoids differ by a term of order 1/N.
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)
    return estimate(lambda mass: _aurc(*ranked.cumulative(mass)), unit_weights(weights, values.size), interval)


def excess_aurc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """E-AURC: AURC above that of the best ranking of the same items (arXiv 1805.08206), at least 0.

    The best AURC is that of all right items first, exactly; the paper approximates it by r + (1 - r) ln(1 - r).
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)

    def kernel(mass: Float64) -> float:
        answered, wrong = ranked.cumulative(mass)
        total, errors = answered[-1], wrong[-1]
        best = _aurc(np.array([total - errors, total]), np.array([0.0, errors]))
        return max(_aurc(answered, wrong) - best, 0.0)

    return estimate(kernel, unit_weights(weights, values.size), interval)


def augrc(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Area under generalised risk, P(answered and wrong), against coverage (Traub 2024, arXiv 2407.01032).

    By trapezoids, which makes the closed form exact: (1 - AUROC) * accuracy * (1 - accuracy) + (1 - accuracy)^2 / 2.
    In [0, 0.5].
    """
    values, truth = check_pair(confidence, correct)
    ranked = _Ranked.of(values, truth)
    return estimate(lambda mass: _augrc(*ranked.cumulative(mass)), unit_weights(weights, values.size), interval)


def prediction_rejection_ratio(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """PRR: what rejection by confidence gains over random rejection, relative to the best (Malinin 2021, arXiv 2002.07650).

    1 for the best ranking, 0 for a random one, below 0 for a worse one. The error left is counted over all items, rejected
    ones being answered rightly by someone else. InvalidInput when all items are right or all wrong: nothing can be gained.
    """
    values, truth = check_pair(confidence, correct)
    mass = unit_weights(weights, values.size)
    for kind, rows in (("right", truth), ("wrong", ~truth)):
        if not (mass * rows).any():
            raise InvalidInput(f"the rejection ratio is undefined when no item is {kind}; pass items of both kinds")
    ranked = _Ranked.of(values, truth)

    def kernel(drawn: Float64) -> float:
        answered, wrong = ranked.cumulative(drawn)
        risk = wrong[-1] / answered[-1]
        random, best = risk / 2, risk**2 / 2
        return float("nan") if random == best else (random - _augrc(answered, wrong)) / (random - best)

    return estimate(kernel, mass, interval)


def coverage_at_risk(
    confidence: ArrayLike,
    correct: ArrayLike,
    risk: float,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """The largest coverage whose risk on these items is at most `risk`; 0 when there is none.

    A description of these items. For a threshold to use on others, see ConformalAbstention.
    """
    values, truth = check_pair(confidence, correct)
    _check_closed(risk, "risk")
    ranked = _Ranked.of(values, truth)

    def kernel(mass: Float64) -> float:
        answered, wrong = ranked.cumulative(mass)
        # A hair of room: 0.1 * 30 is above 3 in floating point.
        allowed = answered[wrong <= risk * answered * (1 + 1e-12)]
        return float(allowed[-1] / answered[-1]) if allowed.size else 0.0

    return estimate(kernel, unit_weights(weights, values.size), interval)


def accuracy_at_coverage(
    confidence: ArrayLike,
    correct: ArrayLike,
    coverage: float,
    *,
    weights: ArrayLike | None = None,
    interval: float | Bootstrap | None = None,
) -> Estimate:
    """Accuracy among the most confident items that make up `coverage`, in (0, 1]; ties at the end count in proportion."""
    values, truth = check_pair(confidence, correct)
    _check_closed(coverage, "coverage")
    if coverage == 0:
        raise InvalidInput("coverage is 0; pass a share above 0")
    ranked = _Ranked.of(values, truth)

    def kernel(mass: Float64) -> float:
        answered, wrong = ranked.cumulative(mass)
        wanted = coverage * answered[-1]
        errors = np.interp(wanted, np.concatenate([[0.0], answered]), np.concatenate([[0.0], wrong]))
        return float(1 - errors / wanted)

    return estimate(kernel, unit_weights(weights, values.size), interval)


@dataclass(frozen=True)
class OperatingPoint:
    """Answering at and above `threshold` gives this coverage and accuracy on the items it was chosen on.

    threshold is infinity, coverage 0 and accuracy None when no threshold has the risk asked for.
    """

    threshold: float
    coverage: float
    accuracy: float | None


def operating_point(
    confidence: ArrayLike, correct: ArrayLike, risk: float, *, weights: ArrayLike | None = None
) -> OperatingPoint:
    """The lowest threshold whose risk on these items is at most `risk`, without any promise for others."""
    _check_closed(risk, "risk")
    curve = risk_coverage_curve(confidence, correct, weights=weights)
    allowed = np.flatnonzero(curve.risk <= risk * (1 + 1e-12))
    if allowed.size == 0:
        return OperatingPoint(float("inf"), 0.0, None)
    last = allowed[-1]
    return OperatingPoint(float(curve.threshold[last]), float(curve.coverage[last]), float(1 - curve.risk[last]))


@dataclass(frozen=True)
class _Ranked:
    # Items grouped by equal confidence, group 0 the most confident; sorted once for all resamples.
    distinct: NDArray[np.floating]
    group: NDArray[np.intp]
    wrong: NDArray[np.bool_]

    @classmethod
    def of(cls, confidence: NDArray[np.floating], correct: NDArray[np.bool_]) -> _Ranked:
        negative, group = np.unique(-confidence, return_inverse=True)
        return cls(-negative, group, ~correct)

    def cumulative(self, mass: Float64) -> tuple[Float64, Float64]:
        # Weight answered, and weight answered wrongly, after each group.
        size = self.distinct.size
        answered = np.cumsum(np.bincount(self.group, mass, size))
        wrong = np.cumsum(np.bincount(self.group, mass * self.wrong, size))
        return answered.astype(np.float64), wrong.astype(np.float64)


def _aurc(answered: Float64, wrong: Float64) -> float:
    from scipy.special import digamma

    # In a group of w items with e errors after A items with E errors, the expected risk of the j-th is (E + e j / w)
    # / (A + j). Summing over j = 1..w: E (psi(A + w + 1) - psi(A + 1)) + (e / w) (w - A (psi(A + w + 1) - psi(A +
    # 1))).
    before, errors_before = np.concatenate([[0.0], answered[:-1]]), np.concatenate([[0.0], wrong[:-1]])
    width, errors = answered - before, wrong - errors_before
    kept = width > 0
    before, errors_before, width, errors = before[kept], errors_before[kept], width[kept], errors[kept]
    harmonic = digamma(before + width + 1) - digamma(before + 1)
    total = errors_before * harmonic + errors / width * (width - before * harmonic)
    return float(total.sum() / answered[-1])


def _augrc(answered: Float64, wrong: Float64) -> float:
    coverage = np.concatenate([[0.0], answered]) / answered[-1]
    generalised = np.concatenate([[0.0], wrong]) / answered[-1]
    return float(np.trapezoid(generalised, coverage))


def _check_closed(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise InvalidInput(f"{name} is {value}; pass a share between 0 and 1")
