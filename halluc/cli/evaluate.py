"""`halluc eval`: evaluate detectors on labeled rows, and models on benchmarks (benchmark.py)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.cli.benchmark import add_benchmarks
from halluc.cli.detect import DetectorNames, SampleCount, load_models, names_in
from halluc.cli.options import ModelName, TrustRemoteCode, VerifierName, WorkerCount
from halluc.cli.output import Json, console, print_json, wants_json, working

if TYPE_CHECKING:
    from halluc.detectors.benchmark_rows import LabeledPrompts
    from halluc.detectors.evaluation import DetectorEvaluation

__all__ = ["app"]

app = typer.Typer(help="Evaluate models on benchmarks, and detectors on labeled rows.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Evaluate models on benchmarks, and detectors on labeled rows."""


@app.command("detectors")
def detectors(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            help="JSON lines of one kind: question and references (accepted answers), statement and label, or question, "
            "response, hallucinated and an optional context. Repeat the option for several files.",
        ),
    ],
    detectors: DetectorNames = "all",
    model: ModelName = "default",
    verifier: VerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    limit: Annotated[int | None, typer.Option(min=20, help="Number of rows to draw; all by default.")] = None,
    n_samples: SampleCount = 5,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 24,
    temperature: Annotated[float, typer.Option(min=0.01, help="Temperature of the samples; the answer is greedy.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the draw of rows, the samples and the split.")] = 0,
    workers: WorkerCount = 1,
    plot: Annotated[
        Path | None, typer.Option(help="Write a scatter plot of quality against cost (.png, .svg, .pdf).")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the fitted ensemble, for 'halluc detect --ensemble'.")] = None,
    json_: Json = None,
) -> None:
    """Measure AUROC, AUPRC, PRR, calibrated ECE and cost of detectors, and of an ensemble of them.

    Calibration and ensemble are fitted on half of the rows; the figures are of the held-out half.
    """
    from halluc.detectors.detect_batches import detect_batches
    from halluc.detectors.evaluation import evaluate_detectors, plot_quality_against_cost
    from halluc.workers import check_workers

    names = names_in(detectors)
    rows = _read(data, limit, seed)
    _check_outputs(plot, save)
    check_workers(workers)
    load = partial(load_models, model, verifier, trust_remote_code)
    with working(f"loading {model}"):
        models = load()
    detection = detect_batches(
        rows.prompts,
        models,
        detectors=names,
        answers=rows.responses,
        contexts=rows.contexts,
        n_samples=n_samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        stop=() if rows.responses else ("\n",),
        workers=workers,
        load=load,
    )
    evaluation = evaluate_detectors(detection, rows.wrong(detection.statistics.answers), seed=seed)
    if plot is not None:
        title = f"{models['lm'].name}, {evaluation.n} answers, {evaluation.n_wrong} wrong"
        plot_quality_against_cost(evaluation.rows, plot, title=title)
    if save is not None:
        evaluation.ensemble.save(save)
    report: dict[str, Any] = {"model": models["lm"].name, "data": [str(path) for path in data], **evaluation.to_dict()}
    if wants_json(json_):
        print_json(report)
    else:
        _print(evaluation)


add_benchmarks(app)


def _read(data: list[Path], limit: int | None, seed: int) -> LabeledPrompts:
    from halluc.detectors.benchmark_rows import read_labeled
    from halluc.detectors.evaluation import check_enough_rows

    rows = read_labeled(data, limit=limit, seed=seed)
    check_enough_rows(len(rows.prompts), rows.hallucinated)
    return rows


def _check_outputs(plot: Path | None, save: Path | None) -> None:
    from halluc.detectors.ensemble import check_ensemble_path
    from halluc.detectors.evaluation import check_plot_path

    if plot is not None:
        check_plot_path(plot)
    if save is not None:
        check_ensemble_path(save)


def _print(evaluation: DetectorEvaluation) -> None:
    from rich.table import Column, Table

    out = console()
    headers = ("AUROC (95 %)", "AUPRC", "PRR (95 %)", "ECE", "s / answer", "tokens / answer", "share")
    table = Table(
        Column("detector", overflow="fold"),
        # A narrow terminal breaks figures over lines rather than cutting them off.
        *(Column(header, overflow="fold") for header in headers),
        title=f"{evaluation.n} answers, {evaluation.n_wrong} wrong; fitted on {evaluation.n_fit} others",
    )
    for row in evaluation.rows:
        share = evaluation.ensemble.shares.get(row.detector)
        table.add_row(
            row.detector,
            f"{row.auroc:.3f} ({row.auroc.low:.2f}–{row.auroc.high:.2f})",
            f"{row.auprc:.3f}",
            f"{row.prr:.3f} ({row.prr.low:.2f}–{row.prr.high:.2f})",
            f"{row.ece:.3f}",
            f"{row.seconds:.3f}",
            f"{row.tokens:.0f}",
            "" if share is None else f"{share:.2f}",
        )
    out.print(table)
    for name, reason in evaluation.skipped.items():
        out.print(f"{name} did not run: {reason}", style="yellow")
