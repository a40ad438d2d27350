"""Rows of a JSON-lines file: an object a line, and errors that name the line.

Not here: what the fields of a row must be, which each reader says; documents (retrieval) and training data (training).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput

__all__ = ["json_object", "read_rows", "text_of"]


def read_rows(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each object of a file, and where it stands ("line 3 of rows.jsonl") for messages; blank lines are passed over.

    Raises:
        InvalidInput: the file cannot be read, or a line is not a JSON object.
    """
    rows = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"line {number} of {path}"
                    rows.append((where, json_object(line)))
    except ValueError as error:
        raise InvalidInput(f"{where} {error}; write one object a line") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error
    return rows


def json_object(line: bytes) -> dict[str, Any]:
    """The object on a line.

    Raises:
        ValueError: there is none; the message goes on from the name of the line ("is not JSON: ...").
    """
    try:
        value = json.loads(line)
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8 text") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"is not an object but a {type(value).__name__}")
    return value


def text_of(row: dict[str, Any], name: str, where: str) -> str:
    """A field of a row that must be text with something in it.

    Raises:
        InvalidInput: it is missing, not text, or blank.
    """
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{where} has the {name} {value!r}; write a text")
    return value
