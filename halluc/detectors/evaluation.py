"""How good are detectors, and what do they cost? A table on labelled answers, and a scatter plot of it.

Whatever is learned (calibration, ensemble) is learned on one half of the rows and everything is reported on the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halluc.detectors.detect import Detection
from halluc.detectors.ensemble import Ensemble
from halluc.detectors.internal_state import Probe, semantic_entropy_threshold
from halluc.detectors.score_calibration import ScoreCalibration, checked_labels
from halluc.detectors.statistics import FloatArray
from halluc.errors import InvalidInput

if TYPE_CHECKING:
    from calibration.estimate import Estimate

__all__ = ["DetectorEvaluation", "DetectorQuality", "evaluate_detectors", "plot_quality_against_cost"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class DetectorQuality:
    """One detector on n answers.

    Attributes:
        detector, family: which.
        auroc: chance that a wrong answer scores higher than a right one, with its 95 % interval.
        auprc: average precision of finding wrong answers.
        prr: prediction rejection ratio, with its 95 % interval.
        ece: expected calibration error of the calibrated probability of being wrong, in 15 bins of equal width.
        seconds, tokens: cost per answer, of this detector alone: wall seconds, and tokens the language model read and wrote.
        missing: share of answers without a score; they count as the median.
    """

    detector: str
    family: str
    auroc: Estimate
    auprc: float
    prr: Estimate
    ece: float
    seconds: float
    tokens: float
    missing: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, "auroc": self.auroc.to_dict(), "prr": self.prr.to_dict()}


@dataclass(frozen=True)
class DetectorEvaluation:
    """A table of detectors, best AUROC first.

    Attributes:
        rows: one a detector; the ensemble and probes fitted on the way are among them.
        n, n_wrong: answers reported on, and wrong ones among them.
        n_fit: answers that calibration and ensemble were fitted on.
        ensemble: the fitted ensemble.
        calibrations: per detector, the fitted map to a probability of being wrong; probes give one themselves.
        skipped: a reason per detector that could not run.
        seconds: per answer, of all detectors together.
    """

    rows: tuple[DetectorQuality, ...]
    n: int
    n_wrong: int
    n_fit: int
    ensemble: Ensemble
    calibrations: dict[str, ScoreCalibration]
    skipped: dict[str, str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "n": self.n,
            "n_wrong": self.n_wrong,
            "n_fit": self.n_fit,
            "seconds_per_answer": self.seconds,
            "detectors": [row.to_dict() for row in self.rows],
            "shares": self.ensemble.shares,
            "skipped": self.skipped,
        }


def evaluate_detectors(
    detection: Detection, wrong: ArrayLike, *, fit_share: float = 0.5, seed: int = 0
) -> DetectorEvaluation:
    """Measure every detector that ran, an ensemble of them, and probes where the statistics hold what they read.

    Probes are of the answer being wrong, on hidden states and on lookback ratios, and of high semantic entropy.

    Args:
        detection: scores of N answers.
        wrong: (N,) booleans.
        fit_share: share of the answers that calibration and ensemble are fitted on; the rest is reported on.
        seed: of the split, which keeps the share of wrong answers.

    Raises:
        InvalidInput: labels do not go with the answers, or either part has fewer than 5 wrong or right ones.
    """
    n = len(detection.statistics)
    labels = checked_labels(wrong, n)
    fit, report = _split(labels, fit_share, seed)
    scores: dict[str, FloatArray] = {name: values for name, values in detection.items() if np.isfinite(values[fit]).any()}
    ensemble = Ensemble.fit({name: values[fit] for name, values in scores.items()}, labels[fit], seed=seed)
    families = {detector.name: detector.family.value for detector in detection.detectors}
    costs = {name: (cost.seconds / n, cost.tokens / n) for name, cost in detection.costs.items()}
    scores["ensemble"] = ensemble.probability(scores)
    families["ensemble"] = "learned"
    costs["ensemble"] = (detection.total.seconds / n, detection.total.tokens / n)
    calibrations, rows = {}, []
    for name, values in scores.items():
        calibrations[name] = ScoreCalibration.fit(name, values[fit], labels[fit])
        median = np.nanmedian(values[fit])
        rows.append(
            _quality(
                name,
                families[name],
                np.where(np.isfinite(values[report]), values[report], median),
                calibrations[name].probability(values[report]),
                labels[report],
                costs[name],
                float(np.mean(~np.isfinite(values[report]))),
            )
        )
    answered = (detection.answer_cost.seconds / n, detection.answer_cost.tokens / n)
    for probe in _probes(detection, labels, fit, seed):
        found = probe.score(detection.statistics.rows(report))
        rows.append(_quality(probe.name, "internal state", found, found, labels[report], answered, 0.0))
    rows.sort(key=lambda row: -row.auroc)
    return DetectorEvaluation(
        tuple(rows),
        int(report.sum()),
        int(labels[report].sum()),
        int(fit.sum()),
        ensemble,
        calibrations,
        detection.skipped,
        detection.total.seconds / n,
    )


def plot_quality_against_cost(rows: Sequence[DetectorQuality], path: str | Path, *, title: str = "") -> None:
    """A scatter plot of AUROC against seconds per answer (logarithmic), a colour a family, as PNG, SVG or PDF.

    Raises:
        InvalidInput: the path cannot be written, or its ending names no format.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    families = list(dict.fromkeys(sorted(row.family for row in rows)))
    for number, family in enumerate(families):
        own = [row for row in rows if row.family == family]
        seconds, auroc = [row.seconds for row in own], [float(row.auroc) for row in own]
        axes.scatter(seconds, auroc, label=family, color=f"C{number}", zorder=3)
    _label(axes, rows, families)
    axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle="--", zorder=1)
    axes.set_xscale("log")
    axes.set_xlabel("seconds per answer, detector alone")
    axes.set_ylabel("AUROC of finding wrong answers")
    axes.set_title(title)
    axes.grid(True, which="major", color="0.92", zorder=0)
    # Room for the names right of the dearest.
    axes.set_xlim(right=axes.get_xlim()[1] * 1.6)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be written: {error}; name a file that ends in .png, .svg or .pdf") from error


