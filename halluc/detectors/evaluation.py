"""Evaluate detectors on labeled answers: a table of their quality and cost, and a scatter plot of it.

Calibration, ensemble and probes are fitted on one part of the answers; everything is reported on the held-out part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from halluc.detectors.collect import Cost
from halluc.detectors.detect import Detection
from halluc.detectors.ensemble import Ensemble
from halluc.detectors.internal_state import Probe, semantic_entropy_threshold
from halluc.detectors.score_calibration import ScoreCalibration, checked_labels
from halluc.detectors.statistics import FloatArray
from halluc.errors import InvalidInput, needs_extra
from halluc.files import check_output_path
from retrieval.records import Record

if TYPE_CHECKING:
    from calibration.estimate import Estimate

__all__ = [
    "DetectorEvaluation",
    "DetectorQuality",
    "check_enough_rows",
    "check_plot_path",
    "evaluate_detectors",
    "plot_quality_against_cost",
]

BoolArray = NDArray[np.bool_]

_PLOT_FORMATS = (".png", ".svg", ".pdf")
# Wrong answers, and right ones, that each part of the rows must have.
_MIN_PER_KIND = 5


@dataclass(frozen=True)
class DetectorQuality(Record):
    """The quality and cost of one detector on n answers.

    Attributes:
        detector, family: its name and family.
        auroc: probability that a wrong answer scores higher than a right one, with its 95 % interval.
        auprc: average precision of finding wrong answers.
        prr: prediction rejection ratio, with its 95 % interval.
        ece: expected calibration error of the calibrated probability of being wrong, in 15 bins of equal width.
        seconds, tokens: cost per answer if this detector ran alone: wall time, and tokens the language model reads and
            writes.
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


