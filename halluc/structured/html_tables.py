"""Find the tables of a text that are written in HTML.

Not covered: cells that span several rows or columns, tables inside tables, and all other HTML, which is left as it is.
"""

from __future__ import annotations

import re
from html import unescape

from halluc.structured.record import Block, Field, Record, label_words
from halluc.structured.tables import Cell, records_of_rows

__all__ = ["html_table_blocks"]

_TABLE = re.compile(r"<table\b[^>]*>(.*?)(?:</table\s*>|(?=<table\b)|\Z)", re.IGNORECASE | re.DOTALL)
_ROW = re.compile(r"<tr\b[^>]*>(.*?)(?=<tr\b|\Z)", re.IGNORECASE | re.DOTALL)
_CELL = re.compile(r"<(t[hd])\b[^>]*>(.*?)(?=<t[hdr]\b|</t[hdr]\b|</table|\Z)", re.IGNORECASE | re.DOTALL)
_BREAK = re.compile(r"<br\b[^>]*>|</(?:p|li|div)\s*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")


def html_table_blocks(text: str) -> list[Block]:
    """Find the HTML tables of a text.

    Returns:
        Blocks in the order of the text. The first row is the header, unless each row begins with a header cell of its own
        and has one value.
    """
    blocks = []
    for table in _TABLE.finditer(text):
        rows = []
        kinds = []
        for row in _ROW.finditer(text, *table.span(1)):
            cells = [(cell[1].lower(), _cell(text, *cell.span(2))) for cell in _CELL.finditer(text, *row.span(1))]
            if cells:
                kinds.append([kind for kind, _ in cells])
                rows.append([cell for _, cell in cells])
        records = _records(rows, kinds)
        if records:
            blocks.append(Block(table.start(), table.end(), tuple(records), "table"))
    return blocks


def _records(rows: list[list[Cell]], kinds: list[list[str]]) -> list[Record]:
    if rows and all(kind == ["th", "td"] for kind in kinds):
        fields = [Field(label_words(name.text), value.text, name.start, value.end) for name, value in rows if value.text]
        return [Record("", tuple(fields))] if fields else []
    if len(rows) < 2 or len(rows[0]) < 2:
        return []
    return records_of_rows([cell.text for cell in rows[0]], rows[1:])


def _cell(text: str, start: int, end: int) -> Cell:
    content = unescape(_TAG.sub("", _BREAK.sub(" ", text[start:end])))
    return Cell(" ".join(content.split()), start, end)
