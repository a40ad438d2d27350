"""One report of a confidence: how calibrated it is, what each recalibrator makes of it, and when to abstain.

Every number is measured on held-out rows. Not covered: the figures (plots.py) and the page (page.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import BoolArray, Float64Array, as_array, check_count, check_pair
from calibration.binless_error import smooth_calibration_error
from calibration.calibration_error import expected_calibration_error
from calibration.calibrator import Calibrator, check_split, split_rows
from calibration.combination import check_sources
from calibration.errors import InvalidInput, NoThresholdWarning
from calibration.estimate import Bootstrap, Estimate, as_bootstrap
from calibration.recalibrators.grouped import GroupedRecalibrator, check_groups, distinct_groups
from calibration.report.threshold import FrontierPoint, ThresholdResult, at_threshold, proportion, risk_frontier
from calibration.scores import auroc, brier_score, negative_log_likelihood
from calibration.selection import RECALIBRATORS, make_recalibrator
from calibration.selective import aurc
from calibration.significance import CalibrationTest, calibration_test

__all__ = ["CalibrationReport", "GroupMetrics", "Metrics", "calibration_report", "measure"]

SPLIT = (0.4, 0.3, 0.3)
"""Shares of the rows to fit recalibrators on, to choose the threshold on, and to report on."""


@dataclass(frozen=True)
class Metrics:
    """What a confidence scores on some rows; Estimates carry an interval unless stated otherwise.

    Attributes:
        name: "raw", or the recalibrator's short name.
        count: number of rows.
        accuracy: in [0, 1], with an exact binomial interval.
        mean_confidence: in [0, 1].
        ece: expected calibration error in equal-width bins, in [0, 1].
        smooth_ece: calibration error without bins, in [0, 1].
        brier: Brier score, in [0, 1]; lower is better.
        nll: negative log-likelihood in nats, without an interval; lower is better.
        auroc: in [0, 1]; None if all rows are right or all are wrong.
        aurc: mean risk over coverages, in [0, 1], without an interval; lower is better.
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
        """Plain values; an estimate becomes its value and interval."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in values.items()}


@dataclass(frozen=True)
class GroupMetrics:
    """A group's rows before and after recalibration, and above the threshold.

    Attributes:
        group: its name.
        before, after: metrics of the raw and of the recalibrated confidence.
        threshold_result: what the common threshold does on the group's rows; its guarantee is about all groups together.
    """

    group: str
    before: Metrics
    after: Metrics
    threshold_result: ThresholdResult

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "group": self.group,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "threshold_result": self.threshold_result.to_dict(),
        }


@dataclass(frozen=True)
class CalibrationReport:
    """A confidence before and after each recalibrator, on held-out rows.

    Attributes:
        count, report_count: rows in all, and held-out rows.
        fit_count, threshold_count: rows that the calibrator's recalibrator and its threshold used.
        before: the raw confidence; of several sources, their combination.
        sources: each of several sources alone; empty if there is one.
        test_before, test_after: tests of whether the raw and the recalibrated confidence are calibrated, by smooth error.
        after: every recalibrator, in the order of `RECALIBRATORS` without the identity; with groups, a grouped Platt scaling
            comes last.
        chosen: the short name of the recalibrator that cross-validation chose.
        groups: the rows of each group before and after the chosen one; empty without groups.
        threshold_result: what the calibrator's threshold does on the reported rows.
        split_result: what a threshold on recalibrated confidence does there, chosen on rows of its own.
        frontier: which risks can be guaranteed at which coverage, with thresholds on the raw confidence.
        source_frontiers: the same of each of several sources alone; empty if there is one.
        calibrator: the chosen recalibrator with the threshold, fitted.
        report_rows: (count,) which rows are reported on.
        confidence, recalibrated, correct: (report_count,) of these rows, for figures.
    """

    count: int
    fit_count: int
    threshold_count: int
    report_count: int
    before: Metrics
    sources: tuple[Metrics, ...]
    after: tuple[Metrics, ...]
    test_before: CalibrationTest
    test_after: CalibrationTest
    chosen: str
    groups: tuple[GroupMetrics, ...]
    threshold_result: ThresholdResult
    split_result: ThresholdResult
    frontier: tuple[FrontierPoint, ...]
    source_frontiers: tuple[tuple[FrontierPoint, ...], ...]
    calibrator: Calibrator
    report_rows: BoolArray
    confidence: Float64Array
    recalibrated: Float64Array
    correct: BoolArray

    def to_dict(self) -> dict[str, Any]:
        """Numbers as plain values, without the rows and the calibrator."""
        return {
            "count": self.count,
            "fit_count": self.fit_count,
            "threshold_count": self.threshold_count,
            "report_count": self.report_count,
            "before": self.before.to_dict(),
            "sources": [row.to_dict() for row in self.sources],
            "after": [row.to_dict() for row in self.after],
            "test_before": self.test_before.to_dict(),
            "test_after": self.test_after.to_dict(),
            "chosen": self.chosen,
            "cross_validation": {"scores": self.calibrator.scores_, "held_out": self.calibrator.held_out_},
            "groups": [group.to_dict() for group in self.groups],
            "threshold_result": self.threshold_result.to_dict(),
            "split_result": self.split_result.to_dict(),
            "frontier": [point.to_dict() for point in self.frontier],
            "source_frontiers": [[point.to_dict() for point in points] for points in self.source_frontiers],
        }


def calibration_report(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    risk: float = 0.1,
    delta: float = 0.05,
    split: tuple[float, float, float] = SPLIT,
    n_bins: int = 15,
    interval: float | Bootstrap = 0.95,
    source: str = "",
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> CalibrationReport:
    """Fit every recalibrator and a threshold on some of the rows, and measure all of it on the others.

    The rows are split in three. The calibrator uses the first two parts for both its recalibrator and its threshold where
    the recalibrator keeps the order of rows (see Calibrator); for comparison, another one fits on the first part and
    chooses its threshold on the second. The third part is held out.

    Args:
        confidence: (N,) in [0, 1], N >= 10, or (N, S) of S sources, which the calibrator combines.
        correct: (N,) booleans.
        groups: (N,) texts or numbers, to report on each group as well.
        risk, delta: of the threshold, in (0, 1) (see ConformalAbstention); a NoThresholdWarning is issued if no threshold
            guarantees the risk.
        split: shares of the rows for the fit, the threshold and the report, above 0.
        n_bins: number of bins of the calibration error, at least 1.
        interval: level in (0, 1) of the intervals, or Bootstrap.
        source: what the confidence is, kept in the calibrator; of several, their names in order, joined by "+".
        seed: of the split and the folds.
        progress: called with 1 after each of `N_STEPS` steps, and once more with groups.

    Raises:
        InvalidInput: an array or an option is unusable, or there are too few rows.
    """
    calibrator = Calibrator(risk, delta, source=source, seed=seed)
    calibrator.check_parameters()
    check_split(split, parts=3)
    check_count(n_bins, "n_bins")
    plan = as_bootstrap(interval)
    array = as_array(confidence, "confidence")
    columns = check_sources(array) if array.ndim == 2 else None
    raw, truth = check_pair(array if columns is None else columns[:, 0], correct)
    # What the calibrator takes: the confidence, or that of each source.
    inputs: Float64Array = raw.astype(np.float64) if columns is None else columns
    values = inputs
    names = None if groups is None else check_groups(groups, truth.size)
    fit, above, report = _parts(truth.size, split, seed)
    tick = progress or (lambda _done: None)
    used = fit | above
    calibrator.fit(inputs[used], truth[used])
    apart = Calibrator(risk, delta, recalibrator=calibrator.chosen_, seed=seed)
    with warnings.catch_warnings():
        # If it finds no threshold, the one above says so, or has found one.
        warnings.simplefilter("ignore", NoThresholdWarning)
        apart.fit(inputs[used], truth[used], threshold_rows=above[used])
    tick(1)
    candidates = used
    if columns is not None:
        # Thresholds are chosen on rows that the combination was not fitted to.
        values, candidates = calibrator.combine(inputs), above
    recalibrated = calibrator.transform(inputs[report])
    measured = []
    by_group: list[GroupMetrics] = []
    for name, scored in _recalibrated(values, truth, names, used, report):
        measured.append(measure(name, scored, truth[report], n_bins=n_bins, interval=plan))
        tick(1)
    if names is not None:
        by_group = _by_group(names[report], inputs[report], truth[report], calibrator, n_bins, plan)
    return CalibrationReport(
        count=truth.size,
        fit_count=calibrator.fit_count_,
        threshold_count=calibrator.rule_.count_,
        report_count=int(report.sum()),
        before=measured[0],
        sources=_alone(columns, source, truth, report, n_bins, plan),
        after=tuple(measured[1:]),
        test_before=calibration_test(values[report], truth[report], seed=seed),
        test_after=calibration_test(recalibrated, truth[report], seed=seed),
        chosen=calibrator.chosen_,
        groups=tuple(by_group),
        threshold_result=at_threshold(calibrator, inputs[report], truth[report], plan.level),
        split_result=at_threshold(apart, inputs[report], truth[report], plan.level),
        frontier=risk_frontier(apart.combine(inputs[candidates]), truth[candidates], delta=delta),
        # A single source is not fitted, so all rows that are not reported on may choose its thresholds.
        source_frontiers=()
        if columns is None
        else tuple(risk_frontier(source_values, truth[used], delta=delta) for source_values in columns[used].T),
        calibrator=calibrator,
        report_rows=report,
        confidence=values[report],
        recalibrated=recalibrated,
        correct=truth[report],
    )


N_STEPS = 1 + len(RECALIBRATORS)
"""Steps that `calibration_report` reports to `progress`, without groups."""


def measure(
    name: str, confidence: ArrayLike, correct: ArrayLike, *, n_bins: int = 15, interval: float | Bootstrap = 0.95
) -> Metrics:
    """Compute all metrics of one confidence.

    Args:
        name: of the confidence.
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins of the calibration error, at least 1.
        interval: level in (0, 1) of the intervals, or Bootstrap.

    Raises:
        InvalidInput: an argument is unusable.
    """
    plan = as_bootstrap(interval)
    values, truth = check_pair(confidence, correct)
    both = truth.any() and not truth.all()
    return Metrics(
        name=name,
        count=values.size,
        accuracy=proportion(int(truth.sum()), truth.size, plan.level),
        mean_confidence=float(values.mean()),
        ece=expected_calibration_error(values, truth, n_bins=n_bins, interval=plan),
        smooth_ece=smooth_calibration_error(values, truth, interval=plan),
        brier=brier_score(values, truth, interval=plan),
        nll=negative_log_likelihood(values, truth),
        auroc=auroc(values, truth, interval=plan) if both else None,
        aurc=aurc(values, truth),
    )


def _alone(
    columns: Float64Array | None, source: str, correct: BoolArray, report: BoolArray, n_bins: int, plan: Bootstrap
) -> tuple[Metrics, ...]:
    """The metrics of each of several sources on the reported rows."""
    if columns is None:
        return ()
    names = source.split("+")
    if len(names) != columns.shape[1]:
        names = [f"source {s + 1}" for s in range(columns.shape[1])]
    return tuple(
        measure(name, columns[report, s], correct[report], n_bins=n_bins, interval=plan) for s, name in enumerate(names)
    )


def _parts(size: int, split: tuple[float, float, float], seed: int) -> list[BoolArray]:
    if size < 10:
        raise InvalidInput(f"{size} rows are too few to fit, to choose a threshold and to report; pass at least 10")
    parts = split_rows(size, split, seed=seed)
    for part, least, purpose in zip(parts, (2, 1, 1), ("fit", "choose a threshold on", "report on"), strict=True):
        if part.sum() < least:
            raise InvalidInput(
                f"split {split} leaves {int(part.sum())} of {size} rows to {purpose}; pass larger shares or more rows"
            )
    return parts


def _recalibrated(
    confidence: Float64Array,
    correct: BoolArray,
    names: NDArray[np.object_] | None,
    fit: BoolArray,
    report: BoolArray,
) -> Iterator[tuple[str, Float64Array]]:
    """The raw confidence of the reported rows, and that of every recalibrator fitted on the rows `fit`."""
    yield "raw", confidence[report]
    for name in RECALIBRATORS:
        if name != "identity":
            yield name, make_recalibrator(name).fit(confidence[fit], correct[fit]).predict(confidence[report])
    if names is not None:
        grouped = GroupedRecalibrator().fit(confidence[fit], correct[fit], names[fit])
        yield "platt by group", grouped.transform(confidence[report], names[report])


def _by_group(
    names: NDArray[np.object_],
    confidence: Float64Array,
    correct: BoolArray,
    calibrator: Calibrator,
    n_bins: int,
    plan: Bootstrap,
) -> list[GroupMetrics]:
    """The metrics of each group, in the order of their names."""
    measured = []
    for group in distinct_groups(names):
        inputs, truth = confidence[names == group], correct[names == group]
        label = str(group)
        both = calibrator.combine(inputs), calibrator.transform(inputs)
        before, after = (measure(label, values, truth, n_bins=n_bins, interval=plan) for values in both)
        measured.append(GroupMetrics(label, before, after, at_threshold(calibrator, inputs, truth, plan.level)))
    return measured
