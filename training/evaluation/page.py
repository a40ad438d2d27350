"""An evaluation, or two side by side, as one self-contained HTML page: figures are inside it, and it loads nothing.

Not here: the numbers (evaluation_results.py, comparison.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluation.compare import Comparison, shown
from training.evaluation.results import FactualityEvaluation, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_evaluation", "write_evaluation_page"]

# Blue, vermilion and grey are told apart by the colour-blind as well (Okabe & Ito).
_COLOURS: dict[Outcome, str] = {"right": "#0072B2", "wrong": "#D55E00", "abstained": "#9a9a9a"}
# Examples of one change of outcome on the page.
_EXAMPLES = 8


def write_evaluation_page(made: Comparison | FactualityEvaluation, path: str | Path) -> None:
    """Write the page to `path`; a page that was there stays whole until the new one is."""
    from calibration.persistence import write_aside

    write_aside(path, render_evaluation(made))


def render_evaluation(made: Comparison | FactualityEvaluation) -> str:
    """The page as HTML: figures with intervals, outcomes of the questions, reliability and examples; text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from calibration.report.page import data_address
    from calibration.report.plots import reliability_diagram

    environment = Environment(
        loader=PackageLoader("training.evaluation", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    paired = isinstance(made, Comparison)
    sides = {"Before": made.before, "After": made.after} if isinstance(made, Comparison) else {made.model: made}
    figures = {"Outcomes of the questions": _outcomes(sides)}
    for name, own in sides.items():
        known = [(row.confidence, row.outcome == "right") for row in own.answered if row.confidence is not None]
        if known:
            confidence, correct = zip(*known, strict=True)
            figures[f"Reliability: {name}"] = reliability_diagram(confidence, correct, title=f"{name}: confidence")
    return environment.get_template("evaluation.html.jinja").render(
        paired=paired,
        sides=sides,
        rows=_table(made),
        figures={name: data_address(figure) for name, figure in figures.items()},
        examples=_examples(made),
    )


def _outcomes(sides: dict[str, FactualityEvaluation]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.9 + 0.75 * len(sides)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(sides))
    for outcome, colour in _COLOURS.items():
        counts = np.array([own.count(outcome) for own in sides.values()])
        shares = counts / np.array([len(own.questions) for own in sides.values()])
        bars = axes.barh(list(sides), shares, left=left, color=colour, label=outcome, height=0.62)
        labels = [str(count) if share > 0.04 else "" for count, share in zip(counts.tolist(), shares.tolist(), strict=True)]
        axes.bar_label(bars, labels, label_type="center", color="white", fontsize=9)
        left += shares
    axes.set(xlim=(0, 1), xlabel="share of the questions")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    return figure


def _table(made: Comparison | FactualityEvaluation) -> list[dict[str, Any]]:
    if isinstance(made, FactualityEvaluation):
        return [
            {"name": name.replace("_", " "), "cells": [shown(name, value)], "verdict": ""}
            for name, value in made.metrics().items()
            if value is not None
        ]
    verdicts = {True: "good", False: "bad", None: ""}
    return [
        {
            "name": row.name.replace("_", " "),
            "cells": [
                shown(row.name, row.before),
                shown(row.name, row.after),
                shown(row.name, row.difference, signed=True),
                "" if row.p_value is None else f"{row.p_value:.2g}",
            ],
            "verdict": verdicts[row.improved],
        }
        for row in made.differences
        if row.before is not None or row.after is not None
    ]


def _examples(made: Comparison | FactualityEvaluation) -> dict[str, list[Any]]:
    """Questions by what became of them: those that changed where there are two sides, else by outcome; the first of each."""
    groups: dict[str, list[Any]] = {}
    if isinstance(made, Comparison):
        for old, new in zip(made.before.questions, made.after.questions, strict=True):
            if old.outcome != new.outcome:
                groups.setdefault(f"{old.outcome} → {new.outcome}", []).append((old, new))
    else:
        for row in made.questions:
            groups.setdefault(row.outcome, []).append((row,))
    return {f"{name} ({len(rows)})": rows[:_EXAMPLES] for name, rows in sorted(groups.items())}
