"""A calibration report as one self-contained HTML page: figures are inside it, and it loads nothing."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calibration.arrays import BoolArray, Float64Array
from calibration.binning import equal_width_bins
from calibration.corp import score_decomposition
from calibration.errors import needs_extra
from calibration.estimate import Estimate, percent
from calibration.persistence import write_atomically
from calibration.report.plots import reliability_diagram, risk_coverage_diagram
from calibration.report.report import CalibrationReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["data_address", "render_report", "write_report"]


def write_report(report: CalibrationReport, path: str | Path, *, title: str = "Calibration report") -> None:
    """Write the page to `path`, atomically.

    Raises:
        InvalidInput: the file cannot be written.
    """
    write_atomically(path, render_report(report, title=title))


def render_report(report: CalibrationReport, *, title: str = "Calibration report") -> str:
    """Render the page as HTML. The title and the names of groups are escaped: they may come from anywhere."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("calibration.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["estimate"] = _estimate
    environment.filters["share"] = _share
    environment.filters["percent"] = percent
    result = report.threshold_result
    recalibrated = next((row for row in report.after if row.name == report.chosen), report.before)
    figures = {
        "before": _reliability(report.confidence, report.correct, title="Before: raw confidence"),
        "after": _reliability(report.recalibrated, report.correct, title=f"After: {report.chosen}"),
        "risk": risk_coverage_diagram(
            report.recalibrated, report.correct, threshold=result.threshold, risk=result.guaranteed_risk,
            title=f"Risk and coverage after {report.chosen}",
        ),
        "raw_risk": risk_coverage_diagram(report.confidence, report.correct, title="Risk and coverage of raw confidence"),
    }  # fmt: skip
    return environment.get_template("report.html.jinja").render(
        title=title,
        report=report,
        result=result,
        chosen=recalibrated,
        parts=[
            ("raw", score_decomposition(report.confidence, report.correct)),
            (report.chosen, score_decomposition(report.recalibrated, report.correct)),
        ],
        figures={name: data_address(figure) for name, figure in figures.items()},
    )


# If more of the items than this lie in one of fifteen equal-width bins, the others say little.
_CROWDED = 0.6


def _reliability(confidence: Float64Array, correct: BoolArray, *, title: str) -> Figure:
    """The reliability diagram, in equal-mass bins on logit axes if most confidences are nearly the same."""
    share = np.bincount(equal_width_bins(15).index(confidence), minlength=15).max() / confidence.size
    if share <= _CROWDED or np.ptp(confidence) == 0:
        return reliability_diagram(confidence, correct, title=title)
    return reliability_diagram(confidence, correct, strategy="equal-mass", scale="logit", title=title)


def data_address(figure: Figure) -> str:
    """Encode a figure as an address that an <img> of a self-contained page can hold."""
    # SVG as an image of its own: identifiers of several figures would clash inside one page.
    with needs_extra("plots"):
        from matplotlib import rc_context

    page = io.BytesIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "halluc"}):
        figure.savefig(page, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(page.getvalue()).decode("ascii")


def _estimate(value: Estimate | None) -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _share(value: Estimate | None) -> str:
    if value is None:
        return "–"
    if value.low is None or value.high is None:
        return f"{value:.1%}"
    return f"{value:.1%} [{value.low:.1%}, {value.high:.1%}]"
