"""Check reports as one self-contained HTML page: its style and script are inside it, and it loads nothing.

Supported, contradicted and unsupported text differs by color and by underline. The evidence shows on hover, click and
keyboard focus, and also in a list that needs no script. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from halluc.answers import LABEL_NAMES, Label
from halluc.errors import InvalidInput, check_texts
from halluc.files import write_text
from halluc.page_template import page_template
from halluc.verification.check import CheckReport
from halluc.verification.spans import labeled_spans

__all__ = ["report_page", "write_report_page"]

_SIGNS: dict[Label, str] = {"supported": "✓", "refuted": "✗", "not_enough_info": "?"}


def report_page(reports: Sequence[CheckReport], *, titles: Sequence[str] | None = None) -> str:
    """Render reports as an HTML page.

    Args:
        reports: (N,) reports, one section each.
        titles: (N,) headings; "Answer 1", ... by default.

    Returns:
        The page.

    Raises:
        InvalidInput: there is not one title for each report, or a title is not a text.
    """
    if titles is None:
        titles = [f"Answer {number}" for number in range(1, len(reports) + 1)]
    check_texts("titles", titles, allow_blank=True)
    if len(titles) != len(reports):
        raise InvalidInput(f"there are {len(titles)} titles for {len(reports)} reports; pass one for each")
    return page_template("halluc.verification", "check.html.jinja").render(
        sections=[(title, report, list(_pieces(report))) for title, report in zip(titles, reports, strict=True)],
        counts={label: sum(v.label == label for report in reports for v in report.verdicts) for label in LABEL_NAMES},
        modes=sorted({(report.mode, report.verifier) for report in reports}),
        names=LABEL_NAMES,
        signs=_SIGNS,
    )


def write_report_page(path: Path, reports: Sequence[CheckReport], *, titles: Sequence[str] | None = None) -> None:
    """Render reports as an HTML page and write it atomically; see `report_page`.

    Raises:
        InvalidInput: as `report_page`, or the file cannot be written.
    """
    write_text(path, report_page(reports, titles=titles))


@dataclass(frozen=True)
class _Piece:
    """A part of an answer: with a label and the indices of the verdicts that give it, or without, if it was not checked."""

    text: str
    label: Label | None = None
    verdicts: tuple[int, ...] = ()


def _pieces(report: CheckReport) -> Iterator[_Piece]:
    """The answer, cut where labels begin and end."""
    position = 0
    for span in labeled_spans(report.verdicts):
        # A claim interrupted by another one leaves the comma between them to neither.
        text = report.answer[span.start : span.end]
        start = span.start + len(text) - len(text.lstrip(" ,;"))
        end = max(start, span.start + len(text.rstrip(" ,;")))
        yield _Piece(report.answer[position:start])
        yield _Piece(report.answer[start:end], span.label, span.verdicts)
        position = end
    yield _Piece(report.answer[position:])
