"""After deployment: is the guarantee kept on new answers, is confidence still calibrated, and has it drifted?

The guarantee and the calibration are tested by betting (betting.py), so that the p-values are valid however often one looks
(Podkopaev & Ramdas 2021, arXiv 2110.06177). Drift is a two-sample test at one time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import check_fraction, check_pair
from calibration.betting import calibration_wealth, excess_risk_wealth, risk_interval
from calibration.calibrator import Calibrator
from calibration.errors import InvalidInput
from calibration.estimate import Estimate

__all__ = ["GuaranteeMonitor", "MonitorResult"]


@dataclass(frozen=True)
class MonitorResult:
    """What new answers say about a calibrator.

    Attributes:
        count: number of new items.
        answered, wrong: items above the threshold, and how many of them are wrong.
        guaranteed_risk: of the calibrator.
        risk: error rate of the answers, with an interval that holds at all times at once; None if nothing is answered.
        guarantee_p_value: small if the answers have more errors than the guarantee allows; valid at all times at once.
        calibration_p_value: small if calibrated confidence is not the probability of being right; valid at all times at
            once.
        drift_p_value: small if raw confidence is distributed otherwise than in `fit` (Kolmogorov-Smirnov).
        significance: p-values below it are called small.
    """

    count: int
    answered: int
    wrong: int
    guaranteed_risk: float
    risk: Estimate | None
    guarantee_p_value: float
    calibration_p_value: float
    drift_p_value: float
    significance: float

    @property
    def held(self) -> bool:
        """Whether the answers are compatible with the guarantee."""
        return self.guarantee_p_value >= self.significance

    @property
    def calibrated(self) -> bool:
        """Whether the items are compatible with calibrated confidence."""
        return self.calibration_p_value >= self.significance

    @property
    def drifted(self) -> bool:
        """Whether raw confidence is distributed otherwise than in `fit`."""
        return self.drift_p_value < self.significance

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "count": self.count,
            "answered": self.answered,
            "wrong": self.wrong,
            "guaranteed_risk": self.guaranteed_risk,
            "risk": None if self.risk is None else self.risk.to_dict(),
            "guarantee_p_value": self.guarantee_p_value,
            "held": self.held,
            "calibration_p_value": self.calibration_p_value,
            "calibrated": self.calibrated,
            "drift_p_value": self.drift_p_value,
            "drifted": self.drifted,
            "significance": self.significance,
        }


class GuaranteeMonitor:
    """Checks a calibrator on new items, batch by batch.

    Args:
        calibrator: fitted.
        significance: probability of a false alarm of each of the three tests, in (0, 1).

    Raises:
        InvalidInput: the calibrator is not fitted, or an option is out of range.
    """

    def __init__(self, calibrator: Calibrator, *, significance: float = 0.05) -> None:
        if not isinstance(calibrator, Calibrator) or not hasattr(calibrator, "rule_"):
            raise InvalidInput(f"calibrator is {calibrator!r}; pass a fitted Calibrator")
        self.calibrator = calibrator
        self.significance = check_fraction(significance, "significance")
        self._confidence, self._calibrated = np.empty(0), np.empty(0)
        self._correct, self._above = np.empty(0, dtype=np.bool_), np.empty(0, dtype=np.bool_)

    def update(self, confidence: ArrayLike, correct: ArrayLike) -> Self:
        """Add new items, in order of arrival.

        Args:
            confidence: (N,) raw confidences in [0, 1], or (N, S) for a calibrator of S sources.
            correct: (N,) booleans.

        Returns:
            This monitor.

        Raises:
            InvalidInput: an array is unusable.
        """
        combined, truth = check_pair(self.calibrator.combine(confidence), correct)
        self._confidence = np.concatenate([self._confidence, combined])
        self._calibrated = np.concatenate([self._calibrated, self.calibrator.transform(confidence)])
        self._above = np.concatenate([self._above, self.calibrator.answer(confidence)])
        self._correct = np.concatenate([self._correct, truth])
        return self

    def compute(self) -> MonitorResult:
        """Test all items so far.

        Raises:
            InvalidInput: there are none.
        """
        from scipy.stats import ks_2samp

        if self._confidence.size == 0:
            raise InvalidInput("no items have been added; call update first")
        risk = self.calibrator.risk
        errors = (~self._correct[self._above]).astype(np.float64)
        wrong, answered = int(errors.sum()), int(errors.size)
        level = 1 - self.significance
        rate = Estimate(wrong / answered, *risk_interval(wrong, answered, level), level) if answered else None
        paths = calibration_wealth(self._calibrated, self._correct.astype(np.float64))
        return MonitorResult(
            count=int(self._confidence.size),
            answered=answered,
            wrong=wrong,
            guaranteed_risk=risk,
            risk=rate,
            guarantee_p_value=_p_value(excess_risk_wealth(errors, risk)) if answered else 1.0,
            calibration_p_value=_p_value(paths),
            drift_p_value=float(ks_2samp(self._confidence, self.calibrator.reference_).pvalue),
            significance=self.significance,
        )


def _p_value(log_wealth: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """The largest wealth so far bounds the probability of ever getting as rich under the hypothesis."""
    return float(np.exp(-max(0.0, float(log_wealth.max()))))
