"""Render an evaluation, or two side by side, as one self-contained HTML page that loads nothing from elsewhere.

Not covered: the metrics (results.py, compare.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halluc.files import write_text
from halluc.page_template import page_template
from training.evaluation.compare import Comparison, formatted
from training.evaluation.results import FactualityEvaluation, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_evaluation", "write_evaluation_page"]

# Blue, vermilion and gray are distinguishable with color blindness too (Okabe & Ito).
_COLORS: dict[Outcome, str] = {"right": "#0072B2", "wrong": "#D55E00", "abstained": "#9a9a9a"}
# Examples shown per outcome, or per change of outcome.
_EXAMPLES = 8


def write_evaluation_page(result: Comparison | FactualityEvaluation, path: str | Path) -> None:
    """Write the page to `path`, atomically.

    Raises:
        InvalidInput: the path cannot be written.
    """
    write_text(path, render_evaluation(result))


def render_evaluation(result: Comparison | FactualityEvaluation) -> str:
    """Render the page as HTML: metrics with intervals, outcomes, reliability diagrams and examples; text is escaped."""
    from calibration.report.page import data_address
    from calibration.report.plots import reliability_diagram

    paired = isinstance(result, Comparison)
    sides = {"Before": result.before, "After": result.after} if isinstance(result, Comparison) else {result.model: result}
    figures = {"Outcomes of the questions": _outcomes(sides)}
    for name, evaluation in sides.items():
        known = [(row.confidence, row.outcome == "right") for row in evaluation.answered if row.confidence is not None]
        if known:
            confidence, correct = zip(*known, strict=True)
            figures[f"Reliability: {name}"] = reliability_diagram(confidence, correct, title=f"{name}: confidence")
    return page_template("training.evaluation", "evaluation.html.jinja").render(
        paired=paired,
        sides=sides,
        rows=_table(result),
        figures={name: data_address(figure) for name, figure in figures.items()},
        examples=_examples(result),
    )


def _outcomes(sides: dict[str, FactualityEvaluation]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.9 + 0.75 * len(sides)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(sides))
    for outcome, color in _COLORS.items():
        counts = np.array([evaluation.count(outcome) for evaluation in sides.values()])
        shares = counts / np.array([len(evaluation.questions) for evaluation in sides.values()])
        bars = axes.barh(list(sides), shares, left=left, color=color, label=outcome, height=0.62)
        labels = [str(count) if share > 0.04 else "" for count, share in zip(counts.tolist(), shares.tolist(), strict=True)]
        axes.bar_label(bars, labels, label_type="center", color="white", fontsize=9)
        left += shares
    axes.set(xlim=(0, 1), xlabel="share of the questions")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    return figure


def _table(result: Comparison | FactualityEvaluation) -> list[dict[str, Any]]:
    if isinstance(result, FactualityEvaluation):
        return [
            {"name": name.replace("_", " "), "cells": [formatted(name, value)], "verdict": ""}
            for name, value in result.metrics().items()
            if value is not None
        ]
    verdicts = {True: "good", False: "bad", None: ""}
    return [
        {
            "name": row.name.replace("_", " "),
            "cells": [
                formatted(row.name, row.before),
                formatted(row.name, row.after),
                formatted(row.name, row.difference, signed=True),
                "" if row.p_value is None else f"{row.p_value:.2g}",
            ],
            "verdict": verdicts[row.improved],
        }
        for row in result.differences
        if row.before is not None or row.after is not None
    ]


def _examples(result: Comparison | FactualityEvaluation) -> dict[str, list[Any]]:
    """The first questions of each outcome; of two evaluations, those of each change of outcome."""
    groups: dict[str, list[Any]] = {}
    if isinstance(result, Comparison):
        for old, new in zip(result.before.questions, result.after.questions, strict=True):
            if old.outcome != new.outcome:
                groups.setdefault(f"{old.outcome} → {new.outcome}", []).append((old, new))
    else:
        for row in result.questions:
            groups.setdefault(row.outcome, []).append((row,))
    return {f"{name} ({len(rows)})": rows[:_EXAMPLES] for name, rows in sorted(groups.items())}
