"""`halluc train evaluate`: a model on questions held out, alone or beside an earlier result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from halluc.cli.output import Json, console, print_json, wants_json, working

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[str, typer.Argument(help="'default', a folder (an adapter's too), a hub id, or an endpoint.")],
    questions: Annotated[
        Path, typer.Option("--questions", help="JSON lines with question or prompt, answers, and optionally context.")
    ],
    text: Annotated[Path | None, typer.Option("--text", help="JSON lines with text, to measure perplexity on.")] = None,
    choices: Annotated[
        Path | None, typer.Option("--choices", help="JSON lines with prefix, completions, and right (an index).")
    ] = None,
    before: Annotated[
        Path | None, typer.Option("--before", help="What this command printed with --json for another model.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page with figures, all in one file.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply, in tokens.")] = 48,
    json_: Json = None,
) -> None:
    """How often a model is right, wrong and silent, how calibrated, and what else it knows; beside another with --before."""
    from halluc.errors import InvalidInput
    from halluc.models import load_model
    from training.evaluation.compare import compare, comparison_table, evaluation_table
    from training.evaluation.evaluate import evaluate_factuality
    from training.evaluation.of_a_run import evaluation_rows
    from training.evaluation.page import write_evaluation_page
    from training.evaluation.results import read_evaluation

    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise InvalidInput(f"{html} cannot be written: it is a folder, or there is no folder {html.absolute().parent}")
    rows = evaluation_rows(questions, text=text, choices=choices)
    earlier = read_evaluation(before) if before is not None else None
    with working(f"loading {model}"):
        lm = load_model(model)
    made = evaluate_factuality(lm, **rows, max_new_tokens=max_new_tokens)
    compared = compare(earlier, made) if earlier is not None else None
    if html is not None:
        write_evaluation_page(compared or made, html)
    if wants_json(json_):
        print_json((compared or made).to_dict())
        return
    console().print(comparison_table(compared) if compared is not None else evaluation_table(made))
