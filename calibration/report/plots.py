"""Figures of calibration and of selective prediction, with matplotlib.

Each function returns a `matplotlib.figure.Figure` that belongs to the caller: no global state is touched, and
`figure.savefig(path)` writes it. Not covered: the page that holds the figures (page.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibration.arrays import check_confidence, check_fraction, check_number, check_pair
from calibration.binning import Strategy
from calibration.bounds import binomial_interval
from calibration.calibration_error import expected_calibration_error
from calibration.corp import corp_curve
from calibration.errors import InvalidInput, needs_extra
from calibration.estimate import Bootstrap, percent
from calibration.reliability import ReliabilityCurve, reliability_curve
from calibration.selective import RiskCoverageCurve, risk_coverage_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reliability_diagram", "risk_coverage_diagram"]

_Shown = Callable[[ArrayLike], NDArray[np.float64]]
# Points of a curve in a figure.
_POINTS = 300

# Blue for measurements, vermilion for gaps, gray for the ideal: colors of Okabe & Ito, which color-blind readers can
# distinguish, also in print.
_MEASURED, _GAP, _IDEAL, _OTHER = "#0072B2", "#D55E00", "#7a7a7a", "#009E73"


def reliability_diagram(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "equal-width",
    scale: Literal["linear", "logit"] = "linear",
    interval: float = 0.95,
    title: str = "",
) -> Figure:
    """Plot accuracy against confidence by bins, with exact binomial intervals, over a histogram of the confidences.

    On the diagonal confidence equals accuracy; the line from a point to it is the bin's contribution to the calibration
    error. The stepped line is the isotonic fit (`corp_curve`), which needs no bins, and the gray area where it would lie for
    a calibrated model. The histogram's bars are the shares of items, and two lines in it mark mean confidence and accuracy.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        n_bins: number of bins, at least 1.
        strategy: "equal-width" or "equal-mass".
        scale: of both axes; "logit" spreads confidences that crowd near 0 or 1, and has no room for 0 and 1 themselves:
            these are drawn at its ends.
        interval: level in (0, 1) of each bin's interval and of the gray area.
        title: above the diagram.

    Raises:
        InvalidInput: an argument is unusable.
    """
    with needs_extra("plots"):
        from matplotlib.figure import Figure

    check_fraction(interval, "interval")
    if scale not in ("linear", "logit"):
        raise InvalidInput(f"scale is {scale!r}; pass 'linear' or 'logit'")
    values, truth = check_pair(confidence, correct)
    curve = reliability_curve(values, truth, n_bins=n_bins, strategy=strategy, interval=interval)
    error = float(expected_calibration_error(values, truth, n_bins=n_bins, strategy=strategy))
    figure = Figure(figsize=(4.6, 5.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    # On a logit scale 0 and 1 are infinitely far away.
    margin = 0.0 if scale == "linear" else max(1e-4, 0.5 / values.size)

    def shown(numbers: ArrayLike) -> NDArray[np.float64]:
        return np.clip(np.asarray(numbers, dtype=np.float64), margin, 1 - margin)

    _isotonic(top, values, truth, interval, shown)
    diagonal = shown(np.concatenate([np.geomspace(1e-4, 0.5, 60), 1 - np.geomspace(0.5, 1e-4, 60)]))
    top.plot([0, 1] if scale == "linear" else diagonal, [0, 1] if scale == "linear" else diagonal, color=_IDEAL,
             linestyle="--", linewidth=1)  # fmt: skip
    middle, accuracy, low, high = map(shown, (curve.confidence, curve.accuracy, curve.low, curve.high))
    top.vlines(middle, middle, accuracy, color=_GAP, linewidth=4, alpha=0.35, label="gap")
    top.errorbar(
        middle,
        accuracy,
        # Rounding must not turn the length of a bar below zero.
        yerr=np.maximum([accuracy - low, high - accuracy], 0),
        color=_MEASURED,
        fmt="o",
        markersize=4.5,
        elinewidth=1,
        capsize=2.5,
        label=f"accuracy, {percent(interval)} interval",
    )
    top.set(ylabel="accuracy")
    if scale == "linear":
        top.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    else:
        _logit_axes(top, bottom, margin, float(shown(values.min())))
    top.set_title(title, fontsize=11, fontweight="bold", loc="left", pad=32)
    of_bins = "" if strategy == "equal-width" else f" ({strategy} bins)"
    note = f"ECE{of_bins} {error:.3f}\nn = {values.size:,}"
    top.text(0.97, 0.04, note, transform=top.transAxes, ha="right", va="bottom", fontsize=9)
    # The intervals of small bins may cover any place inside the axes.
    top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, borderaxespad=0.1)
    _histogram(bottom, curve, values, truth, shown)
    for axes in (top, bottom):
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
) -> Figure:
    """Plot the error rate among answered items against the share answered, most confident first.

    Around the curve is the exact binomial interval at each coverage separately. "best" is the ranking with all right items
    first, "random" a ranking that ignores confidence.

    Args:
        confidence: (N,) in [0, 1].
        correct: (N,) booleans.
        threshold: a confidence in [0, 1] to mark on the curve; None or infinity marks none.
        risk: the guaranteed error rate, a horizontal line; None draws none.
        interval: level in (0, 1).
        title: above the diagram.

    Raises:
        InvalidInput: an argument is unusable.
    """
    with needs_extra("plots"):
        from matplotlib.figure import Figure

    check_fraction(interval, "interval")
    if risk is not None:
        check_number(risk, "risk", least=0, most=1)
    if threshold is not None:
        check_number(threshold, "threshold", least=0)
    values, truth = check_pair(confidence, correct)
    curve = _thinned(risk_coverage_curve(values, truth))
    answered = np.round(curve.coverage * values.size)
    wrong = np.round(curve.risk * answered)
    low, high = binomial_interval(wrong, answered, level=interval)
    figure = Figure(figsize=(5.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(
        curve.coverage, low, high, color=_MEASURED, alpha=0.15, linewidth=0, label=f"{percent(interval)} interval"
    )
    axes.plot(curve.coverage, curve.risk, color=_MEASURED, linewidth=1.6, label="by confidence")
    base = float(1 - truth.mean())
    coverage = np.linspace(0.001, 1, 200)
    axes.plot(coverage, np.maximum(0, 1 - (1 - base) / coverage), color=_OTHER, linewidth=1, linestyle="-.", label="best")
    axes.axhline(base, color=_IDEAL, linewidth=1, linestyle="--", label="random")
    _mark_guarantee(axes, values, truth, threshold, risk)
    # The few items at the left end have wide intervals, which must not flatten the rest of the curve.
    highest = max(1.25 * base, 1.3 * float(curve.risk[curve.coverage >= 0.1].max()), (risk or 0) * 1.3, 0.05)
    axes.set(
        xlim=(0, 1), ylim=(0, min(1.02, highest)), xlabel="coverage (share answered)", ylabel="risk (share of answers wrong)"
    )
    axes.set_title(title, fontsize=11, fontweight="bold", loc="left")
    axes.legend(loc="upper left", frameon=False, fontsize=8.5, ncols=2)
    _plain(axes)
    return figure


def _isotonic(
    axes: Axes, confidence: NDArray[np.floating], correct: NDArray[np.bool_], interval: float, shown: _Shown
) -> None:
    curve = corp_curve(confidence, correct, band=Bootstrap(interval, n_resamples=200))
    rows = _spread(curve.confidence.size)
    x = shown(curve.confidence[rows])
    axes.fill_between(x, shown(curve.low[rows]), shown(curve.high[rows]), color=_IDEAL, alpha=0.25, linewidth=0,
                      label=f"calibrated, {percent(interval)}")  # fmt: skip
    # The corners of the fit are where it rises.
    jumps = np.flatnonzero(np.diff(curve.accuracy) > 0)
    corners = np.unique(np.concatenate([[0, curve.accuracy.size - 1], jumps, jumps + 1]))
    axes.plot(shown(curve.confidence[corners]), shown(curve.accuracy[corners]), color=_OTHER, linewidth=1.2,
              label="isotonic fit")  # fmt: skip


def _logit_axes(top: Axes, bottom: Axes, margin: float, lowest: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low = min(lowest, 0.5)
    ends = (max(margin / 1.5, low / 1.5), 1 - margin / 1.5)
    ticks = [tick for tick in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999) if ends[0] <= tick <= ends[1]]
    for axes in (top, bottom):
        axes.set_xscale("logit")
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        axes.set_xlim(*ends)
    top.set_yscale("logit")
    top.yaxis.set_major_locator(FixedLocator([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]))
    top.yaxis.set_minor_locator(NullLocator())
    top.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    top.set_ylim(margin / 1.5, 1 - margin / 1.5)


def _histogram(
    axes: Axes,
    curve: ReliabilityCurve,
    confidence: NDArray[np.floating],
    correct: NDArray[np.bool_],
    shown: _Shown,
) -> None:
    left, right = shown(curve.lower), shown(curve.upper)
    axes.bar(
        left, curve.weight / confidence.size, right - left, align="edge",
        color=_MEASURED, alpha=0.35, edgecolor=_MEASURED, linewidth=0.6,
    )  # fmt: skip
    axes.axvline(float(shown(confidence.mean())), color=_MEASURED, linewidth=1.4, label="mean confidence")
    axes.axvline(float(shown(correct.mean())), color=_GAP, linewidth=1.4, linestyle=":", label="accuracy")
    axes.set(xlabel="confidence", ylabel="share of items")
    # Above the axes, where no bar can cover it.
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, borderaxespad=0.1)


def _thinned(curve: RiskCoverageCurve) -> RiskCoverageCurve:
    rows = _spread(curve.coverage.size)
    return RiskCoverageCurve(curve.threshold[rows], curve.coverage[rows], curve.risk[rows])


def _spread(size: int) -> NDArray[np.intp]:
    """At most some 600 of `size` rows, close together at the first ones: more would not be visible, and take megabytes."""
    if size <= _POINTS:
        return np.arange(size)
    rows = np.concatenate([np.linspace(0, size - 1, _POINTS), np.geomspace(1, size, _POINTS // 2) - 1])
    return np.unique(rows.round().astype(np.intp))


def _mark_guarantee(
    axes: Axes,
    confidence: NDArray[np.floating],
    correct: NDArray[np.bool_],
    threshold: float | None,
    risk: float | None,
) -> None:
    if risk is not None:
        axes.axhline(risk, color=_GAP, linewidth=1, linestyle=":", label=f"guaranteed risk, {percent(risk)}")
    if threshold is not None and np.isfinite(threshold):
        above = check_confidence([threshold], name="threshold")[0] <= confidence
        if above.any():
            point = (float(above.mean()), float(1 - correct[above].mean()))
            axes.plot(*point, "o", color=_GAP, markersize=6, label=f"threshold {threshold:.3g}")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
