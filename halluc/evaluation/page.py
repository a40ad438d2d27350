"""A benchmark run as one self-contained HTML page; all text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from halluc.evaluation.figures import Difference
from halluc.evaluation.run_record import EvaluationRun
from halluc.files import write_text
from halluc.page_template import page_template

__all__ = ["run_page", "write_run_page"]


def run_page(run: EvaluationRun, differences: Sequence[Difference] = ()) -> str:
    """Render a run, and its differences from an earlier run if there is one."""
    return page_template("halluc.evaluation", "run.html.jinja").render(
        run=run, changes={change.name: change for change in differences}
    )


def write_run_page(path: Path, run: EvaluationRun, differences: Sequence[Difference] = ()) -> None:
    """Render a run and write the page atomically; see `run_page`.

    Raises:
        InvalidInput: the file cannot be written.
    """
    write_text(path, run_page(run, differences))
