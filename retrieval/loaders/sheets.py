"""Excel workbooks: each visible worksheet is a text, with a line for each row that names its columns.

Cells have the values that were saved last; formulas are not computed. Rows and columns are read also if they are hidden, as
filters hide them.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from retrieval.errors import UnreadableDocument
from retrieval.loaders.package import core_metadata, opened_package
from retrieval.loaders.rows import with_first_row_as_header
from retrieval.loaders.text import LoadedText

__all__ = ["load_xlsx"]


def load_xlsx(path: Path) -> list[LoadedText]:
    """Read a workbook; a text is named by its worksheet if there are several."""
    import openpyxl

    workbook = opened_package(path, lambda name: openpyxl.load_workbook(name, read_only=True, data_only=True), "workbook")
    try:
        title, metadata = core_metadata(workbook.properties)
        sheets = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        texts = []
        for sheet in sheets:
            rows = [[_shown(value) for value in row] for row in sheet.iter_rows(values_only=True)]
            rows = _without_empty(rows)
            name = sheet.title if len(sheets) > 1 else None
            texts.append(
                LoadedText(
                    "\n\n".join(with_first_row_as_header(rows)),
                    title if name is None else None,
                    {**metadata, "sheet": sheet.title},
                    part=name,
                )
            )
        return texts
    except (KeyError, ValueError, TypeError, SyntaxError) as error:
        raise UnreadableDocument(f"{path} cannot be read as a workbook: {error}") from error
    finally:
        workbook.close()


def _without_empty(rows: list[list[str]]) -> list[list[str]]:
    """Leave out rows and columns without a value."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    columns = [i for i in range(max(map(len, rows), default=0)) if any(i < len(row) and row[i].strip() for row in rows)]
    return [[row[i] if i < len(row) else "" for i in columns] for row in rows]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "minutes")
    return str(value)
