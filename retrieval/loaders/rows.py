"""Rows of tables as lines of text that can be understood without the rest of the table."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["table_lines", "with_first_row_as_header"]


def table_lines(rows: Sequence[Sequence[str]], header: Sequence[str] | None = None) -> list[str]:
    """Write each row as one line.

    Args:
        rows: cells, row by row.
        header: name of each column, for the cells that have one; None if the columns have no names.

    Returns:
        Lines such as "Town: Oslo; Height: 12 m", or "Oslo | 12 m" without a header; rows without text are left out.
    """
    lines = []
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        if header is None:
            line = " | ".join(cell for cell in cells if cell)
        else:
            names = [" ".join(name.split()) for name in header[: len(cells)]]
            names += [""] * (len(cells) - len(names))
            line = "; ".join(
                f"{name.rstrip(':')}: {cell}" if name and name != cell else cell
                for name, cell in zip(names, cells, strict=True)
                if cell
            )
        if line:
            lines.append(line)
    return lines


def with_first_row_as_header(rows: Sequence[Sequence[str]]) -> list[str]:
    """Write each row of a table as a line, with its first row as header if that row can be one.

    A header has text in at least two columns, all of it different, none of it a number.
    """
    if len(rows) < 2:
        return table_lines(rows)
    names = [" ".join(cell.split()) for cell in rows[0]]
    filled = [name for name in names if name]
    is_header = (
        len(filled) >= max(2, len(names) - 1)
        and len(set(filled)) == len(filled)
        and not any(re.fullmatch(r"[\d\s.,:/%€$£+−-]+", name) or len(name) > 60 for name in filled)
    )
    return table_lines(rows[1:], names) if is_header else table_lines(rows)
