"""Rows with confidences for `halluc calibration`: JSON lines or CSV, from a file or from standard input."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc.errors import InvalidInput
from halluc.files import read_rows
from retrieval.files import parse_json_object

__all__ = ["ConfidenceRows", "read_confidence_rows"]

_TRUTHS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class ConfidenceRows:
    """N rows, as they were read.

    Attributes:
        rows: every field of each row.
        confidence: (N,) in [0, 1]; (N, S) of S fields.
        correct: (N,) booleans; empty if they were not asked for.
        groups: (N,) texts or numbers; None if the rows have none.
    """

    rows: list[dict[str, Any]]
    confidence: list[float] | list[list[float]]
    correct: list[bool]
    groups: list[Any] | None


def read_confidence_rows(path: Path, needed: tuple[str, ...], *, column: str = "confidence") -> ConfidenceRows:
    """Read rows and check their fields.

    Args:
        path: JSON lines, CSV if its name ends in .csv, or "-" for JSON lines from standard input.
        needed: "confidence", and "correct" if it must be there.
        column: the field of the confidence; a dot leads into an object ("confidence.p_true"), and commas separate several
            fields.

    Raises:
        InvalidInput: the file or a row cannot be used; names the first such line, and why.
    """
    found = _read(path)
    if not found:
        raise InvalidInput(f"{path} holds no rows; write one object with {' and '.join(needed)} per line")
    first = found[0][0]
    with_groups = "correct" in needed and "group" in found[0][1]
    names = [column] if column in found[0][1] else [name.strip() for name in column.split(",")]
    confidence, correct = [], []
    for where, row in found:
        confidence.append([_confidence(row, where, name, needed) for name in names])
        if "correct" in needed:
            correct.append(_correct(row, where))
            if ("group" in row) != with_groups:
                raise InvalidInput(f"only one of {first} and {where} has a group; add a group to all rows, or to none")
            if not isinstance(row.get("group", ""), (str, int, float)):
                raise InvalidInput(f"{where} has the group {row['group']!r}; pass a text or a number")
    rows = [row for _, row in found]
    groups = [row["group"] for row in rows] if with_groups else None
    return ConfidenceRows(rows, confidence if len(names) > 1 else [value for (value,) in confidence], correct, groups)


def _read(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each row with its place, for messages."""
    if str(path) == "-":
        return _standard_input()
    if path.suffix.lower() != ".csv":
        return read_rows(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, dict[str, Any]]] = []
    try:
        for row in reader:
            where = f"line {reader.line_num} of {path}"
            if None in row or None in row.values():
                raise InvalidInput(f"{where} has not as many fields as the header; write one value per column")
            rows.append((where, dict(row)))
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num} of {path} is not CSV: {error}") from error
    return rows


def _standard_input() -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(sys.stdin.buffer.read().splitlines(), 1):
        if not line.strip():
            continue
        where = f"line {number} of standard input"
        try:
            rows.append((where, parse_json_object(line)))
        except ValueError as error:
            raise InvalidInput(f"{where} {error}; write one object per line") from error
    return rows


def _confidence(row: dict[str, Any], where: str, column: str, needed: tuple[str, ...]) -> float:
    value: Any = row
    # A field whose name holds a dot goes before a path into an object.
    for name in [column] if column in row else column.split("."):
        if not isinstance(value, dict) or name not in value:
            missing = [column, *(field for field in needed if field != "confidence" and field not in row)]
            columns = ", ".join(_columns(row)) or "nothing"
            raise InvalidInput(
                f"{where} has no {' and no '.join(missing)}, only {columns}; rename the fields, add the missing ones, or "
                "name the confidence with --column"
            )
        value = value[name]
    if isinstance(value, dict):
        choices = ", ".join(f"{column}.{name}" for name in value) or "none"
        raise InvalidInput(f"{where} has several confidences; choose one of {choices} with --column")
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
        if not where.endswith(".csv"):
            number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise InvalidInput(f"{where} has the {column} {value!r}; pass a number from 0 to 1")
    return float(number)


def _columns(row: dict[str, Any]) -> list[str]:
    return [
        name if not isinstance(value, dict) else ", ".join(f"{name}.{inner}" for inner in value) or name
        for name, value in row.items()
    ]


def _correct(row: dict[str, Any], where: str) -> bool:
    if "correct" not in row:
        raise InvalidInput(f"{where} has no correct, only {', '.join(_columns(row))}; rename the field, or add it")
    value = row["correct"]
    if isinstance(value, str) and where.endswith(".csv") and value.strip().lower() in _TRUTHS:
        return _TRUTHS[value.strip().lower()]
    if not isinstance(value, (bool, int, float)) or value not in (0, 1):
        raise InvalidInput(f"{where} has correct {value!r}; pass true or false, or 1 or 0")
    return bool(value)
