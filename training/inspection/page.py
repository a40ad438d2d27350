"""Render what a training changed as one self-contained HTML page that loads nothing from elsewhere.

Not covered: what is compared (inspect_training.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc.files import write_text
from halluc.page_template import page_template
from training.inspection.inspect_training import Inspection, TruthChange

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_inspection", "write_inspection_page"]

# Distinguishable with color blindness too (Okabe & Ito).
_BLUE, _VERMILION = "#0072B2", "#D55E00"
_REPLIES, _MATRICES = 8, 15


def write_inspection_page(inspection: Inspection, path: str | Path) -> None:
    """Write the page to `path`, atomically.

    Raises:
        InvalidInput: the path cannot be written.
    """
    write_text(path, render_inspection(inspection))


def render_inspection(inspection: Inspection) -> str:
    """Render the page as HTML; all text of the models is escaped."""
    from calibration.report.page import data_address

    figures = {"Weights by layer": _weights(inspection), "Predictions by layer": _predictions(inspection)}
    if inspection.truth is not None:
        figures["Truth by layer"] = _truth(inspection.truth)
    return page_template("training.inspection", "inspection.html.jinja").render(
        inspection=inspection,
        figures={name: data_address(figure) for name, figure in figures.items()},
        weights=inspection.weights[:_MATRICES],
        replies=inspection.predictions.replies[:_REPLIES],
    )


def _weights(inspection: Inspection) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    layers = {change.layer: change for change in inspection.layers if change.layer is not None}
    axes.bar(list(layers), [change.relative_change for change in layers.values()], color=_BLUE)
    axes.set(xlabel="layer", ylabel="relative change of the weights")
    _whole_layers(axes)
    axes.spines[["top", "right"]].set_visible(False)
    ranks = axes.twinx()
    ranks.plot(list(layers), [change.effective_rank for change in layers.values()], color=_VERMILION, marker=".")
    ranks.set_ylabel("effective rank of the change", color=_VERMILION)
    ranks.set_ylim(bottom=0)
    ranks.spines[["top"]].set_visible(False)
    return figure


def _predictions(inspection: Inspection) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(inspection.predictions.divergence_by_layer, color=_BLUE, marker=".")
    axes.set(xlabel="layer (0: embeddings)", ylabel="KL(after ‖ before), nats per token")
    _whole_layers(axes)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _truth(truth: TruthChange) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, values, color in (("before", truth.before, _BLUE), ("after", truth.after, _VERMILION)):
        layers = range(len(values))
        axes.plot(layers, [float(value) for value in values], color=color, marker=".", label=name)
        axes.fill_between(
            layers, [value.low or 0.0 for value in values], [value.high or 1.0 for value in values], color=color, alpha=0.15
        )
    axes.axhline(0.5, color="#9a9a9a", linewidth=1, linestyle=":")
    axes.set(xlabel="layer (0: embeddings)", ylabel=f"AUROC of a truth probe ({truth.n} statements)")
    _whole_layers(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _whole_layers(axes: Any) -> None:
    """Label whole layers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
