"""Files of rows: a row of CSV, JSON lines or a JSON list, or of a data set, is a document.

Not covered: worksheets (office.py), which are texts with a line for each row.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.files import check_encodable, kind_of_value, parse_json, parse_json_object
from retrieval.loaders.rows import table_lines
from retrieval.loaders.text import LoadedText, read_text
from retrieval.passages import Document

__all__ = ["csv_rows", "document_of_row", "json_rows", "jsonl_rows", "load_json"]

_DELIMITERS = ",;\t|"


def csv_rows(path: Path) -> list[tuple[int, dict[Any, Any]]]:
    """Read a CSV file with a header: the number of each line, and its cells by column.

    The delimiter is the one of comma, semicolon, tab and bar that is most frequent in the header.
    """
    # The default limit of 131,072 characters per field holds for the whole process, so it is restored.
    limit = csv.field_size_limit(sys.maxsize)
    text = read_text(path)
    header = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UnreadableDocument(f"line {reader.line_num} of {path} is not csv: {error}") from error
    finally:
        csv.field_size_limit(limit)
    if not rows:
        raise UnreadableDocument(f"{path} holds no rows; leave it out")
    return rows


def jsonl_rows(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a JSON-lines file that are not blank, each with its number."""
    return ((number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip())


def json_rows(path: Path) -> list[tuple[int, Any]] | None:
    """Read the objects of a JSON file that is a list of rows with a text, numbered from 1; None if it is something else."""
    value = _json(path)
    if (
        isinstance(value, list)
        and value
        and all(isinstance(row, dict) and isinstance(row.get("text"), str) for row in value)
    ):
        return list(enumerate(value, 1))
    return None


def load_json(path: Path) -> list[LoadedText]:
    """Read any other JSON file: a line for each value that names where it stands, and one for each object of a list."""
    value = _json(path)
    title = value.get("title") if isinstance(value, dict) else None
    return [LoadedText("\n\n".join(_lines(value, ())), title if isinstance(title, str) and title.strip() else None)]


def document_of_row(row: Any, source: str, text_columns: Sequence[str] | None) -> Document:
    """Make a document of one row.

    Args:
        row: a mapping, or a line of JSON.
        source: the file and line, which is also the id if the row has none.
        text_columns: columns that hold the text; None for `text`, or all columns of a table without a column of that name.

    Raises:
        ValueError: the row cannot be used; the message continues a sentence that names the row.
    """
    is_table = not isinstance(row, str)
    if isinstance(row, str):
        row = parse_json_object(row)
    if not isinstance(row, Mapping):
        raise ValueError(f"is not an object but {kind_of_value(row)}")
    if None in row:
        raise ValueError(f"has more fields than the {len(row) - 1} columns; quote its commas")
    if text_columns is None and is_table and "text" not in row:
        text_columns = [name for name in row if name not in ("id", "title")] or list(row)
    if text_columns is None or list(text_columns) == ["text"]:
        text = row.get("text")
        if not isinstance(text, str) or not text.strip():
            raise ValueError("has no text in a field 'text'")
    else:
        text = _named_text(row, text_columns)
    check_encodable(row)
    metadata = {key: value for key, value in row.items() if key not in ("id", "title", "text") and value is not None}
    document_id, title = row.get("id"), row.get("title")
    return Document(
        source if document_id in (None, "") else str(document_id),
        text,
        None if title in (None, "") else str(title),
        source,
        metadata,
    )


def _named_text(row: Mapping[Any, Any], columns: Sequence[str]) -> str:
    """The cells of some columns; each is named if there are several."""
    if missing := [name for name in columns if name not in row]:
        raise ValueError(f"has no column {missing[0]!r}, only {', '.join(map(repr, row)) or 'nothing'}")
    cells = [_shown(row[name]) for name in columns]
    if len(columns) == 1:
        text = cells[0]
    else:
        # Cells of some length are paragraphs of their own.
        separator = "\n\n" if any(len(cell) > 80 for cell in cells) else "; "
        text = separator.join(
            table_lines([[cell]], [str(name)])[0] for name, cell in zip(columns, cells, strict=True) if cell.strip()
        )
    if not text.strip():
        raise ValueError(f"has no text in {', '.join(map(repr, columns))}")
    return text


def _json(path: Path) -> Any:
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        raise UnreadableDocument(f"{path} {error}; fix it or leave it out") from error


def _lines(value: Any, names: tuple[str, ...]) -> Iterator[str]:
    """Lines such as "shop opening hours: 9 to 5"; an object without further levels is one line."""
    name = " ".join(names)
    if isinstance(value, dict):
        if names and value and not any(isinstance(item, (dict, list)) for item in value.values()):
            yield from table_lines([[name, *map(_shown, value.values())]], ["", *map(str, value)])
            return
        for key, item in value.items():
            yield from _lines(item, (*names, str(key)))
    elif isinstance(value, list):
        if any(isinstance(item, (dict, list)) for item in value):
            for item in value:
                yield from _lines(item, names)
        elif value:
            yield f"{name}: {', '.join(map(_shown, value))}" if name else ", ".join(map(_shown, value))
    elif value is not None and _shown(value).strip():
        yield f"{name}: {_shown(value)}" if name else _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
