"""`halluc eval NAME`: one command per benchmark, with the same options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc.cli.options import (
    AnswerCacheFolder,
    IndexEmbedder,
    JudgeName,
    ModelName,
    Retrieved,
    TrustRemoteCode,
    VerifierName,
    WorkerCount,
    code_options,
    load_named_judge,
    open_named_index,
)
from halluc.cli.output import Json, console, print_json, wants_json, working
from halluc.evaluation.answering import Mitigation

if TYPE_CHECKING:
    from rich.table import Table

    from halluc.evaluation.answering import System
    from halluc.evaluation.benchmark import Benchmark, Item, Tools
    from halluc.evaluation.figures import Difference, Measured
    from halluc.evaluation.run_record import EvaluationRun

__all__ = ["add_benchmarks", "figures_table"]


def add_benchmarks(app: typer.Typer) -> None:
    """Add a command for each benchmark."""
    from halluc.evaluation.table import BENCHMARKS

    for name, summary in BENCHMARKS.items():
        app.command(name, help=f"{summary}. Prints figures with 95 % intervals.")(_command(name))


def _command(benchmark_name: str) -> Callable[..., None]:
    def benchmark(
        data: Annotated[
            list[str] | None,
            typer.Option(
                "--data",
                help="File of JSON lines, JSON, CSV, TSV or Parquet, hub id as owner/name#configuration:split, or 'sample' "
                "for a few packaged rows; the benchmark's own hub id by default. Repeat the option for several.",
            ),
        ] = None,
        model: ModelName = "default",
        mitigation: Annotated[Mitigation, typer.Option(help="What is done about hallucinations.")] = "none",
        index: Annotated[
            str | None, typer.Option("--index", "-i", help="Index for the mitigation, or the corpus that judges claims.")
        ] = None,
        embedder: IndexEmbedder = None,
        k: Retrieved = 3,
        verifier: VerifierName = "default",
        trust_remote_code: TrustRemoteCode = False,
        judge: JudgeName = None,
        limit: Annotated[int | None, typer.Option(help="Number of rows to draw; all by default.")] = None,
        seed: Annotated[int, typer.Option(help="Seed of the draw of rows.")] = 0,
        max_new_tokens: Annotated[
            int | None, typer.Option(min=1, help="Longest reply, in tokens; by default the benchmark's own.")
        ] = None,
        cache: AnswerCacheFolder = None,
        workers: WorkerCount = 1,
        out: Annotated[Path | None, typer.Option(help="Write the run as JSON, for --compare.")] = None,
        compare: Annotated[Path | None, typer.Option(help="An earlier run to compare with, row by row.")] = None,
        html: Annotated[Path | None, typer.Option(help="Write a page with the figures and every row.")] = None,
        json_: Json = None,
    ) -> None:
        from halluc.evaluation.answer_cache import default_cache_folder
        from halluc.evaluation.answering import check_system
        from halluc.evaluation.page import write_run_page
        from halluc.evaluation.rows import read_benchmark_rows
        from halluc.evaluation.run_record import compare_runs
        from halluc.evaluation.runner import check_tools, run_benchmark
        from halluc.evaluation.table import load_benchmark
        from halluc.workers import check_workers

        chosen = load_benchmark(benchmark_name)
        _check_outputs(out, html)
        rows, names = read_benchmark_rows(chosen, data or (), limit=limit, seed=seed)
        items = chosen.items(rows)  # a row that cannot be used is named before a model is loaded
        earlier = _earlier_run(compare, chosen, items)
        check_workers(workers)
        parts = _Parts(benchmark_name, model, mitigation, index, embedder, k, verifier, judge, trust_remote_code)
        with working(f"loading {model}"):
            system, tools = _load(parts)
        check_system(system, chosen.kind)
        check_tools(chosen, tools)
        run = run_benchmark(
            chosen,
            rows,
            system,
            tools=tools,
            data=names,
            cache=cache or default_cache_folder(),
            max_new_tokens=max_new_tokens,
            workers=workers,
            load=partial(_load_system, parts),
        )
        if out is not None:
            run.save(out)
        differences = compare_runs(chosen, earlier, run) if earlier is not None else []
        if html is not None:
            write_run_page(html, run, differences)
        if wants_json(json_):
            report = {name: value for name, value in run.to_dict().items() if name != "rows"}
            print_json({**report, "n": len(run.rows), "changes": [change.to_dict() for change in differences]})
        else:
            _print(run, differences)

    return benchmark


def _check_outputs(out: Path | None, html: Path | None) -> None:
    from halluc.evaluation.run_record import KIND
    from halluc.files import check_output_path
    from halluc.page_template import PAGE_MARKER

    if out is not None:
        check_output_path(out, replaces=KIND)
    if html is not None:
        check_output_path(html, replaces=PAGE_MARKER)


def _earlier_run(path: Path | None, benchmark: Benchmark, items: Sequence[Item]) -> EvaluationRun | None:
    from halluc.evaluation.run_record import EvaluationRun, check_comparable

    if path is None:
        return None
    run = EvaluationRun.load(path)
    check_comparable(run, benchmark.name, [item.key for item in items])
    return run


@dataclass(frozen=True)
class _Parts:
    """What a run is made of, by the names that the command line takes."""

    benchmark: str
    model: str
    mitigation: Mitigation
    index: str | None
    embedder: str | None
    k: int
    verifier: str
    judge: str | None
    trust_remote_code: bool


def _load(parts: _Parts) -> tuple[System, Tools]:
    from halluc.evaluation.answering import System
    from halluc.evaluation.benchmark import Tools
    from halluc.evaluation.table import load_benchmark
    from halluc.models import load_model
    from halluc.verification import load_verifier

    benchmark = load_benchmark(parts.benchmark)
    passages = open_named_index(parts.index, parts.embedder)
    lm = load_model(parts.model)
    judges_claims = parts.mitigation in ("abstain", "revise") or "verifier" in benchmark.needs
    verifier = (
        load_verifier(parts.verifier, lm=lm if parts.verifier == "lm" else None, **code_options(parts.trust_remote_code))
        if judges_claims
        else None
    )
    default_judge = "lm" if "statement_judge" in benchmark.needs else "refusal"
    judge = load_named_judge(default_judge if parts.judge is None else parts.judge, lm) if benchmark.judged else None
    system = System(lm, parts.mitigation, passages, verifier, parts.k)
    return system, Tools(judge=judge, verifier=verifier, index=passages)


def _load_system(parts: _Parts) -> System:
    """Load the system in a worker; scoring, with its tools, is done in one process."""
    return _load(replace(parts, judge="refusal"))[0]


# Skipped rows that are printed; the run and the page name all.
_NAMED = 5


def _print(run: EvaluationRun, differences: list[Difference]) -> None:
    out = console()
    title = f"{run.benchmark}, {run.model}, mitigation {run.mitigation}, {len(run.rows)} rows"
    out.print(figures_table(title, "figure", "value", run.figures, differences))
    if run.skipped:
        places = ", ".join(item.where for item in run.skipped[:_NAMED]) + (" ..." if len(run.skipped) > _NAMED else "")
        out.print(f"skipped {len(run.skipped)} longer than the context window: {places}", style="yellow")
    if run.cached:
        out.print(f"answers from the cache: {run.cached}", style="dim")
    if run.judge:
        out.print(f"judge: {run.judge}", style="dim")
    if run.note:
        out.print(run.note, style="yellow")


def figures_table(
    title: str, name: str, value: str, figures: Sequence[Measured], differences: Sequence[Difference]
) -> Table:
    """Make the table of a run: its figures with intervals, and what changed since an earlier run if there is one.

    Args:
        title: above the table.
        name, value: headers of the columns of names and of values.
        figures: the rows.
        differences: changes by the name of the figure; empty without an earlier run.
    """
    from rich.table import Column, Table

    headers = (name, f"{value} (95 %)", "n", *(("change (95 %)",) if differences else ()))
    table = Table(*(Column(header, overflow="fold") for header in headers), title=title)
    changes = {change.name: change for change in differences}
    for figure in figures:
        change = changes.get(figure.name)
        last = (
            [] if not differences else ["" if change is None else interval(change.change, change.low, change.high, sign="+")]
        )
        table.add_row(figure.name, interval(figure.value, figure.low, figure.high), str(figure.n), *last)
    return table


def interval(value: float | None, low: float | None, high: float | None, *, sign: str = "") -> str:
    """A number with its interval, for a table."""
    if value is None:
        return "undefined"
    if low is None or high is None:
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"
