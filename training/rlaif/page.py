"""Render the report of an RLAIF run as one self-contained HTML page that loads nothing from elsewhere.

Not covered: what is counted (report.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.files import write_text
from halluc.page_template import page_template
from training.rlaif.report import RLAIFReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_rlaif", "write_rlaif_page"]

_EXAMPLES = 8
_CURVES = ("loss", "reward", "kl", "accuracy", "rewards/accuracies")


def write_rlaif_page(
    report: RLAIFReport,
    revisions: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    logs: Mapping[str, Path],
    path: Path,
) -> None:
    """Write the page to `path`, atomically; for the arguments see `render_rlaif`.

    Raises:
        InvalidInput: the path cannot be written.
    """
    write_text(path, render_rlaif(report, revisions, labels, logs))


def render_rlaif(
    report: RLAIFReport,
    revisions: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    logs: Mapping[str, Path],
) -> str:
    """Render the page as HTML; all text of the models is escaped.

    Args:
        report: of the run.
        revisions, labels: rows of those stages, of which the first are shown.
        logs: log.jsonl of the training runs, by name of the stage.
    """
    from calibration.report.page import data_address

    figures = {name: _curves(name, log) for name, log in logs.items() if log.is_file()}
    return page_template("training.rlaif", "rlaif.html.jinja").render(
        report=report,
        figures={name: data_address(figure) for name, figure in figures.items() if figure is not None},
        revisions=revisions[:_EXAMPLES],
        labels=labels[:_EXAMPLES],
    )


def _curves(name: str, path: Path) -> Figure | None:
    """The values of a training run by step; None if its log has none."""
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    series = {
        value: [(entry["step"], entry[value]) for entry in entries if entry.get(value) is not None] for value in _CURVES
    }
    series = {value: points for value, points in series.items() if points}
    if not series:
        return None
    figure = Figure(figsize=(6.4, 1.7 * len(series)), layout="constrained")
    grid = figure.subplots(len(series), 1, squeeze=False, sharex=True)
    for axes, (value, points) in zip(grid[:, 0], series.items(), strict=True):
        axes.plot(*zip(*points, strict=True), color="#0072B2", marker=".")
        axes.set_ylabel(value)
        axes.spines[["top", "right"]].set_visible(False)
    grid[-1, 0].set_xlabel(f"step of {name}")
    return figure
