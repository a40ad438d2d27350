"""Render what the monitor of a run measured as one self-contained HTML page that loads nothing from elsewhere.

Not covered: the measures (measures.py) and the rules (rules.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from halluc.files import write_text
from halluc.page_template import page_template
from training.monitoring.rules import MEASURES, Measured, StopRule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["render_monitor", "write_monitor_page"]

# Distinguishable with color blindness too (Okabe & Ito).
_BLUE, _VERMILION = "#0072B2", "#D55E00"
_COLUMNS = 3


def write_monitor_page(
    history: Sequence[Measured], rules: Sequence[StopRule], stopped_by: StopRule | None, prompts: Sequence[str], path: Path
) -> None:
    """Write the page to `path`, atomically; for the arguments see `render_monitor`.

    Raises:
        InvalidInput: the path cannot be written.
    """
    write_text(path, render_monitor(history, rules, stopped_by, prompts))


def render_monitor(
    history: Sequence[Measured], rules: Sequence[StopRule], stopped_by: StopRule | None, prompts: Sequence[str]
) -> str:
    """Render the page as HTML; all text of the model is escaped.

    Args:
        history: at least one measurement, in the order of the steps.
        rules: of the run.
        stopped_by: the rule that stopped it; None if none did.
        prompts: the first prompts of those that were replied to, as text.
    """
    from calibration.report.page import data_address

    names = [name for name in MEASURES if name in history[0].values]
    first, last = history[0], history[-1]
    return page_template("training.monitoring", "monitor.html.jinja").render(
        first=first,
        last=last,
        figure=data_address(_plots(history, names, rules)),
        rows=[(MEASURES[name], first.values[name], last.values.get(name)) for name in names],
        rules=list(map(str, rules)),
        stopped_by=str(stopped_by) if stopped_by is not None else None,
        replies=list(zip(prompts, first.replies, last.replies, strict=False)),
    )


def _plots(history: Sequence[Measured], names: Sequence[str], rules: Sequence[StopRule]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(10.5, 2.1 * rows), layout="constrained")
    cells = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    steps = [measured.step for measured in history]
    for axes, name in zip(cells, names, strict=False):
        axes.plot(steps, [measured.values.get(name, float("nan")) for measured in history], color=_BLUE, marker=".")
        for rule in rules:
            if rule.measure == name:
                limit = rule.limit_after(history[0].values)
                axes.axhline(limit, color=_VERMILION, linewidth=1, linestyle="--")
        axes.set_title(MEASURES[name], fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in list(figure.axes)[len(names) :]:
        axes.set_visible(False)
    return figure
