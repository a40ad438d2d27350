"""Files of halluc and training: rows and tables in, JSON files in and out.

Not covered: which fields a row must have (each reader says so) and documents (`retrieval.load_documents`).
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput, needs_extra
from retrieval.errors import first_line
from retrieval.files import parse_json, parse_json_object, write_atomically

__all__ = [
    "can_write_into",
    "check_output_path",
    "read_json",
    "read_rows",
    "read_table",
    "text_of",
    "write_json",
    "write_text",
]

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_rows(path: Path, *, broken: list[str] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """Read each object of a JSON-lines file, with its place ("line 3 of rows.jsonl") for messages. Blank lines are skipped.

    Args:
        path: the file.
        broken: if given, a line that is not a JSON object is left out, and a sentence about it is appended here.

    Raises:
        InvalidInput: the file cannot be read, or a line is not a JSON object and `broken` is None.
    """
    rows = []
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                where = f"line {number} of {path}"
                try:
                    rows.append((where, parse_json_object(line)))
                except ValueError as error:
                    if broken is None:
                        raise InvalidInput(f"{where} {error}; write one object per line") from error
                    broken.append(f"{where} {error}")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error
    return rows


def read_table(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Read the rows of a file, with the place of each for messages, by the suffix of the file.

    Args:
        path: CSV (.csv) or TSV (.tsv) with a header, whose cells are texts, and None where they are empty; Parquet
            (.parquet); JSON (.json): an array of objects, or an object with one such array; else JSON lines.

    Raises:
        InvalidInput: the file cannot be read or is of another form.
        MissingExtra: the file is a Parquet file, and pyarrow is not installed.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in _DELIMITERS:
            return _read_delimited(path, _DELIMITERS[suffix])
        if suffix == ".parquet":
            return _read_parquet(path)
        rows = _read_array(path) if suffix == ".json" else None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error
    return read_rows(path) if rows is None else rows


def _read_delimited(path: Path, delimiter: str) -> list[tuple[str, dict[str, Any]]]:
    # Cells may be whole texts.
    csv.field_size_limit(2**31 - 1)
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.DictReader(lines, delimiter=delimiter, strict=True)
            for row in table:
                where = f"line {table.line_num} of {path}"
                if None in row:
                    raise InvalidInput(f"{where} has more cells than the header; put quotes around cells with {delimiter!r}")
                rows.append((where, {name: cell or None for name, cell in row.items()}))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read as a table: {error}; write UTF-8 with a header") from error
    return rows


def _read_parquet(path: Path) -> list[tuple[str, dict[str, Any]]]:
    with needs_extra("training"):
        import pyarrow
        import pyarrow.parquet
    try:
        with path.open("rb") as file:
            rows = pyarrow.parquet.read_table(file).to_pylist()
    except pyarrow.ArrowException as error:
        raise InvalidInput(f"{path} cannot be read as Parquet: {first_line(error)}") from error
    return [(f"row {number} of {path}", row) for number, row in enumerate(rows, 1)]


def _read_array(path: Path) -> list[tuple[str, dict[str, Any]]] | None:
    """The rows of one JSON document; None if the file is no such document, but perhaps JSON lines."""
    try:
        value = parse_json(path.read_bytes())
    except ValueError:
        return None
    candidates = value.values() if isinstance(value, dict) else [value]
    arrays = [array for array in candidates if _is_array_of_rows(array)]
    if len(arrays) != 1:
        return None
    return [(f"row {number} of {path}", row) for number, row in enumerate(arrays[0], 1)]


def _is_array_of_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def text_of(row: dict[str, Any], name: str, where: str) -> str:
    """Get a field of a row that must be text that is not blank.

    Raises:
        InvalidInput: the field is missing, not text, or blank.
    """
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{where} has the {name} {value!r}; write a text")
    return value


def read_json(path: str | Path, kind: str, version: int) -> dict[str, Any]:
    """Read a JSON object that names its kind and format.

    Raises:
        InvalidInput: the file cannot be read, or is not of this kind and format.
    """
    try:
        data = parse_json_object(Path(path).read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path} {error}; pass a file that was saved as {kind!r}") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error
    if data.get("kind") != kind:
        raise InvalidInput(f"{path} holds {data.get('kind')!r}, not {kind!r}; pass a file that was saved as that")
    if data.get("format") != version:
        raise InvalidInput(f"{path} has format {data.get('format')!r}; this version reads format {version}")
    return data


def write_json(path: str | Path, data: dict[str, Any]) -> None:
    """Write an object as a JSON file, atomically.

    Raises:
        InvalidInput: the path cannot be written.
        ValueError: a number is not finite.
    """
    write_text(path, json.dumps(data, allow_nan=False) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, atomically.

    Raises:
        InvalidInput: the path cannot be written.
    """
    try:
        write_atomically(path, text)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror or error}") from error


def can_write_into(folder: Path) -> bool:
    """Whether files can be created in a folder; permissions alone do not say so, as on a read-only file system."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def check_output_path(path: str | Path, *, replaces: str | None = None) -> None:
    """Check before the work, not after it, that a file can be written.

    Args:
        path: the file.
        replaces: text near the beginning of every file that may be replaced: a command that writes whole files replaces what
            it wrote before, and nothing else. None allows any file.

    Raises:
        InvalidInput: the path is a folder or a device, its folder is missing or cannot be written to, or it has a file of
            something else.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; name a file to write")
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path} is not a regular file; name a file to write")
    if not path.parent.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {path.parent}; create it or name another file")
    if path.exists() and not os.access(path, os.W_OK):
        raise InvalidInput(f"{path} cannot be written: permission denied; name another file")
    if not can_write_into(path.parent):
        raise InvalidInput(f"{path} cannot be written: no file can be created in {path.parent}; name another file")
    if replaces is not None and path.exists():
        with path.open("rb") as existing:
            beginning = existing.read(4096)
        if beginning and replaces.encode() not in beginning:
            raise InvalidInput(f"{path} exists and is not a file that this command wrote; name another file, or delete it")
