"""Figures of calibration and of selective prediction, on matplotlib.

Each takes `confidence` (N,) in [0, 1] and `correct` (N,) boolean and returns a `matplotlib.figure.Figure` that belongs to
the caller: no global state is touched, and `figure.savefig(path)` writes it. Not here: the page that holds them (report.py).
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from calibration.arrays import check_confidence, check_fraction, check_pair
from calibration.binning import Strategy
from calibration.bounds import binomial_interval
from calibration.calibration_error import expected_calibration_error, reliability_curve
from calibration.errors import InvalidInput
from calibration.selective import risk_coverage_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reliability_diagram", "risk_coverage_diagram"]

# Blue for what is measured, vermilion for the shortfall, grey for what is ideal: told apart by the colour-blind as well
# (Okabe & Ito), and in print.
_MEASURED, _GAP, _IDEAL, _OTHER = "#0072B2", "#D55E00", "#7a7a7a", "#009E73"


def reliability_diagram(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    interval: float = 0.95,
    title: str = "",
) -> "Figure":
    """Accuracy against confidence by bins, with exact binomial intervals, over a histogram of the confidences.

    On the diagonal confidence equals accuracy; the line from a point to it is the bin's part in the calibration error. The
    histogram's bars are the shares of items, and two lines in it mark mean confidence and accuracy.

    interval: level of each bin's interval.  title: above the diagram.
    """
    from matplotlib.figure import Figure

    check_fraction(interval, "interval")
    values, truth = check_pair(confidence, correct)
    curve = reliability_curve(values, truth, n_bins=n_bins, strategy=strategy, interval=interval)
    error = float(expected_calibration_error(values, truth, n_bins=n_bins, strategy=strategy))
    figure = Figure(figsize=(4.6, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    above.plot([0, 1], [0, 1], color=_IDEAL, linestyle="--", linewidth=1, label="calibrated")
    above.vlines(curve.confidence, curve.confidence, curve.accuracy, color=_GAP, linewidth=4, alpha=0.35, label="gap")
    above.errorbar(
        curve.confidence,
        curve.accuracy,
        # Rounding must not turn the length of a bar below zero.
        yerr=np.maximum([curve.accuracy - curve.low, curve.high - curve.accuracy], 0),
        color=_MEASURED,
        fmt="o",
        markersize=4.5,
        elinewidth=1,
        capsize=2.5,
        label=f"accuracy, {interval:.0%} interval",
    )
    above.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="accuracy")
    above.set_title(title, fontsize=11, fontweight="bold", loc="left", pad=20)
    above.text(
        0.97, 0.04, f"ECE {error:.3f}\nn = {values.size:,}", transform=above.transAxes, ha="right", va="bottom", fontsize=9
    )
    # Intervals of small bins reach anywhere inside.
    above.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8, borderaxespad=0.1)
    below.bar(
        curve.lower, curve.weight / values.size, curve.upper - curve.lower, align="edge",
        color=_MEASURED, alpha=0.35, edgecolor=_MEASURED, linewidth=0.6,
    )  # fmt: skip
    below.axvline(float(values.mean()), color=_MEASURED, linewidth=1.4, label="mean confidence")
    below.axvline(float(truth.mean()), color=_GAP, linewidth=1.4, linestyle=":", label="accuracy")
    below.set(xlabel="confidence", ylabel="share of items")
    # Above the bars, wherever those are tall.
    below.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, borderaxespad=0.1)
    for axes in (above, below):
        _plain(axes)
    return figure


def risk_coverage_diagram(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    threshold: float | None = None,
    risk: float | None = None,
    interval: float = 0.95,
    title: str = "",
) -> "Figure":
    """Error rate among answered items against the share answered, most confident first.

    Around the curve lies the exact binomial interval at each coverage by itself. Best is the ranking that answers all right
    items first, random the one that confidence does not inform.

    threshold: answers at and above it, marked on the curve.  risk: the rate promised, a horizontal line.
    """
    from matplotlib.figure import Figure

    check_fraction(interval, "interval")
    values, truth = check_pair(confidence, correct)
    curve = risk_coverage_curve(values, truth)
    answered = np.round(curve.coverage * values.size)
    wrong = np.round(curve.risk * answered)
    low, high = binomial_interval(wrong, answered, level=interval)
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(curve.coverage, low, high, color=_MEASURED, alpha=0.15, linewidth=0, label=f"{interval:.0%} interval")
    axes.plot(curve.coverage, curve.risk, color=_MEASURED, linewidth=1.6, label="by confidence")
    base = float(1 - truth.mean())
    coverage = np.linspace(0.001, 1, 200)
    axes.plot(coverage, np.maximum(0, 1 - (1 - base) / coverage), color=_OTHER, linewidth=1, linestyle="-.", label="best")
    axes.axhline(base, color=_IDEAL, linewidth=1, linestyle="--", label="random")
    if risk is not None:
        axes.axhline(risk, color=_GAP, linewidth=1, linestyle=":", label=f"risk promised, {risk:g}")
    if threshold is not None and np.isfinite(threshold):
        given = check_confidence([threshold], name="threshold")[0] <= values
        if given.any():
            point = (float(given.mean()), float(1 - truth[given].mean()))
            axes.plot(*point, "o", color=_GAP, markersize=6, label=f"threshold {threshold:.3g}")
    elif threshold is not None and np.isnan(threshold):
        raise InvalidInput("threshold is nan; pass a confidence, or None to mark none")
    # Few items at the left end have wide intervals; they must not flatten the rest.
    top = max(1.25 * base, 1.3 * float(curve.risk[curve.coverage >= 0.1].max()), (risk or 0) * 1.3, 0.05)
    axes.set(
        xlim=(0, 1), ylim=(0, min(1.02, top)), xlabel="coverage (share answered)", ylabel="risk (share of answers wrong)"
    )
    axes.set_title(title, fontsize=11, fontweight="bold", loc="left")
    axes.legend(loc="upper left", frameon=False, fontsize=8.5, ncols=2)
    _plain(axes)
    return figure


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