def _label(axes: Any, rows: Sequence[DetectorQuality], families: Sequence[str]) -> None:
    """Names beside the points, in a column per cost, moved apart so that none covers another."""
    columns: dict[int, list[DetectorQuality]] = {}
    for row in rows:
        columns.setdefault(round(np.log10(max(row.seconds, 1e-9)) * 6), []).append(row)
    aurocs = [float(row.auroc) for row in rows]
    gap = max(max(aurocs) - min(aurocs), 0.05) / 38
    for own in columns.values():
        at = -np.inf
        for row in sorted(own, key=lambda row: float(row.auroc)):
            at = max(float(row.auroc), at + gap)
            axes.annotate(
                row.detector.replace("_", " "),
                (row.seconds, float(row.auroc)),
                (row.seconds * 1.04, at),
                fontsize=6,
                va="center",
                color=f"C{families.index(row.family)}",
            )


def _probes(detection: Detection, wrong: BoolArray, fit: BoolArray, seed: int) -> list[Probe]:
    statistics = detection.statistics.rows(fit)
    # The model's name goes into a probe's file; these are measured and let go.
    probes = []
    if statistics.hidden_state.size:
        probes.append(Probe.fit(statistics, wrong[fit], model="", seed=seed))
        if "semantic_entropy" in detection:
            entropy = detection["semantic_entropy"][fit]
            high = entropy >= semantic_entropy_threshold(entropy) if np.ptp(entropy) else np.zeros(entropy.size, bool)
            if 5 <= high.sum() <= high.size - 5:
                probes.append(Probe.fit(statistics, high, model="", name="semantic_entropy_probe", seed=seed))
    if statistics.lookback and statistics.lookback[0].size:
        probes.append(Probe.fit(statistics, wrong[fit], model="", feature="lookback", seed=seed))
    return probes


def _quality(
    name: str,
    family: str,
    scores: FloatArray,
    probability: FloatArray,
    wrong: BoolArray,
    cost: tuple[float, float],
    missing: float,
) -> DetectorQuality:
    from scipy.stats import rankdata

    from calibration import auprc, auroc, expected_calibration_error, prediction_rejection_ratio

    # Ranks stand in for scores of any unit: these measures read nothing but the order.
    rank = rankdata(scores) / scores.size
    return DetectorQuality(
        detector=name,
        family=family,
        auroc=auroc(rank, wrong, interval=0.95),
        auprc=float(auprc(rank, wrong)),
        prr=prediction_rejection_ratio(1 - rank, ~wrong, interval=0.95),
        ece=float(expected_calibration_error(probability, wrong, n_bins=15)),
        seconds=cost[0],
        tokens=cost[1],
        missing=missing,
    )


def _split(labels: BoolArray, fit_share: float, seed: int) -> tuple[BoolArray, BoolArray]:
    if not 0 < fit_share < 1:
        raise InvalidInput(f"fit_share is {fit_share}; pass a share between 0 and 1")
    fit = np.zeros(labels.size, dtype=bool)
    rng = np.random.default_rng(seed)
    for kind in (True, False):
        rows = rng.permutation(np.flatnonzero(labels == kind))
        count = round(rows.size * fit_share)
        if min(count, rows.size - count) < 5:
            raise InvalidInput(
                f"{rows.size} of {labels.size} answers are {'wrong' if kind else 'right'}; either half needs at least 5: "
                "pass more rows"
            )
        fit[rows[:count]] = True
    return fit, ~fit
