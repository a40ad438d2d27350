"""`halluc check`: check an answer, or a file of answers, against a context or an index."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc.answers import LABEL_NAMES
from halluc.cli.options import IndexEmbedder, TrustRemoteCode, VerifierName, WorkerCount, code_options, open_named_index
from halluc.cli.output import LABEL_STYLES, Json, console, print_json, print_notice, print_unchecked, wants_json, working
from halluc.cli.text_files import file_context, file_text

if TYPE_CHECKING:
    from halluc.verification.check import CheckReport
    from halluc.verification.check_file import RowResult
    from halluc.verification.verifier import Verifier
    from retrieval import PassageStore

__all__ = ["check", "print_report"]

_FILE_NAME = re.compile(r"\S+\.(?:txt|md|html?|pdf|csv|jsonl?|text)")


def check(
    answer: Annotated[str | None, typer.Argument(help="The answer: a text, a file, or '-' for standard input.")] = None,
    context: Annotated[
        list[Path] | None,
        typer.Option(
            "--context",
            "-c",
            help="File that the answer should be faithful to: text, HTML, PDF or an office file; repeat for several.",
        ),
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", "-i", help="Index to look each claim up in, instead of a context.")
    ] = None,
    embedder: IndexEmbedder = None,
    question: Annotated[
        str | None, typer.Option("--question", "-q", help="The question, which completes a short answer to a statement.")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="JSON lines with answer, context (without --index), and optionally id and question."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File that results of --batch are appended to; an interrupted run resumes from it.")
    ] = None,
    workers: WorkerCount = 1,
    verifier: VerifierName = "default",
    trust_remote_code: TrustRemoteCode = False,
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Passages to look up per claim.")] = 3,
    html: Annotated[Path | None, typer.Option(help="Also write a page that shows the answer with its evidence.")] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with code 1 if a score is lower, or if an answer has no claim to check."),
    ] = None,
    json_: Json = None,
) -> None:
    """Check which claims of an answer the evidence supports."""
    context = context or None
    _check_arguments(answer, context, index, question, batch, out, html)
    if workers > 1:
        _check_workers(batch, workers)
    # Everything that can be wrong with the input is found before the model is loaded.
    answer = _answer(answer) if answer is not None else None
    source = file_context(context) if context else None
    load = partial(_load, verifier, trust_remote_code, index, embedder)
    with working("loading the verifier"):
        loaded, passages = load()
    if batch is not None and out is not None:
        sharing = {"workers": workers, "load": load}
        _check_batch(batch, out, loaded, passages, k, html, fail_under, json_, sharing)
        return
    from halluc.verification.check import check as check_answer

    assert answer is not None
    with working("checking"):
        report = check_answer(answer, context=source, index=passages, verifier=loaded, k=k, question=question)
    if html is not None:
        from halluc.verification.page import write_report_page

        write_report_page(html, [report])
    if wants_json(json_):
        print_json(report.to_dict())
    else:
        print_report(report)
    if _fails(report.score, fail_under):
        raise typer.Exit(1)


def print_report(report: CheckReport) -> None:
    """Print a report for a person: the answer in colors, then each claim with its evidence."""
    from rich.table import Table
    from rich.text import Text

    from halluc.verification.spans import labeled_spans

    out = console()
    text = Text(report.answer)
    for span in labeled_spans(report.verdicts):
        style = LABEL_STYLES[span.label] + ("" if span.label == "supported" else " underline")
        text.stylize(style, span.start, span.end)
    out.print(text)
    if report.verdicts:
        table = Table("verdict", "support", "claim", "evidence", show_lines=True)
        for verdict in report.verdicts:
            quotes = "\n".join(
                f"{evidence.passage.title}: {evidence.text}" if evidence.passage.title else evidence.text
                for evidence in verdict.evidence
            )
            table.add_row(
                Text(LABEL_NAMES[verdict.label], LABEL_STYLES[verdict.label]),
                f"{verdict.support:.2f}",
                Text(verdict.claim.text),
                Text(quotes or "none found", "" if quotes else "dim"),
            )
        out.print(table)
    print_unchecked(report.unchecked)
    score = f"nothing checked: {report.reason}" if report.score is None else f"score {report.score:.2f} (mean support)"
    out.print(f"{score}; {report.mode}, judged by {report.verifier}", style="dim")


def _check_arguments(
    answer: str | None,
    context: Sequence[Path] | None,
    index: str | None,
    question: str | None,
    batch: Path | None,
    out: Path | None,
    html: Path | None,
) -> None:
    """Refuse arguments that do not go together, and outputs that cannot be written."""
    from halluc.errors import InvalidInput, check_text
    from halluc.files import check_output_path

    if (batch is None) == (answer is None):
        raise InvalidInput(f"there is {'no answer' if batch is None else 'both an answer and --batch'}; pass one of them")
    if (batch is None) != (out is None):
        raise InvalidInput("--batch and --out go together; pass both or neither")
    if batch is not None and (context is not None or question is not None):
        raise InvalidInput("with --batch, each row has its own context and question; leave out --context and --question")
    if batch is None and (context is None) == (index is None):
        passed = "neither a context nor an index" if index is None else "both a context and an index"
        raise InvalidInput(f"there is {passed}; pass one of --context and --index")
    if question is not None:
        check_text("the question", question)
    if batch is not None and out is not None:
        from halluc.verification.check_file import check_results_path

        check_results_path(out, batch)
    if html is not None:
        from halluc.page_template import PAGE_MARKER

        check_output_path(html, replaces=PAGE_MARKER)
        if out is not None and html.resolve() == out.resolve():
            raise InvalidInput(f"--html and --out both name {out}; name two files")


def _check_workers(batch: Path | None, workers: int) -> None:
    """Refuse workers that have nothing to share, or that cannot be started."""
    from halluc.errors import InvalidInput
    from halluc.workers import check_workers

    if batch is None:
        raise InvalidInput("--workers share the rows of --batch; leave it out to check one answer")
    check_workers(workers)


def _load(
    verifier: str, trust_remote_code: bool, index: str | None, embedder: str | None
) -> tuple[Verifier, PassageStore | None]:
    """Load what checks need; each worker does so too."""
    from halluc.verification import load_verifier

    passages = open_named_index(index, embedder)
    return load_verifier(verifier, **code_options(trust_remote_code)), passages


def _check_batch(
    batch: Path,
    out: Path,
    verifier: Verifier,
    index: PassageStore | None,
    k: int,
    html: Path | None,
    fail_under: float | None,
    json_: bool | None,
    sharing: dict[str, Any],
) -> None:
    """Check the rows of a file, and sum up all results, of former runs too."""
    from halluc.verification.check_file import check_rows, count_lines, read_results
    from retrieval.progress import progress_bar

    with progress_bar("checking", count_lines(batch)) as advance:
        done = check_rows(batch, out, verifier=verifier, index=index, k=k, advance=advance, **sharing)
    scores: dict[int, float | None] = {}
    shown: dict[int, RowResult] = {}
    for result in read_results(out):
        scores[result.line] = result.report.score
        if html is not None:
            # Only a page needs the whole reports, which may be many.
            shown[result.line] = result
    if html is not None:
        from halluc.verification.page import write_report_page

        ordered = [shown[line] for line in sorted(shown)]
        titles = [f"Line {result.line}" if result.id is None else str(result.id) for result in ordered]
        write_report_page(html, [result.report for result in ordered], titles=titles)
    unjudged = sum(score is None for score in scores.values())
    below = sum(_fails(score, fail_under) for score in scores.values())
    known = [score for score in scores.values() if score is not None]
    mean = sum(known) / len(known) if known else None
    for sentence in done.broken:
        print_notice(sentence)
    if wants_json(json_):
        below_or_null = None if fail_under is None else below
        print_json({"out": str(out), **done.to_dict(), "mean_score": mean, "unjudged": unjudged, "below": below_or_null})
    else:
        average = "" if mean is None else f"; mean score {mean:.2f}"
        nothing = f"; nothing to check in {unjudged}" if unjudged else ""
        console().print(f"{done.checked} rows checked, {done.resumed} checked before, results in {out}{average}{nothing}")
    if done.broken:
        raise typer.Exit(2)
    if below or (fail_under is not None and not scores):
        raise typer.Exit(1)


def _fails(score: float | None, fail_under: float | None) -> bool:
    """Whether a score is below the threshold; an answer of which nothing was checked is."""
    return fail_under is not None and (score is None or score < fail_under)


def _answer(argument: str) -> str:
    """The text that the argument ANSWER stands for."""
    from halluc.errors import InvalidInput, check_text

    if argument == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput("standard input is not UTF-8 text; pass an answer in UTF-8") from error
        if not text.strip():
            raise InvalidInput("standard input is empty; there is nothing to check")
        return text
    try:
        is_file = Path(argument).is_file()
    except (OSError, ValueError):
        is_file = False
    if is_file:
        return file_text(Path(argument), "answer")
    if _FILE_NAME.fullmatch(argument):
        raise InvalidInput(
            f"{argument} does not exist; an answer that looks like a file name can be passed on standard input"
        )
    check_text("the answer", argument)
    return argument
