"""What answering above a threshold does on held-out rows, and which risks can be guaranteed at which coverage."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import BoolArray, Float64Array, check_pair
from calibration.bounds import binomial_excess_p_value, binomial_interval
from calibration.calibrator import Calibrator
from calibration.conformal import ConformalAbstention
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.estimate import Estimate

__all__ = ["RISKS", "SIGNIFICANCE", "FrontierPoint", "ThresholdResult", "at_threshold", "proportion", "risk_frontier"]

RISKS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Error rates of the frontier."""
SIGNIFICANCE = 0.05
"""Level of the test of whether the guarantee held."""


@dataclass(frozen=True)
class ThresholdResult:
    """What answering at and above the threshold does on the reported rows.

    Attributes:
        threshold: a calibrated confidence; infinity if none guarantees the risk.
        count: number of items that the threshold was chosen on.
        guaranteed_risk, delta: the guarantee: at most this share of the answers is wrong, with probability 1 - delta.
        answered: rows at or above the threshold.
        wrong: how many of them are wrong.
        coverage: share of the rows that is answered, with an exact binomial interval.
        risk: share of the answers that is wrong, with an exact binomial interval; None if nothing is answered.
        reason: one sentence on how the threshold was chosen.
    """

    threshold: float
    guaranteed_risk: float
    delta: float
    count: int
    answered: int
    wrong: int
    coverage: Estimate
    risk: Estimate | None
    reason: str

    @property
    def p_value(self) -> float:
        """Probability of so many wrong answers if the risk were the guaranteed one (exact binomial test), or 1."""
        return float(binomial_excess_p_value(self.wrong, self.answered, self.guaranteed_risk))

    @property
    def held(self) -> bool:
        """Whether the rows are compatible with the guarantee: the test at the 5 % level does not reject it.

        An error rate a little above the guaranteed risk is no contradiction: where the true risk equals the guaranteed one,
        half of all samples have one.
        """
        return self.p_value >= SIGNIFICANCE

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an infinite threshold is None."""
        return {
            "threshold": self.threshold if np.isfinite(self.threshold) else None,
            "guaranteed_risk": self.guaranteed_risk,
            "delta": self.delta,
            "count": self.count,
            "answered": self.answered,
            "wrong": self.wrong,
            "coverage": self.coverage.to_dict(),
            "risk": None if self.risk is None else self.risk.to_dict(),
            "p_value": self.p_value,
            "held": self.held,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class FrontierPoint:
    """The threshold that guarantees one risk.

    Attributes:
        guaranteed_risk: in (0, 1).
        threshold: answer at and above this confidence; infinity if no threshold guarantees the risk.
        coverage: share of the calibration rows at or above it, in [0, 1].
        errors: error rate among them, in [0, 1]; None if there is no threshold.
    """

    guaranteed_risk: float
    threshold: float
    coverage: float
    errors: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain values; an infinite threshold is None."""
        threshold = self.threshold if np.isfinite(self.threshold) else None
        return {
            "guaranteed_risk": self.guaranteed_risk,
            "threshold": threshold,
            "coverage": self.coverage,
            "errors": self.errors,
        }


def risk_frontier(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    risks: Sequence[float] = RISKS,
    delta: float = 0.05,
    sample_weight: ArrayLike | None = None,
) -> tuple[FrontierPoint, ...]:
    """Find which risks can be guaranteed on these items, and at which coverage.

    Each guarantee holds with probability 1 - delta by itself. To keep that after choosing among them by their coverage,
    divide delta by their number.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        risks: error rates in (0, 1).
        delta: probability that a guarantee fails, in (0, 1).
        sample_weight: (N,) of any scale, at least 0 (see ConformalAbstention.fit).

    Raises:
        InvalidInput: an argument is unusable.

    >>> points = risk_frontier([0.2] * 50 + [0.9] * 50, [False] * 50 + [True] * 50, risks=[0.1])
    >>> points[0].coverage
    0.5
    """
    if not isinstance(risks, (list, tuple, np.ndarray)) or not len(risks):
        raise InvalidInput(f"risks is {risks!r}; pass at least one error rate, as a list")
    values, truth = check_pair(confidence, correct)
    points = []
    with warnings.catch_warnings():
        # A risk that cannot be guaranteed is a point of the frontier, and no surprise.
        warnings.simplefilter("ignore", NoThresholdWarning)
        for risk in risks:
            rule = ConformalAbstention(risk, delta).fit(values, truth, sample_weight)
            errors = rule.errors_ / rule.answered_ if rule.answered_ else None
            points.append(FrontierPoint(risk, rule.threshold, rule.coverage, errors))
    return tuple(points)


def at_threshold(calibrator: Calibrator, confidence: Float64Array, correct: BoolArray, level: float) -> ThresholdResult:
    """Count what a calibrator answers of raw confidences (N,) or (N, S), and how much of that is wrong."""
    rule = calibrator.rule_
    above = calibrator.answer(confidence)
    answered, wrong = int(above.sum()), int((above & ~correct).sum())
    return ThresholdResult(
        threshold=calibrator.threshold,
        guaranteed_risk=rule.risk,
        delta=rule.delta,
        count=rule.count_,
        answered=answered,
        wrong=wrong,
        coverage=proportion(answered, above.size, level),
        risk=proportion(wrong, answered, level) if answered else None,
        reason=rule.reason_,
    )


def proportion(successes: int, count: int, level: float) -> Estimate:
    """A share with its exact binomial interval."""
    low, high = binomial_interval(successes, count, level=level)
    return Estimate(successes / count, float(low), float(high), level)