@dataclass(frozen=True)
class DetectorEvaluation:
    """A table of detectors, best AUROC first.

    Attributes:
        rows: one per detector; the fitted ensemble and probes are included.
        n, n_wrong: number of held-out answers, and of wrong ones among them.
        n_fit: number of answers that calibration, ensemble and probes were fitted on.
        ensemble: the fitted ensemble.
        calibrations: per detector, the fitted map to a probability of being wrong; the scores of probes are probabilities.
        skipped: per detector that could not run, the reason.
        seconds: wall time per answer of all detectors together.
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
    """Evaluate every detector that ran, an ensemble of them, and the probes for which the statistics suffice.

    The probes are of the answer being wrong, from hidden states and from lookback ratios, and of high semantic entropy.

    Args:
        detection: scores of N answers.
        wrong: (N,) booleans.
        fit_share: share of the answers that calibration, ensemble and probes are fitted on, in (0, 1).
        seed: of the split, which preserves the share of wrong answers.

    Raises:
        InvalidInput: the labels do not match the answers, or either part has fewer than 5 wrong or right ones.
    """
    n = len(detection.statistics)
    labels = checked_labels(wrong, n)
    fit, held_out = _split(labels, fit_share, seed)
    scores: dict[str, FloatArray] = {name: values for name, values in detection.items() if np.isfinite(values[fit]).any()}
    ensemble = Ensemble.fit({name: values[fit] for name, values in scores.items()}, labels[fit], seed=seed)
    scores["ensemble"] = ensemble.probability(scores)
    families = {detector.name: detector.family.value for detector in detection.detectors} | {"ensemble": "learned"}
    costs = detection.costs | {"ensemble": detection.total}
    calibrations = {name: ScoreCalibration.fit(name, values[fit], labels[fit]) for name, values in scores.items()}
    rows = []
    for name, values in scores.items():
        known = np.isfinite(values)
        rows.append(
            _quality(
                name,
                families[name],
                np.where(known, values, np.nanmedian(values[fit]))[held_out],
                calibrations[name].probability(values[held_out]),
                labels[held_out],
                costs[name].per_answer(n),
                float(np.mean(~known[held_out])),
            )
        )
    answer_cost = detection.answer_cost.per_answer(n)
    for probe in _fitted_probes(detection, labels, fit, seed):
        probability = probe.score(detection.statistics.rows(held_out))
        rows.append(
            _quality(probe.name, "internal state", probability, probability, labels[held_out], answer_cost, missing=0.0)
        )
    return DetectorEvaluation(
        rows=tuple(sorted(rows, key=lambda row: -row.auroc)),
        n=int(held_out.sum()),
        n_wrong=int(labels[held_out].sum()),
        n_fit=int(fit.sum()),
        ensemble=ensemble,
        calibrations=calibrations,
        skipped=detection.skipped,
        seconds=detection.total.seconds / n,
    )


def check_enough_rows(n: int, wrong: Sequence[bool] | None = None) -> None:
    """Check, before the work, that N rows can suffice for `evaluate_detectors`.

    Args:
        n: number of rows.
        wrong: (N,) whether each answer is wrong, if that is known beforehand.

    Raises:
        InvalidInput: there are too few rows, or too few wrong or right answers.
    """
    if n < 4 * _MIN_PER_KIND:
        raise InvalidInput(f"there are {n} rows; an evaluation needs at least {4 * _MIN_PER_KIND}")
    if wrong is not None:
        _split(checked_labels(wrong, n), 0.5, 0)


def check_plot_path(out: str | Path) -> None:
    """Check, before the work, that `plot_quality_against_cost` can write a file.

    Raises:
        InvalidInput: the path cannot be written, or its suffix names no format.
    """
    if Path(out).suffix.lower() not in _PLOT_FORMATS:
        raise InvalidInput(f"{out} names no format of a plot; name a file that ends in {', '.join(_PLOT_FORMATS)}")
    check_output_path(out)
    with needs_extra("plots"):
        import matplotlib.figure  # noqa: F401


def plot_quality_against_cost(rows: Sequence[DetectorQuality], out: str | Path, *, title: str = "") -> None:
    """Write a scatter plot of AUROC against seconds per answer (logarithmic), with one color per family.

    Args:
        rows: the detectors.
        out: a .png, .svg or .pdf file.
        title: title of the plot.

    Raises:
        InvalidInput: the path cannot be written, or its suffix names no format.
    """
    check_plot_path(out)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    families = sorted({row.family for row in rows})
    for number, family in enumerate(families):
        members = [row for row in rows if row.family == family]
        seconds, auroc = [row.seconds for row in members], [float(row.auroc) for row in members]
        axes.scatter(seconds, auroc, label=family, color=f"C{number}", zorder=3)
    _label(axes, rows, families)
    axes.axhline(0.5, color="0.6", linewidth=0.8, linestyle="--", zorder=1)
    axes.set_xscale("log")
    axes.set_xlabel("seconds per answer, detector alone")
    axes.set_ylabel("AUROC of finding wrong answers")
    axes.set_title(title)
    axes.grid(True, which="major", color="0.92", zorder=0)
    # Room for the names to the right of the most expensive detector.
    axes.set_xlim(right=axes.get_xlim()[1] * 1.6)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    try:
        figure.savefig(out, dpi=150)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror or error}") from error


def _label(axes: Any, rows: Sequence[DetectorQuality], families: Sequence[str]) -> None:
    """Write the names beside the points, in one column per cost, spread vertically so that they do not overlap."""
    columns: dict[int, list[DetectorQuality]] = {}
    for row in rows:
        columns.setdefault(round(np.log10(max(row.seconds, 1e-9)) * 6), []).append(row)
    aurocs = [float(row.auroc) for row in rows]
    line_height = max(max(aurocs) - min(aurocs), 0.05) / 38
    for column in columns.values():
        height = -np.inf
        for row in sorted(column, key=lambda row: float(row.auroc)):
            height = max(float(row.auroc), height + line_height)
            axes.annotate(
                row.detector.replace("_", " "),
                (row.seconds, float(row.auroc)),
                (row.seconds * 1.04, height),
                fontsize=6,
                va="center",
                color=f"C{families.index(row.family)}",
            )


def _fitted_probes(detection: Detection, wrong: BoolArray, fit: BoolArray, seed: int) -> list[Probe]:
    statistics = detection.statistics.rows(fit)
    # A probe's file names its model; these probes are measured and discarded.
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
    cost: Cost,
    missing: float,
) -> DetectorQuality:
    from scipy.stats import rankdata

    from calibration import auprc, auroc, expected_calibration_error, prediction_rejection_ratio

    # Scores have any unit, and these measures depend on their order alone.
    rank = rankdata(scores) / scores.size
    return DetectorQuality(
        detector=name,
        family=family,
        auroc=auroc(rank, wrong, interval=0.95),
        auprc=float(auprc(rank, wrong)),
        prr=prediction_rejection_ratio(1 - rank, ~wrong, interval=0.95),
        ece=float(expected_calibration_error(probability, wrong, n_bins=15)),
        seconds=cost.seconds,
        tokens=cost.tokens,
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
        if min(count, rows.size - count) < _MIN_PER_KIND:
            raise InvalidInput(
                f"{rows.size} of {labels.size} answers are {'wrong' if kind else 'right'}; each part needs at least 5: "
                "pass more rows"
            )
        fit[rows[:count]] = True
    return fit, ~fit
