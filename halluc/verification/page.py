"""Reports as one HTML page that needs nothing else: no scripts, fonts or pictures from elsewhere.

Supported, refuted and unverified text is told apart by colour and by underline; its evidence shows on hover, click, and
keyboard focus, and stands once more in a list that needs no script. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from halluc.answers import Verdict
from halluc.errors import InvalidInput
from halluc.verification.check import CheckReport, labeled_spans

__all__ = ["report_page", "write_report_page"]

_NAMES = {"supported": "supported", "refuted": "refuted", "not_enough_info": "unverified"}
_SIGNS = {"supported": "✓", "refuted": "✗", "not_enough_info": "?"}


def report_page(reports: Sequence[CheckReport], *, titles: Sequence[str] | None = None) -> str:
    """The page as a string.

    Args:
        reports: one section each.
        titles: (N,) headings; "Answer 1", ... by default.

    Raises:
        InvalidInput: there are more or fewer titles than reports.
    """
    if titles is None:
        titles = [f"Answer {number}" for number in range(1, len(reports) + 1)]
    if len(titles) != len(reports):
        raise InvalidInput(f"there are {len(titles)} titles for {len(reports)} reports; pass one for each")
    sections = [
        _section(number, title, report) for number, (title, report) in enumerate(zip(titles, reports, strict=True), 1)
    ]
    page = files("halluc.verification").joinpath("page.html").read_text(encoding="utf-8")
    head, _, rest = page.partition("<!--SUMMARY-->")
    between, _, tail = rest.partition("<!--REPORTS-->")
    return "".join([head, _summary(reports), between, *sections, tail])


def write_report_page(path: Path, reports: Sequence[CheckReport], *, titles: Sequence[str] | None = None) -> None:
    """Write the page to a file, aside first and then renamed; InvalidInput where it cannot be written."""
    page = report_page(reports, titles=titles)
    aside = path.with_name(f".{path.name}.part")
    try:
        # A lone surrogate, which JSON may hold, has no UTF-8 form.
        aside.write_text(page, encoding="utf-8", errors="replace")
        aside.replace(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error


def _summary(reports: Sequence[CheckReport]) -> str:
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    counts = ", ".join(f"{sum(v.label == label for v in verdicts)} {name}" for label, name in _NAMES.items())
    claims = f"{len(verdicts)} claim{'' if len(verdicts) == 1 else 's'}: {counts}."
    modes = sorted({f"{report.mode.capitalize()}, judged by {report.verifier}" for report in reports})
    return f'<p class="quiet">{escape(claims)} {escape(". ".join(modes))}</p>'


def _section(number: int, title: str, report: CheckReport) -> str:
    score = "no claim to check" if report.score is None else f"score {report.score:.2f}"
    question = f'<p class="question">{escape(report.question)}</p>' if report.question else ""
    entries = "".join(
        f'<li class="claim" id="c{number}-{i}">{_entry(verdict)}</li>' for i, verdict in enumerate(report.verdicts)
    )
    details = f"<details><summary>Claims and evidence as a list</summary><ol>{entries}</ol></details>" if entries else ""
    return (
        f'<article aria-labelledby="t{number}"><header class="top"><h2 id="t{number}">{escape(title)}</h2>'
        f'<span class="quiet">{score}</span></header>{question}'
        f'<p class="answer">{"".join(_marked(number, report))}</p>{details}</article>\n'
    )


def _marked(number: int, report: CheckReport) -> Iterator[str]:
    position = 0
    for span in labeled_spans(report.verdicts):
        # Where a claim is interrupted by another, the comma between them belongs to neither.
        piece = report.answer[span.start : span.end]
        start = span.start + len(piece) - len(piece.lstrip(" ,;"))
        end = max(start, span.start + len(piece.rstrip(" ,;")))
        yield escape(report.answer[position:start])
        position = end
        if start == end:
            continue
        text = escape(report.answer[start:end])
        claims = " ".join(f"c{number}-{i}" for i in span.verdicts)
        yield (
            f'<span class="mark {span.label}" role="button" tabindex="0" aria-expanded="false" data-claims="{claims}" '
            f'aria-label="{text} ({_NAMES[span.label]})">{text}</span>'
        )
    yield escape(report.answer[position:])


def _entry(verdict: Verdict) -> str:
    label = f'<span class="label is-{verdict.label}">{_SIGNS[verdict.label]} {_NAMES[verdict.label]}</span>'
    quotes = "".join(
        f'<blockquote class="evidence">{escape(evidence.text)}'
        + (f' <cite class="quiet">{escape(evidence.passage.title)}</cite>' if evidence.passage.title else "")
        + "</blockquote>"
        for evidence in verdict.evidence
    )
    none = "" if quotes else '<p class="evidence quiet">No evidence was found.</p>'
    return (
        f'<div>{label} <span class="quiet">support {verdict.support:.2f}</span></div>'
        f"<div>{escape(verdict.claim.text)}</div>{quotes}{none}"
    )
