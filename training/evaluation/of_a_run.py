"""Evaluation of a run before and after training: settings, files, and the comparison written beside the model.

Not covered: what is measured (evaluate.py), and the comparison and its page (compare.py, page.py).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import write_text
from training.evaluation.compare import Comparison, compare, comparison_table
from training.evaluation.evaluate import check_evaluation_rows, evaluate_factuality
from training.evaluation.page import write_evaluation_page
from training.evaluation.results import FactualityEvaluation
from training.rows import read_rows

__all__ = [
    "EvaluationSettings",
    "RunEvaluation",
    "check_evaluation_settings",
    "read_evaluation_rows",
    "write_comparison",
]


@dataclass
class EvaluationSettings:
    """Settings of a run that is evaluated before and after training (columns: `training.evaluate_factuality`).

    Attributes:
        eval_questions: folder or JSON-lines file of held-out questions, with `question` or `prompt` and `references`; None
            for no evaluation.
        eval_text: the same of neutral text, with `text`; None for none.
        eval_choices: the same of a task that is not trained on, with `prefix`, `completions` and `right`; None for none.
        eval_max_new_tokens: longest reply to a question, in tokens.
    """

    eval_questions: str | None = None
    eval_text: str | None = None
    eval_choices: str | None = None
    eval_max_new_tokens: int = 48


def check_evaluation_settings(config: Any) -> None:
    """Check, before any model is loaded, that the evaluation files of a run can be used.

    Args:
        config: settings of a run; nothing is checked if they are no `EvaluationSettings`.

    Raises:
        InvalidInput: a file or one of its rows cannot be used, or there are text or choices but no questions.
    """
    _rows_of(config)


class RunEvaluation:
    """The evaluation of one run, in the first of its processes; without `eval_questions` it does nothing.

    Args:
        trainer: before training; its settings may be `EvaluationSettings`.

    Raises:
        InvalidInput: as `check_evaluation_settings`.
    """

    def __init__(self, trainer: Any) -> None:
        self.config = trainer.args
        self.before: FactualityEvaluation | None = None
        self._rows = _rows_of(self.config) if trainer.is_world_process_zero() else {}
        if self._rows:
            self.before = self._evaluate(self.config.model)

    def finish(self, folder: str) -> dict[str, Any]:
        """Evaluate the trained model in `folder`, and write evaluation.json and evaluation.html there.

        Returns:
            {"evaluation": metrics before and after, with their differences}; empty if nothing is evaluated.
        """
        if self.before is None:
            return {}
        comparison = compare(self.before, self._evaluate(folder))
        write_comparison(comparison, Path(folder) / "evaluation.json", Path(folder) / "evaluation.html")
        if sys.stderr.isatty():
            from halluc.cli.output import console

            console(stderr=True).print(comparison_table(comparison))
        return {"evaluation": comparison.summary()}

    def _evaluate(self, model: str) -> FactualityEvaluation:
        from halluc.models import load_model
        from halluc.models.packaged_models import name_for_training

        # Loaded from disk: what is measured is what others will load.
        lm = load_model(name_for_training(model), **({"device": "cpu"} if self.config.use_cpu else {}))
        return evaluate_factuality(lm, **self._rows, max_new_tokens=self.config.eval_max_new_tokens)


def _rows_of(config: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows that the settings of a run name; empty without `eval_questions`."""
    questions, text, choices = (getattr(config, f"eval_{name}", None) for name in ("questions", "text", "choices"))
    if questions is not None:
        return read_evaluation_rows(questions, text=text, choices=choices)
    if text is not None or choices is not None:
        raise InvalidInput("eval_text or eval_choices is set but eval_questions is not; name a file of questions")
    return {}


def read_evaluation_rows(
    questions: str | Path, *, text: str | Path | None = None, choices: str | Path | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Read and check the rows to evaluate on.

    Args:
        questions: folder or JSON-lines file of questions.
        text: the same of neutral text; None for none.
        choices: the same of multiple-choice items; None for none.

    Returns:
        Arguments of `evaluate_factuality` by name: questions, texts, choices.

    Raises:
        InvalidInput: a file cannot be read, or a row cannot be used.
    """
    paths = {"questions": questions, "texts": text, "choices": choices}
    rows = {name: read_rows(path).to_list() for name, path in paths.items() if path is not None}
    check_evaluation_rows(**rows)
    return rows


def write_comparison(comparison: Comparison, path: Path, page: Path) -> None:
    """Write both evaluations and their differences as JSON to `path`, and as an HTML page to `page`."""
    write_text(path, json.dumps(comparison.to_dict(), ensure_ascii=False) + "\n")
    write_evaluation_page(comparison, page)
