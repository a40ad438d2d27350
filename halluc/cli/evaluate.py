"""`halluc eval`: measurements on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.detect import Detectors, Samples, chosen_detectors
from halluc.cli.options import ModelName, VerifierName
from halluc.cli.output import Json, console, print_json, wants_json, working

if TYPE_CHECKING:
    from halluc.detectors.evaluation import DetectorEvaluation

__all__ = ["app"]

app = typer.Typer(help="Measure on labelled rows.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure on labelled rows."""


@app.command("detectors")
def detectors(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="JSON lines of one kind: question and answer (accepted answers), statement and label, or question, "
            "response, hallucinated and an optional context. Repeat the option for several files.",
        ),
    ],
    detectors: Detectors = "all",
    model: ModelName = "default",
    verifier: VerifierName = "default",
    limit: Annotated[int | None, typer.Option(min=20, help="Rows to use, drawn with the seed; by default all.")] = None,
    samples: Samples = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 24,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the samples; the answer is greedy.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the rows drawn, the samples and the split.")] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Write a scatter plot of quality against cost (.png, .svg, .pdf).")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the fitted ensemble, for 'halluc detect --ensemble'.")] = None,
    json_: Json = None,
) -> None:
    """AUROC, AUPRC, PRR, calibrated ECE and cost of detectors, and of an ensemble of them.

    One half of the rows fits calibration and ensemble; the figures are of the other half.
    """
    from halluc.detectors.benchmark_rows import read_labelled
    from halluc.detectors.detect import detect
    from halluc.detectors.evaluation import evaluate_detectors, plot_quality_against_cost

    names = chosen_detectors(detectors)
    rows = read_labelled(data, limit=limit, seed=seed)
    from halluc.models import load_model
    from halluc.verification import load_verifier

    with working(f"loading {model}"):
        lm = load_model(model)
        # The default one is loaded only where a detector needs it.
        judge = None if verifier == "default" else load_verifier(verifier, lm=lm if verifier == "lm" else None)
    found = detect(
        lm,
        rows.prompts,
        detectors=names,
        answers=rows.responses,
        contexts=rows.contexts,
        verifier=judge,
        samples=samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        stop=() if rows.responses else ("\n",),
    )
    table = evaluate_detectors(found, rows.wrong(found.statistics.answers), seed=seed)
    if plot is not None:
        plot_quality_against_cost(table.rows, plot, title=f"{lm.name}, {table.n} answers, {table.n_wrong} wrong")
    if save is not None:
        table.ensemble.save(save)
    report: dict[str, Any] = {"model": lm.name, "data": [str(path) for path in data], **table.to_dict()}
    if wants_json(json_):
        print_json(report)
    else:
        _print(table)


def _print(table: DetectorEvaluation) -> None:
    from rich.table import Table

    out = console()
    shown = Table(
        "detector", "AUROC", "95 %", "AUPRC", "PRR", "95 %", "ECE", "s / answer", "tokens / answer", "share",
        title=f"{table.n} answers, {table.n_wrong} wrong; fitted on {table.n_fit} others",
    )  # fmt: skip
    for row in table.rows:
        share = table.ensemble.shares.get(row.detector)
        shown.add_row(
            row.detector,
            f"{row.auroc:.3f}",
            f"{row.auroc.low:.2f}–{row.auroc.high:.2f}",
            f"{row.auprc:.3f}",
            f"{row.prr:.3f}",
            f"{row.prr.low:.2f}–{row.prr.high:.2f}",
            f"{row.ece:.3f}",
            f"{row.seconds:.3f}",
            f"{row.tokens:.0f}",
            "" if share is None else f"{share:.2f}",
        )
    out.print(shown)
    for name, reason in table.skipped.items():
        out.print(f"{name} left out: {reason}", style="yellow")
