"""`halluc check`: an answer, or a file of answers, against a context or an index."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc.answers import LABEL_NAMES
from halluc.cli.options import VerifierName
from halluc.cli.output import LABEL_STYLES, Json, console, print_json, print_notice, wants_json, working

if TYPE_CHECKING:
    from halluc.verification.check import CheckReport
    from halluc.verification.verifier import Verifier
    from retrieval import PassageIndex

__all__ = ["check", "print_report"]

_FILE_NAME = re.compile(r"\S+\.(?:txt|md|html?|pdf|csv|jsonl?|text)")


def check(
    answer: Annotated[str | None, typer.Argument(help="The answer: a text, a file, or '-' for standard input.")] = None,
    context: Annotated[
        Path | None, typer.Option("--context", "-c", help="Text file that the answer should be faithful to.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", "-i", help="Index to look each claim up in, instead of a context.")
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", "-q", help="What the answer answers; makes sense of a short one.")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="JSON lines with answer, context (without --index), and optionally id and question."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where results of --batch are appended; run again to go on after a stop.")
    ] = None,
    verifier: VerifierName = "default",
    k: Annotated[int, typer.Option("--k", "-k", min=1, help="Passages to look up per claim.")] = 3,
    html: Annotated[Path | None, typer.Option(help="Also write a page that shows the answer with its evidence.")] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with code 1 if a score is lower; an answer without claims has no score."),
    ] = None,
    json_: Json = None,
) -> None:
    """Check which claims of an answer its evidence supports."""
    from halluc.errors import InvalidInput

    if (batch is None) == (answer is None):
        raise InvalidInput(f"there is {'no answer' if batch is None else 'both an answer and --batch'}; pass one of them")
    if (batch is None) != (out is None):
        raise InvalidInput("--batch and --out go together; pass both or neither")
    if batch is not None and (context is not None or question is not None):
        raise InvalidInput("with --batch, each row has its own context and question; leave out --context and --question")
    if batch is None and (context is None) == (index is None):
        given = "neither a context nor an index" if index is None else "both a context and an index"
        raise InvalidInput(f"there is {given}; pass one of --context and --index")
    # Everything that can be wrong with the input comes before the model is loaded.
    answer = _answer(answer) if answer is not None else None
    source = _text(context, "context") if context is not None else None
    if html is not None and not html.absolute().parent.is_dir():
        raise InvalidInput(f"{html} cannot be written: there is no folder {html.absolute().parent}")
    from halluc.verification import load_verifier
    from retrieval import PassageIndex

    passages = PassageIndex.open(index) if index is not None else None
    with working("loading the verifier"):
        judge = load_verifier(verifier)
    if batch is not None and out is not None:
        _check_batch(batch, out, judge, passages, k, html, fail_under, json_)
        return
    from halluc.verification.check import check as check_answer

    assert answer is not None
    with working("checking"):
        report = check_answer(answer, context=source, index=passages, verifier=judge, k=k, question=question)
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
    """Show a report to a person: the answer in colours, then each claim with its evidence."""
    from rich.table import Table
    from rich.text import Text

    from halluc.verification.check import labeled_spans

    out = console()
    text = Text(report.answer)
    for span in labeled_spans(report.verdicts):
        text.stylize(
            f"{LABEL_STYLES[span.label]} {'underline' if span.label != 'supported' else ''}".strip(), span.start, span.end
        )
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
    score = "no claim to check" if report.score is None else f"score {report.score:.2f} (mean support)"
    out.print(f"{score}; {report.mode}, judged by {report.verifier}", style="dim")


def _check_batch(
    batch: Path,
    out: Path,
    verifier: Verifier,
    index: PassageIndex | None,
    k: int,
    html: Path | None,
    fail_under: float | None,
    json_: bool | None,
) -> None:
    from halluc.verification.check_file import check_rows, count_lines
    from retrieval.progress import progress_bar

    with progress_bar("checking", count_lines(batch)) as advance:
        done = check_rows(batch, out, verifier=verifier, index=index, k=k, advance=advance)
    scores, reports, titles = _read_results(out, html is not None)
    if html is not None:
        from halluc.verification.page import write_report_page

        write_report_page(html, reports, titles=titles)
    low = sum(_fails(score, fail_under) for score in scores)
    known = [score for score in scores if score is not None]
    mean = sum(known) / len(known) if known else None
    for sentence in done.broken:
        print_notice(sentence)
    if wants_json(json_):
        print_json({"out": str(out), **done.to_dict(), "mean_score": mean, "below": low if fail_under is not None else None})
    else:
        average = "" if mean is None else f"; mean score {mean:.2f}"
        console().print(f"{done.checked} rows checked, {done.resumed} done before, results in {out}{average}")
    if done.broken:
        raise typer.Exit(2)
    if low:
        raise typer.Exit(1)


def _read_results(out: Path, whole: bool) -> tuple[list[float | None], list[CheckReport], list[str]]:
    """Scores of all results, of former runs too, in the order of the rows; reports and titles only if asked for."""
    import json

    from halluc.verification.check import CheckReport

    scores: dict[int, float | None] = {}
    reports: dict[int, tuple[CheckReport, str]] = {}
    with out.open(encoding="utf-8") as results:
        for line in results:
            result = json.loads(line)
            scores[result["line"]] = result["score"]
            if whole:
                name = f"Line {result['line']}" if result["id"] is None else str(result["id"])
                reports[result["line"]] = (CheckReport.from_dict(result), name)
    ordered = [reports[line] for line in sorted(reports)]
    return [scores[line] for line in sorted(scores)], [r for r, _ in ordered], [name for _, name in ordered]


def _fails(score: float | None, fail_under: float | None) -> bool:
    return fail_under is not None and score is not None and score < fail_under


def _answer(given: str) -> str:
    """The text that ANSWER stands for."""
    from halluc.errors import InvalidInput

    if given == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput("standard input is not UTF-8 text; pass an answer in UTF-8") from error
        if not text.strip():
            raise InvalidInput("standard input is empty; there is nothing to check")
        return text
    try:
        is_file = Path(given).is_file()
    except (OSError, ValueError):
        is_file = False
    if is_file:
        return _text(Path(given), "answer")
    if _FILE_NAME.fullmatch(given):
        raise InvalidInput(f"{given} does not exist; an answer that looks like a file name can be passed on standard input")
    if not given.strip():
        raise InvalidInput("the answer is empty; there is nothing to check")
    return given


def _text(path: Path, what: str) -> str:
    from halluc.errors import InvalidInput

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the {what} {path} is not UTF-8 text; index other files with 'halluc index build'") from error
    except OSError as error:
        raise InvalidInput(f"the {what} {path} cannot be read: {error.strerror or error}") from error
    if "\0" in text:
        raise InvalidInput(f"the {what} {path} is a binary file; pass a text file")
    if not text.strip():
        raise InvalidInput(f"the {what} {path} is empty; there is nothing to check{'' if what == 'answer' else ' against'}")
    return text
