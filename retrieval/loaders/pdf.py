"""PDF files: text in reading order, with the pages it stands on, tables as rows, and without running heads.

Not covered: scanned pages, which hold no text, and the order of the text on a page (columns.py).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.loaders.columns import Line, Word, paragraphs, reading_order
from retrieval.loaders.marks import joined_lines
from retrieval.loaders.rows import with_first_row_as_header
from retrieval.loaders.text import LoadedText

__all__ = ["load_pdf"]

# A head is in the same two lines at the edge of at least this many pages, and on at least half of them.
_EDGE_LINES = 2
_FEWEST_PAGES_WITH_HEAD = 3
_PAGE_NUMBER = re.compile(
    r"(?:page\s*)?[-–—(\[]?\s*(?:\d{1,4}|[ivxlc]{1,6})\s*(?:(?:of|/)\s*\d{1,4}\s*)?[-–—)\]]?", re.IGNORECASE
)


def load_pdf(path: Path) -> list[LoadedText]:
    """Read a PDF file; its title is the one in its properties.

    Raises:
        UnreadableDocument: it is damaged, needs a password, or has no text.
    """
    import pdfplumber
    from pdfplumber.utils.exceptions import PdfminerException

    try:
        with _quiet(), pdfplumber.open(path) as pdf:
            title = pdf.metadata.get("Title")
            pages = []
            for page in pdf.pages:
                pages.append(_lines(page))
                page.close()
    # A damaged file makes the parser raise more than its own errors: recursion, wrong types, bad compression.
    except Exception as error:
        cause = error.args[0] if isinstance(error, PdfminerException) and error.args else error
        if type(cause).__name__ in ("PDFPasswordIncorrect", "PDFEncryptionError"):
            raise UnreadableDocument(f"{path} is protected with a password; save it without one") from error
        reason = str(cause) or type(cause).__name__
        raise UnreadableDocument(f"{path} cannot be read as a pdf: {reason}") from error
    if not any(pages):
        raise UnreadableDocument(f"{path} is a pdf without text (scanned pages?); run it through OCR first")
    text, page_starts = _joined_pages(_without_heads(pages))
    return [LoadedText(text, title.strip() if isinstance(title, str) and title.strip() else None, {}, page_starts)]


def _lines(page: Any) -> list[Line]:
    """The lines of a page in reading order; each row of a table is a line."""
    tables = [table for table in page.find_tables() if len(table.rows) > 1 and len(table.columns) > 1]
    words = []
    for word in page.extract_words(x_tolerance_ratio=0.15, use_text_flow=False, extra_attrs=["size"]):
        middle, height = (word["x0"] + word["x1"]) / 2, (word["top"] + word["bottom"]) / 2
        # Nobody sees what is off the page, or smaller than a point.
        if word["size"] < 1 or not (page.bbox[0] <= middle <= page.bbox[2] and page.bbox[1] <= height <= page.bbox[3]):
            continue
        if not any(box[0] <= middle <= box[2] and box[1] <= height <= box[3] for box in (t.bbox for t in tables)):
            words.append(Word(word["text"], word["x0"], word["x1"], word["top"], word["bottom"], word["size"]))
    rows = []
    for table in tables:
        cells = [[(cell or "").replace("\n", " ") for cell in row] for row in table.extract(x_tolerance_ratio=0.15)]
        left, top, right, bottom = table.bbox
        lines = with_first_row_as_header(cells)
        height = (bottom - top) / max(1, len(lines))
        rows += [
            Line(line, left, right, top + i * height, top + (i + 0.9) * height, min(height, 12.0), is_row=True)
            for i, line in enumerate(lines)
        ]
    return reading_order(words, rows)


def _without_heads(pages: Sequence[list[Line]]) -> list[list[Line]]:
    """Remove running heads and page numbers: lines at the edge of pages that repeat there but for their numbers."""
    edges = [_edge_lines(lines) for lines in pages]
    counts = Counter(key for edge in edges for key in {_head_key(line) for line in edge})
    needed = max(_FEWEST_PAGES_WITH_HEAD, (len(pages) + 1) // 2)
    # Left and right pages may have heads of their own.
    repeated = {key for key, count in counts.items() if count >= (needed if len(pages) < 6 else max(3, len(pages) // 3))}
    return [
        [
            line
            for line in lines
            if line not in edge
            or not (_head_key(line) in repeated or (len(pages) > 1 and _PAGE_NUMBER.fullmatch(line.text)))
        ]
        for lines, edge in zip(pages, edges, strict=True)
    ]


def _edge_lines(lines: Sequence[Line]) -> list[Line]:
    by_height = sorted((line for line in lines if not line.is_row), key=lambda line: line.top)
    return [*by_height[:_EDGE_LINES], *by_height[-_EDGE_LINES:]]


def _head_key(line: Line) -> tuple[str, int]:
    """The same for lines that differ in numbers only; a title that is repeated in small print is another line."""
    return re.sub(r"\d+", "#", line.text), round(line.size)


def _joined_pages(pages: Sequence[list[Line]]) -> tuple[str, tuple[int, ...]]:
    """The text of all pages, and where each starts; a sentence that a page break divides is joined."""
    blocks = [paragraphs(lines) for lines in pages]
    hyphenated = {word.lower() for page in blocks for block in page for word in re.findall(r"[^\W\d_]+-[^\W\d_]+", block)}
    text, starts = "", []
    for page in blocks:
        joined = [re.sub(r"\s*\n\s*", " ", joined_lines(block, hyphenated)) for block in page]
        if joined and text and _goes_on(text, joined[0]):
            divided = re.search(r"([^\W\d_]+)[-\u00ad\u2010]$", text)
            if divided is not None:
                first_word = re.match(r"[^\W\d_]+", joined[0])
                second = first_word[0] if first_word else ""
                kept = joined_lines(f"{divided[0]}\n{second}", hyphenated)
                text = text[: divided.start()] + kept[: len(kept) - len(second)]
            else:
                text += " "
            starts.append(len(text))
            text += "\n\n".join(joined)
            continue
        text += "\n\n" if text and joined else ""
        starts.append(len(text))
        text += "\n\n".join(joined)
    return text, tuple(starts)


def _goes_on(before: str, after: str) -> bool:
    """Whether a page begins within the sentence that the page before it ends with."""
    return after[0].islower() and re.search(r"[.!?:;]\W*$", before[-5:]) is None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the parser's remarks on odd files from the user: what it cannot read it raises."""
    logger = logging.getLogger("pdfminer")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
