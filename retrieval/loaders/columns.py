"""The order in which the words of a page are read: lines, columns and paragraphs from positions.

A gutter is a vertical gap that several lines leave free, with text that fills the width on both sides of it. Lines that
cross it, such as a title, divide the page; between them the left column is read before the right one. Short entries side by
side are a table without lines, and are read line by line. Positions are in points, from the top left corner.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

__all__ = ["Line", "Word", "paragraphs", "reading_order"]

_FEWEST_COLUMN_LINES = 3
# Widths in units of the font size.
_NARROWEST_GUTTER = 0.8
# Share of the width of a column that its lines fill in prose.
_FILLED = 0.55
_BULLET = re.compile(r"[•‣◦▪●○■□➢✓*–-]\s")


@dataclass(frozen=True)
class Word:
    """A word with its box and the size of its font."""

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    size: float


@dataclass(frozen=True)
class Line:
    """A line of text within one column, with its box; `is_row` if it is a row of a table."""

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    size: float
    is_row: bool = False


def reading_order(words: Sequence[Word], rows: Sequence[Line] = ()) -> list[Line]:
    """Order the words of a page.

    Args:
        words: all words that are not in tables.
        rows: rows of the tables of the page, which are put in their place.

    Returns:
        Lines in the order in which they are read.
    """
    lines = [_with_letters_joined(line) for line in _lines(words)]
    return _ordered(lines, rows)


def paragraphs(lines: Sequence[Line]) -> list[str]:
    """Group lines to paragraphs, each with its lines separated by line feeds."""
    gaps = [b.top - a.bottom for a, b in pairwise(lines) if 0 <= b.top - a.bottom < 3 * a.size]
    usual = median(gaps) if gaps else 0.0
    blocks: list[list[str]] = []
    last: Line | None = None
    for line in lines:
        if last is None or _starts_paragraph(last, line, usual):
            blocks.append([])
        blocks[-1].append(line.text)
        last = line
    return ["\n".join(block) for block in blocks]


def _starts_paragraph(last: Line, line: Line, usual_gap: float) -> bool:
    if last.is_row or line.is_row or _BULLET.match(line.text) or abs(line.size - last.size) > 0.15 * last.size:
        return True
    # The next column goes on with the sentence.
    if line.top < last.top:
        return last.text.endswith((".", "!", "?", ":")) and not line.text[:1].islower()
    return line.top - last.bottom > usual_gap + 0.5 * line.size


def _lines(words: Sequence[Word]) -> list[list[Word]]:
    """Group words whose middles are at the same height to lines, from top to bottom, each from left to right."""
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda w: (w.top + w.bottom) / 2):
        middle = (word.top + word.bottom) / 2
        if lines and lines[-1][0].top <= middle <= lines[-1][0].bottom:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [sorted(line, key=lambda w: w.x0) for line in lines]


def _with_letters_joined(line: list[Word]) -> list[Word]:
    """Join the letters of letter-spaced words: a line of single letters, with wider gaps between words."""
    if len(line) < 5 or sum(len(word.text) == 1 for word in line) < 0.7 * len(line):
        return line
    gaps = [b.x0 - a.x1 for a, b in pairwise(line)]
    limit = 1.6 * max(median(gaps), 0.1)
    joined = [line[0]]
    for gap, word in zip(gaps, line[1:], strict=True):
        if gap > limit:
            joined.append(word)
        else:
            a = joined[-1]
            joined[-1] = Word(a.text + word.text, a.x0, word.x1, min(a.top, word.top), max(a.bottom, word.bottom), a.size)
    return joined


def _ordered(lines: list[list[Word]], rows: Sequence[Line]) -> list[Line]:
    gutter = _gutter(lines)
    if gutter is None:
        whole = [_line(words) for words in lines] + list(rows)
        return sorted(whole, key=lambda line: (line.top, line.x0))
    ordered: list[Line] = []
    for band, band_rows in _bands(lines, rows, gutter):
        if all(_crosses(words, gutter) for words in band):
            ordered += sorted([*(_line(words) for words in band), *band_rows], key=lambda line: (line.top, line.x0))
            continue
        for keep in (True, False):
            side = [part for words in band if (part := [w for w in words if ((w.x0 + w.x1) / 2 < gutter) == keep])]
            ordered += _ordered(side, [row for row in band_rows if ((row.x0 + row.x1) / 2 < gutter) == keep])
    return ordered


def _bands(
    lines: Sequence[list[Word]], rows: Sequence[Line], gutter: float
) -> Iterator[tuple[list[list[Word]], list[Line]]]:
    """Divide a page at the lines, and the rows of tables, that cross the gutter; yields (lines, rows) from top to bottom."""
    entries: list[tuple[float, bool, list[Word] | Line]] = [
        (words[0].top, _crosses(words, gutter), words) for words in lines
    ]
    entries += [(row.top, row.x0 < gutter < row.x1, row) for row in rows]
    band: tuple[list[list[Word]], list[Line]] = ([], [])
    crossing: bool | None = None
    for _, crosses, entry in sorted(entries, key=lambda item: item[0]):
        if crosses != crossing and crossing is not None:
            yield band
            band = ([], [])
        crossing = crosses
        if isinstance(entry, Line):
            band[1].append(entry)
        else:
            band[0].append(entry)
    if band[0] or band[1]:
        yield band


def _crosses(words: Sequence[Word], gutter: float) -> bool:
    """Whether a line runs over the gutter: a word is on it, or no gap of its width is there."""
    left = [w for w in words if (w.x0 + w.x1) / 2 < gutter]
    right = [w for w in words if (w.x0 + w.x1) / 2 >= gutter]
    if not left or not right:
        return any(w.x0 < gutter < w.x1 for w in words)
    return right[0].x0 - left[-1].x1 < 0.6 * words[0].size


def _gutter(lines: Sequence[list[Word]]) -> float | None:
    """Find the middle of the gap that divides the most lines into two columns of prose; None if there is none."""
    middles = {round(words[0].x0 - _NARROWEST_GUTTER * words[0].size / 2) for words in lines}
    for words in lines:
        wide = ((a, b) for a, b in pairwise(words) if b.x0 - a.x1 >= _NARROWEST_GUTTER * a.size)
        middles.update(round((a.x1 + b.x0) / 2) for a, b in wide)
    best, best_count = None, _FEWEST_COLUMN_LINES - 1
    for middle in sorted(middles):
        if (count := _lines_of_columns(lines, middle)) > best_count:
            best, best_count = float(middle), count
    return best


def _lines_of_columns(lines: Sequence[list[Word]], middle: float) -> int:
    """Number of lines of the shorter of two columns beside each other; 0 if they are not prose that fills both."""
    divided = [words for words in lines if not _crosses(words, middle)]
    left = [part for words in divided if (part := [w for w in words if (w.x0 + w.x1) / 2 < middle])]
    right = [part for words in divided if (part := [w for w in words if (w.x0 + w.x1) / 2 >= middle])]
    if min(len(left), len(right)) < _FEWEST_COLUMN_LINES or not (_is_prose(left) and _is_prose(right)):
        return 0
    top, bottom = max(left[0][0].top, right[0][0].top), min(left[-1][0].bottom, right[-1][0].bottom)
    return min(sum(top <= (part[0].top + part[0].bottom) / 2 <= bottom for part in side) for side in (left, right))


def _is_prose(parts: Sequence[list[Word]]) -> bool:
    """Whether most lines of a column fill it, with several words each."""
    width = max(part[-1].x1 for part in parts) - min(part[0].x0 for part in parts)
    filled = median((part[-1].x1 - part[0].x0) / max(width, 1.0) for part in parts)
    return filled >= _FILLED and median(len(part) for part in parts) >= 3


def _line(words: Sequence[Word]) -> Line:
    return Line(
        " ".join(word.text for word in words),
        words[0].x0,
        words[-1].x1,
        min(word.top for word in words),
        max(word.bottom for word in words),
        median(word.size for word in words),
    )
