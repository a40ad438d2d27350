"""Find tables in a text that are written with a line per row: Markdown tables, and lines separated by |, commas or tabs.

Not covered: HTML (html_tables.py), columns aligned by spaces, and quoted fields with line breaks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from halluc.structured.record import Block, Field, Record, label_words

__all__ = ["Cell", "Line", "records_of_rows", "table_blocks"]

_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_PIPE_CELL = re.compile(r"(?:[^|\\]|\\.)*")
_FIELDS = {
    ",": re.compile(r'"(?:[^"]|"")*"(?=,|$)|[^,]*'),
    ";": re.compile(r'"(?:[^"]|"")*"(?=;|$)|[^;]*'),
    "\t": re.compile(r'"(?:[^"]|"")*"(?=\t|$)|[^\t]*'),
}
_EMPHASIS = re.compile(r"(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1")
_LONGEST_HEADER = 60
_CHECK_MARKS = {"✓": "yes", "✔": "yes", "✔️": "yes", "✅": "yes", "✗": "no", "✘": "no", "❌": "no", "✕": "no"}
# A header that says only that the first column has labels and the second one values.
_LABEL_HEADERS = (
    "attribute", "characteristic", "detail", "details", "feature", "field", "item", "key", "label", "metric", "name",
    "parameter", "property", "specification",
)  # fmt: skip
_VALUE_HEADERS = ("answer", "data", "description", "detail", "details", "figure", "information", "value", "values")
_NOTHING = frozenset(("", "-", "–", "—", "n/a", "null", "none", "nan"))


class Cell(NamedTuple):
    """The text of a cell and its characters [start, end)."""

    text: str
    start: int
    end: int


class Line(NamedTuple):
    """A line of a text without the line break, and where it begins."""

    text: str
    start: int


def table_blocks(lines: Sequence[Line]) -> list[Block]:
    """Find the tables among the lines of a text.

    Returns:
        Blocks in the order of the text. Lines are a table if at least two that follow each other have the same number of
        at least two fields and the first can be a header.
    """
    blocks: list[Block] = []
    number = 0
    while number < len(lines):
        line = lines[number].text
        last = number
        records: list[Record] = []
        if "|" in line:
            last, records = _pipe_table(lines, number)
        else:
            for separator in ("\t", ",", ";"):
                if not records and separator in line:
                    last, records = _separated_table(lines, number, separator)
        if records:
            end = lines[last - 1]
            blocks.append(Block(lines[number].start, end.start + len(end.text), tuple(records), "table"))
        number = max(last, number + 1)
    return blocks


def records_of_rows(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[Record]:
    """Label the cells of each row by the header; where the columns are labels and values, they become one record."""
    labels = [label_words(name) for name in header]
    if len(header) == 2 and header[0].lower() in _LABEL_HEADERS and header[1].lower() in _VALUE_HEADERS:
        fields = [
            Field(label_words(row[0].text), row[1].text, row[0].start, row[1].end)
            for row in rows
            if len(row) > 1 and row[0].text and row[1].text.lower() not in _NOTHING
        ]
        return [Record("", tuple(fields))] if fields else []
    records = []
    for row in rows:
        fields = [
            Field(label, cell.text, cell.start, cell.end)
            for label, cell in zip([*labels, *[""] * len(row)], row, strict=False)
            if cell.text.lower() not in _NOTHING
        ]
        if fields:
            records.append(Record("", tuple(fields)))
    return records


def _pipe_table(lines: Sequence[Line], number: int) -> tuple[int, list[Record]]:
    """The table that begins at a line with |: the index after its last line, and its records."""
    header = _pipe_cells(lines[number])
    names = [cell.text for cell in header]
    if len(header) < 2 or not any(names) or max(map(len, names)) > _LONGEST_HEADER:
        return number + 1, []
    ruled = number + 1 < len(lines) and _is_rule(lines[number + 1].text)
    last = number + 1
    rows: list[list[Cell]] = []
    while last < len(lines) and "|" in lines[last].text:
        if not _RULE.fullmatch(lines[last].text):
            cells = _pipe_cells(lines[last])
            # Rows below a ruled header may be short.
            if not ruled and len(cells) != len(header):
                break
            rows.append(cells)
        last += 1
    return last, records_of_rows(names, rows)


def _is_rule(line: str) -> bool:
    return "|" in line and _RULE.fullmatch(line) is not None


def _pipe_cells(line: Line) -> list[Cell]:
    """Cells between the separators; those at both ends of the line are not needed."""
    start, end = 0, len(line.text.rstrip())
    while start < end and line.text[start] in " \t":
        start += 1
    if line.text[start:end].startswith("|"):
        start += 1
    if end > start and line.text[end - 1] == "|" and line.text[end - 2 : end - 1] != "\\":
        end -= 1
    cells: list[Cell] = []
    while start <= end:
        match = _PIPE_CELL.match(line.text, start, end)
        stop = match.end() if match else start
        cells.append(_cell(line, start, stop))
        start = stop + 1
    return cells


def _cell(line: Line, start: int, end: int) -> Cell:
    raw = line.text[start:end]
    content = raw.strip()
    begin = line.start + start + len(raw) - len(raw.lstrip())
    text = _EMPHASIS.sub(r"\2", content.replace("\\|", "|").replace("<br>", ", "))
    text = _CHECK_MARKS.get(text, text)
    return Cell(text, begin, begin + len(content))


def _separated_table(lines: Sequence[Line], number: int, separator: str) -> tuple[int, list[Record]]:
    """The table that begins at a line with commas, semicolons or tabs."""
    header = _separated_cells(lines[number], separator)
    names = [cell.text for cell in header]
    if not _is_header(names):
        return number + 1, []
    last = number + 1
    rows: list[list[Cell]] = []
    while last < len(lines) and lines[last].text.count(separator) >= len(header) - 1:
        cells = _separated_cells(lines[last], separator)
        if len(cells) != len(header):
            break
        rows.append(cells)
        last += 1
    return last, records_of_rows(names, rows) if _are_data(lines[number].text, rows, separator) else []


def _separated_cells(line: Line, separator: str) -> list[Cell]:
    cells: list[Cell] = []
    start = 0
    while start <= len(line.text):
        match = _FIELDS[separator].match(line.text, start)
        stop = match.end() if match else start
        raw = line.text[start:stop].strip()
        if len(raw) > 1 and raw[0] == raw[-1] == '"':
            raw = raw[1:-1].replace('""', '"')
        cells.append(Cell(raw, line.start + start, line.start + stop))
        start = stop + 1
    return cells


def _is_header(names: Sequence[str]) -> bool:
    """Whether the names can be those of columns."""
    if len(names) < 2 or not all(names) or len(set(names)) < len(names) or max(map(len, names)) > _LONGEST_HEADER:
        return False
    return not any(name[-1] in ".!?:" or name.replace(".", "").isdigit() for name in names)


def _are_data(header: str, rows: Sequence[Sequence[Cell]], separator: str) -> bool:
    """Whether lines are a table and not prose, whose commas have a space after them."""
    if not rows:
        return False
    if separator == "\t" or (separator + " " not in header and len(header.split()) <= 3 * len(rows[0])):
        return True
    # Otherwise there must be numbers below a name.
    columns = zip(*([cell.text for cell in row] for row in rows), strict=False)
    return len(rows[0]) > 2 and len(rows) > 1 and any(all(value[:1].isdigit() for value in column) for column in columns)
