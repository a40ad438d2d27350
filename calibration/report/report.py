"""One report of a confidence: how calibrated it is, what each recalibrator makes of it, and when to abstain.

Every number is of rows that nothing was fitted on. Not here: the figures (plots.py) and the page (page.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.abstention import ConformalAbstention
from calibration.arrays import BoolArray, check_pair
from calibration.bounds import binomial_interval
from calibration.calibration_error import expected_calibration_error
from calibration.calibrator import Calibrator, split_rows
from calibration.errors import InvalidInput
from calibration.estimate import Bootstrap, Estimate
from calibration.recalibrators.grouped import GroupedRecalibrator
from calibration.scores import auroc, brier_score, negative_log_likelihood
from calibration.selection import RECALIBRATORS, make_recalibrator
from calibration.selective import aurc
from calibration.unbinned import smooth_calibration_error

__all__ = ["CalibrationReport", "GroupMetrics", "Metrics", "Operation", "calibration_report", "measure"]

Float64 = NDArray[np.float64]

SHARES = (0.4, 0.3, 0.3)
"""Shares of the rows to fit recalibrators on, to choose the threshold on, and to report on."""


@dataclass(frozen=True)
class Metrics:
    """What a confidence scores on `count` rows, each with its interval.

    accuracy, mean_confidence: in [0, 1].  ece: expected calibration error, equal-width bins.  smooth_ece: without bins.
    brier, nll: lower is better.  auroc: None where all rows are right or all wrong.  aurc: mean risk over coverages.
    """

    name: str
    count: int
    accuracy: Estimate
    mean_confidence: float
    ece: Estimate
    smooth_ece: Estimate
    brier: Estimate
    nll: Estimate
    auroc: Estimate | None
    aurc: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain values, an estimate as its value and interval."""
        held = {own.name: getattr(self, own.name) for own in fields(self)}
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in held.items()}


@dataclass(frozen=True)
class GroupMetrics:
    """A group's rows before and after recalibration."""

    group: str
    before: Metrics
    after: Metrics

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"group": self.group, "before": self.before.to_dict(), "after": self.after.to_dict()}


