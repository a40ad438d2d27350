"""Evaluation before and after a training run: its settings, and what `train_and_save` does with them.

Not here: what is measured (evaluate.py), and the comparison and its page (comparison.py, evaluation_page.py).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from training.evaluation.compare import Comparison, compare, comparison_table
from training.evaluation.evaluate import evaluate_factuality
from training.evaluation.page import write_evaluation_page
from training.evaluation.results import FactualityEvaluation
from training.runs.row_checks import read_rows

__all__ = ["EvaluationSettings", "RunEvaluation", "evaluation_rows", "write_comparison"]


@dataclass
class EvaluationSettings:
    """Settings of a run that is evaluated before and after (columns: `training.evaluate_factuality`).

    Attributes:
        eval_questions: folder or JSON-lines file of questions held out, with `question` or `prompt` and `answers`; None
            evaluates nothing.
        eval_text: the same of neutral text, with `text`; None for none.
        eval_choices: the same of a task not trained on, with `prefix`, `completions` and `right`; None for none.
        eval_max_new_tokens: longest reply to a question.
    """

    eval_questions: str | None = None
    eval_text: str | None = None
    eval_choices: str | None = None
    eval_max_new_tokens: int = 48


class RunEvaluation:
    """The evaluation of one run, in the first of its processes; without `eval_questions` it does nothing.

    Args:
        trainer: before training; its settings may be `EvaluationSettings`.

    Raises:
        InvalidInput: a file cannot be used, or there is one but no questions.
    """

    def __init__(self, trainer: Any) -> None:
        self.config = trainer.args
        self.before: FactualityEvaluation | None = None
        questions, text, choices = (getattr(self.config, f"eval_{name}", None) for name in ("questions", "text", "choices"))
        if questions is None:
            if text is not None or choices is not None:
                raise InvalidInput("eval_text or eval_choices is set but eval_questions is not; name a file of questions")
        elif trainer.is_world_process_zero():
            self._rows = evaluation_rows(questions, text=text, choices=choices)
            self.before = self._evaluate(self.config.model)

    def finish(self, folder: str) -> dict[str, Any]:
        """Evaluate the trained model in `folder`, and write evaluation.json and evaluation.html there.

        Returns:
            {"evaluation": figures before and after and their differences}; nothing where nothing is evaluated.
        """
        if self.before is None:
            return {}
        made = compare(self.before, self._evaluate(folder))
        write_comparison(made, Path(folder) / "evaluation.json", Path(folder) / "evaluation.html")
        if sys.stderr.isatty():
            from halluc.cli.output import console

            console(stderr=True).print(comparison_table(made))
        return {"evaluation": made.summary()}

    def _evaluate(self, model: str) -> FactualityEvaluation:
        from halluc.models import load_model

        # Read from disk: what is measured is what others will load.
        lm = load_model(model, **({"device": "cpu"} if self.config.use_cpu else {}))
        return evaluate_factuality(lm, **self._rows, max_new_tokens=self.config.eval_max_new_tokens)


def evaluation_rows(
    questions: str | Path, *, text: str | Path | None = None, choices: str | Path | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The rows in folders or files of JSON lines, as `evaluate_factuality` takes them.

    Raises:
        InvalidInput: one cannot be read.
    """
    given = {"questions": questions, "texts": text, "choices": choices}
    return {part: read_rows(path).to_list() for part, path in given.items() if path is not None}


def write_comparison(made: Comparison, path: Path, page: Path) -> None:
    """Both evaluations and their differences as JSON, and as a page."""
    from calibration.persistence import write_aside

    write_aside(path, json.dumps(made.to_dict(), ensure_ascii=False) + "\n")
    write_evaluation_page(made, page)