@dataclass(frozen=True)
class Operation:
    """What answering at the threshold does on the rows reported: coverage and risk with exact binomial intervals.

    risk is None when nothing is answered; held says whether it is at most the risk promised.
    """

    threshold: float
    promised_risk: float
    delta: float
    answered: int
    wrong: int
    coverage: Estimate
    risk: Estimate | None
    reason: str

    @property
    def held(self) -> bool:
        """Whether the error rate among the answers is at most the risk promised."""
        return self.risk is None or self.risk <= self.promised_risk

    def to_dict(self) -> dict[str, Any]:
        """Plain values; an infinite threshold is None."""
        return {
            "threshold": self.threshold if np.isfinite(self.threshold) else None,
            "promised_risk": self.promised_risk,
            "delta": self.delta,
            "answered": self.answered,
            "wrong": self.wrong,
            "coverage": self.coverage.to_dict(),
            "risk": None if self.risk is None else self.risk.to_dict(),
            "held": self.held,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class CalibrationReport:
    """A confidence before and after each recalibrator, on rows apart from those of fit and threshold.

    count, fit_count, threshold_count, report_count: rows in all and in each part.  before: the raw confidence.  after: every
    recalibrator, in the order of `RECALIBRATORS` without the identity; with groups a grouped Platt scaling comes last.
    chosen: the short name of the one that cross-validation chose.  groups: the rows of each group before and after the
    chosen one; empty without groups.  operation: the threshold at work.  calibrator: the chosen recalibrator with the
    threshold, fitted.  report_rows (N,): which rows were reported on.  confidence, recalibrated, correct (report_count,): of
    these rows, for figures.
    """

    count: int
    fit_count: int
    threshold_count: int
    report_count: int
    before: Metrics
    after: tuple[Metrics, ...]
    chosen: str
    groups: tuple[GroupMetrics, ...]
    operation: Operation
    calibrator: Calibrator
    report_rows: BoolArray
    confidence: Float64
    recalibrated: Float64
    correct: BoolArray

    def to_dict(self) -> dict[str, Any]:
        """Numbers as plain values, without the rows and the calibrator."""
        return {
            "count": self.count,
            "fit_count": self.fit_count,
            "threshold_count": self.threshold_count,
            "report_count": self.report_count,
            "before": self.before.to_dict(),
            "after": [row.to_dict() for row in self.after],
            "chosen": self.chosen,
            "cross_validation": {"scores": self.calibrator.scores_, "held_out": self.calibrator.held_out_},
            "groups": [group.to_dict() for group in self.groups],
            "operation": self.operation.to_dict(),
        }


def calibration_report(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    risk: float = 0.1,
    delta: float = 0.05,
    shares: tuple[float, float, float] = SHARES,
    n_bins: int = 15,
    interval: float | Bootstrap = 0.95,
    source: str = "",
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> CalibrationReport:
    """Split the rows in three, fit every recalibrator, choose a threshold, and measure all of it on the third part.

    confidence, correct: (N,), at least ten rows.  groups: (N,) names.  risk, delta: of the threshold (see
    ConformalAbstention; a NoThresholdWarning where none can be promised).  shares: of fit, threshold and report.  source:
    what the confidence is, kept in the calibrator.  progress: called with 1 after each of `N_STEPS` steps.
    """
    given, truth = check_pair(confidence, correct)
    if given.size < 10:
        raise InvalidInput(f"{given.size} rows are too few to fit, to choose a threshold and to report; pass at least 10")
    names = None if groups is None else _names(groups, given.size)
    values: Float64 = given.astype(np.float64)
    fit, above, report = split_rows(values.size, shares, seed=seed)
    tick = progress or (lambda _done: None)
    calibrator = Calibrator(risk, delta, source=source, seed=seed)
    used = fit | above
    calibrator.fit(values[used], truth[used], threshold_rows=above[used])
    tick(1)

    def score(name: str, given: Float64) -> Metrics:
        measured = measure(name, given, truth[report], n_bins=n_bins, interval=interval)
        tick(1)
        return measured

    before = score("raw", values[report])
    after = [
        score(name, make_recalibrator(name).fit(values[fit], truth[fit]).transform(values[report]))
        for name in RECALIBRATORS
        if name != "identity"
    ]
    recalibrated = calibrator.transform(values[report])
    by_group: list[GroupMetrics] = []
    if names is not None:
        grouped = GroupedRecalibrator().fit(values[fit], truth[fit], names[fit])
        after.append(score("platt by group", grouped.transform(values[report], names[report])))
        for name in np.unique(names[report]).tolist():
            rows = names[report] == name
            pair = (values[report][rows], recalibrated[rows])
            measured = [measure(name, given, truth[report][rows], n_bins=n_bins, interval=interval) for given in pair]
            by_group.append(GroupMetrics(name, *measured))
    return CalibrationReport(
        count=values.size,
        fit_count=int(fit.sum()),
        threshold_count=int(above.sum()),
        report_count=int(report.sum()),
        before=before,
        after=tuple(after),
        chosen=calibrator.chosen_,
        groups=tuple(by_group),
        operation=_operate(calibrator.rule_, recalibrated, truth[report], interval),
        calibrator=calibrator,
        report_rows=report,
        confidence=values[report],
        recalibrated=recalibrated,
        correct=truth[report],
    )


N_STEPS = 1 + len(RECALIBRATORS)
"""Steps that `calibration_report` tells of, without groups."""


def measure(
    name: str, confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = 15, interval: float | Bootstrap = 0.95
) -> Metrics:
    """All metrics of one confidence (N,) with their intervals."""
    values, truth = check_pair(confidence, correct)
    level = interval.level if isinstance(interval, Bootstrap) else interval
    both = truth.any() and not truth.all()
    return Metrics(
        name=name,
        count=values.size,
        accuracy=_proportion(int(truth.sum()), truth.size, level),
        mean_confidence=float(values.mean()),
        ece=expected_calibration_error(values, truth, n_bins=n_bins, interval=interval),
        smooth_ece=smooth_calibration_error(values, truth),
        brier=brier_score(values, truth, interval=interval),
        nll=negative_log_likelihood(values, truth),
        auroc=auroc(values, truth, interval=interval) if both else None,
        aurc=aurc(values, truth),
    )


def _operate(rule: ConformalAbstention, confidence: Float64, correct: BoolArray, interval: float | Bootstrap) -> Operation:
    level = interval.level if isinstance(interval, Bootstrap) else interval
    given = rule.answer(confidence)
    answered, wrong = int(given.sum()), int((given & ~correct).sum())
    return Operation(
        threshold=rule.threshold,
        promised_risk=rule.risk,
        delta=rule.delta,
        answered=answered,
        wrong=wrong,
        coverage=_proportion(answered, given.size, level),
        risk=_proportion(wrong, answered, level) if answered else None,
        reason=rule.reason_,
    )


def _proportion(successes: int, count: int, level: float) -> Estimate:
    low, high = binomial_interval(successes, count, level=level)
    return Estimate(successes / count, float(low), float(high), level)


def _names(groups: ArrayLike, size: int) -> NDArray[np.str_]:
    names = np.asarray(groups)
    if names.shape != (size,):
        raise InvalidInput(f"groups has shape {names.shape}; pass one name for each of the {size} rows")
    return names.astype(np.str_)
